//! TLS between a client that speaks in clear and the server, with the plaintext counted on the way; servers' certificates.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    clients::{Endpoint, tool},
    environment::workspace,
};

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl Version {
    /// As OpenSSL names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }

    fn argument(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Tunnel {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    endpoint: Endpoint,
    version: Version,
}

impl Tunnel {
    /// In front of the server on this TCP port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(port: u16, version: Version) -> Self {
        let mut child = Command::new(tool("venv/bin/python"))
            .arg(workspace().join("tests/clients/tls.py"))
            .args([&port.to_string(), version.argument()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start tls.py: run `cargo xtask setup`");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("read its port");
        Self {
            child,
            output,
            endpoint: Endpoint {
                host: "127.0.0.1".to_owned(),
                port: line.trim().parse().expect("a port"),
            },
            version,
        }
    }

    /// Where clients connect, in clear.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Plaintext bytes that passed, to the client and to the server, once all connections are closed.
    ///
    /// # Panics
    /// When it ends without having counted, or another version of TLS was spoken.
    pub fn finish(mut self) -> (u64, u64) {
        drop(self.child.stdin.take());
        let mut line = String::new();
        self.output.read_line(&mut line).expect("read its counts");
        let counted: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            counted["versions"].to_string(),
            format!("[\"{}\"]", self.version.name()),
            "{counted}"
        );
        let number = |key: &str| counted[key].as_u64().expect("a count");
        (number("to_client"), number("to_server"))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        // Ended already, nearly always.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A certificate of its own for a server that runs as this user and group, and the key, in its directory.
///
/// # Panics
/// When there is no openssl.
pub fn certificate(directory: &Path, (uid, gid): (u32, u32)) -> (PathBuf, PathBuf) {
    let [certificate, key] = ["server-cert.pem", "server-key.pem"].map(|name| directory.join(name));
    let made = Command::new("openssl")
        .args(["req", "-new", "-x509", "-days", "2", "-nodes"])
        .args(["-subj", "/CN=localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("run openssl: run `cargo xtask setup`");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    for path in [&certificate, &key] {
        chown(path, Some(uid), Some(gid)).expect("chown");
    }
    (certificate, key)
}
