//! A queue for each sink, and a task for each signal of it: alerts are kept longest, and of metrics, which are
//! cumulative, only the newest batch waits. Neither a dead receiver nor one that takes some signals only holds up the
//! rest.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{task::JoinHandle, time::Instant};

use health::Repeated;
use journal::Journal;
use queue::{Bounds, Queue};

use super::{
    AlertRecord, Batch, Connection,
    differences::Differences,
    otlp::{Messages, Sketch},
    prometheus, resource,
    sink::{Message, SIGNALS, Signal, Sink, any::Otlp, file::OtlpFile},
};
use crate::{config::otlp::Temporality, detect::Severity, trace::Spans};

mod health;
mod journal;
mod queue;
mod worker;

pub use health::{Counts, Health};

/// What to export to.
#[derive(Clone, Debug, Default)]
pub struct ExportConfig {
    /// OTLP receivers by signal.
    pub otlp: [Option<Connection>; SIGNALS],
    /// What sums count from there.
    pub temporality: Temporality,
    /// OTLP JSON lines.
    pub otlp_file: Option<PathBuf>,
    /// Messages that wait at most, a sink; an alert and its trace are two.
    pub queue: usize,
    /// Their length together, in bytes.
    pub queue_bytes: u64,
    /// Copy on disk of what waits for the OTLP receivers.
    pub queue_path: Option<PathBuf>,
    /// Where Prometheus finds the metrics.
    pub prometheus: Option<SocketAddr>,
    /// How often metrics are exported.
    pub interval: Duration,
}

/// What a shutdown left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// Alerts, counted for each sink that did not get them.
    pub alerts: u64,
    /// Traces of alerts, likewise.
    pub traces: u64,
    /// Batches of metrics, and of sketches.
    pub batches: u64,
    /// Alerts among them that are on disk, for the next start.
    pub saved: u64,
}

/// Hands telemetry to its sinks.
#[derive(Debug)]
pub struct Exporter {
    messages: Messages,
    lanes: Vec<Lane>,
    prometheus: Option<prometheus::Endpoint>,
    raised: Mutex<Raised>,
    differences: Option<Mutex<Differences>>,
}

/// Alerts raised, by threshold and severity: as many as the configuration names.
type Raised = BTreeMap<(Arc<str>, Severity), u64>;

/// A sink's queue and tasks.
#[derive(Debug)]
struct Lane {
    name: String,
    queue: Arc<Queue>,
    tasks: [JoinHandle<()>; SIGNALS],
    overflow: Mutex<Repeated>,
    temporality: Temporality,
}

impl Exporter {
    /// Starts the tasks of each sink.
    ///
    /// # Errors
    /// When an endpoint or header is malformed, or the file can't be opened.
    pub fn start(config: &ExportConfig) -> Result<Self> {
        let resource = resource::detect();
        let bounds = Bounds {
            messages: config.queue,
            bytes: usize::try_from(config.queue_bytes).unwrap_or(usize::MAX),
        };
        let mut lanes = Vec::new();
        if let Some(path) = &config.otlp_file {
            let file = OtlpFile::open(path).with_context(|| {
                format!(
                    "cannot open the OTLP file {}: does its directory exist, and is it writable?",
                    path.display()
                )
            })?;
            let file = Arc::new(file);
            let sinks = [file.clone(), file.clone(), file.clone(), file];
            lanes.push(Lane::start(sinks, Queue::new(bounds)));
        }
        if config.otlp.iter().any(Option::is_some) {
            let [logs, traces, metrics, records] = config
                .otlp
                .each_ref()
                .map(|connection| Otlp::new(connection.as_ref()).map(Arc::new));
            let sinks = [logs?, traces?, metrics?, records?];
            if config.otlp[Signal::Logs as usize].is_none() {
                log::warn!("no OTLP receiver is named for logs: alerts are not sent by OTLP");
            }
            let mut lane = Lane::start(sinks, queue(config, bounds));
            lane.temporality = config.temporality;
            lanes.push(lane);
        }
        let delta = lanes
            .iter()
            .any(|lane| lane.temporality == Temporality::Delta);
        Ok(Self {
            messages: Messages::new(&resource),
            lanes,
            prometheus: config
                .prometheus
                .map(|address| prometheus::Endpoint::start(address, resource, config.interval))
                .transpose()?,
            raised: Mutex::default(),
            differences: delta.then(Mutex::default),
        })
    }

    /// Exports metrics. A batch that still waits is replaced where they are cumulative.
    pub fn metrics(&self, batch: impl Into<Batch>) {
        let all = Arc::new(batch.into());
        if let Some(endpoint) = &self.prometheus {
            endpoint.publish(all.clone());
        }
        if self.lanes.is_empty() {
            return;
        }
        let messages = |batch: &Batch, temporality| -> Vec<_> {
            self.messages
                .metrics(batch, temporality)
                .into_iter()
                .map(|request| Arc::new(Message::Metrics(request)))
                .collect()
        };
        let of = |temporality| {
            let mut lanes = self.lanes.iter();
            lanes.any(|lane| lane.temporality == temporality)
        };
        let cumulative = if of(Temporality::Cumulative) {
            messages(&all, Temporality::Cumulative)
        } else {
            Vec::new()
        };
        let differences = match &self.differences {
            Some(differences) => {
                let mut differences = differences.lock().unwrap_or_else(PoisonError::into_inner);
                messages(&differences.since_last(&all), Temporality::Delta)
            }
            None => Vec::new(),
        };
        for lane in &self.lanes {
            match lane.temporality {
                Temporality::Cumulative => lane.queue.metrics(&cumulative),
                Temporality::Delta => lane.queue.differences(&differences),
            }
        }
    }

    /// Exports an alert and its trace.
    pub fn alert(&self, record: &AlertRecord) {
        let key = (record.alert.threshold.clone(), record.alert.severity);
        *self.raised().entry(key).or_default() += 1;
        if self.lanes.is_empty() {
            return;
        }
        let log = Arc::new(Message::Logs(self.messages.alert(record)));
        let trace = Arc::new(Message::Traces(self.messages.trace(record)));
        for lane in &self.lanes {
            let dropped = lane.queue.alert(log.clone(), trace.clone());
            let mut overflow = lane.overflow.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(dropped) = overflow.tell(dropped) {
                log::error!(
                    "export: {} alerts wait for {}, more are not kept: {dropped} of the oldest are dropped; they were on standard error when they were raised",
                    lane.queue.waiting(Signal::Logs),
                    lane.name
                );
            }
        }
    }

    /// Is there anybody to tell traces?
    pub fn takes_traces(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Exports sessions and their statements.
    pub fn spans(&self, spans: &Spans) {
        if spans.statements.is_empty() && spans.sessions.is_empty() {
            return;
        }
        for request in self.messages.spans(spans) {
            let message = Arc::new(Message::Traces(request));
            for lane in &self.lanes {
                lane.queue.spans(message.clone());
            }
        }
    }

    /// Exports sketches of distinct records.
    pub fn records(&self, sketches: &[Sketch]) {
        for request in self.messages.records(sketches) {
            let message = Arc::new(Message::Records(request));
            for lane in &self.lanes {
                lane.queue.records(message.clone());
            }
        }
    }

    fn raised(&self) -> MutexGuard<'_, Raised> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Alerts raised so far: threshold, severity, how many.
    pub fn alerts(&self) -> Vec<(Arc<str>, &'static str, u64)> {
        self.raised()
            .iter()
            .map(|((threshold, severity), count)| (threshold.clone(), severity.as_str(), *count))
            .collect()
    }

    /// How exporting goes, by signal.
    pub fn health(&self) -> [Health; SIGNALS] {
        Signal::ALL.map(|signal| {
            let mut health = Health {
                signal: signal.as_str(),
                counts: Counts::default(),
                waiting: 0,
            };
            for lane in &self.lanes {
                let counts = lane.queue.counts(signal);
                health.counts.dropped += counts.dropped;
                health.counts.failed += counts.failed;
                health.waiting += lane.queue.waiting(signal);
            }
            health
        })
    }

    /// Changes of the queue that its copy on disk lacks.
    pub fn unsaved(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.queue.unsaved()).sum()
    }

    /// Delivers what waits, for at most `patience`; says what is left.
    pub async fn shutdown(self, patience: Duration) -> Undelivered {
        let deadline = Instant::now() + patience;
        // All are told before any is waited for: a dead one does not take the others' time.
        for lane in &self.lanes {
            lane.queue.close(deadline);
        }
        let mut sum = Undelivered::default();
        for lane in self.lanes {
            for mut task in lane.tasks {
                if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                    task.abort();
                }
            }
            let left = lane.queue.left(JOURNAL);
            let Undelivered {
                alerts,
                traces,
                batches,
                saved,
            } = left;
            if alerts + traces + batches > 0 {
                log::log!(
                    if saved < alerts {
                        log::Level::Error
                    } else {
                        log::Level::Warn
                    },
                    "export: {} did not take {alerts} alerts, {traces} traces and {batches} batches of metrics before the end; {} on disk for the next start",
                    lane.name,
                    if lane.queue.is_durable() {
                        "they wait"
                    } else {
                        "nothing waits"
                    }
                );
            }
            sum += left;
        }
        sum
    }
}

/// How long the last changes of the queue may take to reach the disk.
const JOURNAL: Duration = Duration::from_secs(2);

/// The queue of the OTLP receivers, on disk if that is wanted and can be.
fn queue(config: &ExportConfig, bounds: Bounds) -> Queue {
    let Some(path) = &config.queue_path else {
        return Queue::new(bounds);
    };
    match Journal::open(path, config.queue_bytes) {
        Ok((journal, found)) => {
            if !found.is_empty() {
                log::info!(
                    "export.queue: {} messages of an earlier run wait in {}",
                    found.len(),
                    path.display()
                );
            }
            Queue::continued(bounds, journal, found)
        }
        Err(error) => {
            // Watching goes on: that is worth more than what a crash might lose.
            log::error!(
                "export.queue: {error:#}: what waits for the receiver is in memory only and ends with the sensor"
            );
            Queue::new(bounds)
        }
    }
}

impl Lane {
    fn start<S: Sink>(sinks: [Arc<S>; SIGNALS], queue: Queue) -> Self {
        let queue = Arc::new(queue);
        let [logs, ..] = &sinks;
        let name = logs.name();
        let mut signals = Signal::ALL.into_iter();
        Self {
            name,
            tasks: sinks.map(|sink| {
                // As many signals as sinks.
                let signal = signals.next().unwrap_or(Signal::Metrics);
                tokio::spawn(worker::work(sink, queue.clone(), signal))
            }),
            queue,
            overflow: Mutex::default(),
            temporality: Temporality::Cumulative,
        }
    }
}

#[cfg(test)]
mod receiver;
#[cfg(test)]
mod tests;
