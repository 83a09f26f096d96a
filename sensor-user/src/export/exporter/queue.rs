//! What waits for one sink.
//!
//! Each signal has its own order and is taken by its own task. They share one bound, and where it is reached, what is
//! worth least goes first: metrics, which are cumulative and come again, then traces, then the oldest alerts. What is
//! being delivered stays at the front of its signal until it has been, so that nothing is forgotten at the end.

use std::{
    collections::VecDeque,
    ops::AddAssign,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{Undelivered, health::Counts};
use crate::export::sink::{Message, SIGNALS, Signal};

/// See the module.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    wake: [Notify; SIGNALS],
    /// Set at the end: until when to try.
    deadline: watch::Sender<Option<Instant>>,
    bound: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By signal. Of metrics: the batch that is being delivered, or else the newest.
    messages: [VecDeque<Arc<Message>>; SIGNALS],
    /// The newest batch of metrics, while an older one is partly delivered.
    newest: Vec<Arc<Message>>,
    /// A part of the batch in `messages` has been delivered already.
    batch_begun: bool,
    /// The front of the signal is being delivered.
    in_flight: [bool; SIGNALS],
    counts: [Counts; SIGNALS],
}

impl AddAssign for Undelivered {
    fn add_assign(&mut self, other: Self) {
        self.alerts += other.alerts;
        self.traces += other.traces;
        self.batches += other.batches;
    }
}

impl Queue {
    /// An empty queue for this many messages.
    pub fn new(bound: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Default::default(),
            deadline: watch::Sender::default(),
            bound: bound.max(2),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere does not make the queue wrong.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces metrics that wait, unless they are partly delivered: these are finished first, or the end of a large
    /// batch would never reach a slow receiver.
    pub fn metrics(&self, batch: &[Arc<Message>]) {
        let mut waiting = self.lock();
        let begun = waiting.batch_begun && !waiting.of(Signal::Metrics).is_empty();
        if begun || waiting.in_flight[Signal::Metrics as usize] {
            waiting.newest = batch.to_vec();
        } else {
            waiting.batch_begun = false;
            *waiting.of(Signal::Metrics) = batch.iter().cloned().collect();
        }
        drop(waiting);
        self.wake[Signal::Metrics as usize].notify_one();
    }

    /// Adds an alert and its trace. Returns how many alerts had to go for it.
    pub fn alert(&self, log: Arc<Message>, trace: Arc<Message>) -> u64 {
        let mut waiting = self.lock();
        let before = waiting.counts[Signal::Logs as usize].dropped;
        waiting.of(Signal::Logs).push_back(log);
        waiting.of(Signal::Traces).push_back(trace);
        while waiting.len() > self.bound && waiting.drop_least() {}
        let dropped = waiting.counts[Signal::Logs as usize].dropped - before;
        drop(waiting);
        for signal in [Signal::Logs, Signal::Traces] {
            self.wake[signal as usize].notify_one();
        }
        dropped
    }

    /// The next message of a signal; `None` at the end, when there is none left.
    pub async fn next(&self, signal: Signal) -> Option<Arc<Message>> {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(message) = waiting.of(signal).front().cloned() {
                    waiting.in_flight[signal as usize] = true;
                    return Some(message);
                }
            }
            if self.deadline().is_some() {
                return None;
            }
            self.wake[signal as usize].notified().await;
        }
    }

    /// The message under way has been delivered, but for `rejected` items.
    pub fn delivered(&self, signal: Signal, rejected: u64) {
        let mut waiting = self.lock();
        waiting.counts[signal as usize].dropped += rejected;
        waiting.done(signal);
    }

    /// The message under way will never be delivered.
    pub fn refused(&self, signal: Signal) {
        let mut waiting = self.lock();
        waiting.counts[signal as usize].dropped += 1;
        waiting.done(signal);
    }

    /// The message under way could not be delivered yet.
    pub fn failed(&self, signal: Signal) {
        let mut waiting = self.lock();
        waiting.counts[signal as usize].failed += 1;
        waiting.in_flight[signal as usize] = false;
        if signal == Signal::Metrics {
            // The receiver has fallen behind: what it gets next may as well be new.
            waiting.batch_begun = false;
            waiting.start_newest();
        }
    }

    /// Waits before the next try. True: the end was announced, or has been.
    pub async fn pause(&self, pause: Duration) -> bool {
        let mut deadline = self.deadline.subscribe();
        tokio::select! {
            biased;
            _ = deadline.wait_for(Option::is_some) => true,
            () = tokio::time::sleep(pause) => false,
        }
    }

    /// Announces the end: nothing more will come, and there is time until then.
    pub fn close(&self, deadline: Instant) {
        self.deadline.send_replace(Some(deadline));
        for wake in &self.wake {
            wake.notify_one();
        }
    }

    /// Until when to try, once the end is announced.
    pub fn deadline(&self) -> Option<Instant> {
        *self.deadline.borrow()
    }

    /// Messages of a signal that wait, the one under way included.
    pub fn waiting(&self, signal: Signal) -> u64 {
        let mut waiting = self.lock();
        let newest = match signal {
            Signal::Metrics => waiting.newest.len(),
            _ => 0,
        };
        (waiting.of(signal).len() + newest) as u64
    }

    /// What has become of the messages of a signal.
    pub fn counts(&self, signal: Signal) -> Counts {
        self.lock().counts[signal as usize]
    }

    /// What has not been delivered.
    pub fn left(&self) -> Undelivered {
        let mut waiting = self.lock();
        Undelivered {
            alerts: waiting.of(Signal::Logs).len() as u64,
            traces: waiting.of(Signal::Traces).len() as u64,
            batches: u64::from(!waiting.of(Signal::Metrics).is_empty())
                + u64::from(!waiting.newest.is_empty()),
        }
    }
}

impl Waiting {
    fn of(&mut self, signal: Signal) -> &mut VecDeque<Arc<Message>> {
        &mut self.messages[signal as usize]
    }

    fn len(&self) -> usize {
        self.messages.iter().map(VecDeque::len).sum::<usize>() + self.newest.len()
    }

    /// Drops the oldest message of what is worth least. What is under way is spared: it may arrive yet. False: there
    /// is nothing else.
    fn drop_least(&mut self) -> bool {
        if self.newest.pop().is_some() {
            self.counts[Signal::Metrics as usize].dropped += 1;
            return true;
        }
        for signal in Signal::ALL.into_iter().rev() {
            let oldest = usize::from(self.in_flight[signal as usize]);
            if self.of(signal).remove(oldest).is_some() {
                self.counts[signal as usize].dropped += 1;
                return true;
            }
        }
        false
    }

    /// The message under way is dealt with.
    fn done(&mut self, signal: Signal) {
        self.in_flight[signal as usize] = false;
        self.of(signal).pop_front();
        if signal == Signal::Metrics {
            self.batch_begun = !self.of(signal).is_empty();
            if !self.batch_begun {
                self.start_newest();
            }
        }
    }

    fn start_newest(&mut self) {
        if !self.newest.is_empty() {
            *self.of(Signal::Metrics) = std::mem::take(&mut self.newest).into();
        }
    }
}

#[cfg(test)]
mod tests;
