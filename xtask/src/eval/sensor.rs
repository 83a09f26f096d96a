//! Runs `sensor replay` and reads what it found.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::{
    alert::{self, Alert, Names},
    scenario::Scenario,
};

/// The binary under test and how it is called.
#[derive(Clone, Debug)]
pub struct Sensor {
    binary: PathBuf,
    config: PathBuf,
    /// Where alerts, figures and errors are written.
    folder: PathBuf,
}

/// One replay that waits for events on its standard input.
#[derive(Debug)]
pub struct Replay {
    child: Child,
    alerts: PathBuf,
    stats: PathBuf,
    errors: PathBuf,
}

/// What `--stats` says.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Stats {
    pub events: u64,
    pub window_updates: u64,
    pub principals: u64,
    #[serde(default)]
    pub days: u64,
    pub processor_seconds: f64,
    pub state_bytes_per_principal: u64,
    pub late_records: u64,
    /// Most memory the process held, in bytes; measured from outside.
    #[serde(default)]
    pub peak_memory: u64,
}

/// What a replay found.
#[derive(Debug)]
pub struct Found {
    pub alerts: Vec<Alert>,
    pub stats: Stats,
}

impl Sensor {
    /// With a configuration that fits the scenario, or somebody's own.
    pub fn new(
        binary: PathBuf,
        config: Option<&Path>,
        folder: &Path,
        scenario: &Scenario,
    ) -> Result<Self> {
        let config = match config {
            Some(config) => config.to_owned(),
            None => {
                let path = folder.join("sensor.toml");
                fs::write(&path, configuration(scenario))
                    .with_context(|| format!("cannot write {}", path.display()))?;
                path
            }
        };
        Ok(Self {
            binary,
            config,
            folder: folder.to_owned(),
        })
    }

    /// Where its alerts of a replay go.
    pub fn alerts(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.alerts.jsonl"))
    }

    /// Starts one; `events` is a file, or standard input. With `restart_every`, its state is stored and taken up again after
    /// so many events.
    pub fn start(
        &self,
        name: &str,
        events: Option<&Path>,
        restart_every: Option<u64>,
    ) -> Result<Replay> {
        let alerts = self.alerts(name);
        let stats = self.folder.join(format!("{name}.stats.json"));
        let errors = self.folder.join(format!("{name}.log"));
        let log =
            File::create(&errors).with_context(|| format!("cannot create {}", errors.display()))?;
        let mut command = Command::new(&self.binary);
        command
            .args(["replay", "--limits", "--events"])
            .arg(events.unwrap_or(Path::new("-")))
            .arg("--config")
            .arg(&self.config)
            .args(restart_every.map(|events| format!("--restart-every={events}")))
            .arg("--alerts")
            .arg(&alerts)
            .arg("--stats")
            .arg(&stats)
            .stdin(if events.is_some() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::null())
            .stderr(log);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        Ok(Replay {
            child,
            alerts,
            stats,
            errors,
        })
    }
}

impl Replay {
    /// Where events go.
    pub fn input(&mut self) -> Result<BufWriter<ChildStdin>> {
        let input = self
            .child
            .stdin
            .take()
            .ok_or_else(|| anyhow!("the replay reads a file"))?;
        Ok(BufWriter::with_capacity(1 << 20, input))
    }

    /// Waits for the end and reads the findings. `fed` is how feeding it went: when it died, that is only the echo.
    pub fn finish(self, names: &Names, fed: Result<()>) -> Result<Found> {
        let (status, peak_memory) = wait(&self.child)?;
        if status != 0 {
            let said = fs::read_to_string(&self.errors).unwrap_or_default();
            bail!(
                "sensor replay failed (wait status {status}): {}",
                said.trim()
            );
        }
        fed?;
        let text = fs::read_to_string(&self.stats)
            .with_context(|| format!("cannot read {}", self.stats.display()))?;
        let mut stats: Stats = serde_json::from_str(&text)
            .with_context(|| format!("cannot read {}", self.stats.display()))?;
        stats.peak_memory = peak_memory;
        let found = Found {
            alerts: alert::read(&self.alerts, names)?,
            stats,
        };
        for path in [&self.stats, &self.errors] {
            fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(found)
    }
}

/// Waits for a child; its status and the most memory it held, in bytes.
fn wait(child: &Child) -> Result<(i32, u64)> {
    let mut status = 0;
    // SAFETY: all zeros are a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = i32::try_from(child.id()).context("a process id beyond all process ids")?;
    loop {
        // SAFETY: both pointers are to live values of the right types; the child is ours and not waited for yet.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            break;
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(error).context("cannot wait for sensor replay");
        }
    }
    // Linux counts it in KiB.
    Ok((status, u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024))
}

/// What an operator of this desk would write: one limit for people, one for analysts, none for jobs.
fn configuration(scenario: &Scenario) -> String {
    let table = &scenario.table;
    format!(
        r#"[[threshold]]
name = "bulk-read"
severity = "critical"
measure = "rows"
window = "10m"
limit = 10000
user = ["!svc-*", "!analyst*"]

[[threshold]]
name = "analyst-bulk-read"
severity = "critical"
measure = "rows"
window = "10m"
limit = 1000000
user = "analyst*"

[tables]
"{}.{}" = {}

[detection]
alerts_per_day = {}
"#,
        table.database, table.name, table.rows, scenario.evaluation.alerts_per_day
    )
}
