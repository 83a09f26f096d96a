//! Throwaway Redis and Valkey servers.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use crate::{
    clients::{Endpoint, tool},
    postgres::{free_port, user},
    throwaway::Throwaway,
    tls,
};

/// Who administers it, so that `default` is who has not logged in.
const ADMINISTRATOR: &str = "keeper";

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Redis.
    Redis,
    /// Valkey.
    Valkey,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Redis, Self::Valkey];

    /// What its programs' names begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Valkey => "valkey",
        }
    }

    /// One of its programs: `server`, `cli`, `benchmark`.
    ///
    /// # Panics
    /// When it is not installed.
    pub fn program(self, which: &str) -> PathBuf {
        let name = format!("{}-{which}", self.name());
        match self {
            Self::Redis => name.into(),
            Self::Valkey => tool("valkey/usr/bin").join(name),
        }
    }
}

/// A running server with a directory of its own, removed when dropped.
#[derive(Debug)]
pub struct Redis {
    throwaway: Throwaway,
    kind: Kind,
    /// Port for TLS, where it was asked for.
    pub tls_port: Option<u16>,
}

impl Redis {
    /// Makes and starts one with these further arguments.
    ///
    /// # Panics
    /// When there is none on this machine, or it does not start.
    pub fn start(kind: Kind, arguments: &[&str]) -> Self {
        let mut server = Self::make(kind);
        server.boot(arguments);
        server
    }

    /// The same, with a port for TLS and a certificate of its own.
    ///
    /// # Panics
    /// Likewise.
    pub fn start_with_tls(kind: Kind, arguments: &[&str]) -> Self {
        let mut server = Self::make(kind);
        let (certificate, key) = tls::certificate(server.directory(), owner());
        let port = free_port();
        server.tls_port = Some(port);
        let (port, certificate, key) = (
            port.to_string(),
            certificate.display().to_string(),
            key.display().to_string(),
        );
        let mut all = vec!["--tls-port", &port, "--tls-auth-clients", "no"];
        all.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
        all.extend(["--tls-ca-cert-file", &certificate]);
        all.extend(arguments);
        server.boot(&all);
        server
    }

    /// A replica of this one, which has all its data when this returns.
    ///
    /// # Panics
    /// Likewise.
    pub fn replica(&self) -> Self {
        let (port, secret) = (self.port.to_string(), password(ADMINISTRATOR));
        let mut arguments = vec!["--replicaof", "127.0.0.1", &port];
        arguments.extend(["--masteruser", ADMINISTRATOR, "--masterauth", &secret]);
        let replica = Self::start(self.kind, &arguments);
        crate::wait_until("the replica has the data", || {
            replica
                .command(&["INFO", "replication"])
                .contains("master_link_status:up")
        });
        replica
    }

    fn make(kind: Kind) -> Self {
        Self {
            throwaway: Throwaway::make("redis", kind.name(), owner()),
            kind,
            tls_port: None,
        }
    }

    fn boot(&mut self, arguments: &[&str]) {
        let (uid, gid) = owner();
        let mut server = Command::new(self.kind.program("server"));
        server
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--unixsocketperm", "777", "--unixsocket"])
            .arg(self.socket())
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(self.directory())
            .args(["--user", ADMINISTRATOR])
            .args(rights(ADMINISTRATOR).split(' '))
            // Only the one by unix sockets may, but that is said by no user's rights.
            .args(["--enable-debug-command", "local"])
            .args(arguments)
            .current_dir(self.directory())
            .uid(uid)
            .gid(gid);
        self.throwaway.boot(&mut server);
        self.wait_ready(|| {
            let answer = self.cli(&["PING"]);
            answer.status.success() && answer.stdout.starts_with(b"PONG")
        });
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        self.client("cli", &self.unix(), ADMINISTRATOR)
            .args(arguments)
            .output()
            .expect("run redis-cli: run `cargo xtask setup`")
    }

    /// One of the server's own clients (`cli`, `benchmark`), as a user that [`Redis::user`] made.
    pub fn client(&self, which: &str, endpoint: &Endpoint, user: &str) -> Command {
        let mut client = Command::new(self.kind.program(which));
        if endpoint.host.starts_with('/') {
            client.args(["-s", &endpoint.host]);
        } else {
            client.args(["-h", &endpoint.host, "-p", &endpoint.port.to_string()]);
        }
        client.args(["--user", user, "-a", &password(user)]);
        if which == "cli" {
            client.arg("--no-auth-warning");
        }
        client.stdin(Stdio::null());
        client
    }

    /// Runs a command as administrator; what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && !text.starts_with("ERR"),
            "{arguments:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text.trim_end().to_owned()
    }

    /// Makes a user who may do everything, with the password [`password`].
    ///
    /// # Panics
    /// When the server refuses.
    pub fn user(&self, name: &str) {
        let rights = rights(name);
        let mut command = vec!["ACL", "SETUSER", name];
        command.extend(rights.split(' '));
        assert_eq!(self.command(&command), "OK");
    }

    /// How often each command was run, whether it failed or was refused; subcommands under their command's name.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let mut calls = BTreeMap::new();
        for line in self.command(&["INFO", "commandstats"]).lines() {
            let Some((name, fields)) = line
                .strip_prefix("cmdstat_")
                .and_then(|rest| rest.split_once(':'))
            else {
                continue;
            };
            let name = name.split('|').next().unwrap_or(name).to_uppercase();
            *calls.entry(name).or_default() +=
                number(fields, "calls=") + number(fields, "rejected_calls=");
        }
        calls
    }

    /// How often a key was found that a command wanted to read.
    pub fn hits(&self) -> u64 {
        number(&self.command(&["INFO", "stats"]), "keyspace_hits:")
    }

    /// Waits until no client but the one that asks is connected; replicas stay.
    ///
    /// # Panics
    /// When some stay.
    pub fn wait_until_idle(&self) {
        crate::wait_until("all clients are gone", || {
            let clients = self.command(&["CLIENT", "LIST", "TYPE", "normal"]);
            let subscribers = self.command(&["CLIENT", "LIST", "TYPE", "pubsub"]);
            clients.lines().count() == 1 && subscribers.is_empty()
        });
    }
}

impl Deref for Redis {
    type Target = Throwaway;

    fn deref(&self) -> &Throwaway {
        &self.throwaway
    }
}

impl DerefMut for Redis {
    fn deref_mut(&mut self) -> &mut Throwaway {
        &mut self.throwaway
    }
}

/// A user's password. Whoever looks for [`CANARY`] finds it in there.
pub fn password(user: &str) -> String {
    format!("{CANARY}-{user}")
}

/// In every key's changing part, in every value and password of the tests: what must never leave the sensor.
pub const CANARY: &str = "zq7x";

fn rights(user: &str) -> String {
    format!("on >{} ~* &* +@all", password(user))
}

/// The number behind a label.
fn number(text: &str, label: &str) -> u64 {
    text.split([',', '\n', '\r'])
        .find_map(|field| field.strip_prefix(label))
        .and_then(|digits| digits.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {label} in {text:?}"))
}

/// Whose processes the server's are.
fn owner() -> (u32, u32) {
    user("redis")
}
