//! Accounts that several people share: who of them reads far more than ever is told by his client host.
//!
//! Only an account that comes from several hosts day after day is watched so. For each of its hosts the usual day's rows
//! are known; a finding takes one host far above its own usual *and* the account as a whole above what was expected.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Detector, groups::Total};
use crate::detect::{
    drift::Quantity,
    eprocess::normal_score,
    finding::{Finding, Lane, Subject},
    ring::{Ring, median},
};

/// Pairs of account and host at most.
const MOST: usize = 20_000;
/// Days without which a pair is forgotten.
const FORGOTTEN: u32 = 60;
/// Active days before a pair's past counts.
const OWN_DAYS: usize = 15;
/// A host so many times above its usual day …
const ABOVE: f64 = 4.0;
/// … and so many standard deviations, of which there are at least so many logarithmic units …
const DEVIATIONS: f32 = 3.0;
/// See `DEVIATIONS`.
const LEAST_SPREAD: f32 = 0.35;
/// … and the account so many times above what was expected of it …
const ACCOUNT_ABOVE: f64 = 1.5;
/// … or itself so many times above what would be a usual day of it today: nobody stands in for so many …
const ALONE: f64 = 6.0;
/// … of which the host has so large a share.
const SHARE: f64 = 0.4;
/// Rows that are worth a look.
const LEAST: f64 = 50.0;
/// Beyond so many deviations distributions are not known well enough to say more.
const MOST_DEVIATIONS: f32 = 4.5;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shared {
    pairs: BTreeMap<(u32, u32), Pair>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Pair {
    /// Day and rows of the open days, by the day's parity.
    tallies: [(u32, u32); 2],
    /// Logarithms of the usual days' rows.
    days: Ring<i16, 32>,
    last_day: u32,
    /// Told of on this day; not again until it has been as usual.
    told: bool,
}

impl Shared {
    /// Rows of an account by one of its hosts.
    pub fn add(&mut self, id: u32, host: u32, day: u32, rows: u64) {
        if self.pairs.len() >= MOST && !self.pairs.contains_key(&(id, host)) {
            return;
        }
        let pair = self.pairs.entry((id, host)).or_default();
        let tally = &mut pair.tallies[(day & 1) as usize];
        if tally.0 != day {
            *tally = (day, 0);
        }
        tally.1 = tally
            .1
            .saturating_add(u32::try_from(rows).unwrap_or(u32::MAX));
        pair.last_day = pair.last_day.max(day);
    }

    /// Principals have other numbers, or none any more.
    pub fn renumber(&mut self, renumber: impl Fn(u32) -> Option<u32>) {
        self.pairs = std::mem::take(&mut self.pairs)
            .into_iter()
            .filter_map(|((id, host), pair)| Some(((renumber(id)?, host), pair)))
            .collect();
    }

    /// The host by which each account read far more than ever today: account, host, rows, usual rows, deviations.
    fn judge(&mut self, day: u32, totals: &BTreeMap<u32, Total>) -> Vec<(u32, u32, f64, f64, f32)> {
        let mut found = Vec::new();
        for ((id, host), pair) in &mut self.pairs {
            let (of, rows) = pair.tallies[(day & 1) as usize];
            let Some(total) = totals.get(id).filter(|_| of == day && rows > 0) else {
                continue;
            };
            let rows = f64::from(rows);
            let log = rows.ln_1p() as f32;
            if let Some((usual, spread)) = pair.usual() {
                let deviations = (log - usual) / spread;
                let above = f64::from(usual).exp();
                let far =
                    rows >= ABOVE * above && deviations >= DEVIATIONS && rows - above >= LEAST;
                if !far {
                    pair.told = false;
                } else if !pair.told
                    && rows >= SHARE * total.observed
                    && (total.observed >= ACCOUNT_ABOVE * total.expected
                        || rows >= ALONE * above * f64::from(total.common.max(0.0)).exp())
                {
                    pair.told = true;
                    found.push((*id, *host, rows, above, deviations));
                }
            }
            pair.days.push(log);
        }
        self.pairs
            .retain(|_, pair| pair.last_day + FORGOTTEN >= day);
        found
    }
}

impl Pair {
    /// Middle and spread of the logarithms, once there are enough days.
    fn usual(&self) -> Option<(f32, f32)> {
        if self.days.len() < OWN_DAYS {
            return None;
        }
        let mut days: Vec<f32> = self.days.iter().collect();
        let middle = median(&mut days);
        for day in &mut days {
            *day = (*day - middle).abs();
        }
        Some((middle, (1.4826 * median(&mut days)).max(LEAST_SPREAD)))
    }
}

impl Detector {
    /// Judges the hosts of shared accounts. `totals`: each active principal's rows of the day.
    pub(super) fn judge_shared(
        &mut self,
        day: u32,
        totals: &BTreeMap<u32, Total>,
        findings: &mut Vec<Finding>,
    ) {
        let time = self.end_of(day);
        for (id, host, observed, expected, deviations) in self.state.shared.judge(day, totals) {
            findings.push(Finding {
                lane: Lane::Group,
                subject: Subject::Principal(id),
                time,
                quantity: Quantity::Rows,
                observed,
                expected,
                peers: None,
                window: 86_400,
                days: 1,
                log_odds: log_odds(deviations),
                table: None,
                share: None,
                members: Vec::new(),
                remark: Some(
                    format!(
                        "Several people use this account; these are the rows by client host {} alone, which has never read nearly as many.",
                        self.state.hosts.names.text(host)
                    )
                    .into(),
                ),
            });
        }
    }
}

/// Logarithm of the odds of a host this far above its usual, and its account on a day that is as high as one in ten.
fn log_odds(deviations: f32) -> f32 {
    let wanted = f64::from(deviations.min(MOST_DEVIATIONS));
    let (mut low, mut high) = (-16.0f64, 0.0f64);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if normal_score(middle.exp()) > wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    (10f64.ln() - low) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(shared: &mut Shared, day: u32, rows: [u64; 4]) -> Vec<(u32, u32, f64, f64, f32)> {
        for (host, rows) in (0..).zip(rows) {
            shared.add(1, host, day, rows);
        }
        let observed = rows.iter().sum::<u64>() as f64;
        let total = Total {
            observed,
            expected: 400.0,
            common: 0.0,
        };
        shared.judge(day, &BTreeMap::from([(1, total)]))
    }

    #[test]
    fn one_of_several_people_who_reads_as_much_as_all_is_told_of_on_the_first_day() {
        let mut shared = Shared::default();
        for number in 0..30 {
            let rows = [90 + u64::from(number % 7) * 5, 110, 80, 120];
            assert_eq!(day(&mut shared, 1000 + number, rows), []);
        }
        let found = day(&mut shared, 1030, [100, 110, 500, 120]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0, found[0].1, found[0].2), (1, 2, 500.0));
        assert!(log_odds(found[0].4) > 9.0);
        // Not every day again.
        assert_eq!(day(&mut shared, 1031, [100, 110, 500, 120]), []);
    }

    #[test]
    fn all_of_them_on_a_busy_day_are_not() {
        let mut shared = Shared::default();
        for number in 0..30 {
            assert_eq!(day(&mut shared, 1000 + number, [100, 100, 100, 100]), []);
        }
        assert_eq!(day(&mut shared, 1030, [300, 300, 300, 300]), []);
        // Somebody stands in for all who are away: the account as a whole is as ever.
        assert_eq!(day(&mut shared, 1031, [420, 0, 0, 0]), []);
    }
}
