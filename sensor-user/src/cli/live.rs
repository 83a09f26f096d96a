//! The running sensor: kernel, pipeline, exporter and console, moved by the ticks of `run`.

use std::{
    collections::{HashMap, HashSet},
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use sensor_ebpf::record::{ALWAYS, OpenRecord};

use crate::{
    config::{Config, kernel::SecondPrograms},
    console::{Console, alerts::Alerts, serve::Readers},
    discover::{self, leaving::Leaving},
    export::{AlertRecord, Exemplars, Exporter, describe},
    ingest::{Clock, Observation, decode},
    inventory::{Activity, Measured},
    kernel::load::{Kernel, monotonic_time},
    pipeline::{Pipeline, Request},
    sql::keys::KeyColumns,
    time::Timestamp,
    trace::{Spans, Tracer},
    volume::{
        ledger::Ledger,
        totals::{SeriesKey, StatementKey},
    },
};

mod looks;
mod memory;
mod telemetry;

use memory::{Memory, Telling};

/// A server that has been there for so long listens wherever it will.
const SETTLES: Duration = Duration::from_secs(5);
/// All the same, all of them are looked at anew after so long.
const REVIEWED: Duration = Duration::from_secs(60);

/// After a server process began, look for its server this often …
const BURST_INTERVAL: Duration = Duration::from_millis(100);
/// … for this long: it writes `postmaster.pid` only when it listens.
const BURST: Duration = Duration::from_secs(10);
/// Processes that were looked for in vain are remembered up to this number.
const STRANGERS: usize = 1024;
/// Overflow entries of ended connections are deleted this long after they were last looked at.
const OVERFLOW_REST: Duration = Duration::from_secs(10);

/// See the module.
pub struct Live {
    config: Config,
    kernel: Kernel,
    pipeline: Pipeline,
    memory: Memory,
    exporter: Exporter,
    exemplars: Exemplars,
    series: Ledger<SeriesKey>,
    statements: Ledger<StatementKey>,
    console: Option<Console>,
    /// Readers at the socket.
    readers: Option<Arc<Readers>>,
    /// The last alerts, for those.
    told: Alerts,
    host: String,
    started: Timestamp,
    /// When sketches of records were exported last.
    sketched: Timestamp,
    servers: Vec<discover::Server>,
    /// Those that are gone, for a moment longer.
    leaving: Leaving,
    /// How often the ring has been drained to its end.
    drains: u64,
    /// Parents of processes that serve connections and belong to no known server; each was looked for once.
    strangers: HashSet<u32>,
    ports: HashMap<u32, u64>,
    discovered: Instant,
    /// When servers came or went, and when all of them were looked at anew.
    changed: Instant,
    reviewed: Instant,
    burst_until: Option<Instant>,
    ring_full: u64,
    overflow_swept: Instant,
}

impl Live {
    /// Everything made, nothing attached.
    pub fn new(config: Config, kernel: Kernel, console: bool) -> Result<Self> {
        let exporter = Exporter::start(&telemetry::export_config(&config.export)?)?;
        let seed = monotonic_time() ^ Timestamp::now().0 ^ u64::from(std::process::id()) << 40;
        let mut pipeline = Pipeline::new(&config, seed);
        if !kernel.family.knows_foreign() {
            pipeline.tags.turn_off();
        }
        if exporter.takes_traces() {
            pipeline.tracer = Tracer::new(config.export.spans_per_second, seed);
        }
        if config.export.records_interval.is_some() {
            pipeline.records.keep_recent();
        }
        Ok(Self {
            memory: Memory::start(&config, &mut pipeline)?,
            pipeline,
            exporter,
            exemplars: Exemplars::default(),
            series: Ledger::new(config.export.max_series),
            statements: Ledger::new(config.export.statement_series),
            console: console.then(Console::default),
            readers: None,
            told: Alerts::default(),
            host: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .map(|name| name.trim().to_owned())
                .unwrap_or_default(),
            started: Timestamp::now(),
            sketched: Timestamp::now(),
            servers: Vec::new(),
            leaving: Leaving::default(),
            drains: 0,
            strangers: HashSet::new(),
            ports: HashMap::new(),
            discovered: Instant::now(),
            changed: Instant::now(),
            reviewed: Instant::now(),
            burst_until: None,
            ring_full: 0,
            overflow_swept: Instant::now(),
            config,
            kernel,
        })
    }

    /// Finds the servers that run, then attaches.
    pub fn start(&mut self, detached: bool) -> Result<()> {
        // Ports first: from the first operation on, clients of running servers are told from others.
        self.discover();
        if detached {
            self.kernel.attach_to_processes()?;
            log::warn!("--detached: nothing is seen until another process attaches the programs");
            return Ok(());
        }
        self.kernel.attach()?;
        self.pipeline.resolver.begins();
        if let Err(error) = self.kernel.list_sockets(&self.servers) {
            log::warn!(
                "{error:#}: who asks over a unix socket of Redis' is unknown until it logs in"
            );
        }
        log::info!("attached: {}", self.kernel.family.place());
        if self.kernel.precautions.second {
            let why = if self.config.kernel.second_programs == SecondPrograms::Auto {
                "this kernel may preempt such programs"
            } else {
                "kernel.second_programs wants it"
            };
            log::info!("each of these hooks has a second program: {why}");
        }
        if let Some(lost) = self.kernel.family.lost(self.kernel.precautions) {
            log::warn!("with these hooks {lost}");
        }
        if self.servers.is_empty() {
            log::info!("no database server runs here yet");
        }
        Ok(())
    }

    /// Takes in what the kernel has recorded.
    pub fn drain(&mut self) {
        if let Err(error) = self.kernel.hand_on() {
            // Nothing is lost: the next drain takes it.
            log::error!("{error:#}");
        }
        let clock = Clock::now();
        let mut texts = Vec::new();
        let mut discover = false;
        loop {
            let Some(record) = self.kernel.ring.next() else {
                break;
            };
            let observation = match decode(&record) {
                // It outlives its place in the ring: looking for servers needs all of this.
                Ok(Observation::Opened(opened)) => {
                    drop(record);
                    self.look_for_server(&opened);
                    Observation::Opened(opened)
                }
                Ok(observation) => observation,
                Err(malformed) => {
                    self.pipeline.malformed += 1;
                    log::error!("the kernel side sent a {malformed}: not counted");
                    continue;
                }
            };
            match self.pipeline.observe(&observation, clock) {
                Request::None => {}
                Request::Discover => discover = true,
                Request::Texts(learned) => texts.push(learned),
            }
        }
        self.drains += 1;
        for learned in texts {
            if let Some(fingerprint) = learned.forget {
                // Gone already when the kernel has forgotten it by itself.
                let _ = self.kernel.seen.remove(&fingerprint);
            }
            if let Some((fingerprint, plan)) = learned.plan {
                self.kernel.plans.set(fingerprint, Some(plan));
            }
            if let Some(fingerprint) = learned.always
                && let Err(error) = self.kernel.seen.insert(fingerprint, ALWAYS, 0)
            {
                log::error!(
                    "cannot ask for all texts of a statement that leaves by the server's hands: {error}"
                );
            }
        }
        if discover {
            self.burst_until = Some(Instant::now() + BURST);
        }
        self.take_overflow(clock);
        self.pipeline.settle();
        self.raise_alerts();
    }

    /// A server that began a moment ago: its first connections are to bear its name, too. Each is looked for once.
    fn look_for_server(&mut self, opened: &OpenRecord) {
        let resolver = &self.pipeline.resolver;
        if resolver.knows_server(opened.server_parent) || resolver.knows_server(opened.server_pid) {
            return;
        }
        if self.strangers.len() >= STRANGERS {
            self.strangers.clear();
        }
        // Again and again for one whose every connection would be another's, but not for each of them.
        let is_alone = discover::is_alone(opened.server_pid);
        let is_due = is_alone && self.discovered.elapsed() >= BURST_INTERVAL;
        if self.strangers.insert(if is_alone {
            opened.server_pid
        } else {
            opened.server_parent
        }) || is_due
        {
            self.discover();
        }
    }

    /// Volumes of records that found the ring full.
    fn take_overflow(&mut self, clock: Clock) {
        let ring_full = self.kernel_counters().ring_full;
        if ring_full == self.ring_full {
            return;
        }
        if self.ring_full == 0 {
            log::warn!(
                "the ring is full: detail (time, order) of some statements is lost, volumes are not; raise kernel.ring_bytes or lower kernel.drain_interval"
            );
        }
        self.ring_full = ring_full;
        self.sweep_overflow(clock);
    }

    fn sweep_overflow(&mut self, clock: Clock) {
        let entries: Vec<_> = self.kernel.overflow.iter().flatten().collect();
        for (key, value) in entries {
            self.pipeline.overflowed(key.0, value.0, clock);
        }
    }

    /// Deletes overflow entries of connections that are over.
    fn tidy_overflow(&mut self) {
        if self.ring_full == 0 || self.overflow_swept.elapsed() < OVERFLOW_REST {
            return;
        }
        self.overflow_swept = Instant::now();
        let clock = Clock::now();
        self.sweep_overflow(clock);
        let keys: Vec<_> = self.kernel.overflow.keys().flatten().collect();
        for key in keys {
            if self.pipeline.overflow_entry_is_over(key.0)
                && self.kernel.overflow.remove(&key).is_ok()
            {
                self.pipeline.overflow_forgotten(key.0);
            }
        }
    }

    fn raise_alerts(&mut self) {
        for raised in self.pipeline.take_alerts() {
            let egress = raised
                .alert
                .statements
                .iter()
                .filter_map(|statement| {
                    let egress = self
                        .pipeline
                        .shapes
                        .shape(statement.shape_id)
                        .egress
                        .as_ref()?;
                    Some(format!("{} {}", egress.route.as_str(), egress.destination))
                })
                .collect();
            let record = AlertRecord {
                alert: raised.alert,
                principal: raised.principal,
                session: Some(raised.session),
                completeness: raised.completeness,
                egress,
                trace: raised.trace,
            };
            match self.memory.alert(&record) {
                Telling::New => {}
                Telling::Before => continue,
                Telling::Silent(silence) => {
                    self.pipeline.lane.silence(&record.alert, silence);
                    continue;
                }
            }
            if let Some(console) = &mut self.console {
                console.erase();
            }
            let _ = writeln!(std::io::stderr(), "\n{}\n", describe(&record));
            self.told.raised(&record);
            self.exporter.alert(&record);
        }
    }

    /// What is due now and then.
    pub fn housekeeping(&mut self) {
        let bursting = self.burst_until.is_some_and(|until| Instant::now() < until);
        let interval = if bursting {
            BURST_INTERVAL
        } else {
            self.config.discover.interval
        };
        if self.discovered.elapsed() >= interval {
            self.discover();
        }
        self.tidy_overflow();
        self.pipeline.advance(Timestamp::now());
        self.raise_alerts();
        let spans = self
            .pipeline
            .tracer
            .take(Timestamp::now(), &self.pipeline.shapes);
        self.tell(&spans);
        self.remember();
        if self.console.as_ref().is_some_and(Console::is_due) {
            self.draw();
        }
    }

    fn tell(&mut self, spans: &Spans) {
        let spread = &self.pipeline.spread;
        self.exemplars
            .offer(spans, |principal| spread.is_apart(principal));
        self.exporter.spans(spans);
    }

    fn discover(&mut self) {
        self.discovered = Instant::now();
        // Somebody who has just begun may not listen everywhere yet.
        let is_new = self.changed.elapsed() < SETTLES;
        let review = is_new || self.reviewed.elapsed() >= REVIEWED;
        if review {
            self.reviewed = Instant::now();
        }
        let mut servers = discover::servers(
            &self.config.discover.command_names(),
            self.config.kernel.network_namespace,
            &self.servers,
            review,
        );
        self.leaving.keep(&mut servers, &self.servers, self.drains);
        if servers == self.servers {
            return;
        }
        self.follow_tls(&servers);
        for server in servers
            .iter()
            .filter(|server| !self.servers.contains(server))
        {
            log::info!(
                "watching {} {} (pid {}, {})",
                server.system.title(),
                server.name,
                server.pid,
                server.data_directory.display()
            );
            if server.system.is_foreign() && !self.kernel.family.knows_foreign() {
                log::warn!(
                    "{} {} is not seen: {}",
                    server.system.title(),
                    server.name,
                    crate::kernel::hooks::NO_FOREIGN
                );
            }
        }
        for server in self
            .servers
            .iter()
            .filter(|server| !servers.contains(server))
        {
            log::info!(
                "{} {} (pid {}) is gone",
                server.system.title(),
                server.name,
                server.pid
            );
        }
        let ports = discover::port_bitmap(&servers);
        for word in self.ports.keys().chain(ports.keys()) {
            let bits = ports.get(word).copied().unwrap_or(0);
            if let Err(error) = self.kernel.ports.set(*word, bits, 0) {
                log::error!("cannot tell the kernel side which ports to watch: {error}");
            }
        }
        self.ports = ports;
        self.pipeline.resolver.set_servers(&servers);
        self.servers = servers;
        self.changed = Instant::now();
    }

    /// Probes come and go with the servers that offer TLS.
    fn follow_tls(&mut self, servers: &[discover::Server]) {
        self.kernel.follow_tls(servers);
        let before: HashSet<u32> = self.servers.iter().map(|server| server.pid).collect();
        for server in servers
            .iter()
            .filter(|server| server.ssl && !before.contains(&server.pid))
        {
            if let Some(why) = self.kernel.tls_refusal(server) {
                log::warn!(
                    "{} {} offers TLS: of its TLS connections only bytes are counted: {why}",
                    server.system.title(),
                    server.name
                );
            }
        }
    }

    /// Sizes of tables have been measured.
    pub fn measured(&mut self, measured: Measured) {
        self.pipeline
            .sizes
            .measure(&measured.database, measured.tables);
        self.change_keys(|columns| columns.measure(&measured.database, measured.keys));
        self.pipeline
            .lanes
            .reconfigure(&self.config.detection, &self.pipeline.sizes);
    }

    /// A server has said who is connected.
    pub fn connected(&mut self, activity: &Activity) {
        // Its numbers of processes are this host's only when its own one leads to a server of this host.
        let Some((_, server)) = discover::command_and_parent(activity.own_pid) else {
            return;
        };
        // What the kernel has seen of them so far.
        self.drain();
        for client in &activity.clients {
            self.pipeline.resolver.identified(server, client);
        }
    }

    fn change_keys(&mut self, change: impl FnOnce(&mut KeyColumns)) {
        for (fingerprint, plan) in self.pipeline.plans.change(change) {
            self.kernel.plans.set(fingerprint, plan);
        }
    }

    /// Puts a changed configuration in force, as far as that can be while it runs.
    pub fn reconfigure(&mut self, config: &Config) {
        for section in self.config.changed_until_restart(config) {
            log::warn!("{section} has changed: that takes effect with the next start");
        }
        self.pipeline.lane.reconfigure(&config.thresholds);
        self.pipeline.sizes.replace_configured(&config.tables);
        self.change_keys(|columns| columns.replace_configured(&config.detection.keys));
        self.config.thresholds.clone_from(&config.thresholds);
        self.config.detection.clone_from(&config.detection);
        self.pipeline
            .lanes
            .reconfigure(&config.detection, &self.pipeline.sizes);
    }

    /// Detaches nothing yet, but takes in and sends all there is.
    pub async fn finish(mut self, patience: Duration) -> Result<()> {
        self.drain();
        self.sweep_overflow(Clock::now());
        self.pipeline.settle();
        self.raise_alerts();
        let spans = self
            .pipeline
            .tracer
            .finish(Timestamp::now(), &self.pipeline.shapes);
        self.tell(&spans);
        self.export_metrics();
        self.export_sketches(Timestamp::now());
        self.draw();
        self.memory.finish(&mut self.pipeline, patience);
        let undelivered = self.exporter.shutdown(patience).await;
        let lost = undelivered.alerts - undelivered.saved;
        if lost > 0 {
            return Err(anyhow!(
                "{lost} alerts could not be delivered within {patience:?}: is the OTLP endpoint up? They were printed on standard error when they were raised"
            ));
        }
        Ok(())
    }

    fn kernel_counters(&self) -> sensor_ebpf::record::KernelCounters {
        let mut sum = sensor_ebpf::record::KernelCounters::default();
        if let Ok(values) = self.kernel.counters.get(&0, 0) {
            for value in values.iter() {
                let one = value.0;
                sum.ring_full += one.ring_full;
                sum.lost_rows += one.lost_rows;
                sum.lost_bytes += one.lost_bytes;
                sum.lost_queries += one.lost_queries;
                sum.fault_bytes += one.fault_bytes;
                sum.opaque_bytes += one.opaque_bytes;
                sum.stateless_bytes += one.stateless_bytes;
                sum.truncated_texts += one.truncated_texts;
                sum.merged_pipeline += one.merged_pipeline;
                sum.lost_keys += one.lost_keys;
                sum.cut_keys += one.cut_keys;
                sum.links_over_budget += one.links_over_budget;
                sum.lost_links += one.lost_links;
                sum.unattributed_bytes += one.unattributed_bytes;
            }
        }
        sum
    }
}
