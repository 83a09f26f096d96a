//! The end of a day: every active principal's amounts are judged against its past and its peers.

use std::collections::BTreeMap;

use super::{Detector, common::Residuals, groups::Total};
use crate::{
    detect::{
        arbitration::{Known, Verdict},
        calendar::Calendar,
        drift::{Amounts, Day, Quantity},
        finding::{Finding, Lane, Subject},
        mix,
        ring::{median, quantile},
    },
    time::Timestamp,
};

/// Days after which a level is worth something to others.
const KNOWN_DAYS: u16 = 5;
/// Members with a level before a group has one.
const GROUP_LEAST: usize = 4;
/// Mixtures of statements without which there is no telling how far apart they usually are.
const FOCUS_LEAST: usize = 20;
/// Days after which everybody's residuals become part of what is usual.
const POOL_LAG: u32 = 7;
/// How much of what everybody has in common is renewed a day.
const RENEWAL: f32 = 0.05;

impl Detector {
    /// Judges all who were active on a day.
    pub(super) fn judge_day(&mut self, day: u32, findings: &mut Vec<Finding>) {
        let mut active = std::mem::take(&mut self.state.active[(day & 1) as usize]);
        active.sort_unstable();
        for id in &active {
            self.state.principals[*id as usize].settle(day);
        }
        let names: Vec<u64> = active.iter().map(|id| self.state.names.hash(*id)).collect();
        let everybody = (&active[..], &names[..]);
        let totals = Quantity::ALL.map(|quantity| self.judge_quantity(day, quantity, everybody));
        let time = self.end_of(day);
        self.judge_displaced(day, everybody, &totals, findings);
        let [records, rows, ..] = totals;
        self.judge_shared(day, &rows, findings);
        self.judge_groups(day, time, &active, &records, findings);
        for id in &active {
            let principal = &mut self.state.principals[*id as usize];
            principal.fade();
            principal.judged_day = day;
        }
        self.spread_focus(&active);
        for id in &active {
            self.drifted(*id, day, time, findings);
        }
        self.close_bursts(&active);
        self.state.statements.close(day);
        self.judge_coverage(day, time, &active, findings);
        for id in &active {
            self.state.principals[*id as usize].close(day);
        }
        self.state.active[(day & 1) as usize] = active;
    }

    /// Judges one quantity; what was to be expected of each.
    fn judge_quantity(
        &mut self,
        day: u32,
        quantity: Quantity,
        (active, names): (&[u32], &[u64]),
    ) -> BTreeMap<u32, Total> {
        let mut totals = BTreeMap::new();
        let at = quantity as usize;
        let parity = (day & 1) as usize;
        let mut residuals = Residuals::default();
        let own: Vec<Option<f32>> = active
            .iter()
            .map(|id| {
                let principal = &self.state.principals[*id as usize];
                let series = &principal.series[at];
                let log = quantity.log(principal.tallies[parity].amount(quantity));
                (series.days() >= KNOWN_DAYS).then(|| log - series.level())
            })
            .collect();
        for (id, residual) in active.iter().zip(&own) {
            if let Some(residual) = residual {
                residuals.add(self.state.principals[*id as usize].group, *residual);
            }
        }
        residuals.sort();

        let usual = &self.state.usual[at];
        let weekday = usual.weekdays[Calendar::weekday(day)];
        let memory = if usual.square > 50.0 {
            (usual.product / usual.square).clamp(0.0, 0.95)
        } else {
            0.2
        };
        let spread = usual.spread;
        let mut scores = Vec::with_capacity(active.len());
        let mut spreads = Vec::with_capacity(active.len());
        let (mut product, mut square) = (0.0f64, 0.0f64);
        for ((id, name), residual) in active.iter().zip(names).zip(&own) {
            let principal = &mut self.state.principals[*id as usize];
            let judged = Day {
                day,
                previous: principal.judged_day,
                common: residuals.common(principal.group, *residual, weekday),
                peers_level: self
                    .state
                    .group_states
                    .get(principal.group as usize)
                    .and_then(|group| group.levels[at]),
                spread,
                memory,
                pool: &usual.pool,
            };
            let amount = principal.tallies[parity].amount(quantity);
            let tie = tie(*name, day, at as u64);
            let series = &mut principal.series[at];
            let level = series.level();
            totals.insert(
                *id,
                Total {
                    observed: amount,
                    expected: quantity.amount(level + judged.common),
                    common: judged.common,
                },
            );
            let adjusted = quantity.log(amount) - judged.common;
            let contribution = series.update(adjusted, &judged, &self.calibration, tie, |level| {
                let peers = judged.peers_level.unwrap_or(level);
                Amounts {
                    observed: amount,
                    expected: quantity.amount(level + judged.common),
                    peers: quantity.amount(peers + judged.common),
                }
            });
            if let Some(contribution) = contribution {
                scores.push(contribution.score);
                spreads.push(contribution.spread);
                product += f64::from(contribution.product);
                square += f64::from(contribution.square);
            }
        }
        let usual = &mut self.state.usual[at];
        if let Some(everybody) = residuals.everybody() {
            let factor = &mut usual.weekdays[Calendar::weekday(day)];
            // A few weeks' memory for each weekday.
            *factor += 0.2 * (everybody - *factor);
        }
        if !spreads.is_empty() {
            usual.spread += RENEWAL * (median(&mut spreads) - usual.spread);
            // A memory of some sixty days.
            usual.product = usual.product * 0.984 + product as f32;
            usual.square = usual.square * 0.984 + square as f32;
        }
        usual.pool.push(day, scores, POOL_LAG);
        self.relevel_groups(at, active);
        totals
    }

    /// How far apart mixtures of statements and what they used to be are, usually: half the distance between the deciles
    /// that hold 68 %.
    fn spread_focus(&mut self, active: &[u32]) {
        let mut shifts: Vec<f32> = active
            .iter()
            .filter_map(|id| self.state.principals[*id as usize].shifted())
            .collect();
        if shifts.len() < FOCUS_LEAST {
            return;
        }
        let spread = (quantile(&mut shifts, 0.84) - quantile(&mut shifts, 0.16)) / 2.0;
        let known = &mut self.state.focus_spread;
        *known += if *known == 0.0 {
            spread
        } else {
            RENEWAL * (spread - *known)
        };
    }

    /// Medians of the members' levels.
    fn relevel_groups(&mut self, at: usize, active: &[u32]) {
        let mut levels: Vec<Vec<f32>> = vec![Vec::new(); self.state.groups.len()];
        for id in active {
            let principal = &self.state.principals[*id as usize];
            if principal.series[at].days() >= KNOWN_DAYS {
                levels[principal.group as usize].push(principal.series[at].level());
            }
        }
        self.state
            .group_states
            .resize_with(levels.len(), Default::default);
        for (group, mut levels) in self.state.group_states.iter_mut().zip(levels) {
            if levels.len() >= GROUP_LEAST {
                let middle = median(&mut levels);
                let level = group.levels[at].get_or_insert(middle);
                *level += RENEWAL * (middle - *level);
            }
        }
    }

    /// The drift lane's finding about a principal, if there is one.
    fn drifted(&mut self, id: u32, day: u32, time: Timestamp, findings: &mut Vec<Finding>) {
        let principal = &mut self.state.principals[id as usize];
        let logs: [f32; Quantity::ALL.len()] = std::array::from_fn(|at| principal.series[at].log());
        let log = principal.drift_log(self.state.focus_spread);
        let passes = |odds: f64| f64::from(log) >= odds.ln();
        if !passes(self.calibration.drift_odds_large) {
            return;
        }
        // Of those that say about the same, the one that people understand best.
        let largest = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let Some(quantity) = Quantity::ALL
            .into_iter()
            .find(|quantity| logs[*quantity as usize] >= largest - 2.0)
        else {
            return;
        };
        let since = *principal.series[quantity as usize].since();
        let days = f64::from(since.days.max(1));
        let worth = match quantity {
            Quantity::Bytes => true,
            Quantity::Records | Quantity::Rows | Quantity::Statements => {
                f64::from(since.observed - since.expected) >= self.calibration.least_excess * days
            }
        };
        let ratio = f64::from(since.observed) / f64::from(since.expected).max(1.0);
        if !worth
            || ratio < self.calibration.least_ratio
            || (ratio < self.calibration.large && !passes(self.calibration.drift_odds))
        {
            return;
        }
        for series in &mut principal.series {
            series.restart();
        }
        findings.push(Finding {
            lane: Lane::Drift,
            subject: Subject::Principal(id),
            time,
            quantity,
            observed: f64::from(since.observed),
            expected: f64::from(since.expected),
            peers: Some(f64::from(since.peers)),
            window: principal.series[quantity as usize].since_seconds(day),
            days: since.days,
            log_odds: log,
            table: principal.table(),
            share: None,
            members: Vec::new(),
            remark: None,
        });
    }

    /// From findings to verdicts.
    pub(super) fn decide(
        &mut self,
        time: Timestamp,
        findings: Vec<Finding>,
        verdicts: &mut Vec<Verdict>,
    ) {
        let day = self.calendar.day(time);
        let known = Known {
            names: &self.state.names,
            groups: &self.state.groups,
            hosts: &self.state.hosts.names,
            os_users: &self.state.os_users.names,
            places: &self.state.places,
            principals: &self.state.principals,
            config: &self.config,
        };
        verdicts.extend(self.state.arbitration.decide((day, time), findings, &known));
    }
}

/// Evenly spread over 0–1: breaks ties of ranks, by a name's hash. Numbers would tell in which order names came.
pub(super) fn tie(name: u64, day: u32, purpose: u64) -> f64 {
    let bits = mix(mix(name ^ u64::from(day)) ^ purpose);
    // 53 bits are what a double holds.
    (bits >> 11) as f64 / (1u64 << 53) as f64
}
