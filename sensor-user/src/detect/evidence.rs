//! Evidence: what somebody does for the first time or at strange hours. It stands in alerts and raises their weight;
//! alone it alerts nobody.

use serde::{Deserialize, Serialize};

/// Hosts, and tables, that a principal is known for.
const KNOWN: usize = 3;
/// An unused host is forgotten, and a used one is known, after so many days.
const SETTLES: u16 = 3;
/// An account whose hosts were all seen within so many days is shared: a weekend lies between.
const SHARED_WITHIN: u32 = 3;
/// A share of a group's rows below which an hour is off its hours.
const OFF_HOURS: f32 = 0.003;
/// Days of a group before its hours are known.
const HOURS_DAYS: u16 = 10;
/// Rows of an ascending walk that are worth saying.
pub const WALK: u64 = 200;

/// One kind of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// A client host that it had not come from before.
    NewHost = 1,
    /// A table that it had not read before.
    NewTable = 2,
    /// A statement that nobody of its group had run before.
    NewStatement = 4,
    /// At hours when its group does next to nothing.
    OffHours = 8,
    /// Keys in ascending order, many of them.
    KeyWalk = 16,
}

impl Evidence {
    /// All.
    pub const ALL: [Self; 5] = [
        Self::NewHost,
        Self::NewTable,
        Self::NewStatement,
        Self::OffHours,
        Self::KeyWalk,
    ];

    /// A sentence for the explanation.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NewHost => "It came from a client host that it had not used before.",
            Self::NewTable => "It read a table that it had not read before.",
            Self::NewStatement => "It ran a statement that nobody of its group had run before.",
            Self::OffHours => "Some of it was at hours when its group does next to nothing.",
            Self::KeyWalk => "It walked keys in ascending order.",
        }
    }

    /// What it adds to the logarithm by which alerts are ranked.
    fn weight(self) -> f32 {
        match self {
            Self::NewHost | Self::KeyWalk => 1.5,
            Self::OffHours => 1.0,
            Self::NewTable | Self::NewStatement => 0.5,
        }
    }
}

/// Which there were: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSet(pub u8);

impl EvidenceSet {
    /// Adds one.
    pub fn insert(&mut self, evidence: Evidence) {
        self.0 |= evidence as u8;
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Evidence> {
        Evidence::ALL
            .into_iter()
            .filter(move |evidence| self.0 & *evidence as u8 != 0)
    }

    /// What they add to the logarithm by which alerts are ranked.
    pub fn weight(self) -> f32 {
        self.iter().map(Evidence::weight).sum()
    }
}

/// What a principal is known for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Habits {
    hosts: [Habit; KNOWN],
    tables: [Habit; KNOWN],
}

/// A host or table, number plus one, zero for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Habit {
    of: u32,
    first_day: u16,
    last_day: u16,
}

impl Habits {
    /// Notes a host. New: first seen within the last days, by somebody who had others before.
    pub fn host(&mut self, host: u32, day: u32) -> bool {
        note(&mut self.hosts, host, day)
    }

    /// Several hosts at about the same time, day after day: several people.
    pub fn shared(&self, day: u32) -> bool {
        self.hosts
            .iter()
            .all(|habit| habit.of != 0 && u32::from(habit.last_day) + SHARED_WITHIN >= day)
    }

    /// Notes a table, likewise.
    pub fn table(&mut self, table: u32, day: u32) -> bool {
        note(&mut self.tables, table, day)
    }
}

fn note(habits: &mut [Habit; KNOWN], of: u32, day: u32) -> bool {
    let of = of.saturating_add(1);
    // Days since 1970 fit until 2149.
    let day = u16::try_from(day).unwrap_or(u16::MAX);
    let oldest = habits
        .iter()
        .filter(|habit| habit.of != 0)
        .map(|habit| habit.first_day)
        .min();
    let at = habits
        .iter()
        .position(|habit| habit.of == of)
        .unwrap_or_else(|| {
            let at = (0..KNOWN)
                .min_by_key(|at| habits[*at].last_day)
                .unwrap_or(0);
            habits[at] = Habit {
                of,
                first_day: day,
                last_day: day,
            };
            at
        });
    habits[at].last_day = habits[at].last_day.max(day);
    // The first weeks of somebody are all new, and mean nothing.
    oldest.is_some_and(|oldest| oldest + 14 < day) && habits[at].first_day + SETTLES > day
}

/// The hours of a group: the 24 factors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hours {
    rows: [f32; 24],
    days: u16,
    /// One bit for each hour that is off.
    off: u32,
}

impl Hours {
    /// Rows at an hour. Says whether the hour is off.
    pub fn add(&mut self, hour: usize, rows: u64) -> bool {
        // One backup must not say which hours there are: the logarithm counts.
        self.rows[hour] += (rows as f32).ln_1p();
        self.off & 1 << hour != 0
    }

    /// A day is over.
    pub fn close(&mut self) {
        self.days = self.days.saturating_add(1);
        let all: f32 = self.rows.iter().sum();
        self.off = 0;
        if self.days >= HOURS_DAYS && all > 0.0 {
            for (hour, rows) in self.rows.iter().enumerate() {
                self.off |= u32::from(*rows < OFF_HOURS * all) << hour;
            }
        }
        for rows in &mut self.rows {
            *rows *= 0.97;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_new_for_some_days_and_only_to_who_had_others() {
        let mut habits = Habits::default();
        assert!(!habits.host(1, 100));
        assert!(!habits.host(2, 101), "the first weeks mean nothing");
        for day in 101..130 {
            assert!(!habits.host(1, day));
        }
        assert!(habits.host(3, 130));
        assert!(habits.host(3, 131));
        assert!(!habits.host(3, 133));
    }

    #[test]
    fn nights_are_off_hours_of_a_group_that_works_by_day() {
        let mut hours = Hours::default();
        for _ in 0..20 {
            for hour in 8..18 {
                hours.add(hour, 500);
            }
            hours.close();
        }
        assert!(hours.add(3, 1));
        assert!(!hours.add(10, 1));
    }

    #[test]
    fn evidence_weighs_little() {
        let mut set = EvidenceSet::default();
        for evidence in Evidence::ALL {
            set.insert(evidence);
        }
        assert_eq!(set.iter().count(), 5);
        assert!(set.weight() < 6.0);
    }
}
