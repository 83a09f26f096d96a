//! One task a sink, with a bounded queue: alerts go first and are kept longest, and of metrics, which are cumulative,
//! only the newest batch waits. A dead receiver never holds up the sensor.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::task::JoinHandle;

use queue::Queue;

use super::{
    AlertRecord, MetricPoint,
    otlp::Messages,
    resource,
    sink::{
        Message, Sink, Undeliverable, endpoint_url, file::OtlpFile, grpc::OtlpGrpc, http::OtlpHttp,
    },
};
use crate::config::export::Protocol;

mod queue;

/// What to export to.
#[derive(Clone, Debug, Default)]
pub struct ExportConfig {
    /// OTLP endpoint.
    pub otlp_endpoint: Option<String>,
    /// Its protocol; by its port when not said (4318: HTTP, else gRPC).
    pub protocol: Option<Protocol>,
    /// Headers of each request.
    pub headers: Vec<(String, String)>,
    /// OTLP JSON lines.
    pub otlp_file: Option<PathBuf>,
    /// Messages of alerts that wait at most, a sink.
    pub queue: usize,
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

/// A sink's queue and task.
#[derive(Debug)]
struct Lane {
    queue: Arc<Queue>,
    task: JoinHandle<()>,
}

/// First and longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

impl Exporter {
    /// Starts a task for each sink.
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
        let requests = self.messages.metrics(points).into_iter();
        let messages: Vec<Message> = requests.map(Message::Metrics).collect();
        for lane in &self.lanes {
            lane.queue.replace_metrics(&messages);
        }
    }

    /// Exports an alert and its trace.
    pub fn alert(&self, record: &AlertRecord) {
        let messages = [
            Message::Logs(self.messages.alert(record)),
            Message::Traces(self.messages.trace(record)),
        ];
        for lane in &self.lanes {
            lane.queue.push(&messages);
        }
    }

    /// Messages dropped so far.
    pub fn dropped(&self) -> u64 {
        self.lanes
            .iter()
            .map(|lane| lane.queue.dropped.load(Ordering::Relaxed))
            .sum()
    }

    /// Delivers what waits, for at most `patience`; says what is left.
    pub async fn shutdown(self, patience: Duration) -> Undelivered {
        let deadline = Instant::now() + patience;
        // All are told before any is waited for: a dead one does not take the others' time.
        for lane in &self.lanes {
            lane.queue.close();
        }
        let mut left = Undelivered::default();
        for lane in self.lanes {
            let mut task = lane.task;
            let rest = deadline.saturating_duration_since(Instant::now());
            if !matches!(tokio::time::timeout(rest, &mut task).await, Ok(Ok(()))) {
                task.abort();
                left += lane.queue.left();
            }
        }
        left
    }
}

impl Lane {
    fn start(sink: impl Sink, bound: usize) -> Self {
        let queue = Arc::new(Queue::new(bound));
        Self {
            task: tokio::spawn(work(sink, queue.clone())),
            queue,
        }
    }
}

/// What was last said about a sink, so that only changes are.
#[derive(Default)]
struct Said {
    failing_since: Option<Instant>,
    /// Signals the receiver refuses, or rejects in part.
    refused: Vec<&'static str>,
    rejected: Vec<&'static str>,
}

impl Said {
    /// Notes whether `signal` is in `list`; true when that is news.
    fn note(list: &mut Vec<&'static str>, signal: &'static str, now: bool) -> bool {
        let before = list.contains(&signal);
        if now && !before {
            list.push(signal);
        } else if !now {
            list.retain(|known| *known != signal);
        }
        now != before
    }
}

async fn work(mut sink: impl Sink, queue: Arc<Queue>) {
    let name = sink.name();
    let mut said = Said::default();
    let mut pause = PAUSE.0;
    while let Some(message) = queue.next().await {
        let signal = message.signal();
        let delivered = sink.deliver(&message).await;
        if !matches!(delivered, Err(Undeliverable::Later { .. })) {
            queue.done();
            pause = PAUSE.0;
            if let Some(since) = said.failing_since.take() {
                log::info!(
                    "export: {name} answers again after {} s",
                    since.elapsed().as_secs()
                );
            }
        }
        match delivered {
            Ok(rejected) => {
                if Said::note(&mut said.refused, signal, false) {
                    log::info!("export: {name} takes {signal} again");
                }
                let news = Said::note(&mut said.rejected, signal, rejected.is_some());
                if let Some((count, words)) = rejected {
                    queue.dropped.fetch_add(count, Ordering::Relaxed);
                    if news {
                        log::warn!(
                            "export: {name} rejects some {signal} ({count} in this message): {words}"
                        );
                    }
                } else if news {
                    log::info!("export: {name} takes all {signal} again");
                }
            }
            Err(Undeliverable::Never(reason)) => {
                queue.dropped.fetch_add(1, Ordering::Relaxed);
                if Said::note(&mut said.refused, signal, true) {
                    log::error!(
                        "export: {name} refuses {signal}: {reason}; they are dropped until it takes them"
                    );
                }
            }
            Err(Undeliverable::Later { reason, after }) => {
                if said.failing_since.is_none() {
                    said.failing_since = Some(Instant::now());
                    log::warn!(
                        "export: {name} does not take {signal}: {reason}; trying again, alerts are kept"
                    );
                }
                queue.put_back(message);
                queue.pause(after, pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
