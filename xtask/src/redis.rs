//! The throwaway Redis.

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

mod resp;

pub use resp::{Reply, Resp};

/// Owner of the server's process and files.
const OWNER: &str = "redis";

/// A running server. Stopped, and its files removed, when dropped.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    process: Process,
    /// TCP port on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Makes one under `place`, and starts it. Its log is named for the place.
    pub fn start(place: &Path) -> Result<Self> {
        let log = throwaway::log("redis", place)?;
        let folder = throwaway::folder(place, "redis");
        throwaway::make(&folder, OWNER)?;
        let result = Self::start_in(&folder, &log);
        if result.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        result
    }

    fn start_in(folder: &Path, log: &Path) -> Result<Self> {
        let port = free_port()?;
        let output =
            File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut server = command("setpriv");
        server
            .args(["--reuid", OWNER, "--regid", OWNER, "--clear-groups"])
            .args(["--pdeathsig", "TERM", "--", "redis-server"])
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--unixsocketperm", "777", "--unixsocket"])
            .arg(folder.join("socket"))
            // Nothing is kept, and nothing is copied meanwhile.
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder)
            .current_dir(folder);
        let process = Process::start(
            "Redis",
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
            |server| server.command(&["PING"]).map(drop),
        )?;
        Ok(server)
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// redis-cli or redis-benchmark over the unix socket or over TCP, as somebody who has not logged in.
    pub fn client(&self, program: &str, unix: bool) -> Command {
        let mut client = command(program);
        if unix {
            client.arg("-s").arg(self.socket());
        } else {
            client.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        }
        client.stdin(Stdio::null());
        client
    }

    /// The same by a connection of this process.
    pub fn connect(&self) -> Result<Resp> {
        Resp::connect(&self.socket())
    }

    /// Runs a command; what redis-cli prints.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        // -e: an error is one for whoever runs it, too.
        command::output(self.client("redis-cli", true).arg("-e").args(arguments))
    }

    /// How often the server has run a command.
    pub fn calls(&self, name: &str) -> Result<u64> {
        let text = self.command(&["INFO", "commandstats"])?;
        let label = format!("cmdstat_{name}:calls=");
        if text.contains(&label) {
            number(&text, &label)
        } else {
            Ok(0)
        }
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// The number behind a label.
fn number(text: &str, label: &str) -> Result<u64> {
    let digits: String = text
        .split_once(label)
        .map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit).collect())
        .unwrap_or_default();
    digits
        .parse()
        .with_context(|| format!("the server says no number behind {label}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_server_counted() {
        let text = "# Stats\r\nkeyspace_hits:17\r\nkeyspace_misses:2\r\n";
        assert_eq!(number(text, "keyspace_hits:").expect("a number"), 17);
        assert!(number(text, "keyspace_his:").is_err());
    }
}
