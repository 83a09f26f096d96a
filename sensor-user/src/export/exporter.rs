//! A queue for each sink, and a task for each signal of it: alerts are kept longest, and of metrics, which are
//! cumulative, only the newest batch waits. Neither a dead receiver nor one that takes some signals only holds up the
//! rest.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{task::JoinHandle, time::Instant};

use health::Repeated;
use queue::Queue;

use super::{
    AlertRecord, MetricPoint,
    otlp::Messages,
    resource,
    sink::{
        Message, SIGNALS, Signal, Sink, endpoint_url, file::OtlpFile, grpc::OtlpGrpc,
        http::OtlpHttp, shown_endpoint,
    },
};
use crate::config::{export::Protocol, secret::Secret};

mod health;
mod queue;
mod worker;

pub use health::{Counts, Health};

/// What to export to.
#[derive(Clone, Default)]
pub struct ExportConfig {
    /// OTLP endpoint.
    pub otlp_endpoint: Option<String>,
    /// Its protocol; by its port when not said (4318: HTTP, else gRPC).
    pub protocol: Option<Protocol>,
    /// Headers of each request.
    pub headers: Vec<(String, Secret)>,
    /// OTLP JSON lines.
    pub otlp_file: Option<PathBuf>,
    /// Messages that wait at most, a sink; an alert and its trace are two.
    pub queue: usize,
}

impl fmt::Debug for ExportConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            otlp_endpoint,
            protocol,
            headers,
            otlp_file,
            queue,
        } = self;
        // A URL may hold a password, too.
        let otlp_endpoint = otlp_endpoint.as_deref().map(shown_endpoint);
        f.debug_struct("ExportConfig")
            .field("otlp_endpoint", &otlp_endpoint)
            .field("protocol", protocol)
            .field("headers", headers)
            .field("otlp_file", otlp_file)
            .field("queue", queue)
            .finish()
    }
}

/// What a shutdown left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// Alerts, counted for each sink that did not get them.
    pub alerts: u64,
    /// Traces of alerts, likewise.
    pub traces: u64,
    /// Batches of metrics.
    pub batches: u64,
}

/// Hands telemetry to its sinks.
#[derive(Debug)]
pub struct Exporter {
    messages: Messages,
    lanes: Vec<Lane>,
}

/// A sink's queue and tasks.
#[derive(Debug)]
struct Lane {
    name: String,
    queue: Arc<Queue>,
    tasks: [JoinHandle<()>; SIGNALS],
    overflow: Mutex<Repeated>,
}

impl Exporter {
    /// Starts the tasks of each sink.
    ///
    /// # Errors
    /// When an endpoint or header is malformed, or the file can't be opened.
    pub fn start(config: &ExportConfig) -> Result<Self> {
        let ExportConfig {
            otlp_endpoint,
            protocol,
            headers,
            otlp_file,
            queue,
        } = config;
        let mut lanes = Vec::new();
        if let Some(path) = otlp_file {
            let file = OtlpFile::open(path).with_context(|| {
                format!(
                    "cannot open the OTLP file {}: does its directory exist, and is it writable?",
                    path.display()
                )
            })?;
            lanes.push(Lane::start(file, *queue));
        }
        if let Some(endpoint) = otlp_endpoint {
            let http = match protocol {
                Some(protocol) => *protocol == Protocol::HttpProtobuf,
                None => endpoint_url(endpoint)?.port() == Some(4318),
            };
            lanes.push(if http {
                Lane::start(OtlpHttp::new(endpoint, headers)?, *queue)
            } else {
                Lane::start(OtlpGrpc::new(endpoint, headers)?, *queue)
            });
        }
        Ok(Self {
            messages: Messages::new(&resource::detect()),
            lanes,
        })
    }

    /// Exports metrics. A batch that still waits is replaced: these are cumulative.
    pub fn metrics(&self, points: &[MetricPoint]) {
        if self.lanes.is_empty() {
            return;
        }
        let batch: Vec<_> = self
            .messages
            .metrics(points)
            .into_iter()
            .map(|request| Arc::new(Message::Metrics(request)))
            .collect();
        for lane in &self.lanes {
            lane.queue.metrics(&batch);
        }
    }

    /// Exports an alert and its trace.
    pub fn alert(&self, record: &AlertRecord) {
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
            let left = lane.queue.left();
            if left != Undelivered::default() {
                let Undelivered {
                    alerts,
                    traces,
                    batches,
                } = left;
                log::error!(
                    "export: {} did not take {alerts} alerts, {traces} traces and {batches} batches of metrics before the end",
                    lane.name
                );
            }
            sum += left;
        }
        sum
    }
}

impl Lane {
    fn start(sink: impl Sink, bound: usize) -> Self {
        let sink = Arc::new(sink);
        let queue = Arc::new(Queue::new(bound));
        Self {
            name: sink.name(),
            tasks: Signal::ALL
                .map(|signal| tokio::spawn(worker::work(sink.clone(), queue.clone(), signal))),
            queue,
            overflow: Mutex::default(),
        }
    }
}

#[cfg(test)]
mod receiver;
#[cfg(test)]
mod tests;
