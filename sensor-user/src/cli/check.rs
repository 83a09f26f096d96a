//! `sensor check`: what this kernel and host offer, and what would be watched.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    config::Config,
    discover::{self, Server},
    kernel::{
        capability::{self, Capability, Host, Need},
        hooks::{Family, NO_MYSQL},
    },
};

/// What would be seen of a server.
const SEEN: &str = "users, statements, tables, rows and bytes of every connection in clear";
/// What would not, when it offers TLS.
const TLS_NOT_SEEN: &str = "statements and rows of TLS connections; their bytes are counted";

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
    servers: Vec<Server>,
    /// What would not be seen, or not be known.
    lost: Vec<String>,
    /// What has to be done before it can run.
    todo: Vec<String>,
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
    let host = capability::host(config);
    let commands = config.discover.command_names();
    let servers = discover::servers(&commands, config.kernel.network_namespace);
    let mut lost: Vec<String> = host
        .missing(Need::Useful)
        .map(|missing| format!("without {}: {}", missing.name, missing.why))
        .collect();
    lost.extend(host.family.and_then(Family::lost).map(str::to_owned));
    for server in servers.iter().filter(|server| server.ssl) {
        let system = server.system.title();
        lost.push(format!("{system} {}: {TLS_NOT_SEEN}", server.name));
    }
    let unseen = |server: &&Server| !is_seen(host.family, server);
    for server in servers.iter().filter(unseen) {
        let system = server.system.title();
        lost.push(format!("{system} {} is not seen: {NO_MYSQL}", server.name));
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
        for server in &self.servers {
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
            let tls = if server.ssl { "offered" } else { "off" };
            let _ = writeln!(out, "  TLS: {tls}");
            if !is_seen(self.host.family, server) {
                let _ = writeln!(out, "  not seen: {NO_MYSQL}");
                continue;
            }
            let _ = writeln!(out, "  seen: {SEEN}");
            if server.ssl {
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
            .map(|server| {
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
                    "seen": is_seen(self.host.family, server).then_some(SEEN),
                    "not_seen": if is_seen(self.host.family, server) {
                        server.ssl.then_some(TLS_NOT_SEEN)
                    } else {
                        Some(NO_MYSQL)
                    },
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

/// Are its connections followed on these hooks?
fn is_seen(family: Option<Family>, server: &Server) -> bool {
    !server.system.is_mysql() || family.is_none_or(Family::knows_mysql)
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
