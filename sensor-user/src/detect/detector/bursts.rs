//! The fast lane, with each observation, and what it learns at the end of a day.

use std::collections::BTreeMap;

use super::{Detector, tally::Displaced};
use crate::{
    detect::{
        drift::Quantity,
        evidence::Evidence,
        fast::GAUGES,
        finding::{Finding, Lane, Subject},
        observation::Observation,
        ring::quantile,
    },
    time::Timestamp,
};

/// Peers before their largest amounts say anything.
const PEERS: usize = 8;
/// Share of the peers whose largest amounts are below what is held to be usual.
const NEARLY_ALL: f64 = 0.98;

impl Detector {
    /// Minutes and hours of a principal.
    pub(super) fn burst(
        &mut self,
        id: u32,
        table: (u32, u32),
        observation: &Observation<'_>,
    ) -> Option<Finding> {
        let principal = &mut self.state.principals[id as usize];
        let seconds = observation.time.0 / 1_000_000_000;
        self.state.counters.updates += GAUGES as u64;
        let burst = principal
            .fast
            .add(seconds, observation.rows, observation.bytes)?;
        let group = principal.group as usize;
        let peers = self.state.group_states.get(group).and_then(|group| {
            let at = crate::detect::fast::WINDOWS
                .iter()
                .position(|window| *window == burst.window)?
                + if burst.bytes { GAUGES / 2 } else { 0 };
            group.largest.map(|largest| f64::from(largest[at]))
        });
        let members = self
            .state
            .group_states
            .get(group)
            .map_or(1.0, |group| f64::from(group.members.max(1)));
        // Many on one day are a migration or a test of load: each makes the next one less strange.
        let day = self.calendar.day(observation.time);
        let before = self.state.group_states.get_mut(group).map_or(0, |group| {
            if group.bursts.0 != day {
                group.bursts = (day, 0);
            }
            group.bursts.1 += 1;
            group.bursts.1 - 1
        });
        // Nobody of them did it on any of the days that are remembered, at a distance.
        let days = f64::from(principal.fast.days().clamp(10, 60));
        Some(Finding {
            lane: Lane::Fast,
            subject: Subject::Principal(id),
            time: observation.time,
            quantity: if burst.bytes {
                Quantity::Bytes
            } else {
                Quantity::Rows
            },
            observed: burst.observed,
            expected: burst.largest,
            peers,
            window: burst.window,
            days: 1,
            log_odds: ((days * members * 2.0).ln() as f32 - 1.5 * before as f32).max(0.0),
            table: Some(table),
            share: self
                .sizes_known
                .get(&table)
                .copied()
                .flatten()
                .flatten()
                .filter(|_| !burst.bytes)
                .map(|size| burst.observed / size as f64),
            members: Vec::new(),
            remark: Some(
                "What was to be expected is the most that it ever read in so short a time, and the peers' number is what nearly all of them never exceeded."
                    .into(),
            ),
        })
    }

    /// Evidence of an observation; says whether its rows are off the usual hours or hosts.
    pub(super) fn note(
        &mut self,
        id: u32,
        day: u32,
        host: u32,
        table: (u32, u32),
        observation: &Observation<'_>,
    ) -> Displaced {
        let hour = self.calendar.hour(observation.time);
        let principal = &mut self.state.principals[id as usize];
        let group = principal.group;
        if group as usize >= self.state.group_states.len() {
            self.state
                .group_states
                .resize_with(group as usize + 1, Default::default);
        }
        let state = &mut self.state.group_states[group as usize];
        let before = principal
            .fast
            .rows_of_hour(observation.time.0 / 1_000_000_000);
        let off_hours = state.hours.add(hour, before, observation.rows);
        let (new_host, new_table) = principal.visit((host, table.1), day, observation);
        let new_statement = observation.fingerprint != 0
            && self
                .state
                .statements
                .is_new(group, observation.fingerprint, id, day);
        for (is, evidence) in [
            (new_host, Evidence::NewHost),
            (new_table, Evidence::NewTable),
            (new_statement, Evidence::NewStatement),
            (off_hours, Evidence::OffHours),
        ] {
            if is {
                principal.witness(evidence, day);
            }
        }
        Displaced {
            off_hours,
            new_host,
        }
    }

    /// What the day teaches about bursts and hours.
    pub(super) fn close_bursts(&mut self, active: &[u32]) {
        let mut largest: BTreeMap<u32, [Vec<f32>; GAUGES]> = BTreeMap::new();
        for id in active {
            let principal = &mut self.state.principals[*id as usize];
            let peers = self
                .state
                .group_states
                .get(principal.group as usize)
                .and_then(|group| group.largest.as_ref());
            principal.fast.close(peers);
            if principal.fast.days() >= 5 {
                let of_group = largest.entry(principal.group).or_default();
                for (all, one) in of_group.iter_mut().zip(principal.fast.largest()) {
                    all.push(one);
                }
            }
        }
        for (group, mut largest) in largest {
            let state = &mut self.state.group_states[group as usize];
            state.members = u32::try_from(largest[0].len()).unwrap_or(u32::MAX);
            if largest[0].len() >= PEERS {
                state.largest = Some(std::array::from_fn(|at| {
                    quantile(&mut largest[at], NEARLY_ALL)
                }));
            }
        }
        for group in &mut self.state.group_states {
            group.hours.close();
        }
    }

    /// Somebody new is held against the peers at once.
    pub(super) fn begin_bursts(&mut self, id: u32) {
        let principal = &mut self.state.principals[id as usize];
        if let Some(largest) = self
            .state
            .group_states
            .get(principal.group as usize)
            .and_then(|group| group.largest.as_ref())
        {
            principal.fast.begin(largest);
        }
    }

    /// When a day that is judged ended.
    pub(super) fn end_of(&self, day: u32) -> Timestamp {
        self.calendar.end_of(day)
    }
}
