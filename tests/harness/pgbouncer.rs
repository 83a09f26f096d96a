//! A connection pooler in front of a [`Postgres`].

use std::{
    fs,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    Postgres,
    clients::Endpoint,
    postgres::{free_port, user},
    sensor::wait_until,
};

/// A running PgBouncer, gone when dropped.
#[derive(Debug)]
pub struct PgBouncer {
    directory: TempDir,
    process: Child,
    /// TCP port, also in the unix socket's name.
    pub port: u16,
}

impl PgBouncer {
    /// Starts one that leads every database to the server. `databases` is what its connections there have beyond (`user=pool`),
    /// `more` are lines of its section `[pgbouncer]`. Whoever says that he is one of `users` is believed.
    ///
    /// # Panics
    /// When there is none on this machine, or it does not start.
    pub fn start(server: &Postgres, databases: &str, users: &[&str], more: &str) -> Self {
        Self::start_as("postgres", server, databases, users, more)
    }

    /// The same, run by this OS user.
    ///
    /// # Panics
    /// As above.
    pub fn start_as(
        os_user: &str,
        server: &Postgres,
        databases: &str,
        users: &[&str],
        more: &str,
    ) -> Self {
        let (uid, gid) = user(os_user);
        let directory = tempfile::Builder::new()
            .prefix("dst-pooler-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        std::os::unix::fs::chown(directory.path(), Some(uid), Some(gid)).expect("chown");
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(directory.path(), mode).expect("chmod");
        let port = free_port();
        let path = |name: &str| directory.path().join(name);
        let users: String = users
            .iter()
            .map(|user| format!("\"{user}\" \"\"\n"))
            .collect();
        fs::write(path("users"), users).expect("write the users");
        fs::write(
            path("pgbouncer.ini"),
            format!(
                "[databases]\n* = host={} port={} {databases}\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {}\n\
                 auth_type = trust\nauth_file = {}\nlogfile = {}\n{more}\n",
                server.unix().host,
                server.port,
                directory.path().display(),
                path("users").display(),
                path("log").display(),
            ),
        )
        .expect("write the configuration");
        let process = Command::new("pgbouncer")
            .arg("--quiet")
            .arg(path("pgbouncer.ini"))
            .uid(uid)
            .gid(gid)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start pgbouncer: run `cargo xtask setup`");
        let pooler = Self {
            directory,
            process,
            port,
        };
        wait_until("PgBouncer listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        pooler
    }

    /// Where it listens: a unix socket's directory, and IPv4.
    pub fn endpoints(&self) -> [Endpoint; 2] {
        [
            self.directory.path().to_string_lossy().into_owned(),
            "127.0.0.1".to_owned(),
        ]
        .map(|host| Endpoint {
            host,
            port: self.port,
        })
    }

    /// What it logs.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let pid = libc::pid_t::try_from(self.process.id()).expect("a pid");
        // SAFETY: our own child, not yet waited for. To this signal it ends at once.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        self.process.wait().ok();
    }
}
