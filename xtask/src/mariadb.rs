//! The throwaway MariaDB.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    command::{self, command},
    throwaway::{self, Process, free_port},
};

/// Owner of the server's processes and files.
const OWNER: &str = "mysql";

/// A running server. Stopped, and its files removed, when dropped.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    process: Process,
    /// TCP port on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Makes one under `place` and starts it with these arguments. Its log is named for the place.
    pub fn start(place: &Path, arguments: &[&str]) -> Result<Self> {
        let log = throwaway::log("mariadb", place)?;
        let folder = throwaway::folder(place, "mariadb");
        throwaway::make(&folder, OWNER)?;
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
        let mut server = command("setpriv");
        server
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
            .current_dir("/");
        let process = Process::start(
            "MariaDB",
            &mut server,
            folder,
            output,
            [libc::SIGTERM, libc::SIGKILL],
        )?;
        let mut server = Self {
            folder: folder.to_owned(),
            process,
            port,
        };
        throwaway::wait_ready(
            &mut server,
            |server| &mut server.process,
            log,
            |server| server.sql("SELECT 1").map(drop),
        )?;
        Ok(server)
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
        self.process.pid()
    }
}
