//! The detector: owns what the lanes remember, hands out the observations, closes the days.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    arbitration::{Arbitration, Verdict},
    calendar::Calendar,
    calibration::Calibration,
    drift::Quantity,
    evidence::Hours,
    fast::GAUGES,
    finding::Finding,
    names::Names,
    observation::Observation,
    pool::Pool,
    statements::Statements,
};
use crate::{
    config::{detection::Detection, tables::TableSizes},
    time::Timestamp,
};

mod bursts;
mod close;
mod common;
mod coverage;
mod displaced;
mod groups;
pub mod order;
mod principal;
mod room;
mod shared;
mod snapshot;
mod tally;
#[cfg(test)]
mod tests;

use groups::Places;
use order::{Place, Watermark};
pub use principal::{PrincipalState, Recent};
use shared::Shared;
pub use snapshot::{SnapshotError, VERSION as SNAPSHOT_VERSION};

/// Databases and tables that are told apart.
const PLACES: usize = 50_000;
/// Groups that are told apart.
const GROUPS: usize = 10_000;

/// What the detector has counted of its own work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Observations taken in.
    pub observations: u64,
    /// Windows and sums that they moved.
    pub updates: u64,
    /// Too late for their day: not judged.
    pub late: u64,
    /// Far ahead of all others: taken as of now.
    pub ahead: u64,
    /// Principals forgotten because there were too many.
    pub forgotten: u64,
    /// Days closed.
    pub days: u64,
}

/// All that is known of a quantity across principals.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Usual {
    pool: Pool,
    /// Logarithm by weekday: the seven factors.
    weekdays: [f32; 7],
    /// A usual spread, and sums for the usual autocorrelation.
    spread: f32,
    product: f32,
    square: f32,
}

impl Default for Usual {
    fn default() -> Self {
        Self {
            pool: Pool::default(),
            weekdays: [0.0; 7],
            // Before anything is known: a factor of two is nothing strange.
            spread: 0.7,
            product: 0.0,
            square: 0.0,
        }
    }
}

/// What is known of a group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct GroupState {
    /// Median of its members' levels, once there are enough of them.
    levels: [Option<f32>; Quantity::ALL.len()],
    /// Largest amounts of minutes and hours that nearly all members stay below.
    largest: Option<[f32; GAUGES]>,
    /// Active members on the last day.
    members: u32,
    /// The newest day with bursts, and members who had one.
    bursts: (u32, u32),
    hours: Hours,
}

/// All that outlives a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    names: Names,
    groups: Names,
    places: Names,
    principals: Vec<PrincipalState>,
    group_states: Vec<GroupState>,
    usual: [Usual; Quantity::ALL.len()],
    watermark: Watermark,
    /// The oldest day that is not closed; zero before the first record.
    open_day: u32,
    /// The first day of all.
    first_day: u32,
    /// Who was active on each open day, by parity.
    active: [Vec<u32>; 2],
    arbitration: Arbitration,
    hosts: Places,
    os_users: Places,
    statements: Statements,
    off_hours: Pool,
    new_hosts: Pool,
    shared: Shared,
    /// A usual spread of how far mixtures of statements are from what they used to be.
    focus_spread: f32,
    counters: Counters,
}

/// See the module. Pure: time comes with the observations.
#[derive(Debug)]
pub struct Detector {
    state: State,
    calendar: Calendar,
    calibration: Calibration,
    config: Detection,
    sizes: TableSizes,
    /// Tables whose records are counted, with their sizes: looked up once.
    sizes_known: FxHashMap<(u32, u32), Option<Option<u64>>>,
}

impl Detector {
    /// As a configuration wants it.
    pub fn new(config: &Detection, sizes: &TableSizes) -> Self {
        Self {
            state: State::default(),
            calendar: Calendar {
                offset: config.utc_offset,
            },
            calibration: Calibration::default(),
            config: config.clone(),
            sizes: sizes.clone(),
            sizes_known: FxHashMap::default(),
        }
    }

    /// Puts another configuration in force; what is remembered stays.
    pub fn reconfigure(&mut self, config: &Detection, sizes: &TableSizes) {
        self.config = config.clone();
        self.calendar.offset = config.utc_offset;
        self.sizes = sizes.clone();
        self.sizes_known.clear();
    }

    /// "New normal": what a principal has read in the last days is its baseline from now on. False: nobody of that name.
    pub fn accept(&mut self, principal: &str) -> bool {
        let Some(id) = self.state.names.find(principal) else {
            return false;
        };
        let Some(principal) = self.state.principals.get_mut(id as usize) else {
            return false;
        };
        for series in &mut principal.series {
            series.accept();
        }
        let day = principal.last_day;
        for coverage in &mut principal.coverage {
            coverage.accept(day);
        }
        true
    }

    /// What it has counted.
    pub fn counters(&self) -> Counters {
        self.state.counters
    }

    /// Distinct records of a principal's newest day.
    #[cfg(test)]
    pub fn records_today(&self, principal: &str) -> f64 {
        let id = self.state.names.find(principal).expect("known");
        let principal = &self.state.principals[id as usize];
        principal.tallies[(principal.last_day & 1) as usize].amount(Quantity::Records)
    }

    /// How many principals it knows.
    pub fn principals(&self) -> usize {
        self.state.principals.len()
    }

    /// Bytes of fixed state a principal: its record and its rings, neither names nor sketches.
    pub const fn fixed_bytes_per_principal() -> usize {
        PrincipalState::fixed_bytes()
    }

    /// Takes in one observation; verdicts are appended.
    pub fn observe(&mut self, observation: &Observation<'_>, verdicts: &mut Vec<Verdict>) {
        let leap = nanoseconds(self.calibration.leap);
        let mut observation = *observation;
        match self.state.watermark.place(observation.time, leap) {
            Place::Own => {}
            Place::Ahead(now) => {
                self.state.counters.ahead += 1;
                observation.time = now;
            }
        }
        let day = self.calendar.day(observation.time);
        if self.state.open_day == 0 {
            self.state.open_day = day;
            self.state.first_day = day;
        }
        self.close_past_days(verdicts);
        if day < self.state.open_day {
            self.state.counters.late += 1;
            return;
        }
        self.state.counters.observations += 1;
        let id = self.state.names.number(observation.principal);
        let group = self.state.groups.number_within(observation.group, GROUPS);
        let table = self.table(&observation);
        let principals = &mut self.state.principals;
        if id as usize >= principals.len() {
            if id as usize >= principals.capacity() {
                // By an eighth, not by as much again: they are a kilobyte each.
                principals.reserve_exact((principals.len() / 8).max(64) + 1);
            }
            principals.resize_with(id as usize + 1, PrincipalState::default);
        }
        let begins = self.state.principals[id as usize].first_day == 0;
        let principal = &mut self.state.principals[id as usize];
        principal.group = group;
        if begins {
            principal.first_day = day;
            self.begin_bursts(id);
        }
        let host = self.state.hosts.add(observation.host, id, day);
        if !observation.os_user.is_empty() {
            self.state.os_users.add(observation.os_user, id, day);
        }
        if self.state.principals[id as usize].habits.shared(day) {
            self.state.shared.add(id, host, day, observation.rows);
        }
        let principal = &mut self.state.principals[id as usize];
        principal.last_day = principal.last_day.max(day);
        if principal.begin(day) {
            self.state.active[(day & 1) as usize].push(id);
        }
        let displaced = self.note(id, day, host, table, &observation);
        let principal = &mut self.state.principals[id as usize];
        principal.add(day, &observation, table, displaced);
        self.state.counters.updates += Quantity::ALL.len() as u64 + 1;
        self.cover(id, day, table, &observation);
        if let Some(finding) = self.burst(id, table, &observation) {
            self.decide(observation.time, vec![finding], verdicts);
        }
    }

    /// Time passes, with or without observations: days that are over are judged.
    pub fn advance(&mut self, time: Timestamp, verdicts: &mut Vec<Verdict>) {
        self.state.watermark.advance(time);
        self.close_past_days(verdicts);
    }

    /// Nothing more comes: judges what is open.
    pub fn finish(&mut self, verdicts: &mut Vec<Verdict>) {
        let last = self.calendar.day(self.state.watermark.time());
        while self.state.open_day != 0 && self.state.open_day <= last {
            self.close_open_day(verdicts);
        }
    }

    fn table(&mut self, observation: &Observation<'_>) -> (u32, u32) {
        let table = observation.tables.first().copied().unwrap_or_default();
        (
            self.state
                .places
                .number_within(observation.database, PLACES),
            self.state.places.number_within(table, PLACES),
        )
    }

    fn close_past_days(&mut self, verdicts: &mut Vec<Verdict>) {
        if self.state.open_day == 0 {
            return;
        }
        let now = self.state.watermark.time().0;
        let lateness = nanoseconds(self.calibration.lateness);
        while self
            .calendar
            .end_of(self.state.open_day)
            .0
            .saturating_add(lateness)
            <= now
        {
            let both_empty = self.state.active.iter().all(Vec::is_empty);
            if both_empty {
                // Nobody was there: straight to the day that is now.
                let today = self.calendar.day(self.state.watermark.time());
                self.state.open_day = (self.state.open_day + 1).max(today.saturating_sub(1));
                continue;
            }
            self.close_open_day(verdicts);
        }
    }

    fn close_open_day(&mut self, verdicts: &mut Vec<Verdict>) {
        let day = self.state.open_day;
        let mut findings: Vec<Finding> = Vec::new();
        self.judge_day(day, &mut findings);
        self.state.active[(day & 1) as usize].clear();
        self.state.open_day = day + 1;
        self.state.counters.days += 1;
        self.decide(self.end_of(day), findings, verdicts);
        self.make_room(day);
    }
}

/// Seconds of the calibration as times are counted; none when negative.
pub fn nanoseconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0) * 1_000_000_000
}
