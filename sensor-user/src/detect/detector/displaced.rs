//! Rows off the usual hours, or by new client hosts – and beyond what a whole usual day has: who only moves to another
//! computer or works late does not read more. How many there are is ranked among all principals' days, most of which have
//! none.

use std::collections::BTreeMap;

use super::{Detector, close::tie, groups::Total, tally::Details};
use crate::detect::{
    drift::Quantity,
    eprocess::normal_score,
    finding::{Finding, Lane, Subject},
    pool::Pool,
};

/// Days after which a day's amounts become part of what is usual.
const LAG: u32 = 7;
/// Rows that are worth a look.
const LEAST: f64 = 50.0;
/// A whole day so many times above what was expected counts towards the odds of that day.
const ABOVE: f64 = 1.8;
/// In statements, too: one answer may be long by chance.
const STATEMENTS_ABOVE: f64 = 1.3;
/// Off the usual hours, a day may count when so many times a usual day was read there …
const OFF_HOURS_SHARE: f64 = 0.5;
/// … and by a new host, when it was as much as a whole usual day …
const NEW_HOST_SHARE: f64 = 1.0;
/// … while the work went on from the hosts that are known: who has moved to another computer works there only.
const KNOWN_HOSTS_SHARE: f64 = 0.3;
/// A day's odds that are told of, of rows off the usual hours: people do work late, and a second night says more than a first.
const ONE_NIGHT: f64 = 30_000.0;
/// The same by new hosts. Hardly anybody works at two places at once: one who did lately must not hide the next …
const NEW_HOST: f64 = 2_000.0;
/// … but those do who share an account, whose hosts are watched one by one (`shared`).
const NEW_HOST_OF_MANY: f64 = 10_000.0;
/// A whole day so far above expectation happens to about one in so many.
const DAYS_ABOVE: f64 = 20.0;
/// Normal scores are cut here.
const MOST: f64 = 3.6;

/// A principal's day, and what was to be expected of it.
struct Day {
    rows: f64,
    off_hours: f64,
    new_hosts: f64,
    usual: f64,
    is_above: bool,
}

impl Day {
    fn new(details: Option<&Details>, rows: Total, statements: Total) -> Self {
        let sum = |of: fn(&Details) -> u32| details.map_or(0.0, |details| f64::from(of(details)));
        Self {
            rows: rows.observed,
            off_hours: sum(|details| details.off_hours),
            new_hosts: sum(|details| details.new_hosts),
            usual: rows.expected,
            is_above: rows.observed >= ABOVE * rows.expected
                && statements.observed >= STATEMENTS_ABOVE * statements.expected,
        }
    }

    /// Of an amount, what goes beyond a usual day.
    fn beyond(&self, amount: f64) -> f64 {
        amount.min(self.rows - self.usual).max(0.0)
    }

    /// By new hosts, beyond a usual day, while work goes on from those that are known.
    fn beside(&self) -> f64 {
        if self.rows - self.new_hosts >= KNOWN_HOSTS_SHARE * self.usual {
            self.beyond(self.new_hosts)
        } else {
            0.0
        }
    }
}

impl Detector {
    /// Judges what was read off the usual hours and hosts. `totals`: each one's day by quantity.
    pub(super) fn judge_displaced(
        &mut self,
        day: u32,
        (active, names): (&[u32], &[u64]),
        totals: &[BTreeMap<u32, Total>; Quantity::ALL.len()],
        findings: &mut Vec<Finding>,
    ) {
        let parity = (day & 1) as usize;
        let needed = self.calibration.drift_odds_large.ln() as f32;
        let [rows, statements] =
            [Quantity::Rows, Quantity::Statements].map(|q| &totals[q as usize]);
        let (mut off_hours, mut new_hosts) = (Vec::new(), Vec::new());
        for (id, name) in active.iter().zip(names) {
            let (Some(rows), Some(statements)) = (rows.get(id), statements.get(id)) else {
                continue;
            };
            let principal = &mut self.state.principals[*id as usize];
            let today = Day::new(principal.tallies[parity].details(), *rows, *statements);
            let (late, beside) = (today.beyond(today.off_hours), today.beside());
            off_hours.push(late.ln_1p() as f32);
            new_hosts.push(beside.ln_1p() as f32);
            if principal.series[0].days() < self.calibration.own_days {
                continue;
            }
            let tie = tie(*name, day, 99);
            let rank = |pool: &Pool, amount: f64| {
                pool.is_ready()
                    .then(|| pool.p_value(amount.ln_1p() as f32, tie))
            };
            let mut found: Option<(f32, f64, &str)> = None;
            if let Some(p) = rank(&self.state.off_hours, late) {
                principal
                    .off_hours
                    .update(normal_score(p).clamp(-MOST, MOST) as f32);
                let mut log = principal.off_hours.log();
                if today.is_above && late >= OFF_HOURS_SHARE * today.usual {
                    log = log.max(one_day(p));
                }
                let told = log >= needed || (today.is_above && log >= ONE_NIGHT.ln() as f32);
                if told && late >= LEAST {
                    principal.off_hours.reset();
                    found = Some((
                        log,
                        today.off_hours,
                        "These rows came at hours when its group does next to nothing, beyond a usual day's work.",
                    ));
                }
            }
            if let Some(p) = rank(&self.state.new_hosts, beside)
                && today.is_above
                && beside >= LEAST
                && today.new_hosts >= NEW_HOST_SHARE * today.usual
            {
                let log = one_day(p);
                let odds = if principal.habits.shared(day) {
                    NEW_HOST_OF_MANY
                } else {
                    NEW_HOST
                };
                if log >= odds.ln() as f32 && found.is_none_or(|(other, ..)| log > other) {
                    found = Some((
                        log,
                        today.new_hosts,
                        "These rows came from a client host that is new to it, while it worked from its usual hosts as ever.",
                    ));
                }
            }
            let Some((log_odds, observed, remark)) = found else {
                continue;
            };
            let table = principal.table();
            findings.push(Finding {
                lane: Lane::Drift,
                subject: Subject::Principal(*id),
                time: self.end_of(day),
                quantity: Quantity::Rows,
                observed,
                expected: 0.0,
                peers: None,
                window: 86_400,
                days: 1,
                log_odds,
                table,
                share: None,
                members: Vec::new(),
                remark: Some(remark.into()),
            });
        }
        self.state.off_hours.push(day, off_hours, LAG);
        self.state.new_hosts.push(day, new_hosts, LAG);
    }
}

/// Logarithm of the odds of a day that is far above expectation and has so rare an amount: the product of two
/// probabilities is itself as small with probability x(1 − ln x).
fn one_day(p: f64) -> f32 {
    let product = p.max(1e-5) / DAYS_ABOVE;
    -(product * (1.0 - product.ln())).ln() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(rows: u32, off_hours: u32, new_hosts: u32) -> Day {
        let details = Details {
            off_hours,
            new_hosts,
            ..Details::default()
        };
        let total = |observed: u32, expected| Total {
            observed: f64::from(observed),
            expected,
            common: 0.0,
        };
        Day::new(Some(&details), total(rows, 90.0), total(rows / 2, 45.0))
    }

    #[test]
    fn who_moves_or_works_late_reads_nothing_beyond_a_usual_day() {
        let moved = day(95, 0, 95);
        assert_eq!(moved.beside(), 0.0);
        let late = day(80, 60, 0);
        assert_eq!(late.beyond(late.off_hours), 0.0);
        let busy_on_the_new_computer = day(200, 0, 195);
        assert_eq!(busy_on_the_new_computer.beside(), 0.0);
    }

    #[test]
    fn a_thief_beside_the_work_does() {
        let night = day(390, 300, 0);
        assert!(night.is_above);
        assert_eq!(night.beyond(night.off_hours), 300.0);
        let elsewhere = day(270, 0, 180);
        assert!(elsewhere.is_above);
        assert_eq!(elsewhere.beside(), 180.0);
    }
}
