//! Days, hours and weekdays of the place whose working hours count.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

/// A fixed offset from UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// Seconds east of UTC.
    pub offset: i64,
}

impl Calendar {
    fn local_seconds(self, time: Timestamp) -> i64 {
        // Fits: nanoseconds of 64 bits are fewer than 2^35 seconds.
        let seconds = i64::try_from(time.0 / 1_000_000_000).unwrap_or(i64::MAX - DAY);
        (seconds + self.offset).max(0)
    }

    /// Days since 1970-01-01, local.
    pub fn day(self, time: Timestamp) -> u32 {
        u32::try_from(self.local_seconds(time) / DAY).unwrap_or(u32::MAX)
    }

    /// Hour of the day, 0–23.
    pub fn hour(self, time: Timestamp) -> usize {
        usize::try_from(self.local_seconds(time) % DAY / 3600).unwrap_or(0)
    }

    /// When a local day ends.
    pub fn end_of(self, day: u32) -> Timestamp {
        let seconds = (i64::from(day) + 1) * DAY - self.offset;
        Timestamp(
            u64::try_from(seconds)
                .unwrap_or(0)
                .saturating_mul(1_000_000_000),
        )
    }

    /// 0 = Monday.
    pub fn weekday(day: u32) -> usize {
        // 1970-01-01 was a Thursday.
        (day as usize + 3) % 7
    }
}

/// Days that last seconds: for who wants to see weeks go by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FastMotion {
    /// When it begins.
    pub begins: Timestamp,
    /// What that moment is taken for.
    pub stands_for: Timestamp,
    /// How long a day lasts.
    pub seconds_a_day: f64,
}

impl FastMotion {
    /// What a time is taken for; times before the beginning are what they are.
    pub fn time(&self, time: Timestamp) -> Timestamp {
        if time < self.begins {
            return time;
        }
        let factor = DAY as f64 / self.seconds_a_day;
        self.stands_for + time.since(self.begins).mul_f64(factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_fast_motion_a_day_lasts_seconds() {
        let at = |seconds: u64| Timestamp(seconds * 1_000_000_000);
        let fast = FastMotion {
            begins: at(1_000_000),
            stands_for: at(500_000),
            seconds_a_day: 4.0,
        };
        assert_eq!(fast.time(at(400_000)), at(400_000));
        assert_eq!(fast.time(at(1_000_000)), at(500_000));
        assert_eq!(fast.time(at(1_000_006)), at(500_000 + 86_400 * 3 / 2));
    }

    #[test]
    fn days_begin_at_local_midnight() {
        let berlin = Calendar { offset: 3600 };
        // 2024-02-29T23:30:00Z, a Thursday; in Berlin it is Friday, half past midnight.
        let time = Timestamp(1_709_249_400_000_000_000);
        assert_eq!(Calendar::default().day(time), 19_782);
        assert_eq!(Calendar::default().hour(time), 23);
        assert_eq!(Calendar::weekday(19_782), 3);
        assert_eq!(berlin.day(time), 19_783);
        assert_eq!(berlin.hour(time), 0);
        assert!(berlin.end_of(19_782) <= time);
        assert!(berlin.end_of(19_783) > time);
    }
}
