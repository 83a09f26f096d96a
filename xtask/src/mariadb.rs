//! The throwaway MariaDB.

use std::{
    fs::{self, File, Permissions},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, command},
    postgresql::{all_may_enter, free_port},
    signal, workspace,
};

/// Owner of the server's processes and files.
const OWNER: &str = "mysql";
/// How long it may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server. Stopped, and its files removed, when dropped.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    child: Child,
    /// TCP port on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Makes one under `place` and starts it with these arguments. Its log is named for the place.
    pub fn start(place: &Path, arguments: &[&str]) -> Result<Self> {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let log = workspace::directory(&workspace::logs())?.join(format!("mariadb-{name}.log"));
        let folder = folder(place)?;
        let result = Self::start_in(&folder, &log, arguments);
        if result.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        result
    }

    fn start_in(folder: &Path, log: &Path, more: &[&str]) -> Result<Self> {
        let data = format!("--datadir={}", folder.join("data").display());
        command::logged(
            command("mariadb-install-db")
                .args(["--no-defaults", "--user=mysql", "--skip-test-db"])
                .args(["--auth-root-authentication-method=normal", &data])
                .current_dir("/"),
            "mariadb-install-db",
        )?;
        let port = free_port()?;
        let output =
            File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let errors = output
            .try_clone()
            .context("cannot share the server's log")?;
        let child = command("setpriv")
            .args(["--pdeathsig", "TERM", "--", "mariadbd"])
            .args(["--no-defaults", "--user=mysql", "--bind-address=127.0.0.1"])
            .args([&data, &format!("--port={port}")])
            .arg(format!("--socket={}", folder.join("socket").display()))
            .arg(format!("--pid-file={}", folder.join("pid").display()))
            .args(["--skip-name-resolve", "--innodb-buffer-pool-size=256M"])
            .args([
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-doublewrite=0",
            ])
            .args(more)
            .current_dir("/")
            // Ctrl-C is for this process, which then stops the server in its turn.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context("cannot start mariadbd")?;
        let mut server = Self {
            folder: folder.to_owned(),
            child,
            port,
        };
        server.wait_ready(log)?;
        Ok(server)
    }

    fn wait_ready(&mut self, log: &Path) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for mariadbd")? {
                bail!(
                    "MariaDB did not start ({status}):\n{}the whole log: {}",
                    command::tail(log),
                    log.display()
                );
            }
            let Err(error) = self.sql("SELECT 1") else {
                return Ok(());
            };
            if began.elapsed() > PATIENCE {
                bail!(
                    "MariaDB does not answer within {PATIENCE:?}: {error:#}\nits log: {}",
                    log.display()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// One of MariaDB's own clients, as this user, over the unix socket or over TCP.
    pub fn client(&self, program: &str, user: &str, unix: bool) -> Command {
        let mut client = command(program);
        client.arg("--no-defaults").arg(format!("--user={user}"));
        if unix {
            client.arg(format!("--socket={}", self.socket().display()));
        } else {
            client.args(["--protocol=tcp", "--host=127.0.0.1"]);
            client.arg(format!("--port={}", self.port));
        }
        client.stdin(Stdio::null());
        client
    }

    /// Runs statements as its administrator; what they return, a line a row, columns apart by tabs.
    pub fn sql(&self, sql: &str) -> Result<String> {
        command::output(self.client("mariadb", "root", true).args([
            "--batch",
            "--skip-column-names",
            "-e",
            sql,
        ]))
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for signal in [libc::SIGTERM, libc::SIGKILL] {
            signal::send(self.child.id(), signal);
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(10) {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    let _ = fs::remove_dir_all(&self.folder);
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        eprintln!(
            "xtask: MariaDB (pid {}) does not stop; its files stay in {}",
            self.child.id(),
            self.folder.display()
        );
    }
}

/// A new, empty folder that belongs to the owner: under `place`, or in /tmp where the owner can't get there.
fn folder(place: &Path) -> Result<PathBuf> {
    let wanted = place.join("mariadb");
    let folder = if all_may_enter(place) {
        wanted
    } else {
        PathBuf::from(format!("/tmp/sensor-mariadb-{}", std::process::id()))
    };
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {} of an earlier run", folder.display()))?;
    }
    workspace::directory(&folder)?;
    let id = |which| -> Result<u32> {
        command::output(command("id").args([which, OWNER]))?
            .trim()
            .parse()
            .with_context(|| format!("cannot find out the id of user {OWNER}"))
    };
    chown(&folder, Some(id("-u")?), Some(id("-g")?))
        .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot give {} to {OWNER}", folder.display()))?;
    Ok(folder)
}
