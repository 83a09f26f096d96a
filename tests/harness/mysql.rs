//! Throwaway MariaDB and MySQL servers, and each one's own clients.
//!
//! MariaDB is this machine's. MySQL's own server is of another Debian release: it and its clients run in a root of their own
//! (`target/tools/mysql`, see `other_root`), by its name and from `/usr/sbin/mysqld`, as in a container.

use std::{
    fs,
    ops::{Deref, DerefMut},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{
    clients::{Endpoint, tool},
    other_root,
    postgres::user,
    throwaway::Throwaway,
    tls,
};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MariaDB.
    MariaDb,
    /// MySQL's own.
    MySql,
}

/// One of a server's own clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// What runs statements: `mariadb`, `mysql`.
    Shell,
    /// What writes tables down: `mariadb-dump`, `mysqldump`.
    Dump,
}

impl Kind {
    /// As `db.system.name` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }

    fn server(self) -> Command {
        match self {
            Self::MariaDb => {
                let mut server = Command::new("mariadbd");
                server.args(["--no-defaults", "--user=mysql"]);
                server
            }
            Self::MySql => {
                let mut server = in_its_root("/usr/sbin/mysqld", Some(owner()));
                server.args(["--no-defaults", "--mysqlx=OFF", "--skip-log-bin"]);
                server.args(SMALL_LOG);
                server
            }
        }
    }

    /// A client, without arguments but that it is to heed no one else's.
    fn client(self, program: Program) -> Command {
        let mut client = match (self, program) {
            (Self::MariaDb, Program::Shell) => Command::new("mariadb"),
            (Self::MariaDb, Program::Dump) => Command::new("mariadb-dump"),
            (Self::MySql, Program::Shell) => in_its_root("/usr/bin/mysql", None),
            (Self::MySql, Program::Dump) => in_its_root("/usr/bin/mysqldump", None),
        };
        client.arg("--no-defaults").stdin(Stdio::null());
        // Where the server offers TLS, these clients take it, MariaDB's by unix sockets, too.
        client.arg(match self {
            Self::MariaDb => "--skip-ssl",
            Self::MySql => "--ssl-mode=DISABLED",
        });
        client
    }

    /// Makes a data directory, in which `root` has no password.
    fn install(self, data: &Path) {
        if self == Self::MySql {
            // A copy: to make one takes seconds.
            let made = run(Command::new("cp")
                .args(["--archive", "--reflink=auto"])
                .args([&fresh_data(), data]));
            return succeeded(&made, "no data directory could be copied");
        }
        let mut install = Command::new("mariadb-install-db");
        install
            .args(["--no-defaults", "--user=mysql", "--skip-test-db"])
            .arg("--auth-root-authentication-method=normal")
            .arg(format!("--datadir={}", data.display()));
        succeeded(&run(&mut install), "no server could be made");
    }

    /// How many clients are connected, the one that asks among them.
    fn connected(self) -> &'static str {
        match self {
            Self::MariaDb => {
                "SELECT count(*) FROM information_schema.processlist WHERE user <> 'system user'"
            }
            Self::MySql => {
                "SELECT count(*) FROM performance_schema.processlist \
                 WHERE user NOT IN ('system user', 'event_scheduler')"
            }
        }
    }
}

/// So that a data directory is small.
const SMALL_LOG: [&str; 1] = ["--innodb-redo-log-capacity=32M"];

/// A running server with a directory of its own, removed when dropped.
#[derive(Debug)]
pub struct Server {
    throwaway: Throwaway,
    kind: Kind,
}

impl Server {
    /// Makes and starts one with these further arguments.
    ///
    /// # Panics
    /// When there is none on this machine, or it does not start.
    pub fn start(kind: Kind, arguments: &[&str]) -> Self {
        let mut server = Self::make(kind);
        server.boot(arguments);
        server
    }

    /// The same, offering TLS with a certificate of its own. (MySQL's makes one by itself.)
    ///
    /// # Panics
    /// Likewise.
    pub fn start_with_tls(kind: Kind, arguments: &[&str]) -> Self {
        let mut server = Self::make(kind);
        let data = server.directory().join("data");
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

    fn make(kind: Kind) -> Self {
        let throwaway = Throwaway::make("mysql", kind.name(), owner());
        kind.install(&throwaway.directory().join("data"));
        Self { throwaway, kind }
    }

    fn boot(&mut self, arguments: &[&str]) {
        let path = |name: &str| self.directory().join(name).display().to_string();
        let mut server = self.kind.server();
        server
            .arg("--bind-address=127.0.0.1")
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", self.socket().display()))
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
                // Where files are in memory, as in a guest, they take no direct access.
                "--innodb-flush-method=fsync",
            ])
            .args(arguments);
        self.throwaway.boot(&mut server);
        self.wait_ready(|| self.run("SELECT 1").status.success());
    }

    fn run(&self, sql: &str) -> Output {
        run(self.client(Program::Shell, &self.unix(), "root").args([
            "--batch",
            "--skip-column-names",
            "-e",
            sql,
        ]))
    }

    /// One of the server's own clients, in clear.
    pub fn client(&self, program: Program, endpoint: &Endpoint, user: &str) -> Command {
        let mut client = self.kind.client(program);
        client.arg(format!("--user={user}"));
        if let Some(password) = self.password(user) {
            client.arg(format!("--password={password}"));
        }
        if endpoint.host.starts_with('/') {
            client.arg(format!("--socket={}", endpoint.host));
        } else {
            client.args(["--protocol=tcp", "--host", &endpoint.host]);
            client.arg(format!("--port={}", endpoint.port));
            if self.kind == Kind::MySql {
                // With which the password is encrypted, where it is not known yet.
                client.arg("--get-server-public-key");
            }
        }
        client
    }

    /// Runs statements as root; what they return.
    ///
    /// # Panics
    /// When they fail.
    pub fn sql(&self, sql: &str) -> String {
        let output = self.run(sql);
        succeeded(&output, sql);
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Makes a user who may do everything; of MySQL's own server, with a [`Self::password`].
    pub fn user(&self, name: &str) {
        let identified = self
            .password(name)
            .map(|password| format!(" IDENTIFIED BY '{password}'"))
            .unwrap_or_default();
        self.sql(&format!(
            "CREATE USER {name}{identified}; GRANT ALL ON *.* TO {name}"
        ));
    }

    /// The password of a user that [`Self::user`] made. Whoever looks for [`CANARY`] finds it in there.
    pub fn password(&self, user: &str) -> Option<String> {
        (self.kind == Kind::MySql && user != "root").then(|| format!("{CANARY}-{user}"))
    }

    /// Waits until no client but the one that asks is connected.
    ///
    /// # Panics
    /// When some stay.
    pub fn wait_until_idle(&self) {
        crate::wait_until("all clients are gone", || {
            self.sql(self.kind.connected()) == "1"
        });
    }

    /// Which it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl Deref for Server {
    type Target = Throwaway;

    fn deref(&self) -> &Throwaway {
        &self.throwaway
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Throwaway {
        &mut self.throwaway
    }
}

/// A running MariaDB.
#[derive(Debug)]
pub struct MariaDb(Server);

impl MariaDb {
    /// See [`Server::start`].
    pub fn start(arguments: &[&str]) -> Self {
        Self(Server::start(Kind::MariaDb, arguments))
    }

    /// See [`Server::start_with_tls`].
    pub fn start_with_tls(arguments: &[&str]) -> Self {
        Self(Server::start_with_tls(Kind::MariaDb, arguments))
    }
}

impl Deref for MariaDb {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl DerefMut for MariaDb {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.0
    }
}

/// In every password of the tests of MySQL's own server: what must never leave the sensor.
pub const CANARY: &str = "zq7x";

/// A program of what was unpacked of MySQL.
fn in_its_root(program: &str, owner: Option<(u32, u32)>) -> Command {
    other_root::command(&root(), program, owner)
}

fn root() -> PathBuf {
    tool("mysql")
}

/// A data directory of MySQL's own server that nobody has used yet. It lies where Debian has it, and goes with what was unpacked.
fn fresh_data() -> PathBuf {
    let folder = root().join("var/lib");
    let fresh = folder.join("mysql");
    if fresh.exists() {
        return fresh;
    }
    let new = format!("mysql-{}", std::process::id());
    let (uid, gid) = owner();
    fs::create_dir_all(folder.join(&new)).expect("make a data directory");
    chown(folder.join(&new), Some(uid), Some(gid)).expect("chown");
    let mut make = in_its_root("/usr/sbin/mysqld", Some(owner()));
    make.args(["--no-defaults", "--initialize-insecure"])
        .args(SMALL_LOG)
        .arg(format!("--datadir=/var/lib/{new}"));
    succeeded(&run(&mut make), "no server could be made");
    match fs::rename(folder.join(&new), &fresh) {
        Ok(()) => {}
        // Another test was faster.
        Err(_) if fresh.exists() => fs::remove_dir_all(folder.join(&new)).expect("remove"),
        Err(error) => panic!("cannot make {}: {error}", fresh.display()),
    }
    fresh
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: run `cargo xtask setup`"))
}

fn succeeded(output: &Output, what: &str) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whose processes the server's are.
fn owner() -> (u32, u32) {
    user("mysql")
}
