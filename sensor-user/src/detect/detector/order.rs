//! Event time: how far it has come, and records that do not fit.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Records ahead of all others that are held back until it is known whether time leaps or a clock does.
const HELD: u32 = 16;

/// The newest event time that is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    time: Nanoseconds,
    /// The leap that is being considered, and how many records have confirmed it.
    leap: Nanoseconds,
    confirmed: u32,
}

/// Nanoseconds since the epoch.
type Nanoseconds = u64;

/// Where a record belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At its own time; the watermark may have moved.
    Own,
    /// It is far ahead of everything else: taken as of now, until others confirm it.
    Ahead(Timestamp),
}

impl Watermark {
    /// The newest believed time.
    pub fn time(&self) -> Timestamp {
        Timestamp(self.time)
    }

    /// Moves with a record's time. `leap` (nanoseconds): further ahead than this a single record is not believed.
    pub fn place(&mut self, time: Timestamp, leap: u64) -> Place {
        if self.time == 0 || time.0 <= self.time.saturating_add(leap) {
            self.time = self.time.max(time.0);
            if time.0 <= self.time {
                self.confirmed = 0;
            }
            return Place::Own;
        }
        // Several records that agree with each other: time has gone on, as over holidays.
        self.confirmed = if time.0.abs_diff(self.leap) <= leap {
            self.confirmed + 1
        } else {
            1
        };
        self.leap = time.0;
        if self.confirmed > HELD {
            self.confirmed = 0;
            self.time = time.0;
            return Place::Own;
        }
        Place::Ahead(Timestamp(self.time))
    }

    /// Time passes without records.
    pub fn advance(&mut self, time: Timestamp) {
        self.time = self.time.max(time.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000_000_000;

    #[test]
    fn one_clock_ahead_moves_nothing() {
        let mut watermark = Watermark::default();
        let now = Timestamp(100 * DAY);
        assert_eq!(watermark.place(now, 3 * DAY), Place::Own);
        for _ in 0..100 {
            assert_eq!(
                watermark.place(Timestamp(900 * DAY), 3 * DAY),
                Place::Ahead(now)
            );
            assert_eq!(watermark.place(now, 3 * DAY), Place::Own);
        }
        assert_eq!(watermark.time(), now);
    }

    #[test]
    fn after_holidays_time_goes_on() {
        let mut watermark = Watermark::default();
        watermark.place(Timestamp(100 * DAY), 3 * DAY);
        let later = Timestamp(110 * DAY);
        let places: Vec<_> = (0..=HELD)
            .map(|_| watermark.place(later, 3 * DAY))
            .collect();
        assert_eq!(places.last(), Some(&Place::Own));
        assert_eq!(watermark.time(), later);
    }
}
