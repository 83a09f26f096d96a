//! The group lane at the end of a day, and the sums it needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Detector, close::tie};
use crate::{
    detect::{
        calibration::Calibration,
        drift::{Amounts, Day, Quantity, Series},
        finding::{Finding, Lane, Subject},
        group::together,
        names::Names,
        ring::quantile,
    },
    time::Timestamp,
};

/// Accounts of one place that are remembered a day.
const MEMBERS: usize = 64;
/// Hosts, or OS users, at most; the rest is one.
const MOST: usize = 200_000;
/// Added to both sums before they are compared.
const OFFSET: f64 = 20.0;
/// Active days for which a place is held to what its accounts let expect.
const OWN_DAYS: u16 = 20;
/// A share of the day's excess above which it is one account's affair.
const ONE_ALONE: f64 = 0.7;
/// Names in an alert.
const NAMED: usize = 8;

/// Client hosts, or OS users.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Places {
    pub names: Names,
    states: Vec<PlaceState>,
    active: [Vec<u32>; 2],
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct PlaceState {
    tallies: [PlaceTally; 2],
    /// Only for those with several accounts.
    series: Option<Box<Series>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct PlaceTally {
    day: u32,
    /// Accounts.
    members: Vec<u32>,
}

impl Places {
    /// Principals have other numbers, or none any more.
    pub fn renumber(&mut self, renumber: impl Fn(u32) -> Option<u32>) {
        for tally in self.states.iter_mut().flat_map(|state| &mut state.tallies) {
            tally.members = tally
                .members
                .iter()
                .filter_map(|id| renumber(*id))
                .collect();
        }
    }

    /// An account was there; the place's number.
    pub fn add(&mut self, name: &str, id: u32, day: u32) -> u32 {
        let number = self.names.number_within(name, MOST);
        let at = number as usize;
        if at >= self.states.len() {
            self.states.resize_with(at + 1, PlaceState::default);
        }
        let tally = &mut self.states[at].tallies[(day & 1) as usize];
        if tally.day != day {
            tally.day = day;
            tally.members.clear();
            self.active[(day & 1) as usize].push(number);
        }
        if !tally.members.contains(&id) && tally.members.len() < MEMBERS {
            tally.members.push(id);
        }
        number
    }
}

/// A principal's records of a day.
#[derive(Clone, Copy, Debug)]
pub struct Total {
    /// What there was.
    pub observed: f64,
    /// What was to be expected.
    pub expected: f64,
    /// How much of it is the day that all peers have (natural logarithm).
    pub common: f32,
}

/// What everybody lends to the judging of sums.
struct Lent<'a> {
    day: u32,
    time: Timestamp,
    usual: Day<'a>,
    totals: &'a BTreeMap<u32, Total>,
    calibration: &'a Calibration,
}

impl Places {
    fn judge(&mut self, subject: impl Fn(u32) -> Subject, lent: &Lent<'_>) -> Vec<Finding> {
        let parity = (lent.day & 1) as usize;
        let mut active = std::mem::take(&mut self.active[parity]);
        active.sort_unstable();
        let mut findings = Vec::new();
        for number in &active {
            let state = &mut self.states[*number as usize];
            let tally = &state.tallies[parity];
            if tally.members.len() < 2 {
                continue;
            }
            // What these accounts read anywhere: a thief's accounts keep their own places for their own work.
            let totals: Vec<(u32, Total)> = tally
                .members
                .iter()
                .filter_map(|id| Some((*id, *lent.totals.get(id)?)))
                .collect();
            let observed: f64 = totals.iter().map(|(_, total)| total.observed).sum();
            let expected: f64 = totals.iter().map(|(_, total)| total.expected).sum();
            let mut excess: Vec<(f64, u32)> = totals
                .iter()
                .map(|(id, total)| (total.observed - total.expected, *id))
                .collect();
            let adjusted = ((observed + OFFSET) / (expected + OFFSET)).ln() as f32;
            let many = (tally.members.len() as f32).sqrt();
            let series = state.series.get_or_insert_with(Box::default);
            let tie = tie(self.names.hash(*number), lent.day, 77);
            let day = Day {
                spread: (lent.usual.spread / many).max(0.15),
                ..lent.usual
            };
            series.update(adjusted, &day, lent.calibration, tie, |level| Amounts {
                observed,
                expected: expected * f64::from(level).exp(),
                peers: expected,
            });
            if series.days() < OWN_DAYS {
                // Its own first days are no excuse.
                series.hold_level(0.0);
            }
            let since = *series.since();
            excess.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            let all: f64 = observed - expected;
            let alone = excess
                .first()
                .is_some_and(|(largest, _)| *largest > ONE_ALONE * all);
            if f64::from(series.log()) < lent.calibration.place_odds.ln() || alone {
                continue;
            }
            let log_odds = series.log();
            let window = series.since_seconds(lent.day);
            series.restart();
            findings.push(Finding {
                lane: Lane::Group,
                subject: subject(*number),
                time: lent.time,
                quantity: Quantity::Records,
                observed: f64::from(since.observed),
                expected: f64::from(since.expected),
                peers: None,
                window,
                days: since.days,
                log_odds,
                table: None,
                share: None,
                members: excess.iter().take(NAMED).map(|(_, id)| *id).collect(),
                remark: Some(
                    "The sum over these accounts is what stands out, not one of them.".into(),
                ),
            });
        }
        active.clear();
        self.active[parity] = active;
        findings
    }
}

impl Detector {
    /// Judges sums by client host and OS user, and teams. `totals`: each active principal's records of the day.
    pub(super) fn judge_groups(
        &mut self,
        day: u32,
        time: Timestamp,
        active: &[u32],
        totals: &BTreeMap<u32, Total>,
        findings: &mut Vec<Finding>,
    ) {
        let usual = &self.state.usual[Quantity::Records as usize];
        // What its accounts let expect is the level of a place.
        let calibration = Calibration {
            own_days: 1,
            spread_days: usize::from(OWN_DAYS),
            doubt: 0.0,
            // The place of a thief has shifted from its first day on: that is no autocorrelation.
            memory_prior: 1e6,
            ..self.calibration.clone()
        };
        let lent = Lent {
            day,
            time,
            usual: Day {
                day,
                previous: day.saturating_sub(1),
                common: 0.0,
                peers_level: Some(0.0),
                spread: usual.spread,
                memory: 0.1,
                pool: &usual.pool,
            },
            totals,
            calibration: &calibration,
        };
        findings.extend(self.state.hosts.judge(Subject::Host, &lent));
        findings.extend(self.state.os_users.judge(Subject::OsUser, &lent));
        self.judge_teams(day, time, active, findings);
    }

    fn judge_teams(
        &mut self,
        day: u32,
        time: Timestamp,
        active: &[u32],
        findings: &mut Vec<Finding>,
    ) {
        let mut teams: BTreeMap<u32, Vec<(f32, u32)>> = BTreeMap::new();
        let mut all = Vec::with_capacity(active.len());
        for id in active {
            let principal = &self.state.principals[*id as usize];
            if principal.series[0].days() < self.calibration.own_days + 10 {
                continue;
            }
            let log = principal.drift_log(self.state.focus_spread);
            all.push(log);
            teams.entry(principal.group).or_default().push((log, *id));
        }
        // What nine of ten who do nothing are below: members above it are more than usual.
        let usual = quantile(&mut all, 0.9).max(1.0);
        for (team, mut logs) in teams {
            // People without a team are no team.
            if self.state.groups.text(team).is_empty() {
                continue;
            }
            let Some((log, members)) = together(&mut logs, usual) else {
                continue;
            };
            if f64::from(log) < self.calibration.group_odds.ln() {
                continue;
            }
            let members: Vec<u32> = logs.iter().take(members).map(|(_, id)| *id).collect();
            let (mut observed, mut expected, mut peers) = (0.0, 0.0, 0.0);
            let (mut window, mut days) = (86_400, 0);
            for id in &members {
                let series = &self.state.principals[*id as usize].series[0];
                let since = series.since();
                observed += f64::from(since.observed);
                expected += f64::from(since.expected);
                peers += f64::from(since.peers);
                days = days.max(since.days);
                if since.days > 0 {
                    window = window.max(series.since_seconds(day));
                }
            }
            findings.push(Finding {
                lane: Lane::Group,
                subject: Subject::Team(team),
                time,
                quantity: Quantity::Records,
                observed,
                expected,
                peers: Some(peers),
                window,
                days,
                log_odds: log,
                table: None,
                share: None,
                members,
                remark: Some(
                    "Several members began to read more at about the same time, none so much more that it alone would be told of."
                        .into(),
                ),
            });
        }
    }
}
