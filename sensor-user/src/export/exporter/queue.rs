//! What waits for one sink.
//!
//! Each signal has its own order and is taken by its own task. They share one bound, and where it is reached, what is
//! worth least goes first: cumulative metrics, which come again, then traces, then sketches of records, then metrics that
//! do not come again, then the oldest alerts. What is being delivered stays at the front of its signal until it has been, so that nothing is
//! forgotten at the end. A journal, where there is one, keeps all of it on disk.

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

use super::{
    Undelivered,
    health::Counts,
    journal::{Entry, Journal},
};
use crate::export::sink::{Message, SIGNALS, Signal};

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Messages.
    pub messages: usize,
    /// Their length together.
    pub bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    wake: [Notify; SIGNALS],
    /// Set at the end: until when to try.
    deadline: watch::Sender<Option<Instant>>,
    bounds: Bounds,
    journal: Option<Journal>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By signal. Of metrics: the cumulative batch that is being delivered, or else the newest.
    messages: [VecDeque<Entry>; SIGNALS],
    /// The newest batch of metrics, while an older one is partly delivered.
    newest: Vec<Entry>,
    /// Metrics that do not come again: an earlier run's, and differences. They go before the others.
    finals: VecDeque<Entry>,
    /// A part of the batch in `messages` has been delivered already.
    batch_begun: bool,
    /// The front of the signal is being delivered.
    in_flight: [bool; SIGNALS],
    counts: [Counts; SIGNALS],
    /// Length of all that waits.
    bytes: usize,
    /// Of the next message.
    key: u64,
    /// Cumulative metrics are written to the journal while their receiver fails: as long as it takes them, they are
    /// gone before they could be read again.
    metrics_saved: bool,
    /// Likewise for spans of sessions.
    traces_saved: bool,
    /// No more than that since the last look: keys of messages that are delivered or given up.
    gone: Vec<u64>,
}

impl AddAssign for Undelivered {
    fn add_assign(&mut self, other: Self) {
        self.alerts += other.alerts;
        self.traces += other.traces;
        self.batches += other.batches;
        self.saved += other.saved;
    }
}

impl Queue {
    /// An empty queue that is in memory only.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Default::default(),
            deadline: watch::Sender::default(),
            bounds: Bounds {
                messages: bounds.messages.max(2),
                ..bounds
            },
            journal: None,
        }
    }

    /// A queue that begins with what an earlier run left, and is kept in a journal.
    pub fn continued(bounds: Bounds, journal: Journal, found: Vec<Entry>) -> Self {
        let mut queue = Self::new(bounds);
        queue.journal = Some(journal);
        {
            let mut waiting = queue.lock();
            waiting.key = found.last().map_or(0, |last| last.key + 1);
            for entry in found {
                waiting.bytes += entry.message.encoded_len();
                match entry.message.signal() {
                    Signal::Metrics => waiting.finals.push_back(entry),
                    signal => waiting.of(signal).push_back(entry),
                }
            }
            queue.bound(&mut waiting);
            queue.forget(&mut waiting);
        }
        queue
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere does not make the queue wrong.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the journal what is gone.
    fn forget(&self, waiting: &mut Waiting) {
        let gone = std::mem::take(&mut waiting.gone);
        if let Some(journal) = &self.journal {
            journal.gone(gone);
        }
    }

    /// Tells the journal which cumulative metrics wait, if it is to know.
    fn save_metrics(&self, waiting: &mut Waiting, wanted: bool) {
        let Some(journal) = &self.journal else { return };
        if wanted || waiting.metrics_saved {
            let entries = if wanted {
                waiting.cumulative().cloned().collect()
            } else {
                Vec::new()
            };
            waiting.metrics_saved = wanted;
            journal.metrics(entries);
        }
    }

    /// A message of metrics is dealt with: those on disk are saved until none waits any more.
    fn metrics_went(&self, waiting: &mut Waiting) {
        let saved = waiting.metrics_saved && waiting.cumulative().next().is_some();
        self.save_metrics(waiting, saved);
    }

    fn bound(&self, waiting: &mut Waiting) {
        while (waiting.len() > self.bounds.messages || waiting.bytes > self.bounds.bytes)
            && waiting.drop_least()
        {}
    }

    /// Replaces cumulative metrics that wait, unless they are partly delivered: these are finished first, or the end of
    /// a large batch would never reach a slow receiver.
    pub fn metrics(&self, batch: &[Arc<Message>]) {
        let mut waiting = self.lock();
        let begun = waiting.batch_begun && !waiting.of(Signal::Metrics).is_empty();
        let delivering = waiting.in_flight[Signal::Metrics as usize] && waiting.finals.is_empty();
        let batch: Vec<Entry> = batch
            .iter()
            .map(|message| waiting.entry(message.clone()))
            .collect();
        let replaced: Vec<Entry> = if begun || delivering {
            std::mem::replace(&mut waiting.newest, batch)
        } else {
            waiting.batch_begun = false;
            std::mem::replace(waiting.of(Signal::Metrics), batch.into()).into()
        };
        for entry in &replaced {
            waiting.bytes -= entry.message.encoded_len();
        }
        // Only what does not fit beside the alerts is given up, and never for good: the next batch holds it, too.
        self.bound(&mut waiting);
        let failing = waiting.metrics_saved;
        self.save_metrics(&mut waiting, failing);
        self.forget(&mut waiting);
        drop(waiting);
        self.wake[Signal::Metrics as usize].notify_one();
    }

    /// Adds metrics that do not come again.
    pub fn differences(&self, batch: &[Arc<Message>]) {
        let mut waiting = self.lock();
        let batch: Vec<Entry> = batch
            .iter()
            .map(|message| waiting.entry(message.clone()))
            .collect();
        waiting.finals.extend(batch.iter().cloned());
        if let Some(journal) = &self.journal {
            journal.added(batch);
        }
        self.bound(&mut waiting);
        self.forget(&mut waiting);
        drop(waiting);
        self.wake[Signal::Metrics as usize].notify_one();
    }

    /// Adds an alert and its trace. Returns how many alerts had to go for it.
    pub fn alert(&self, log: Arc<Message>, trace: Arc<Message>) -> u64 {
        let mut waiting = self.lock();
        let before = waiting.counts[Signal::Logs as usize].dropped;
        let entries = [log, trace].map(|message| waiting.entry(message));
        if let Some(journal) = &self.journal {
            journal.added(entries.to_vec());
        }
        for entry in entries {
            waiting.of(entry.message.signal()).push_back(entry);
        }
        self.bound(&mut waiting);
        self.forget(&mut waiting);
        let dropped = waiting.counts[Signal::Logs as usize].dropped - before;
        drop(waiting);
        for signal in [Signal::Logs, Signal::Traces] {
            self.wake[signal as usize].notify_one();
        }
        dropped
    }

    /// Adds spans of sessions. They are kept on disk only while their receiver fails: a write each second would cost the
    /// host more than what a crash might lose of a sample.
    pub fn spans(&self, message: Arc<Message>) {
        let mut waiting = self.lock();
        let entry = waiting.entry(message);
        if let Some(journal) = &self.journal
            && waiting.traces_saved
        {
            journal.added(vec![entry.clone()]);
        }
        waiting.of(Signal::Traces).push_back(entry);
        self.bound(&mut waiting);
        self.forget(&mut waiting);
        drop(waiting);
        self.wake[Signal::Traces as usize].notify_one();
    }

    /// Adds sketches of records, which do not come again.
    pub fn records(&self, message: Arc<Message>) {
        let mut waiting = self.lock();
        let entry = waiting.entry(message);
        if let Some(journal) = &self.journal {
            journal.added(vec![entry.clone()]);
        }
        waiting.of(Signal::Records).push_back(entry);
        self.bound(&mut waiting);
        self.forget(&mut waiting);
        drop(waiting);
        self.wake[Signal::Records as usize].notify_one();
    }

    /// The next message of a signal; `None` at the end, when there is none left.
    pub async fn next(&self, signal: Signal) -> Option<Arc<Message>> {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(entry) = waiting.front(signal).front() {
                    let message = entry.message.clone();
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
        if signal == Signal::Traces && waiting.of(signal).is_empty() {
            waiting.traces_saved = false;
        }
        if signal == Signal::Metrics {
            self.metrics_went(&mut waiting);
        }
        self.forget(&mut waiting);
    }

    /// The message under way will never be delivered.
    pub fn refused(&self, signal: Signal) {
        let mut waiting = self.lock();
        waiting.counts[signal as usize].dropped += 1;
        waiting.done(signal);
        if signal == Signal::Metrics {
            self.metrics_went(&mut waiting);
        }
        self.forget(&mut waiting);
    }

    /// The message under way could not be delivered yet.
    pub fn failed(&self, signal: Signal) {
        let mut waiting = self.lock();
        waiting.counts[signal as usize].failed += 1;
        waiting.in_flight[signal as usize] = false;
        if signal == Signal::Metrics {
            if waiting.finals.is_empty() {
                // The receiver has fallen behind: what it gets next may as well be new.
                waiting.batch_begun = false;
                waiting.start_newest();
            }
            self.save_metrics(&mut waiting, true);
        }
        if signal == Signal::Traces && !waiting.traces_saved {
            waiting.traces_saved = true;
            self.save_traces(&mut waiting);
        }
    }

    /// Tells the journal all traces that wait; what it knows already it takes once.
    fn save_traces(&self, waiting: &mut Waiting) {
        if let Some(journal) = &self.journal {
            journal.added(waiting.of(Signal::Traces).iter().cloned().collect());
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
        let more = match signal {
            Signal::Metrics => waiting.newest.len() + waiting.finals.len(),
            _ => 0,
        };
        (waiting.of(signal).len() + more) as u64
    }

    /// What has become of the messages of a signal.
    pub fn counts(&self, signal: Signal) -> Counts {
        self.lock().counts[signal as usize]
    }

    /// What waits outlives the sensor.
    pub fn is_durable(&self) -> bool {
        self.journal.is_some()
    }

    /// Changes of the queue that its journal lacks.
    pub fn unsaved(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::lost)
    }

    /// What has not been delivered. Whatever that is, it is in the journal afterwards, if that can be within
    /// `patience`.
    pub fn left(&self, patience: Duration) -> Undelivered {
        let mut waiting = self.lock();
        self.save_metrics(&mut waiting, true);
        self.save_traces(&mut waiting);
        let mut left = Undelivered {
            alerts: waiting.of(Signal::Logs).len() as u64,
            traces: waiting.of(Signal::Traces).len() as u64,
            batches: u64::from(!waiting.of(Signal::Metrics).is_empty())
                + u64::from(!waiting.newest.is_empty())
                + (waiting.finals.len() + waiting.of(Signal::Records).len()) as u64,
            saved: 0,
        };
        drop(waiting);
        if self
            .journal
            .as_ref()
            .is_some_and(|journal| journal.close(patience))
        {
            left.saved = left.alerts;
        }
        left
    }
}

impl Waiting {
    fn of(&mut self, signal: Signal) -> &mut VecDeque<Entry> {
        &mut self.messages[signal as usize]
    }

    /// Where the next message of a signal is taken from.
    fn front(&mut self, signal: Signal) -> &mut VecDeque<Entry> {
        if signal == Signal::Metrics && !self.finals.is_empty() {
            &mut self.finals
        } else {
            self.of(signal)
        }
    }

    fn entry(&mut self, message: Arc<Message>) -> Entry {
        self.bytes += message.encoded_len();
        let key = self.key;
        self.key += 1;
        Entry { key, message }
    }

    fn cumulative(&self) -> impl Iterator<Item = &Entry> {
        self.messages[Signal::Metrics as usize]
            .iter()
            .chain(&self.newest)
    }

    fn len(&self) -> usize {
        self.messages.iter().map(VecDeque::len).sum::<usize>()
            + self.newest.len()
            + self.finals.len()
    }

    /// Drops the oldest message of what is worth least. What is under way is spared: it may arrive yet. False: there
    /// is nothing else.
    fn drop_least(&mut self) -> bool {
        let [logs, traces, metrics, records] = Signal::ALL.map(|signal| {
            let delivering = self.in_flight[signal as usize]
                && (signal != Signal::Metrics || self.finals.is_empty());
            usize::from(delivering)
        });
        let finals =
            usize::from(self.in_flight[Signal::Metrics as usize] && !self.finals.is_empty());
        let newest = self.newest.pop().map(|entry| (Signal::Metrics, entry));
        let dropped = newest
            .or_else(|| {
                let entry = self.of(Signal::Metrics).remove(metrics)?;
                Some((Signal::Metrics, entry))
            })
            .or_else(|| Some((Signal::Traces, self.of(Signal::Traces).remove(traces)?)))
            .or_else(|| Some((Signal::Records, self.of(Signal::Records).remove(records)?)))
            .or_else(|| Some((Signal::Metrics, self.finals.remove(finals)?)))
            .or_else(|| Some((Signal::Logs, self.of(Signal::Logs).remove(logs)?)));
        let Some((signal, entry)) = dropped else {
            return false;
        };
        self.counts[signal as usize].dropped += 1;
        self.leaves(&entry);
        true
    }

    fn leaves(&mut self, entry: &Entry) {
        self.bytes -= entry.message.encoded_len();
        self.gone.push(entry.key);
    }

    /// The message under way is dealt with.
    fn done(&mut self, signal: Signal) {
        self.in_flight[signal as usize] = false;
        let last = self.finals.is_empty();
        if let Some(entry) = self.front(signal).pop_front() {
            self.leaves(&entry);
        }
        if signal == Signal::Metrics && last {
            self.batch_begun = !self.of(signal).is_empty();
            if !self.batch_begun {
                self.start_newest();
            }
        }
    }

    fn start_newest(&mut self) {
        if !self.newest.is_empty() {
            let newest = std::mem::take(&mut self.newest).into();
            let older = std::mem::replace(self.of(Signal::Metrics), newest);
            for entry in &older {
                self.bytes -= entry.message.encoded_len();
            }
        }
    }
}

#[cfg(test)]
mod tests;
