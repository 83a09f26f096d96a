//! The throwaway PostgreSQL.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use postgres::{Client, Config, NoTls};

use crate::{
    command::{self, command},
    throwaway::{self, Process, free_port},
};

/// Owner of the server's processes and files.
const OWNER: &str = "postgres";
/// Longest folder for which `FOLDER/.s.PGSQL.65535` is a valid unix socket address.
const LONGEST_FOLDER: usize = 90;

/// Folder with the programs of the newest PostgreSQL on this machine.
pub fn newest_postgresql() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("postgres").is_file().then_some((version, bin))
        })
        .max()
        .map(|(_, bin)| bin)
        .ok_or_else(|| {
            anyhow!(
                "no PostgreSQL server in /usr/lib/postgresql: run `cargo xtask setup --for demo`"
            )
        })
}

/// A running server. Stopped, and its files removed, when dropped.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    log: PathBuf,
    process: Process,
    /// TCP port on 127.0.0.1, also in the unix socket's name.
    pub port: u16,
}

impl Server {
    /// Makes a cluster under `place` and starts it with these settings (`name=value`). Its log is named for the place.
    pub fn start(place: &Path, settings: &[&str]) -> Result<Self> {
        let bin = newest_postgresql()?;
        let log = throwaway::log("postgresql", place)?;
        let folder = folder(place)?;
        let result = Self::start_in(&bin, &folder, &log, settings);
        if result.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        result
    }

    fn start_in(bin: &Path, folder: &Path, log: &Path, more: &[&str]) -> Result<Self> {
        let data = folder.join("data");
        initialise(bin, &data)?;
        if more.contains(&"ssl=on") {
            certificate(&data)?;
        }
        let port = free_port()?;
        let settings = [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", folder.display()),
            "shared_buffers=256MB".to_owned(),
            "max_wal_size=8GB".to_owned(),
            "wal_level=minimal".to_owned(),
            "max_wal_senders=0".to_owned(),
            "fsync=off".to_owned(),
            "synchronous_commit=off".to_owned(),
            "full_page_writes=off".to_owned(),
            "jit=off".to_owned(),
        ];
        let mut postgres = as_owner(&bin.join("postgres"));
        postgres.arg("-D").arg(&data);
        for setting in settings
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
        {
            postgres.args(["-c", setting]);
        }
        // Emptied here, and appended to so that it can be emptied while it is written.
        let output = File::create(log)
            .and_then(|_| OpenOptions::new().append(true).open(log))
            .with_context(|| format!("cannot create {}", log.display()))?;
        // Fast shutdown; immediate when that takes too long.
        let process = Process::start(
            "PostgreSQL",
            &mut postgres,
            folder,
            output,
            [libc::SIGINT, libc::SIGQUIT],
        )?;
        let mut server = Self {
            folder: folder.to_owned(),
            log: log.to_owned(),
            process,
            port,
        };
        throwaway::wait_ready(
            &mut server,
            |server| &mut server.process,
            log,
            |server| server.connect(OWNER, "postgres", true).map(drop),
        )?;
        Ok(server)
    }

    /// A connection over the unix socket, or over TCP.
    pub fn connect(&self, user: &str, database: &str, unix: bool) -> Result<Client> {
        self.address().connect(user, database, "", unix)
    }

    /// Where it listens.
    pub fn address(&self) -> Address {
        Address {
            socket_folder: self.folder.clone(),
            port: self.port,
        }
    }

    /// Forgets what it has logged: with every statement in it, a log outgrows the disk.
    pub fn empty_log(&self) -> Result<()> {
        OpenOptions::new()
            .write(true)
            .open(&self.log)
            .and_then(|log| log.set_len(0))
            .with_context(|| format!("cannot empty {}", self.log.display()))
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub struct Address {
    /// Folder of the unix socket.
    pub socket_folder: PathBuf,
    /// TCP port on 127.0.0.1, also in the unix socket's name.
    pub port: u16,
}

impl Address {
    /// A connection as this user to this database, over the unix socket or over TCP.
    pub fn connect(
        &self,
        user: &str,
        database: &str,
        application: &str,
        unix: bool,
    ) -> Result<Client> {
        let mut config = Config::new();
        config.user(user).dbname(database).port(self.port);
        config
            .application_name(application)
            .connect_timeout(Duration::from_secs(10));
        if unix {
            config.host_path(&self.socket_folder);
        } else {
            config.host("127.0.0.1");
        }
        config.connect(NoTls).with_context(|| {
            format!(
                "cannot connect to PostgreSQL as {user} ({})",
                if unix { "unix" } else { "TCP" }
            )
        })
    }
}

/// Makes a cluster, which nothing runs yet, in a folder that is not there and that the owner can make.
pub fn initialise(bin: &Path, data: &Path) -> Result<()> {
    command::logged(
        as_owner(&bin.join("initdb"))
            .args([
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "--username=postgres",
                "-D",
            ])
            .arg(data),
        "initdb",
    )
}

/// A certificate of its own, where a server looks for it.
fn certificate(data: &Path) -> Result<()> {
    command::logged(
        as_owner("openssl".as_ref())
            .args(["req", "-new", "-x509", "-days", "2", "-nodes"])
            .args(["-subj", "/CN=localhost", "-keyout"])
            .arg(data.join("server.key"))
            .arg("-out")
            .arg(data.join("server.crt")),
        "openssl",
    )?;
    fs::set_permissions(data.join("server.key"), Permissions::from_mode(0o600))
        .context("cannot keep the certificate's key to its owner")
}

/// A command that runs as the owner and does not outlive this process.
fn as_owner(program: &Path) -> Command {
    let mut setpriv = command("setpriv");
    setpriv
        .args([
            "--reuid",
            OWNER,
            "--regid",
            OWNER,
            "--init-groups",
            "--pdeathsig",
            "INT",
            "--",
        ])
        .arg(program)
        // The owner may not be allowed to be where we are.
        .current_dir("/");
    setpriv
}

/// A new, empty folder that belongs to the owner: under `place`, or in /tmp where the owner can't get there or its name
/// is too long for a unix socket.
fn folder(place: &Path) -> Result<PathBuf> {
    let wanted = throwaway::folder(place, "postgresql");
    let folder = if wanted.as_os_str().len() <= LONGEST_FOLDER {
        wanted
    } else {
        throwaway::in_tmp("postgresql")
    };
    if let Some(pid) = running_in(&folder) {
        bail!(
            "a PostgreSQL server still runs in {} (pid {pid}): is another demo or benchmark running?",
            folder.display()
        );
    }
    throwaway::make(&folder, OWNER)?;
    Ok(folder)
}

/// The server whose data is in there, if it still runs.
fn running_in(folder: &Path) -> Option<u32> {
    let file = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    let pid = file.lines().next()?.trim().parse().ok()?;
    let data = folder.join("data").canonicalize().ok()?;
    (fs::read_link(format!("/proc/{pid}/cwd")).ok()? == data).then_some(pid)
}
