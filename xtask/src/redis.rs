//! The throwaway Redis.

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

mod resp;

pub use resp::{Reply, Resp};

/// Owner of the server's process and files.
const OWNER: &str = "redis";
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
    /// Makes one under `place`, and starts it. Its log is named for the place.
    pub fn start(place: &Path) -> Result<Self> {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let log = workspace::directory(&workspace::logs())?.join(format!("redis-{name}.log"));
        let folder = folder(place)?;
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
        let errors = output
            .try_clone()
            .context("cannot share the server's log")?;
        let child = command("setpriv")
            .args(["--reuid", OWNER, "--regid", OWNER, "--clear-groups"])
            .args(["--pdeathsig", "TERM", "--", "redis-server"])
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--unixsocketperm", "777", "--unixsocket"])
            .arg(folder.join("socket"))
            // Nothing is kept, and nothing is copied meanwhile.
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(folder)
            .current_dir(folder)
            // Ctrl-C is for this process, which then stops the server in its turn.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .context("cannot start redis-server")?;
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
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot wait for redis-server")?
            {
                bail!(
                    "Redis did not start ({status}):\n{}the whole log: {}",
                    command::tail(log),
                    log.display()
                );
            }
            let Err(error) = self.command(&["PING"]) else {
                return Ok(());
            };
            if began.elapsed() > PATIENCE {
                bail!(
                    "Redis does not answer within {PATIENCE:?}: {error:#}\nits log: {}",
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
            "xtask: Redis (pid {}) does not stop; its files stay in {}",
            self.child.id(),
            self.folder.display()
        );
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

/// A new, empty folder that belongs to the owner: under `place`, or in /tmp where the owner can't get there.
fn folder(place: &Path) -> Result<PathBuf> {
    let wanted = place.join("redis");
    let folder = if all_may_enter(place) {
        wanted
    } else {
        PathBuf::from(format!("/tmp/sensor-redis-{}", std::process::id()))
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
