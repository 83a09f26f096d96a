//! A process that watches the database while a slice is measured.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::fixture::Fixtures;
use crate::{
    command::{self, command},
    postgresql::{Server, newest_postgresql},
    redis, signal, workspace,
};

/// How long one may take to begin, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the bpftrace script is shown until it prints it.
const POKE: &str = "SELECT 'is bpftrace attached?'";

/// A client that watches Redis.
const MONITOR: &str = "redis-cli MONITOR";

/// Who attaches the programs on sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// The process that loads them.
    ByItself,
    /// This one: see [`super::switch`].
    ByUs,
}

impl Attached {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::ByItself => &[],
            Self::ByUs => &["--detached"],
        }
    }
}

/// A running one; ended when dropped.
#[derive(Debug)]
pub struct Tool {
    name: &'static str,
    child: Child,
    errors: Receiver<String>,
}

impl Tool {
    /// The sensor, exporting to a file.
    pub fn sensor(binary: &Path) -> Result<Self> {
        Self::sensor_with(binary, "", Attached::ByItself)
    }

    /// The same with more in its configuration.
    pub fn sensor_with(binary: &Path, more: &str, attached: Attached) -> Result<Self> {
        let export = export()?;
        let _ = fs::remove_file(&export);
        // As it runs anywhere, but for where its history lies, which begins anew each time.
        let configuration = log("sensor.toml")?;
        let history = log("history.db")?;
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(format!("{}{suffix}", history.display()));
        }
        fs::write(
            &configuration,
            format!("[history]\npath = \"{}\"\n{more}", history.display()),
        )
        .with_context(|| format!("cannot write {}", configuration.display()))?;
        let mut sensor = beside(binary);
        sensor.args(["run", "--config"]).arg(configuration);
        sensor.arg("--otlp-file").arg(export);
        sensor.args(attached.arguments());
        Self::ready("sensor", &mut sensor, "sensor ready")
    }

    /// Kernel programs of ours for comparison.
    pub fn fixture(fixtures: &Fixtures, object: &Path, attached: Attached) -> Result<Self> {
        let mut loader = beside(&fixtures.loader);
        loader.arg(object).args(attached.arguments());
        Self::ready("bench-loader", &mut loader, "ready")
    }

    /// A bpftrace script that prints every statement that is executed, with the process, and counts them: what the
    /// documentation of bpftrace shows for other servers. Debian's postgres has no symbol for `exec_simple_query`, so
    /// the probe is on the executor, where prepared statements pass, too, but no `BEGIN` and `END`.
    pub fn bpftrace(server: &Server) -> Result<Self> {
        let output = log("bpftrace.out")?;
        let file =
            File::create(&output).with_context(|| format!("cannot create {}", output.display()))?;
        // The third field of a QueryDesc is the text.
        let script = format!(
            "uprobe:{}:standard_ExecutorRun {{ @statements[comm] = count(); printf(\"%d %s\\n\", pid, str(*(arg0 + 16))); }}",
            newest_postgresql()?.join("postgres").display()
        );
        // In a mount namespace of its own, because tracefs may have to be mounted.
        let mut bpftrace = beside("unshare".as_ref());
        bpftrace
            .args(["--mount", "sh", "-c"])
            .arg(
                "test -e /sys/kernel/tracing/uprobe_events || mount -t tracefs tracefs /sys/kernel/tracing || exit 1; \
                 exec bpftrace -e \"$0\"",
            )
            .arg(script);
        let mut tool = Self::start("bpftrace", &mut bpftrace, file.into())?;
        tool.poke(server, &output)?;
        Ok(tool)
    }

    /// A client that Redis tells of every command, and that drops what it is told.
    pub fn monitor(server: &redis::Server) -> Result<Self> {
        let mut monitor = beside("redis-cli".as_ref());
        monitor.arg("-s").arg(server.socket()).arg("MONITOR");
        let mut tool = Self::start(MONITOR, &mut monitor, Stdio::null())?;
        let began = Instant::now();
        while !server.command(&["CLIENT", "LIST"])?.contains("cmd=monitor") {
            signal::check()?;
            let ended = tool
                .child
                .try_wait()
                .context("cannot wait for a child process")?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                bail!("redis-cli does not watch: {:?}", tool.errors.try_iter());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(tool)
    }

    /// Starts it and waits until it says so on standard error.
    fn ready(name: &'static str, command: &mut Command, ready: &str) -> Result<Self> {
        let mut tool = Self::start(name, command, Stdio::null())?;
        let mut said = String::new();
        let began = Instant::now();
        loop {
            match tool.errors.recv_timeout(Duration::from_millis(100)) {
                Ok(line) if line.trim_end().ends_with(ready) => return Ok(tool),
                Ok(line) => said = said + "  | " + &line + "\n",
                Err(RecvTimeoutError::Timeout) => signal::check()?,
                Err(RecvTimeoutError::Disconnected) => {
                    let status = tool
                        .child
                        .wait()
                        .context("cannot wait for a child process")?;
                    bail!("{name} did not get ready ({status}):\n{said}");
                }
            }
            if began.elapsed() > PATIENCE {
                bail!("{name} is not ready after {PATIENCE:?}:\n{said}");
            }
        }
    }

    fn start(name: &'static str, command: &mut Command, output: Stdio) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", command::typed(command)))?;
        let (sender, errors) = channel();
        let lines = child.stderr.take();
        // Read to the end: a full pipe would block the tool.
        thread::spawn(move || {
            let lines = lines
                .into_iter()
                .flat_map(|lines| BufReader::new(lines).lines());
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            name,
            child,
            errors,
        })
    }

    /// Runs a statement until it is in the output: bpftrace does not say when its probes are attached.
    fn poke(&mut self, server: &Server, output: &Path) -> Result<()> {
        let mut client = server.connect("postgres", "postgres", true)?;
        let began = Instant::now();
        loop {
            client
                .batch_execute(POKE)
                .context("the server refuses a statement")?;
            if fs::read_to_string(output).is_ok_and(|text| text.contains(POKE)) {
                return Ok(());
            }
            signal::check()?;
            let ended = self
                .child
                .try_wait()
                .context("cannot wait for a child process")?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let said: Vec<String> = self.errors.try_iter().collect();
                bail!(
                    "{} sees no statement: {}\n{}",
                    self.name,
                    said.join("\n"),
                    command::tail(output)
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The process, which holds the kernel programs.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an operator would.
    pub fn end(mut self) -> Result<()> {
        signal::send(self.child.id(), libc::SIGINT);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let ended = self
                .child
                .try_wait()
                .context("cannot wait for a child process")?;
            match ended {
                Some(status) if status.success() => return Ok(()),
                // It has nothing to do at its end.
                Some(status) if self.name == MONITOR && status.signal() == Some(libc::SIGINT) => {
                    return Ok(());
                }
                Some(status) => {
                    let said: Vec<String> = self.errors.iter().collect();
                    bail!("{} ended with {status}\n{}", self.name, said.join("\n"));
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
        bail!("{} does not end within {PATIENCE:?}", self.name)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A command that does not outlive this process. Ctrl-C is for this process, which then ends it in its turn.
fn beside(program: &Path) -> Command {
    let mut setpriv = command("setpriv");
    setpriv
        .args(["--pdeathsig", "INT", "--"])
        .arg(program)
        .process_group(0);
    setpriv
}

/// Where a measured sensor exports to.
pub fn export() -> Result<PathBuf> {
    log("sensor-otlp.jsonl")
}

fn log(name: &str) -> Result<PathBuf> {
    Ok(workspace::directory(&workspace::bench())?.join(name))
}
