//! What may run beside the database, switched on and off.

use anyhow::{Context as _, Result};

use super::{
    bed::Bed,
    load::Load,
    tool::{Attached, Tool},
};
use crate::{mariadb, postgresql::Server};

/// A variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Variant {
    /// Nothing in either slice: what the measurement itself makes of no difference.
    Nothing,
    /// Empty programs on the sensor's hooks.
    Floor,
    /// The sensor, exporting to a file.
    Sensor,
    /// The same, counting no more than the bytes of TLS connections.
    SensorBytes,
    /// The same with second programs, as on Linux 7.0 and later.
    SensorDoubled,
    /// An event for each socket operation, with the first 256 bytes, and the consumer woken for each.
    Naive,
    /// A bpftrace script that prints every statement.
    Bpftrace,
    /// The server's own log: every statement and its duration.
    LogStatement,
    /// MariaDB's own plugin `server_audit`: connections and every statement, to a file.
    ServerAudit,
    /// Redis's own `MONITOR`: a client that is sent every command of all others.
    Monitor,
    /// pgaudit, everything with row counts: a second server, with the same data, that has its library; compared with
    /// the one that has not.
    Pgaudit,
}

impl Variant {
    /// Those of a whole run: the others are asked for by name.
    pub const ALL: [Self; 9] = [
        Self::Nothing,
        Self::Floor,
        Self::Sensor,
        Self::Naive,
        Self::Bpftrace,
        Self::LogStatement,
        Self::Pgaudit,
        Self::ServerAudit,
        Self::Monitor,
    ];

    /// As the table shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Floor => "empty programs",
            Self::Sensor => "sensor",
            Self::SensorBytes => "sensor, kernel.tls = bytes",
            Self::SensorDoubled => "sensor, second programs",
            Self::Naive => "naive events",
            Self::Bpftrace => "bpftrace",
            Self::LogStatement => "log_statement = all",
            Self::Pgaudit => "pgaudit",
            Self::ServerAudit => "server_audit",
            Self::Monitor => "MONITOR",
        }
    }

    /// Whether it is the sensor, or what the sensor is to be seen beside.
    pub fn is_ours(self) -> bool {
        self.is_sensor() || matches!(self, Self::Nothing | Self::Floor)
    }

    /// Of what others do: whether this database has it.
    pub fn suits(self, load: Load) -> bool {
        match self {
            Self::Monitor => load.is_redis(),
            Self::ServerAudit => load.is_mariadb(),
            _ => load.is_postgresql(),
        }
    }

    /// Whether kernel programs are what it is made of.
    pub fn in_kernel(self) -> bool {
        self.is_sensor() || matches!(self, Self::Floor | Self::Naive | Self::Bpftrace)
    }

    /// Whether its programs are on the hooks of the empty ones, whose cost can be taken off.
    pub fn above_floor(self) -> bool {
        self.is_sensor() || self == Self::Naive
    }

    /// Whether it is the sensor, however configured.
    pub fn is_sensor(self) -> bool {
        matches!(self, Self::Sensor | Self::SensorBytes | Self::SensorDoubled)
    }

    /// Whether it is on as long as its programs are attached, so that it can be switched under a running load.
    pub fn is_attached(self) -> bool {
        self.is_ours() || self == Self::Naive
    }

    /// How many programs each hook on sockets has.
    pub fn programs_of_a_hook(self) -> usize {
        if self == Self::SensorDoubled { 2 } else { 1 }
    }

    /// Seconds that switching it on and off takes, for an estimate.
    pub fn switching(self) -> f64 {
        match self {
            Self::Nothing | Self::Pgaudit => 0.0,
            Self::Floor | Self::Naive | Self::LogStatement | Self::ServerAudit | Self::Monitor => {
                0.3
            }
            Self::Bpftrace => 1.0,
            Self::Sensor | Self::SensorBytes | Self::SensorDoubled => 4.0,
        }
    }

    /// Configuration of the sensor.
    fn configuration(self) -> &'static str {
        match self {
            Self::SensorBytes => "[kernel]\ntls = \"bytes\"\n",
            Self::SensorDoubled => "[kernel]\ntls = \"plaintext\"\nsecond_programs = \"yes\"\n",
            _ => "[kernel]\ntls = \"plaintext\"\n",
        }
    }

    /// Settings of the server that switch it on.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::LogStatement => &[("log_statement", "all"), ("log_duration", "on")],
            _ => &[],
        }
    }
}

/// A variant that is on; off when dropped.
#[derive(Debug)]
pub struct On<'a> {
    settings: &'static [(&'static str, &'static str)],
    server: &'a Server,
    audited: Option<&'a mariadb::Server>,
    tool: Option<Tool>,
}

impl<'a> On<'a> {
    /// Switches it on and waits until it works.
    pub fn switch(variant: Variant, bed: &'a Bed) -> Result<Self> {
        Self::begin(variant, bed, Attached::ByItself)
    }

    /// Makes it ready to be switched on by attaching its programs on sockets.
    pub fn detached(variant: Variant, bed: &'a Bed) -> Result<Self> {
        Self::begin(variant, bed, Attached::ByUs)
    }

    fn begin(variant: Variant, bed: &'a Bed, attached: Attached) -> Result<Self> {
        let server = bed.server(variant)?;
        let fixture = |object| Tool::fixture(bed.fixtures()?, object, attached);
        let tool = match variant {
            Variant::Nothing | Variant::LogStatement | Variant::Pgaudit | Variant::ServerAudit => {
                None
            }
            Variant::Floor => Some(fixture(&bed.fixtures()?.floor)?),
            Variant::Naive => Some(fixture(&bed.fixtures()?.naive)?),
            Variant::Sensor | Variant::SensorBytes | Variant::SensorDoubled => Some(
                Tool::sensor_with(bed.sensor()?, variant.configuration(), attached)?,
            ),
            Variant::Bpftrace => Some(Tool::bpftrace(server)?),
            Variant::Monitor => Some(Tool::monitor(bed.redis()?)?),
        };
        let audited = if variant == Variant::ServerAudit {
            let server = bed.mariadb()?;
            server.sql(
                "INSTALL PLUGIN IF NOT EXISTS server_audit SONAME 'server_audit';
                 SET GLOBAL server_audit_events = 'CONNECT,QUERY';
                 SET GLOBAL server_audit_logging = ON",
            )?;
            Some(server)
        } else {
            None
        };
        let on = Self {
            settings: variant.settings(),
            server,
            audited,
            tool,
        };
        on.set(|key, value| format!("ALTER SYSTEM SET {key} = '{value}'"))?;
        Ok(on)
    }

    /// The process that holds its kernel programs.
    pub fn pid(&self) -> Option<u32> {
        self.tool.as_ref().map(Tool::pid)
    }

    /// Switches it off again.
    pub fn off(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        if let Some(tool) = self.tool.take() {
            tool.end()?;
        }
        if let Some(server) = self.audited.take() {
            server.sql("SET GLOBAL server_audit_logging = OFF")?;
        }
        self.set(|key, _| format!("ALTER SYSTEM RESET {key}"))?;
        self.settings = &[];
        Ok(())
    }

    fn set(&self, statement: impl Fn(&str, &str) -> String) -> Result<()> {
        if self.settings.is_empty() {
            return Ok(());
        }
        let mut client = self.server.connect("postgres", "postgres", true)?;
        for (key, value) in self.settings {
            client
                .batch_execute(&statement(key, value))
                .with_context(|| format!("cannot set {key}"))?;
        }
        client
            .batch_execute("SELECT pg_reload_conf()")
            .context("cannot reload the server's settings")
    }
}

impl Drop for On<'_> {
    fn drop(&mut self) {
        // On the way out of an error already: that one is told.
        let _ = self.end();
    }
}
