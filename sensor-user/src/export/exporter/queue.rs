//! What waits for a sink: alerts first and longest, of metrics only the newest batch.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    ops::AddAssign,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::{super::sink::Message, Undelivered};

/// Requests of metrics that wait at most; a batch of the largest configurable size has fewer.
const METRIC_REQUESTS: usize = 64;
/// Pause between tries at the end, when the deadline is near.
const LAST_PAUSE: Duration = Duration::from_millis(250);
/// A receiver may ask for a longer pause, but not silence the alerts for hours.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// A sink's queue.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
    /// Told once, at the end: cuts a pause short.
    closed: Notify,
    /// Messages and items given up.
    pub dropped: AtomicU64,
    bound: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    alerts: VecDeque<Message>,
    /// The newest batch, in requests of a size that receivers take.
    metrics: VecDeque<Message>,
    in_flight: Undelivered,
    closing: bool,
    /// Alerts are being dropped: said once, until there is room again.
    overflowing: bool,
}

impl AddAssign for Undelivered {
    fn add_assign(&mut self, other: Self) {
        self.alerts += other.alerts;
        self.traces += other.traces;
        self.batches += other.batches;
    }
}

impl From<&Message> for Undelivered {
    fn from(message: &Message) -> Self {
        let mut one = Self::default();
        match message {
            Message::Logs(_) => one.alerts = 1,
            Message::Traces(_) => one.traces = 1,
            Message::Metrics(_) => one.batches = 1,
        }
        one
    }
}

impl Waiting {
    fn left(&self) -> Undelivered {
        let mut left = self.in_flight;
        for message in self.alerts.iter().chain(&self.metrics) {
            left += Undelivered::from(message);
        }
        left
    }
}

impl Queue {
    /// An empty queue for this many messages of alerts.
    pub fn new(bound: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Notify::new(),
            closed: Notify::new(),
            dropped: AtomicU64::new(0),
            bound: bound.max(2),
        }
    }

    /// Nothing more will come: `next` ends when all is taken.
    pub fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
        self.closed.notify_one();
    }

    /// What was not delivered.
    pub fn left(&self) -> Undelivered {
        self.lock().left()
    }

    /// Replaces the metrics that wait.
    pub fn replace_metrics(&self, messages: &[Message]) {
        self.lock().metrics = messages.iter().cloned().collect();
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere does not make the queue wrong.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an alert's messages; the oldest go where there is no room.
    pub fn push(&self, messages: &[Message]) {
        let mut waiting = self.lock();
        waiting.alerts.extend(messages.iter().cloned());
        let excess = waiting.alerts.len().saturating_sub(self.bound);
        if excess > 0 {
            waiting.alerts.drain(..excess);
            self.dropped.fetch_add(excess as u64, Ordering::Relaxed);
            if !std::mem::replace(&mut waiting.overflowing, true) {
                log::error!(
                    "export: {} messages of alerts wait for a receiver: the oldest are dropped from now on",
                    self.bound
                );
            }
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// The next message, alerts first; `None` when closing and empty.
    pub async fn next(&self) -> Option<Message> {
        loop {
            {
                let mut waiting = self.lock();
                let alert = waiting.alerts.pop_front();
                if let Some(message) = alert.or_else(|| waiting.metrics.pop_front()) {
                    waiting.in_flight = Undelivered::from(&message);
                    return Some(message);
                }
                if waiting.closing {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Puts a message back that could not be delivered yet. Metrics go in front of newer ones, which correct them.
    pub fn put_back(&self, message: Message) {
        let mut waiting = self.lock();
        waiting.in_flight = Undelivered::default();
        match message {
            Message::Metrics(_) if waiting.metrics.len() < METRIC_REQUESTS => {
                waiting.metrics.push_front(message);
            }
            Message::Metrics(_) => {}
            // It is the oldest: where newer ones took its place meanwhile, it is the one to go.
            _ if waiting.alerts.len() >= self.bound => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            _ => waiting.alerts.push_front(message),
        }
    }

    /// The message in flight is done with, one way or the other.
    pub fn done(&self) {
        let mut waiting = self.lock();
        waiting.in_flight = Undelivered::default();
        if waiting.alerts.len() < self.bound / 2 && std::mem::take(&mut waiting.overflowing) {
            log::info!("export: there is room for alerts again");
        }
    }

    /// Waits before the next try: as long as the receiver asked for, else until `pause` is over or the end is near.
    pub async fn pause(&self, asked: Option<Duration>, pause: Duration) {
        // Up to a quarter more, so that many sensors do not come back at once.
        let random = RandomState::new().build_hasher().finish() as u8;
        let jitter = |pause: Duration| pause.mul_f64(1.0 + f64::from(random) / 1024.0);
        if let Some(asked) = asked {
            return tokio::time::sleep(jitter(asked.min(LONGEST_ASKED))).await;
        }
        if self.lock().closing {
            return tokio::time::sleep(LAST_PAUSE.min(pause)).await;
        }
        tokio::select! {
            () = tokio::time::sleep(jitter(pause)) => {}
            () = self.closed.notified() => {}
        }
    }
}
