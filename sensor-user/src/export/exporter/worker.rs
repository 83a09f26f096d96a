//! What delivers one signal to one sink.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use log::Level;
use tokio::time::Instant;

use super::{health::Repeated, queue::Queue};
use crate::export::sink::{Message, Signal, Sink, Undeliverable};

/// First pause between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause between tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A receiver may ask for a longer pause, but not silence the alerts for hours.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// A message that nothing is known of but that it does not arrive is given up after this time.
const LONGEST_UNCLEAR: Duration = Duration::from_secs(2 * 3600);

/// Delivers until the end.
pub async fn work(sink: Arc<impl Sink>, queue: Arc<Queue>, signal: Signal) {
    let mut report = Report::new(sink.name(), signal);
    let mut failures = 0;
    let mut unclear: Option<Instant> = None;
    while let Some(message) = queue.next(signal).await {
        let deadline = queue.deadline();
        match sink.deliver(&message).await {
            Ok(rejected) => {
                let (count, words) = rejected.unwrap_or_default();
                queue.delivered(signal, count);
                (failures, unclear) = (0, None);
                report.delivered(queue.waiting(signal));
                if count > 0 || !words.is_empty() {
                    report.rejected(&message, count, &words);
                }
            }
            Err(Undeliverable::Never { reason, advice }) => {
                queue.refused(signal);
                (failures, unclear) = (0, None);
                report.refused(&message, &reason, advice);
            }
            Err(Undeliverable::Unclear { reason })
                if unclear.get_or_insert_with(Instant::now).elapsed() > LONGEST_UNCLEAR =>
            {
                queue.refused(signal);
                (failures, unclear) = (0, None);
                report.refused(&message, &reason, "the receiver's log should say why");
            }
            Err(trouble @ (Undeliverable::Later { .. } | Undeliverable::Unclear { .. })) => {
                let (reason, after) = match trouble {
                    Undeliverable::Later { reason, after } => {
                        unclear = None;
                        (reason, after)
                    }
                    Undeliverable::Unclear { reason } | Undeliverable::Never { reason, .. } => {
                        (reason, None)
                    }
                };
                queue.failed(signal);
                report.failed(&reason);
                let pause = jittered(pause(failures, after));
                failures += 1;
                match deadline {
                    None if queue.pause(pause).await => failures = 0,
                    None => {}
                    // This was a try after the end had been announced: another one only if its time comes.
                    Some(deadline) if Instant::now() + pause < deadline => {
                        tokio::time::sleep(pause).await;
                    }
                    Some(_) => return,
                }
            }
        }
    }
}

/// How long to wait after so many failures and one more.
fn pause(failures: u32, asked: Option<Duration>) -> Duration {
    match asked {
        // Neither a busy loop nor silence for good, whatever a receiver says.
        Some(asked) => asked.clamp(FIRST_PAUSE, LONGEST_ASKED),
        None => (FIRST_PAUSE * 2u32.pow(failures.min(6))).min(LONGEST_PAUSE),
    }
}

/// Up to a quarter more, so that many sensors do not come back at once.
fn jittered(time: Duration) -> Duration {
    // The standard library's only source of randomness; nobody needs to be surprised by more.
    let random = RandomState::new().hash_one(0u8) % 1024;
    time + time / 4 * u32::try_from(random).unwrap_or(0) / 1024
}

/// Says how it goes: of an alert that is lost always, of the rest when there is news.
struct Report {
    sink: String,
    signal: Signal,
    failing_since: Option<Instant>,
    refusals: Repeated,
    rejections: Repeated,
}

impl Report {
    fn new(sink: String, signal: Signal) -> Self {
        Self {
            sink,
            signal,
            failing_since: None,
            refusals: Repeated::default(),
            rejections: Repeated::default(),
        }
    }

    fn delivered(&mut self, waiting: u64) {
        if let Some(since) = self.failing_since.take() {
            log::info!(
                "export: {} takes {} again after {} s; {waiting} messages wait",
                self.sink,
                self.signal,
                since.elapsed().as_secs()
            );
        }
    }

    fn rejected(&mut self, message: &Message, count: u64, words: &str) {
        let Self { sink, signal, .. } = self;
        if let (Message::Logs(_), 1..) = (message, count) {
            log::error!("export: {sink} rejected {}: {words}", message.subject());
        } else if count == 0 {
            // OTLP specification, "Partial Success": words without a count are a warning.
            if self.rejections.tell(1).is_some() {
                log::warn!("export: {sink} took {signal} and warns: {words}");
            }
        } else if let Some(count) = self.rejections.tell(count) {
            log::warn!("export: {sink} rejected {count} items of {signal}: {words}");
        }
    }

    fn refused(&mut self, message: &Message, reason: &str, advice: &str) {
        let Self { sink, signal, .. } = self;
        if let Message::Logs(_) = message {
            log::error!(
                "export: {sink} refused {}: {reason}; it was on standard error when it was raised, and is not sent again: {advice}",
                message.subject()
            );
        } else if let Some(count) = self.refusals.tell(1) {
            log::error!(
                "export: {sink} refuses {signal}: {reason}; {count} messages dropped: {advice}"
            );
        }
    }

    fn failed(&mut self, reason: &str) {
        if self.failing_since.is_none() {
            self.failing_since = Some(Instant::now());
            let level = match self.signal {
                Signal::Logs => Level::Error,
                Signal::Traces | Signal::Metrics | Signal::Records => Level::Warn,
            };
            log::log!(
                level,
                "export: {} does not take {}: {reason}; trying again, alerts are kept",
                self.sink,
                self.signal
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_bounded() {
        let millis = |failures| pause(failures, None).as_millis();
        assert_eq!([0, 1, 2, 3].map(millis), [500, 1000, 2000, 4000]);
        assert_eq!(pause(u32::MAX, None), LONGEST_PAUSE);
        let asked = |asked| pause(0, Some(asked));
        assert_eq!(asked(Duration::ZERO), FIRST_PAUSE);
        assert_eq!(asked(Duration::from_secs(7)), Duration::from_secs(7));
        assert_eq!(asked(Duration::MAX), LONGEST_ASKED);
        for _ in 0..100 {
            let time = jittered(LONGEST_PAUSE);
            assert!(
                (LONGEST_PAUSE..=LONGEST_PAUSE * 5 / 4).contains(&time),
                "{time:?}"
            );
        }
    }
}
