//! Throwaway MariaDB servers.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    clients::Endpoint,
    patience,
    postgres::{free_port, user},
    tls,
};

/// A running server with a directory of its own, removed when dropped.
#[derive(Debug)]
pub struct MariaDb {
    directory: TempDir,
    server: Option<Child>,
    /// TCP port.
    pub port: u16,
}

impl MariaDb {
    /// Makes and starts one with these further arguments.
    ///
    /// # Panics
    /// When there is no MariaDB on this machine, or it does not start.
    pub fn start(arguments: &[&str]) -> Self {
        let mut server = Self::make();
        server.boot(arguments);
        server
    }

    /// The same, offering TLS with a certificate of its own.
    ///
    /// # Panics
    /// Likewise.
    pub fn start_with_tls(arguments: &[&str]) -> Self {
        let mut server = Self::make();
        let data = server.directory.path().join("data");
        let (certificate, key) = tls::certificate(&data, owner());
        let tls = [
            format!("--ssl-cert={}", certificate.display()),
            format!("--ssl-key={}", key.display()),
        ];
        let all: Vec<&str> = tls
            .iter()
            .map(String::as_str)
            .chain(arguments.iter().copied())
            .collect();
        server.boot(&all);
        server
    }

    fn make() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dst-mariadb-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let (uid, gid) = owner();
        chown(directory.path(), Some(uid), Some(gid)).expect("chown");
        let made = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--user=mysql", "--skip-test-db"])
            .arg("--auth-root-authentication-method=normal")
            .arg(format!(
                "--datadir={}",
                directory.path().join("data").display()
            ))
            .output()
            .expect("run mariadb-install-db: run `cargo xtask setup`");
        assert!(
            made.status.success(),
            "no server could be made:\n{}",
            String::from_utf8_lossy(&made.stderr)
        );
        Self {
            directory,
            server: None,
            port: free_port(),
        }
    }

    fn boot(&mut self, arguments: &[&str]) {
        let log = File::create(self.log()).expect("create the server's log");
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let server = Command::new("mariadbd")
            .args(["--no-defaults", "--user=mysql", "--bind-address=127.0.0.1"])
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("mysqld.sock")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--port={}", self.port))
            .arg(format!("--secure-file-priv={}", path("")))
            .args([
                "--local-infile=1",
                "--max-connections=300",
                "--skip-name-resolve",
            ])
            .args([
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-buffer-pool-size=32M",
            ])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clone"))
            .stderr(log)
            .spawn()
            .expect("start mariadbd: run `cargo xtask setup`");
        self.server = Some(server);
        let deadline = Instant::now() + patience();
        while !self.client(&["-e", "SELECT 1"]).status.success() {
            assert!(
                Instant::now() < deadline,
                "MariaDB did not start:\n{}",
                fs::read_to_string(self.log()).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn client(&self, arguments: &[&str]) -> std::process::Output {
        Command::new("mariadb")
            .args([
                "--no-defaults",
                "--batch",
                "--skip-column-names",
                // Where the server offers it, this client takes it by unix sockets, too.
                "--skip-ssl",
                "--user=root",
            ])
            .arg(format!("--socket={}", self.socket().display()))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("run mariadb: run `cargo xtask setup`")
    }

    /// Runs statements as root; what they return.
    ///
    /// # Panics
    /// When they fail.
    pub fn sql(&self, sql: &str) -> String {
        let output = self.client(&["-e", sql]);
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Waits until no client but the one that asks is connected.
    ///
    /// # Panics
    /// When some stay.
    pub fn wait_until_idle(&self) {
        crate::wait_until("all clients are gone", || {
            self.sql(
                "SELECT count(*) FROM information_schema.processlist WHERE user <> 'system user'",
            ) == "1"
        });
    }

    /// Process id of the server.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("it runs").id()
    }

    /// Ends the server with a signal.
    pub fn stop(&mut self, signal: libc::c_int) {
        if let Some(server) = self.server.take() {
            crate::environment::end(server, signal);
        }
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("mysqld.sock")
    }

    /// Where it listens on IPv4.
    pub fn ipv4(&self) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.port,
        }
    }

    /// A directory that it may write to.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.stop(libc::SIGKILL);
    }
}

/// Whose processes the server's are.
fn owner() -> (u32, u32) {
    user("mysql")
}
