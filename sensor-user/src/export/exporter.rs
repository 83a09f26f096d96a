//! One task a sink, with a bounded queue: alerts go first and are kept longest, and of metrics, which are cumulative,
//! only the newest batch waits. A dead receiver never holds up the sensor.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    AlertRecord, MetricPoint,
    otlp::Messages,
    resource,
    sink::{Message, Sink, Undeliverable, file::OtlpFile, grpc::OtlpGrpc, http::OtlpHttp},
};
use crate::config::export::Protocol;

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
    /// Alerts and their traces.
    pub alerts: u64,
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

#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
    dropped: AtomicU64,
    bound: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    alerts: VecDeque<Message>,
    metrics: Option<Message>,
    in_flight: Undelivered,
    closing: bool,
}

/// First and longest pause between tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

impl Exporter {
    /// Starts a task for each sink.
    ///
    /// # Errors
    /// When an endpoint or header is malformed, or the file can't be opened.
    pub fn start(config: &ExportConfig) -> Result<Self> {
        let mut sinks = Vec::new();
        if let Some(path) = &config.otlp_file {
            let file = OtlpFile::open(path).with_context(|| {
                format!(
                    "cannot open the OTLP file {}: does its directory exist, and is it writable?",
                    path.display()
                )
            })?;
            sinks.push(Sink::File(file));
        }
        if let Some(endpoint) = &config.otlp_endpoint {
            let http = match config.protocol {
                Some(protocol) => protocol == Protocol::HttpProtobuf,
                None => endpoint.trim_end_matches('/').ends_with(":4318"),
            };
            sinks.push(if http {
                Sink::Http(OtlpHttp::new(endpoint, &config.headers)?)
            } else {
                Sink::Grpc(OtlpGrpc::new(endpoint, &config.headers)?)
            });
        }
        let lanes = sinks
            .into_iter()
            .map(|sink| {
                let queue = Arc::new(Queue {
                    waiting: Mutex::default(),
                    wake: Notify::new(),
                    dropped: AtomicU64::new(0),
                    bound: config.queue.max(2),
                });
                Lane {
                    task: tokio::spawn(work(sink, queue.clone())),
                    queue,
                }
            })
            .collect();
        Ok(Self {
            messages: Messages::new(&resource::detect()),
            lanes,
        })
    }

    /// Exports metrics. A batch that still waits is replaced: these are cumulative.
    pub fn metrics(&self, points: Vec<MetricPoint>) {
        if self.lanes.is_empty() {
            return;
        }
        let message = Message::Metrics(self.messages.metrics(points));
        for lane in &self.lanes {
            lane.queue.lock().metrics = Some(message.clone());
            lane.queue.wake.notify_one();
        }
    }

    /// Exports an alert and its trace.
    pub fn alert(&self, record: &AlertRecord) {
        let messages = [
            Message::Logs(self.messages.alert(record)),
            Message::Traces(self.messages.trace(record)),
        ];
        for lane in &self.lanes {
            let mut waiting = lane.queue.lock();
            waiting.alerts.extend(messages.iter().cloned());
            while waiting.alerts.len() > lane.queue.bound {
                waiting.alerts.pop_front();
                lane.queue.dropped.fetch_add(1, Ordering::Relaxed);
                log::error!(
                    "export: more than {} alerts wait for a receiver: the oldest was dropped",
                    lane.queue.bound / 2
                );
            }
            drop(waiting);
            lane.queue.wake.notify_one();
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
        let mut left = Undelivered::default();
        for lane in self.lanes {
            lane.queue.lock().closing = true;
            lane.queue.wake.notify_one();
            let mut task = lane.task;
            let rest = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(rest, &mut task).await.is_err() {
                task.abort();
                let waiting = lane.queue.lock();
                left.alerts += waiting.alerts.len() as u64 + waiting.in_flight.alerts;
                left.batches += u64::from(waiting.metrics.is_some()) + waiting.in_flight.batches;
            }
        }
        left
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere does not make the queue wrong.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message, alerts first; `None` when closing and empty.
    async fn next(&self) -> Option<Message> {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(alert) = waiting.alerts.pop_front() {
                    waiting.in_flight.alerts = 1;
                    return Some(alert);
                }
                if let Some(metrics) = waiting.metrics.take() {
                    waiting.in_flight.batches = 1;
                    return Some(metrics);
                }
                if waiting.closing {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Puts a message back that could not be delivered yet. Newer metrics win.
    fn put_back(&self, message: Message) {
        let mut waiting = self.lock();
        waiting.in_flight = Undelivered::default();
        match message {
            Message::Metrics(_) => {
                waiting.metrics.get_or_insert(message);
            }
            _ => waiting.alerts.push_front(message),
        }
    }
}

async fn work(mut sink: Sink, queue: Arc<Queue>) {
    let mut failing_since: Option<Instant> = None;
    let mut pause = PAUSE.0;
    while let Some(message) = queue.next().await {
        match sink.deliver(&message).await {
            Ok(rejected) => {
                queue.lock().in_flight = Undelivered::default();
                pause = PAUSE.0;
                if let Some(since) = failing_since.take() {
                    log::info!(
                        "export: {} takes telemetry again after {} s",
                        sink.name(),
                        since.elapsed().as_secs()
                    );
                }
                if let Some((count, words)) = rejected {
                    queue.dropped.fetch_add(count, Ordering::Relaxed);
                    log::warn!(
                        "export: {} rejected {count} items of {}: {words}",
                        sink.name(),
                        message.signal()
                    );
                }
            }
            Err(Undeliverable::Never(reason)) => {
                queue.lock().in_flight = Undelivered::default();
                queue.dropped.fetch_add(1, Ordering::Relaxed);
                log::error!(
                    "export: {} refuses {}: {reason}; dropped",
                    sink.name(),
                    message.signal()
                );
            }
            Err(Undeliverable::Later { reason, after }) => {
                if failing_since.is_none() {
                    failing_since = Some(Instant::now());
                    log::warn!(
                        "export: {} does not take {}: {reason}; trying again, alerts are kept",
                        sink.name(),
                        message.signal()
                    );
                }
                queue.put_back(message);
                // Up to a quarter more, so that many sensors do not come back at once.
                let jitter = pause.mul_f64(f64::from(std::process::id() % 16) / 64.0);
                tokio::time::sleep(after.unwrap_or(pause) + jitter).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
