//! The coverage lane: how much of a sensitive table has somebody seen over a day, a week, a month, a quarter?
//!
//! Distinct records ignore re-reads, and what is compared is the rate of whole months with an anchor that moves a
//! tenth of a percent a day at most: a ramp that is slow enough to become its own baseline is not slow enough here.

use serde::{Deserialize, Serialize};

use super::{eprocess::normal_score, sketch::Distinct};

/// The windows, in days.
pub const WINDOWS: [u32; 4] = [1, 7, 30, 90];
/// The window that the anchor is about, by its place in [`WINDOWS`].
pub const MONTH: usize = 2;
/// Days that are kept.
const DAYS: usize = 90;
/// Hashes kept a principal and table: 3 kB, an error of 4 % of the quarter and of 15 % of an even week.
const CAPACITY: usize = 512;
/// Active days before there is an anchor.
const ANCHOR_DAYS: u16 = 40;
/// Most that an anchor rises an active day, and falls.
const ANCHOR_RISE: f32 = 0.001;
/// See `ANCHOR_RISE`.
const ANCHOR_FALL: f32 = 0.01;
/// Peers without which there is no comparing.
pub const PEERS: usize = 8;
/// Shares of a table, by window, above which less is asked of the comparison.
const BUDGETS: [f64; 4] = [0.001, 0.002, 0.005, 0.01];
/// Records in a window below which nothing is worth a look.
const LEAST: [f64; 4] = [1000.0, 1500.0, 2000.0, 4000.0];
/// Nobody's peers are more alike than this (natural logarithm).
const LEAST_SPREAD: f32 = 0.3;
/// Readers that the spread of all readers of the table weighs as much as.
const SPREAD_PRIOR: f32 = 20.0;
/// So many times the own anchor is a ramp.
const RAMP: f32 = 2.8;
/// So many times the own month's rate is what a day or a week must have to be above the own past: on days when the peers
/// do little, who reads the same every day is far above them.
const ABOVE_MONTH: f64 = 2.0;
/// An own past less even than this is none to rely on.
const OWN_SPREAD: f32 = 0.2;

/// One principal and table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Database and table, numbers.
    pub table: (u32, u32),
    /// Records a day that only a count is known of, by the day's remainder.
    counted: Vec<u32>,
    /// Records whose hashes are known.
    keys: Option<Box<Distinct>>,
    /// One bit an active day, the newest lowest.
    active: u128,
    /// The newest day.
    day: u32,
    /// Active days so far.
    days: u16,
    /// The own usual rate over a month in proportion to the peers' (logarithm).
    anchor: f32,
    /// The peers' median over a month, when last seen (logarithm).
    peers: f32,
}

/// What the lane found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    /// Place in [`WINDOWS`].
    pub window: usize,
    /// Records an active day in it.
    pub rate: f64,
    /// What was to be expected.
    pub expected: f64,
    /// Natural logarithm of "1 in N".
    pub log_odds: f32,
    /// Why, for the explanation.
    pub reason: Reason,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Far above peers and the own past.
    AbovePeers,
    /// New here, and above what peers read.
    Newcomer,
    /// Far above the own past of months ago, however slowly it came.
    Ramp,
}

/// What the peers read of the table, as logarithms of records an active day in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peers {
    /// The middle one.
    pub median: f32,
    /// How far apart they are (a standard deviation).
    pub spread: f32,
}

impl Peers {
    /// How far apart a few are is known badly: mixed with how far apart all readers of the table are.
    pub fn shrunk(self, count: usize, all: &Self) -> Self {
        let count = count as f32;
        let variance = (count * self.spread.powi(2) + SPREAD_PRIOR * all.spread.powi(2))
            / (count + SPREAD_PRIOR);
        Self {
            spread: variance.sqrt(),
            ..self
        }
    }
}

impl Coverage {
    /// Nothing seen yet.
    pub fn new(table: (u32, u32)) -> Self {
        Self {
            table,
            counted: vec![0; DAYS],
            keys: None,
            active: 0,
            day: 0,
            days: 0,
            anchor: 0.0,
            peers: 0.0,
        }
    }

    /// Records of which only a count is known.
    pub fn count(&mut self, day: u32, records: u64) {
        self.advance(day);
        let at = day as usize % DAYS;
        if day.saturating_add(DAYS as u32) > self.day {
            let records = u32::try_from(records).unwrap_or(u32::MAX);
            self.counted[at] = self.counted[at].saturating_add(records);
        }
    }

    /// Records whose hashes are known.
    pub fn insert(&mut self, day: u32, hashes: &[u64]) {
        self.advance(day);
        let keys = self.keys.get_or_insert_with(Box::default);
        for hash in hashes {
            keys.insert(*hash, short(day), CAPACITY);
        }
    }

    fn advance(&mut self, day: u32) {
        if day > self.day {
            let passed = day - self.day;
            if self.day == 0 || passed as usize >= DAYS {
                self.counted.fill(0);
                self.active = 0;
            } else {
                for step in 1..=passed {
                    self.counted[(self.day + step) as usize % DAYS] = 0;
                }
                self.active <<= passed;
            }
            self.day = day;
            self.days = self.days.saturating_add(1);
            self.active |= 1;
            if let Some(keys) = &mut self.keys {
                keys.expire(short(day.saturating_sub(DAYS as u32 - 1)));
            }
        }
    }

    /// Distinct records in a window that ends with `day`, by its place in [`WINDOWS`].
    pub fn records(&self, window: usize, day: u32) -> f64 {
        let from = (day + 1).saturating_sub(WINDOWS[window]);
        let counted: u64 = (from..=day.min(self.day))
            .filter(|day| day + DAYS as u32 > self.day)
            .map(|day| u64::from(self.counted[day as usize % DAYS]))
            .sum();
        let hashed = self
            .keys
            .as_ref()
            .map_or(0.0, |keys| keys.count(short(from)));
        counted as f64 + hashed
    }

    /// Active days in a window that ends with `day`; at least one.
    pub fn active_days(&self, window: usize, day: u32) -> u32 {
        let behind = self.day.saturating_sub(day);
        let mask = (1u128 << WINDOWS[window]) - 1;
        ((self.active >> behind.min(127)) & mask)
            .count_ones()
            .max(1)
    }

    /// Records an active day in a window that ends with `day`.
    pub fn rate(&self, window: usize, day: u32) -> f64 {
        self.records(window, day) / f64::from(self.active_days(window, day))
    }

    /// Active days so far.
    pub fn days(&self) -> u16 {
        self.days
    }

    /// Judges a day. `size`: rows of the table; `newcomer`: it came when its peers had
    /// long been known.
    pub fn judge(
        &mut self,
        day: u32,
        peers: &[Option<Peers>; WINDOWS.len()],
        size: Option<u64>,
        newcomer: bool,
    ) -> Option<Excess> {
        let anchored = self.days > ANCHOR_DAYS;
        let of_month = self.rate(MONTH, day);
        let mut found: Option<Excess> = None;
        for window in 0..WINDOWS.len() {
            let Some(peers) = &peers[window] else {
                continue;
            };
            let records = self.records(window, day);
            let active = self.active_days(window, day);
            let rate = records / f64::from(active);
            let above = (rate + 1.0).ln() as f32 - peers.median;
            let z = above / peers.spread.max(LEAST_SPREAD);
            let over = size.is_some_and(|size| records >= BUDGETS[window] * size as f64);
            let worth = records >= LEAST[window].min(size.map_or(f64::MAX, |s| s as f64 / 20.0));
            let expected_of_peers = f64::from(peers.median).exp() - 1.0;
            let own = above - self.anchor;
            let beyond_month = window >= MONTH || rate >= ABOVE_MONTH * of_month;
            let excess = if !anchored {
                let enough = window == MONTH && newcomer && active >= 5;
                (enough && z >= 2.3 && above >= 2.5f32.ln()).then(|| Excess {
                    window,
                    rate,
                    expected: expected_of_peers,
                    log_odds: log_odds(z),
                    reason: Reason::Newcomer,
                })
            } else if worth && z >= if over { 3.0 } else { 4.5 } && own >= 3f32.ln() && beyond_month
            {
                Some(Excess {
                    window,
                    rate,
                    expected: f64::from(peers.median + self.anchor.max(0.0)).exp(),
                    log_odds: log_odds(z),
                    reason: Reason::AbovePeers,
                })
            } else if worth && window == MONTH && own >= RAMP.ln() && above > 0.0 {
                Some(Excess {
                    window,
                    rate,
                    expected: f64::from(peers.median + self.anchor).exp(),
                    log_odds: log_odds(own / OWN_SPREAD),
                    reason: Reason::Ramp,
                })
            } else {
                None
            };
            if let Some(excess) = excess
                && found.is_none_or(|found| excess.log_odds > found.log_odds)
            {
                found = Some(excess);
            }
        }
        if let Some(month) = &peers[MONTH] {
            self.peers = month.median;
            self.move_anchor((of_month + 1.0).ln() as f32 - month.median);
        }
        found
    }

    fn move_anchor(&mut self, above: f32) {
        if self.days <= ANCHOR_DAYS {
            // The newest whole month; the first days may have been training.
            self.anchor = above;
        } else {
            self.anchor = above.clamp(self.anchor - ANCHOR_FALL, self.anchor + ANCHOR_RISE);
        }
    }

    /// "New normal": the present rate is the anchor.
    pub fn accept(&mut self, day: u32) {
        let rate = (0..=MONTH)
            .map(|window| self.rate(window, day))
            .fold(0.0, f64::max);
        self.anchor = (rate + 1.0).ln() as f32 - self.peers;
    }
}

/// A day in sixteen bits: days since 1970 fit until 2149.
fn short(day: u32) -> u16 {
    u16::try_from(day).unwrap_or(u16::MAX)
}

/// Logarithm of N in "1 in N" for a normal score; beyond five, distributions are not known well enough to say more.
fn log_odds(z: f32) -> f32 {
    let z = f64::from(z.min(5.0));
    // The upper tail, found by bisection of its inverse.
    let (mut low, mut high) = (-20.0f64, 0.0f64);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if normal_score(middle.exp()) > z {
            low = middle;
        } else {
            high = middle;
        }
    }
    -low as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Peers = Peers {
        median: 4.4,
        spread: 0.4,
    };
    const ALL: [Option<Peers>; 4] = [Some(PEER); 4];
    const SIZE: Option<u64> = Some(12_000_000);

    /// Feeds `rate(day)` a day from day 1000 on; the day of the first finding.
    fn run(days: u32, rate: impl Fn(u32) -> f64) -> Option<(u32, Excess)> {
        let mut coverage = Coverage::new((0, 0));
        (0..days).find_map(|day| {
            coverage.count(1000 + day, rate(day).round() as u64);
            let excess = coverage.judge(1000 + day, &ALL, SIZE, true)?;
            Some((day, excess))
        })
    }

    #[test]
    fn windows_add_up_and_forget() {
        let mut coverage = Coverage::new((0, 0));
        for day in 0..100 {
            coverage.count(1000 + day, 10);
        }
        assert_eq!(coverage.records(0, 1099), 10.0);
        assert_eq!(coverage.records(1, 1099), 70.0);
        assert_eq!(coverage.records(2, 1099), 300.0);
        assert_eq!(coverage.records(3, 1099), 900.0);
        coverage.count(1150, 5);
        assert_eq!(coverage.records(2, 1150), 5.0);
        assert_eq!(coverage.records(3, 1150), 395.0);
        assert_eq!(coverage.active_days(3, 1150), 40);
        coverage.count(1400, 1);
        assert_eq!(coverage.records(3, 1400), 1.0);
    }

    #[test]
    fn re_reads_count_once() {
        let mut coverage = Coverage::new((0, 0));
        let same: Vec<u64> = (0..300).collect();
        for day in 0..30 {
            coverage.insert(1000 + day, &same);
        }
        assert_eq!(coverage.records(2, 1029), 300.0);
    }

    #[test]
    fn an_even_reader_never_alerts_even_one_with_three_times_the_work() {
        assert_eq!(run(400, |_| 80.0), None);
        assert_eq!(run(400, |day| if day < 50 { 80.0 } else { 120.0 }), None);
    }

    /// A backup, say, among programs that follow the week.
    #[test]
    fn who_reads_the_same_every_day_never_alerts_when_peers_rest_at_weekends() {
        let mut coverage = Coverage::new((0, 0));
        for day in 0..200 {
            coverage.count(1000 + day, 12_000_000);
            let rest = if day % 7 >= 5 { 2.5 } else { 0.0 };
            // What peers read again and again is distinct once: their month's rate falls until the month is full.
            let month = 1.0 / f32::from(u16::try_from(day.min(29)).expect("small") + 1).sqrt();
            let mut peers = ALL;
            for (window, peers) in peers.iter_mut().enumerate() {
                let peers = peers.as_mut().expect("peers");
                peers.median = [9.0 - rest, 8.5, 8.0 + month, 8.0 + month][window];
                peers.spread = 1.0;
            }
            assert_eq!(
                coverage.judge(1000 + day, &peers, SIZE, false),
                None,
                "{day}"
            );
        }
    }

    #[test]
    fn a_poisoned_ramp_is_caught() {
        // Five percent a week.
        let ramp = |day: u32| {
            80.0 * if day < 60 {
                1.0
            } else {
                1.05f64.powf(f64::from(day - 60) / 7.0)
            }
        };
        let (day, excess) = run(400, ramp).expect("caught");
        assert_eq!(excess.reason, Reason::Ramp);
        assert!(day < 60 + 210, "{day}");
    }

    #[test]
    fn a_dump_is_caught_on_its_day() {
        let (day, excess) = run(100, |day| if day < 60 { 80.0 } else { 3000.0 }).expect("caught");
        assert_eq!((day, excess.window), (60, 0));
    }

    #[test]
    fn a_newcomer_who_reads_four_times_as_much_as_others_is_caught_by_the_peers() {
        let (day, excess) = run(40, |_| 360.0).expect("caught");
        assert_eq!((day, excess.reason), (4, Reason::Newcomer));
        assert_eq!(run(40, |_| 120.0), None);
    }

    #[test]
    fn odds_are_those_of_the_normal_tail() {
        assert!((log_odds(3.0) - 740f32.ln()).abs() < 0.01);
        assert!((log_odds(9.0) - 3_488_556f32.ln()).abs() < 0.01);
    }
}
