//! How exporting goes.

use std::time::{Duration, Instant};

/// What has become of the messages of one signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages given up or refused, and items that a receiver rejected of messages it took.
    pub dropped: u64,
    /// Attempts that failed and are repeated.
    pub failed: u64,
}

/// How a signal fares, summed over the sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// `logs`, `traces`, `metrics` or `records`.
    pub signal: &'static str,
    /// Totals.
    pub counts: Counts,
    /// Messages that wait.
    pub waiting: u64,
}

/// How often the same trouble is told.
const REPEAT: Duration = Duration::from_secs(60);

/// Tells when trouble that repeats is worth another line in the log.
#[derive(Debug, Default)]
pub struct Repeated {
    told: Option<Instant>,
    untold: u64,
}

impl Repeated {
    /// Counts `times`. `Some`: tell now, of this many since the last time.
    pub fn tell(&mut self, times: u64) -> Option<u64> {
        self.untold += times;
        if self.untold == 0 || self.told.is_some_and(|told| told.elapsed() < REPEAT) {
            return None;
        }
        self.told = Some(Instant::now());
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once_a_minute() {
        let mut repeated = Repeated::default();
        assert_eq!(repeated.tell(0), None);
        assert_eq!(repeated.tell(2), Some(2));
        assert_eq!(repeated.tell(3), None);
        assert_eq!(repeated.untold, 3);
    }
}
