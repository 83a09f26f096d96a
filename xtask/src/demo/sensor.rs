//! The sensor under show.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{INSIDER, LIMIT, screen::Screen};
use crate::{command::command, signal, workspace};

/// How long it may take to attach, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// What it writes to standard error when it watches.
const READY: &str = "sensor ready";
/// How each alert begins.
const ALERT: &str = "ALERT ";

/// A running sensor; ended when dropped.
#[derive(Debug)]
pub struct Sensor {
    child: Child,
    threads: Vec<JoinHandle<()>>,
    log: Arc<Mutex<Log>>,
    screen: Screen,
    /// OpenTelemetry JSON lines.
    pub otlp: PathBuf,
}

#[derive(Debug, Default)]
struct Log {
    ready: bool,
    /// Where in the lines an alert began, and when.
    alerts: Vec<(usize, Instant)>,
    lines: Vec<String>,
}

/// An alert as the sensor printed it.
#[derive(Clone, Debug)]
pub struct Alert {
    /// When its first line came.
    pub at: Instant,
    /// All its lines.
    pub text: String,
}

impl Alert {
    /// Whether it is about this database user.
    pub fn names(&self, user: &str) -> bool {
        self.text
            .lines()
            .next()
            .is_some_and(|line| line.contains(&format!(": {user} accessed ")))
    }
}

/// Writes the demo's configuration, with the table that the limit is about and a section that says how large tables are, and
/// returns where it is.
pub fn configure(customers: &str, sizes: &str) -> Result<PathBuf> {
    let place = workspace::demo();
    let directory = workspace::directory(&place)?;
    let path = directory.join("sensor.toml");
    // Each day begins without a past.
    let history = directory.join("history.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", history.display()));
    }
    let text = format!(
        r#"# Written by `cargo xtask demo`.
[[threshold]]
name = "bulk-read"
severity = "critical"
table = "{customers}"
measure = "rows"
window = "10m"
limit = {LIMIT}

[[threshold.exception]]
user = "backup"
reason = "nightly backup"
until = 2099-12-31

{sizes}

[history]
path = "{}"

[export]
interval = "1s"
"#,
        history.display()
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

impl Sensor {
    /// Starts it, with its live table or without, and waits until it watches.
    pub fn start(
        binary: &Path,
        configuration: &Path,
        screen: &Screen,
        table: bool,
    ) -> Result<Self> {
        let otlp = workspace::demo().join("otlp.jsonl");
        if otlp.exists() {
            fs::remove_file(&otlp).with_context(|| format!("cannot remove {}", otlp.display()))?;
        }
        let (output, forward) = screen.attach()?;
        // It must not outlive this process, and Ctrl-C is for this process, which then stops it in its turn.
        let mut child = command("setpriv")
            .args(["--pdeathsig", "INT", "--"])
            .arg(binary)
            .arg("run")
            .args(table.then_some("--console"))
            .arg("--config")
            .arg(configuration)
            .arg("--otlp-file")
            .arg(&otlp)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let log = Arc::new(Mutex::new(Log::default()));
        let mut threads = vec![thread::spawn(forward)];
        if let Some(errors) = child.stderr.take() {
            let log = log.clone();
            let screen = screen.clone();
            threads.push(thread::spawn(move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    log.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .take(&line);
                    screen.line(line);
                }
            }));
        }
        let mut sensor = Self {
            child,
            threads,
            log,
            screen: screen.clone(),
            otlp,
        };
        sensor.wait_ready()?;
        Ok(sensor)
    }

    fn wait_ready(&mut self) -> Result<()> {
        let began = Instant::now();
        while !self.log().ready {
            signal::check()?;
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot wait for the sensor")?
            {
                // Its last words are on their way to the screen.
                self.join();
                bail!("the sensor ended before it was ready ({status}): it says why above");
            }
            if began.elapsed() > PATIENCE {
                bail!("the sensor is not ready after {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Alerts so far.
    pub fn alerts(&self) -> Vec<Alert> {
        let log = self.log();
        log.alerts
            .iter()
            .map(|(line, at)| {
                let mut text = String::new();
                for line in log.lines[*line..]
                    .iter()
                    .take_while(|line| !line.trim().is_empty())
                {
                    let _ = writeln!(text, "{line}");
                }
                Alert { at: *at, text }
            })
            .collect()
    }

    /// Whether the insider's alert is in what was exported from `offset` on, which moves past what was looked at.
    pub fn exported(&self, offset: &mut u64) -> bool {
        let mut text = Vec::new();
        let read = fs::File::open(&self.otlp).and_then(|mut file| {
            file.seek(SeekFrom::Start(*offset))?;
            file.read_to_end(&mut text)
        });
        // A line that is still being written is looked at next time.
        let Some(end) = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .filter(|_| read.is_ok())
        else {
            return false;
        };
        *offset += end as u64 + 1;
        String::from_utf8_lossy(&text[..end]).lines().any(|line| {
            line.contains("\"resourceLogs\"")
                && line.contains("data_access.anomaly")
                && line.contains(INSIDER)
        })
    }

    /// Ends it as an operator would, and says how it exited.
    pub fn stop(mut self) -> Result<ExitStatus> {
        signal::send(self.child.id(), libc::SIGINT);
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot wait for the sensor")?
            {
                break status;
            }
            if began.elapsed() > PATIENCE {
                bail!("the sensor does not end within {PATIENCE:?} after SIGINT");
            }
            thread::sleep(Duration::from_millis(10));
        };
        self.join();
        Ok(status)
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.screen.release();
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        self.join();
    }
}

impl Log {
    fn take(&mut self, line: &str) {
        self.ready |= line.trim_end().ends_with(READY);
        if line.starts_with(ALERT) {
            self.alerts.push((self.lines.len(), Instant::now()));
        }
        self.lines.push(line.to_owned());
    }
}
