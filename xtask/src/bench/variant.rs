//! What may run beside the database, switched on and off.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{command::command, postgresql::Server, signal, workspace};

/// A variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// Nothing in either slice: what the measurement itself makes of no difference.
    Nothing,
    /// The sensor, exporting to a file.
    Sensor,
    /// The server's own log: every statement and its duration.
    LogStatement,
    /// pgaudit, everything with row counts. (Its library is loaded in the slices without it, too.)
    Pgaudit,
}

impl Variant {
    /// All.
    pub const ALL: [Self; 4] = [
        Self::Nothing,
        Self::Sensor,
        Self::LogStatement,
        Self::Pgaudit,
    ];

    /// As the table shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Sensor => "sensor",
            Self::LogStatement => "log_statement = all",
            Self::Pgaudit => "pgaudit",
        }
    }

    /// Settings of the server that switch it on.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Nothing | Self::Sensor => &[],
            Self::LogStatement => &[("log_statement", "all"), ("log_duration", "on")],
            Self::Pgaudit => &[("pgaudit.log", "all"), ("pgaudit.log_rows", "on")],
        }
    }
}

/// A variant that is on; off when dropped.
#[derive(Debug)]
pub struct On<'a> {
    variant: Variant,
    server: &'a Server,
    sensor: Option<Child>,
}

impl<'a> On<'a> {
    /// Switches it on and waits until it works.
    pub fn switch(variant: Variant, server: &'a Server, sensor: &Path) -> Result<Self> {
        let mut on = Self {
            variant,
            server,
            sensor: None,
        };
        match variant {
            Variant::Nothing => {}
            Variant::Sensor => on.sensor = Some(start(sensor)?),
            Variant::LogStatement | Variant::Pgaudit => {
                on.set(|key, value| format!("ALTER SYSTEM SET {key} = '{value}'"))?;
            }
        }
        Ok(on)
    }

    fn set(&self, statement: impl Fn(&str, &str) -> String) -> Result<()> {
        let mut client = self.server.connect("postgres", "postgres", true)?;
        for (key, value) in self.variant.settings() {
            client
                .execute(&statement(key, value), &[])
                .with_context(|| format!("cannot set {key}"))?;
        }
        client
            .execute("SELECT pg_reload_conf()", &[])
            .context("cannot reload the server's settings")?;
        Ok(())
    }

    /// Switches it off again.
    pub fn off(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if let Some(mut sensor) = self.sensor.take() {
            signal::send(sensor.id(), libc::SIGINT);
            let status = sensor.wait().context("cannot wait for the sensor")?;
            if !status.success() {
                bail!("the sensor ended with {status}");
            }
        }
        let settings = self.variant.settings();
        self.variant = Variant::Nothing;
        if !settings.is_empty() {
            let mut client = self.server.connect("postgres", "postgres", true)?;
            for (key, _) in settings {
                client
                    .execute(&format!("ALTER SYSTEM RESET {key}"), &[])
                    .with_context(|| format!("cannot reset {key}"))?;
            }
            client
                .execute("SELECT pg_reload_conf()", &[])
                .context("cannot reload the server's settings")?;
        }
        Ok(())
    }
}

impl Drop for On<'_> {
    fn drop(&mut self) {
        // On the way out of an error already: that one is told.
        let _ = self.end();
    }
}

/// Starts the sensor and waits until it is ready.
fn start(binary: &Path) -> Result<Child> {
    let folder = workspace::bench();
    let folder = workspace::directory(&folder)?;
    let log = folder.join("sensor.log");
    let mut child = command("setpriv")
        .args(["--pdeathsig", "INT", "--"])
        .arg(binary)
        .args(["run", "--otlp-file"])
        .arg(folder.join("otlp.jsonl"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(File::create(&log).with_context(|| format!("cannot create {}", log.display()))?)
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let mut lines = BufReader::new(child.stderr.take().context("no standard error")?).lines();
    let mut said = String::new();
    for line in lines.by_ref().map_while(Result::ok) {
        if line.trim_end().ends_with("sensor ready") {
            // Alerts on the load are none of our business, but must not block it.
            std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
            return Ok(child);
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait().context("cannot wait for the sensor")?;
    bail!("the sensor did not get ready ({status}):\n{said}")
}
