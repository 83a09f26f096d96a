//! `sensor check`: what this kernel and host offer, and what would be watched.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    config::{Config, discover::System},
    discover::{self, Server, tls::Tls},
    kernel::{
        capability::{self, Capability, Host, Need},
        certificates,
        hooks::{Family, NO_FOREIGN},
        privileges, tls,
    },
};

/// What would be seen of a server.
const SEEN: &str = "users, statements, tables, rows and bytes of every connection in clear";
/// When its TLS can be read, too.
const SEEN_IN_TLS: &str =
    "users, statements, tables, rows and bytes of every connection, in clear and by TLS";
/// What would not, when it offers TLS that can't be read.
const TLS_NOT_SEEN: &str = "statements and rows of TLS connections; their bytes are counted";

/// What would not, when clients' certificates can't be.
const CERTIFICATES_NOT_SEEN: &str = "who shows which certificate";

/// How ready the host is, and the exit code that says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Everything is there.
    Ready = 0,
    /// It can run, with something missing.
    Degraded = 1,
    /// It can't.
    Impossible = 2,
}

/// All that was found.
struct Findings {
    host: Host,
    servers: Vec<Found>,
    /// What would not be seen, or not be known.
    lost: Vec<String>,
    /// What has to be done before it can run.
    todo: Vec<String>,
}

/// Why nothing of a server would be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// The hooks do not know its protocol.
    NoForeign,
    /// Somebody has chosen so.
    LeftOut,
}

impl Refusal {
    fn why(self) -> &'static str {
        match self {
            Self::NoForeign => NO_FOREIGN,
            Self::LeftOut => "[discover] systems leaves it out",
        }
    }
}

/// A server and what would be seen of its connections.
struct Found {
    server: Server,
    /// Why nothing of any.
    refusal: Option<Refusal>,
    /// Why nothing but the bytes of those by TLS; nothing when all is seen, or it offers none.
    tls_refusal: Option<String>,
    /// Why clients are not known by their certificates; nothing when they are, or show none.
    certificates_refusal: Option<String>,
}

impl Found {
    fn new(server: Server, config: &Config, host: &Host) -> Self {
        let is_foreign = server.system.is_foreign();
        let refusal = if !config.discover.watches(System::of(server.system)) {
            Some(Refusal::LeftOut)
        } else if is_foreign && !host.family.is_none_or(Family::knows_foreign) {
            Some(Refusal::NoForeign)
        } else {
            None
        };
        let tls_refusal = || match (tls::refusal(config, host.family), &server.tls) {
            // Whatever is switched on.
            (_, Tls::Hidden(why)) if is_foreign => Some(why.clone()),
            (Some(why), _) => Some(why),
            (None, Tls::Hidden(why)) => Some(why.clone()),
            (None, Tls::Library(library)) => tls::has_functions(library)
                .err()
                .map(|error| format!("{error:#}")),
        };
        Self {
            refusal,
            tls_refusal: server.ssl.then(tls_refusal).flatten(),
            certificates_refusal: certificates::refusal(config, host.family, &server),
            server,
        }
    }

    fn tls(&self) -> String {
        match (&self.server.tls, &self.tls_refusal) {
            _ if !self.server.ssl => "off".to_owned(),
            (_, Some(why)) => format!("offered, only its bytes would be seen: {why}"),
            (Tls::Library(library), None) => {
                format!("offered, would be seen by probes on {}", library.shown)
            }
            (Tls::Hidden(why), None) => why.clone(),
        }
    }

    /// Nothing when it has no clients that show any.
    fn certificates(&self) -> Option<String> {
        if !certificates::are_known_to(&self.server) {
            return None;
        }
        Some(match &self.certificates_refusal {
            Some(why) => format!("not seen: {why}"),
            None => "would be part of who a client is".to_owned(),
        })
    }

    fn sees_tls(&self) -> bool {
        self.server.ssl && self.tls_refusal.is_none() && self.refusal.is_none()
    }

    fn seen(&self) -> &'static str {
        if self.sees_tls() { SEEN_IN_TLS } else { SEEN }
    }

    fn not_seen(&self) -> Option<String> {
        match (self.refusal, &self.tls_refusal) {
            (Some(refusal), _) => Some(refusal.why().to_owned()),
            (None, Some(why)) => Some(format!("{TLS_NOT_SEEN}: {why}")),
            (None, None) => None,
        }
    }
}

/// Prints the findings; exits 0 when ready, 1 when something is lost, 2 when the sensor can't run here.
pub fn check(config: &Config, json: bool) -> ExitCode {
    let findings = find(config);
    let text = if json {
        format!("{:#}\n", findings.json())
    } else {
        findings.text()
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(findings.verdict() as u8)
}

fn find(config: &Config) -> Findings {
    // As the sensor does when it starts.
    privileges::unlock_memory();
    let host = capability::host(config);
    // Those that the configuration leaves out are looked for, too: that nothing of them would be seen has to be said.
    let commands = config.discover.all_command_names();
    let servers: Vec<Found> =
        discover::servers(&commands, config.kernel.network_namespace, &[], true)
            .into_iter()
            .map(|server| Found::new(server, config, &host))
            .collect();
    let mut lost: Vec<String> = host
        .missing(Need::Useful)
        .map(|missing| format!("without {}: {}", missing.name, missing.why))
        .collect();
    lost.extend(
        host.family
            .zip(host.precautions)
            .and_then(|(family, precautions)| family.lost(precautions)),
    );
    for found in &servers {
        let (system, name) = (found.server.system.title(), &found.server.name);
        if let Some(refusal) = found.refusal {
            // What somebody has chosen is no loss.
            if refusal == Refusal::NoForeign {
                lost.push(format!("{system} {name} is not seen: {}", refusal.why()));
            }
            continue;
        }
        if let Some(why) = &found.tls_refusal {
            lost.push(format!("{system} {name}: {TLS_NOT_SEEN}: {why}"));
        }
        if let Some(why) = &found.certificates_refusal
            && found.tls_refusal.as_ref() != Some(why)
        {
            lost.push(format!("{system} {name}: {CERTIFICATES_NOT_SEEN}: {why}"));
        }
    }
    for (pid, error) in discover::hidden(&commands) {
        lost.push(format!(
            "a database server (pid {pid}) can't be looked at: {error}"
        ));
    }
    let mut todo: Vec<String> = host
        .missing(Need::Required)
        .map(|missing| format!("{}: {}", missing.name, missing.remedy))
        .collect();
    todo.extend(host.refusal.clone());
    Findings {
        host,
        servers,
        lost,
        todo,
    }
}

impl Findings {
    fn verdict(&self) -> Verdict {
        if !self.host.is_possible() {
            Verdict::Impossible
        } else if self.lost.is_empty() {
            Verdict::Ready
        } else {
            Verdict::Degraded
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "kernel {}", self.host.release);
        for found in &self.host.capabilities {
            let _ = writeln!(
                out,
                "  {:<4} {:<20} {}",
                mark(found),
                found.name,
                found.found
            );
            let _ = writeln!(out, "       {:<20} for: {}", "", found.why);
            if !found.present {
                let _ = writeln!(out, "       {:<20} to get it: {}", "", found.remedy);
            }
        }
        let hooks = self.host.family.map_or("none", |family| family.place());
        let _ = writeln!(out, "hooks that would be used: {hooks}");
        if self.servers.is_empty() {
            let _ = writeln!(
                out,
                "no database server runs here now; one that starts later will be watched"
            );
        }
        for found in &self.servers {
            let server = &found.server;
            let _ = writeln!(
                out,
                "{} {} ({}, pid {}, {})",
                server.system.title(),
                server.version,
                server.name,
                server.pid,
                server.data_directory.display()
            );
            let _ = writeln!(out, "  sockets: {}", sockets(server));
            let _ = writeln!(out, "  TLS: {}", found.tls());
            if let Some(certificates) = found.certificates() {
                let _ = writeln!(out, "  client certificates: {certificates}");
            }
            if let Some(refusal) = found.refusal {
                let _ = writeln!(out, "  not seen: {}", refusal.why());
                continue;
            }
            let _ = writeln!(out, "  seen: {}", found.seen());
            if found.tls_refusal.is_some() {
                let _ = writeln!(out, "  not seen: {TLS_NOT_SEEN}");
            }
        }
        match self.verdict() {
            Verdict::Ready => out.push_str("ready\n"),
            Verdict::Degraded => {
                out.push_str("ready, with blind spots:\n");
                list(&mut out, &self.lost);
            }
            Verdict::Impossible => {
                out.push_str("cannot run here; what to do:\n");
                list(&mut out, &self.todo);
            }
        }
        out
    }

    fn json(&self) -> Value {
        let verdict = match self.verdict() {
            Verdict::Ready => "ready",
            Verdict::Degraded => "degraded",
            Verdict::Impossible => "impossible",
        };
        let capabilities: Vec<Value> = self
            .host
            .capabilities
            .iter()
            .map(|found| {
                json!({
                    "name": found.name,
                    "present": found.present,
                    "need": need(found.need),
                    "why": found.why,
                    "found": found.found,
                    "remedy": found.remedy,
                })
            })
            .collect();
        let servers: Vec<Value> = self
            .servers
            .iter()
            .map(|found| {
                let server = &found.server;
                json!({
                    "system": server.system.as_str(),
                    "version": server.version,
                    "name": &*server.name,
                    "pid": server.pid,
                    "data_directory": server.data_directory,
                    "port": server.port,
                    "tcp": server.tcp,
                    "socket_directory": server.socket_directory,
                    "tls": server.ssl,
                    "tls_seen": found.sees_tls(),
                    "certificates": found.certificates(),
                    "seen": found.refusal.is_none().then(|| found.seen()),
                    "not_seen": found.not_seen(),
                })
            })
            .collect();
        json!({
            "verdict": verdict,
            "kernel": self.host.release,
            "hooks": self.host.family.map(Family::name),
            "capabilities": capabilities,
            "servers": servers,
            "lost": self.lost,
            "todo": self.todo,
        })
    }
}

fn mark(found: &Capability) -> &'static str {
    match (found.present, found.need) {
        (true, _) => "yes",
        (false, Need::Required) => "NO",
        (false, _) => "no",
    }
}

fn need(need: Need) -> &'static str {
    match need {
        Need::Required => "required",
        Need::Useful => "useful",
        Need::Informative => "informative",
    }
}

fn sockets(server: &Server) -> String {
    match (&server.socket_directory, server.tcp) {
        (Some(directory), true) => {
            format!("unix {} and TCP port {}", directory.display(), server.port)
        }
        (Some(directory), false) => format!("unix {}", directory.display()),
        (None, _) => format!("TCP port {}", server.port),
    }
}

fn list(out: &mut String, lines: &[String]) {
    for line in lines {
        let _ = writeln!(out, "  - {line}");
    }
}
