//! Throwaway PostgreSQL clusters.

use std::{
    ffi::CString,
    fs,
    io::Write,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{clients::Endpoint, patience};

/// How a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Lines of `postgresql.conf`.
    pub configuration: Vec<String>,
    /// Lines in front of `pg_hba.conf` (everybody is trusted otherwise).
    pub authentication: Vec<String>,
    /// Variables of the server's environment.
    pub environment: Vec<(String, String)>,
}

/// A running cluster, removed when dropped.
#[derive(Debug)]
pub struct Postgres {
    directory: TempDir,
    bin: PathBuf,
    owner: (u32, u32),
    /// TCP port, also in the unix socket's name.
    pub port: u16,
    server: Option<Child>,
    environment: Vec<(String, String)>,
}

impl Postgres {
    /// Makes and starts a cluster with the newest PostgreSQL on this machine.
    ///
    /// # Panics
    /// When there is none, or it does not start.
    pub fn start(options: &Options) -> Self {
        let bin = newest_bin();
        let owner = user("postgres");
        let directory = tempfile::Builder::new()
            .prefix("dst-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        std::os::unix::fs::chown(directory.path(), Some(owner.0), Some(owner.1)).expect("chown");
        let mut postgres = Self {
            directory,
            bin,
            owner,
            port: free_port(),
            server: None,
            environment: options.environment.clone(),
        };
        postgres.initialise(options);
        postgres.boot();
        postgres.sql("postgres", "CREATE EXTENSION pg_stat_statements");
        postgres
    }

    fn initialise(&self, options: &Options) {
        let data = self.data();
        self.make(&data);
        let mut configuration = fs::OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.conf"))
            .expect("open postgresql.conf");
        write!(
            configuration,
            "\nport = {}\n\
             listen_addresses = '127.0.0.1, ::1'\n\
             unix_socket_directories = '{}'\n\
             shared_preload_libraries = 'pg_stat_statements'\n\
             pg_stat_statements.max = 10000\n\
             pg_stat_statements.track = top\n\
             pg_stat_statements.track_utility = on\n\
             pg_stat_statements.save = off\n\
             max_connections = 300\n\
             fsync = off\n\
             synchronous_commit = off\n\
             full_page_writes = off\n\
             autovacuum = off\n\
             logging_collector = off\n\
             {}\n",
            self.port,
            self.socket_directory().display(),
            options.configuration.join("\n"),
        )
        .expect("write postgresql.conf");
        if options
            .configuration
            .iter()
            .any(|line| line.starts_with("ssl"))
        {
            self.make_certificate();
        }
        let hba = data.join("pg_hba.conf");
        let trusted = fs::read_to_string(&hba).expect("read pg_hba.conf");
        fs::write(
            &hba,
            format!("{}\n{trusted}", options.authentication.join("\n")),
        )
        .expect("write pg_hba.conf");
    }

    /// Makes the cluster, or copies the fresh one that `SENSOR_TEST_CLUSTER` names: `cargo xtask vm` sets it, where
    /// making one would take longer than what is tested.
    fn make(&self, data: &Path) {
        let mut command = match std::env::var_os("SENSOR_TEST_CLUSTER") {
            Some(fresh) => {
                let mut copy = Command::new("cp");
                copy.args(["-a", "--"]).arg(fresh);
                copy
            }
            None => {
                let mut initdb = self.command("initdb");
                initdb.args([
                    "--no-sync",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--username=postgres",
                    "-D",
                ]);
                initdb
            }
        };
        let output = command.arg(data).output().expect("make a cluster");
        assert!(
            output.status.success(),
            "no cluster could be made:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A certificate of its own, where the server looks for it.
    fn make_certificate(&self) {
        let output = Command::new("openssl")
            .args([
                "req",
                "-new",
                "-x509",
                "-days",
                "2",
                "-nodes",
                "-subj",
                "/CN=localhost",
            ])
            .args(["-keyout", "server.key", "-out", "server.crt"])
            .current_dir(self.data())
            .output()
            .expect("run openssl: run `cargo xtask setup`");
        assert!(
            output.status.success(),
            "openssl failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let key = self.data().join("server.key");
        for path in [&key, &self.data().join("server.crt")] {
            std::os::unix::fs::chown(path, Some(self.owner.0), Some(self.owner.1)).expect("chown");
        }
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("chmod");
    }

    /// Starts the server and waits until it answers.
    fn boot(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("open the server's log");
        let server = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clone"))
            .stderr(log)
            .spawn()
            .expect("start postgres");
        self.server = Some(server);
        let deadline = Instant::now() + patience();
        while !self.is_ready() {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL did not start:\n{}",
                fs::read_to_string(self.log()).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_ready(&self) -> bool {
        self.command("pg_isready")
            .args(["--quiet", "--host"])
            .arg(self.socket_directory())
            .args(["--port", &self.port.to_string()])
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Stops the server as `pg_ctl stop -m fast` (or, with `SIGQUIT`, `-m immediate`) does, and waits.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&mut self, signal: libc::c_int) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let pid = libc::pid_t::try_from(server.id()).expect("a pid");
        // SAFETY: our own child, not yet waited for.
        unsafe { libc::kill(pid, signal) };
        let deadline = Instant::now() + patience();
        while server.try_wait().expect("wait for postgres").is_none() {
            if Instant::now() > deadline {
                // SAFETY: as above.
                unsafe { libc::kill(pid, libc::SIGQUIT) };
                server.wait().expect("wait for postgres");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops (see [`Self::stop`]) and starts the server again.
    ///
    /// # Panics
    /// When it does not.
    pub fn restart(&mut self, signal: libc::c_int) {
        self.stop(signal);
        self.boot();
    }

    /// Runs SQL as superuser over the unix socket and returns psql's unaligned output.
    ///
    /// # Panics
    /// When a statement fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut child = self
            .command("psql")
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--field-separator=\t",
            ])
            .args([
                "--set=ON_ERROR_STOP=1",
                "--username=postgres",
                "--dbname",
                database,
                "--host",
            ])
            .arg(self.socket_directory())
            .args(["--port", &self.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run psql");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(sql.as_bytes()).expect("write to psql");
        drop(stdin);
        let output = child.wait_with_output().expect("run psql");
        assert!(
            output.status.success(),
            "psql failed on {sql}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Waits until no client but the asking one is connected.
    ///
    /// # Panics
    /// When some stay.
    pub fn wait_until_idle(&self) {
        let deadline = Instant::now() + patience();
        loop {
            let busy = self.sql(
                "postgres",
                "SELECT count(*) FROM pg_stat_activity
                 WHERE backend_type IN ('client backend', 'walsender') AND pid <> pg_backend_pid()",
            );
            if busy == "0" {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{busy} clients are still connected"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Major version.
    ///
    /// # Panics
    /// When the server does not say.
    pub fn version(&self) -> u32 {
        let number: u32 = self
            .sql("postgres", "SHOW server_version_num")
            .parse()
            .expect("a number");
        number / 10_000
    }

    /// Where it listens on its unix socket.
    pub fn unix(&self) -> Endpoint {
        Endpoint {
            host: self.socket_directory().to_string_lossy().into_owned(),
            port: self.port,
        }
    }

    /// Where it listens on IPv4.
    pub fn ipv4(&self) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.port,
        }
    }

    /// Where it listens on IPv6.
    pub fn ipv6(&self) -> Endpoint {
        Endpoint {
            host: "::1".to_owned(),
            port: self.port,
        }
    }

    /// A program of this PostgreSQL, to be run as its owner.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .uid(self.owner.0)
            .gid(self.owner.1)
            .current_dir("/")
            .env("LC_ALL", "C")
            .env_remove("PGOPTIONS")
            .env("HOME", "/nonexistent");
        command
    }

    /// Directory that the cluster's owner can write to.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn socket_directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop(libc::SIGINT);
    }
}

/// `bin` of the newest PostgreSQL.
fn newest_bin() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .expect("no /usr/lib/postgresql: run `cargo xtask setup`");
    versions
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").is_file().then_some((version, bin))
        })
        .max()
        .expect("no PostgreSQL server in /usr/lib/postgresql: run `cargo xtask setup`")
        .1
}

/// User and group id.
pub(crate) fn user(name: &str) -> (u32, u32) {
    let c_name = CString::new(name).expect("no NUL");
    // SAFETY: the name ends with NUL; the result is read at once (no other thread of the tests asks for users).
    let entry = unsafe { libc::getpwnam(c_name.as_ptr()).as_ref() };
    let entry = entry.unwrap_or_else(|| panic!("no user {name}: run `cargo xtask setup`"));
    (entry.pw_uid, entry.pw_gid)
}

/// A TCP port that was free a moment ago, on both loopback addresses.
pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        if TcpListener::bind(("::1", port)).is_ok() {
            return port;
        }
    }
}
