//! The fast lane: amounts of minutes, judged with each observation against the largest of the own and the peers' past.
//!
//! What each window may hold is worked out once a day, so that an observation costs a few additions and comparisons.

use serde::{Deserialize, Serialize};

/// The windows, in seconds.
pub const WINDOWS: [u64; 3] = [60, 600, 3600];
/// Rows and bytes.
pub const KINDS: usize = 2;
/// All gauges: rows by window, then bytes by window.
pub const GAUGES: usize = WINDOWS.len() * KINDS;
/// Amounts below which nothing is worth a look: rows, then bytes.
const LEAST: [f32; GAUGES] = [500.0, 1000.0, 2000.0, 4e6, 8e6, 16e6];
/// An alert takes so many times the own largest …
const ABOVE_OWN: f32 = 4.0;
/// … and so many times what nearly all peers' largest are.
const ABOVE_PEERS: f32 = 2.0;
/// After an alert, the next takes so many times as much.
const AGAIN: f32 = 5.0;
/// Active days before the own past counts.
const OWN_DAYS: u16 = 10;
/// What is left of a largest amount after an active day: half after two months.
const FADES: f32 = 0.984;

/// Sliding windows of one principal: what fell into the present and into the previous stretch of each length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fast {
    gauges: [Gauge; GAUGES],
    /// Active days in `largest`.
    days: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Gauge {
    /// Number of the present stretch.
    stretch: u32,
    present: f32,
    previous: f32,
    /// Largest of the open days.
    today: f32,
    /// Largest of the past, fading.
    largest: f32,
    /// More than this alerts.
    limit: f32,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            stretch: 0,
            present: 0.0,
            previous: 0.0,
            today: 0.0,
            largest: 0.0,
            // Nothing is known yet: hard limits hold.
            limit: f32::INFINITY,
        }
    }
}

/// A window that holds too much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Seconds.
    pub window: u64,
    /// True for bytes, false for rows.
    pub bytes: bool,
    /// How much.
    pub observed: f64,
    /// The largest of the own past.
    pub largest: f64,
}

impl Fast {
    /// Takes in rows and bytes at a time (seconds since 1970); the window that is furthest beyond what it may hold.
    pub fn add(&mut self, seconds: u64, rows: u64, bytes: u64) -> Option<Burst> {
        let mut burst: Option<(f32, Burst)> = None;
        for (at, gauge) in self.gauges.iter_mut().enumerate() {
            let window = WINDOWS[at % WINDOWS.len()];
            let is_bytes = at >= WINDOWS.len();
            let amount = if is_bytes { bytes } else { rows } as f32;
            let held = gauge.add(seconds, window, amount);
            if held > gauge.limit {
                let beyond = held / gauge.limit;
                gauge.limit = held * AGAIN;
                if burst.is_none_or(|(other, _)| beyond > other) {
                    burst = Some((
                        beyond,
                        Burst {
                            window,
                            bytes: is_bytes,
                            observed: f64::from(held),
                            largest: f64::from(gauge.largest),
                        },
                    ));
                }
            }
        }
        burst.map(|(_, burst)| burst)
    }

    /// Rows so far in the hour of a time (seconds since 1970); in the newest hour for times before it.
    pub fn rows_of_hour(&self, seconds: u64) -> f64 {
        let hours = &self.gauges[WINDOWS.len() - 1];
        if seconds / 3600 > u64::from(hours.stretch) {
            return 0.0;
        }
        f64::from(hours.present)
    }

    /// Largest amounts of the own past, for the peers.
    pub fn largest(&self) -> [f32; GAUGES] {
        self.gauges.map(|gauge| gauge.largest)
    }

    /// Active days that they are from.
    pub fn days(&self) -> u16 {
        self.days
    }

    /// An active day is over. `peers`: what nearly all peers' largest amounts are below, once there are peers.
    pub fn close(&mut self, peers: Option<&[f32; GAUGES]>) {
        self.days = self.days.saturating_add(1);
        for (at, gauge) in self.gauges.iter_mut().enumerate() {
            // A day far beyond the limit does not raise it at once: who does it daily is told of daily, then it is known.
            let today = std::mem::take(&mut gauge.today);
            let most = (gauge.largest * 2.0).max(LEAST[at] / ABOVE_OWN);
            gauge.largest = if self.days > OWN_DAYS {
                (gauge.largest * FADES).max(today.min(most))
            } else {
                (gauge.largest * FADES).max(today)
            };
            let of_peers = peers.map_or(0.0, |peers| peers[at] * ABOVE_PEERS);
            gauge.limit = if self.days >= OWN_DAYS {
                (gauge.largest * ABOVE_OWN).max(of_peers).max(LEAST[at])
            } else if peers.is_some() {
                (of_peers * ABOVE_PEERS).max(LEAST[at])
            } else {
                f32::INFINITY
            };
        }
    }

    /// Somebody new: held against the peers from the first moment on.
    pub fn begin(&mut self, peers: &[f32; GAUGES]) {
        for (at, gauge) in self.gauges.iter_mut().enumerate() {
            gauge.limit = (peers[at] * ABOVE_PEERS * ABOVE_PEERS).max(LEAST[at]);
        }
    }
}

impl Gauge {
    /// Adds; what the window that ends now holds: the present stretch, and of the previous one as much as reaches in.
    fn add(&mut self, seconds: u64, window: u64, amount: f32) -> f32 {
        let stretch = u32::try_from(seconds / window).unwrap_or(u32::MAX);
        if stretch > self.stretch {
            self.previous = if stretch == self.stretch + 1 {
                self.present
            } else {
                0.0
            };
            self.present = 0.0;
            self.stretch = stretch;
        }
        self.present += amount;
        let into = (seconds % window) as f32 / window as f32;
        let held = self.present + self.previous * (1.0 - into);
        self.today = self.today.max(held);
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> Fast {
        let mut fast = Fast::default();
        for day in 0..30u64 {
            for ticket in 0..40 {
                assert_eq!(fast.add(day * 86_400 + ticket * 600, 3, 500), None);
            }
            fast.close(Some(&[30.0, 60.0, 200.0, 9e3, 2e4, 5e4]));
        }
        fast
    }

    #[test]
    fn five_hundred_rows_every_half_minute_are_caught_within_minutes() {
        let mut fast = trained();
        let start = 31 * 86_400;
        let first = (0..40)
            .find(|step| fast.add(start + step * 30, 500, 90_000).is_some())
            .expect("caught");
        assert!(first * 30 <= 120, "after {} s", first * 30);
    }

    #[test]
    fn it_is_told_once_until_it_is_five_times_as_much() {
        let mut fast = trained();
        let start = 31 * 86_400;
        let told = (0..40)
            .filter(|step| {
                fast.add(start + step * 30, 500, 90_000)
                    .is_some_and(|burst| burst.window == 3600)
            })
            .count();
        assert!(told <= 2, "{told}");
    }

    #[test]
    fn three_times_the_usual_is_no_burst() {
        let mut fast = trained();
        for ticket in 0..120 {
            assert_eq!(fast.add(31 * 86_400 + ticket * 200, 9, 1500), None);
        }
    }

    #[test]
    fn late_records_do_not_turn_time_back() {
        let mut fast = trained();
        fast.add(31 * 86_400 + 7200, 3, 1);
        let before = fast.gauges[0].stretch;
        fast.add(31 * 86_400, 3, 1);
        assert_eq!(fast.gauges[0].stretch, before);
    }
}
