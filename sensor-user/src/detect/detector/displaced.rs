//! Rows off the usual hours and hosts: how many there are is ranked among all principals' days, most of which have
//! none. Together with how far the whole day is above what was expected, one day may be enough; small amounts night
//! after night go through the sequential test.

use std::collections::BTreeMap;

use super::{Detector, close::unit, groups::Total};
use crate::detect::{
    drift::Quantity,
    eprocess::normal_score,
    finding::{Finding, Lane, Subject},
    mix,
};

/// Days after which a day's amounts become part of what is usual.
const LAG: u32 = 7;
/// Rows off the usual hours and hosts that are worth a look.
const LEAST: u32 = 50;
/// A whole day so many times above what was expected counts towards the odds of that day.
const ABOVE: f64 = 1.8;
/// Normal scores are cut here.
const MOST: f64 = 3.6;

impl Detector {
    /// Judges what was read off the usual hours and hosts. `totals`: each one's records of the day.
    pub(super) fn judge_displaced(
        &mut self,
        day: u32,
        active: &[u32],
        totals: &BTreeMap<u32, Total>,
        findings: &mut Vec<Finding>,
    ) {
        let parity = (day & 1) as usize;
        let time = self.end_of(day);
        let needed = self.calibration.drift_odds.ln() as f32;
        let mut amounts = Vec::with_capacity(active.len());
        for id in active {
            let principal = &mut self.state.principals[*id as usize];
            let tally = &principal.tallies[parity];
            let amount = (tally.displaced as f32).ln_1p();
            amounts.push(amount);
            if !self.state.displaced.is_ready()
                || principal.series[0].days() < self.calibration.own_days
            {
                continue;
            }
            let tie = unit(mix(u64::from(*id) << 32 | u64::from(day)) ^ 99);
            let p = self.state.displaced.p_value(amount, tie);
            principal
                .displaced
                .update(normal_score(p).clamp(-MOST, MOST) as f32);
            let usual = totals.get(id).map_or(0.0, |total| total.expected);
            let records = tally.amount(Quantity::Records);
            let displaced = tally.displaced;
            if displaced < LEAST {
                continue;
            }
            // One day: the product of two probabilities is itself as small with probability x(1 − ln x). That a
            // whole day is so far above expectation happens to about one in twenty.
            let mut log = principal.displaced.log();
            if records >= ABOVE * usual && f64::from(displaced) >= 0.5 * usual {
                let product = p.max(1e-5) * 0.05;
                let combined = product * (1.0 - product.ln());
                log = log.max(-(combined.ln()) as f32);
            }
            // A day's odds of one in ten thousand are what a lane may cost.
            let one_day = records >= ABOVE * usual && log >= 10_000f32.ln();
            if log < needed && !one_day {
                continue;
            }
            principal.displaced.reset();
            findings.push(Finding {
                lane: Lane::Drift,
                subject: Subject::Principal(*id),
                time,
                quantity: Quantity::Rows,
                observed: f64::from(displaced),
                expected: 0.0,
                peers: None,
                window: 86_400,
                days: 1,
                log_odds: log,
                table: None,
                share: None,
                members: Vec::new(),
                remark: Some(
                    "These rows came at hours when its group does next to nothing, or from a client host that is new to it."
                        .into(),
                ),
            });
        }
        self.state.displaced.push(day, amounts, LAG);
    }
}
