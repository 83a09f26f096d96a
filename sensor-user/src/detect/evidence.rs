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
const OFF_HOURS: f64 = 0.003;
/// Days of a group before its hours are known.
const HOURS_DAYS: u16 = 10;
/// Rows of ascending walks on a day that are worth saying.
pub const WALK: u32 = 200;

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

/// Hosts, or tables, of an open day, numbers plus one. Which of them it comes to be known for is decided when the day is
/// over, so that their order does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Those that it is known for.
    known: [u32; KNOWN],
    /// Others, by a hash of their names: those with the smallest.
    others: [(u32, u32); KNOWN],
}

impl Habits {
    /// Notes a host. New: first seen within the last days, by somebody who had others before.
    pub fn host(&self, host: u32, day: u32, seen: &mut Seen, hash: impl FnOnce() -> u64) -> bool {
        note(&self.hosts, host, day, seen, hash)
    }

    /// Notes a table, likewise.
    pub fn table(&self, table: u32, day: u32, seen: &mut Seen, hash: impl FnOnce() -> u64) -> bool {
        note(&self.tables, table, day, seen, hash)
    }

    /// A day with these hosts and tables is over.
    pub fn settle(&mut self, day: u32, [hosts, tables]: &[Seen; 2]) {
        settle(&mut self.hosts, day, hosts);
        settle(&mut self.tables, day, tables);
    }

    /// Several hosts at about the same time, day after day: several people. By the days that are over.
    pub fn shared(&self, day: u32) -> bool {
        self.hosts
            .iter()
            .all(|habit| habit.of != 0 && u32::from(habit.last_day) + SHARED_WITHIN >= day)
    }
}

fn note(
    habits: &[Habit; KNOWN],
    of: u32,
    day: u32,
    seen: &mut Seen,
    hash: impl FnOnce() -> u64,
) -> bool {
    let of = of.saturating_add(1);
    let day = short(day);
    let oldest = habits
        .iter()
        .filter(|habit| habit.of != 0)
        .map(|habit| habit.first_day)
        .min();
    let first_day = match habits.iter().position(|habit| habit.of == of) {
        Some(at) => {
            seen.known[at] = of;
            habits[at].first_day
        }
        None => {
            seen.add(of, hash);
            day
        }
    };
    // The first weeks of somebody are all new, and mean nothing.
    oldest.is_some_and(|oldest| oldest + 14 < day) && first_day + SETTLES > day
}

impl Seen {
    fn add(&mut self, of: u32, hash: impl FnOnce() -> u64) {
        if self.others.iter().any(|(_, other)| *other == of) {
            return;
        }
        let order = |(hash, of): &(u32, u32)| match of {
            0 => u64::MAX,
            _ => u64::from(*hash),
        };
        let new = ((hash() >> 32) as u32, of);
        if let Some(last) = self.others.iter_mut().max_by_key(|other| order(other))
            && (last.1 == 0 || new.0 < last.0)
        {
            *last = new;
        }
    }
}

/// Those of the day that are known stay known; others take the places of what has been unused for longest.
fn settle(habits: &mut [Habit; KNOWN], day: u32, seen: &Seen) {
    let day = short(day);
    let mut others = seen.others;
    others.sort_unstable();
    let known = seen.known.into_iter();
    let others = others.into_iter().map(|(_, of)| of);
    for of in known.chain(others).filter(|of| *of != 0) {
        let at = match habits.iter().position(|habit| habit.of == of) {
            Some(at) => at,
            None => {
                let oldest = (0..KNOWN).min_by_key(|at| habits[*at].last_day);
                let Some(at) = oldest.filter(|at| habits[*at].last_day < day) else {
                    continue;
                };
                habits[at] = Habit {
                    of,
                    first_day: day,
                    last_day: day,
                };
                at
            }
        };
        habits[at].last_day = habits[at].last_day.max(day);
    }
}

/// Days since 1970 fit until 2149.
fn short(day: u32) -> u16 {
    u16::try_from(day).unwrap_or(u16::MAX)
}

/// The hours of a group: the 24 factors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hours {
    rows: [f64; 24],
    days: u16,
    /// One bit for each hour that is off.
    off: u32,
}

impl Hours {
    /// Rows of somebody who has had `before` in this hour. Says whether the hour is off.
    pub fn add(&mut self, hour: usize, before: f64, rows: u64) -> bool {
        // One backup must not say which hours there are: the logarithm of the hour's sum counts, whatever it comes in.
        self.rows[hour] += (before + rows as f64).ln_1p() - before.ln_1p();
        self.off & 1 << hour != 0
    }

    /// A day is over.
    pub fn close(&mut self) {
        self.days = self.days.saturating_add(1);
        let all: f64 = self.rows.iter().sum();
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

    /// A day with these hosts; which were new.
    fn day(habits: &mut Habits, day: u32, hosts: &[u32]) -> Vec<u32> {
        let mut seen = [Seen::default(); 2];
        let new = hosts
            .iter()
            .copied()
            .filter(|host| {
                habits.host(*host, day, &mut seen[0], || {
                    super::super::mix(u64::from(*host))
                })
            })
            .collect();
        habits.settle(day, &seen);
        new
    }

    #[test]
    fn a_host_is_new_for_some_days_and_only_to_who_had_others() {
        const NONE: [u32; 0] = [];
        let mut habits = Habits::default();
        assert_eq!(day(&mut habits, 100, &[1]), NONE);
        assert_eq!(
            day(&mut habits, 101, &[2]),
            NONE,
            "the first weeks mean nothing"
        );
        for date in 101..130 {
            assert_eq!(day(&mut habits, date, &[1]), NONE);
        }
        assert_eq!(day(&mut habits, 130, &[3, 1, 3]), [3, 3]);
        assert_eq!(day(&mut habits, 131, &[3]), [3]);
        assert_eq!(day(&mut habits, 133, &[3]), NONE);
    }

    #[test]
    fn the_order_of_a_days_hosts_does_not_matter() {
        let run = |reverse: bool| {
            let mut habits = Habits::default();
            let mut new = Vec::new();
            for date in 100..160u32 {
                let mut hosts: Vec<u32> = (0..8).filter(|host| (host * 7 + date) % 3 > 0).collect();
                if reverse {
                    hosts.reverse();
                }
                let mut of_day = day(&mut habits, date, &hosts);
                of_day.sort_unstable();
                new.push((of_day, habits.shared(date + 1)));
            }
            (habits, new)
        };
        let forwards = run(false);
        assert_eq!(forwards, run(true));
        assert!(forwards.1.iter().all(|(_, shared)| *shared));
    }

    #[test]
    fn nights_are_off_hours_of_a_group_that_works_by_day() {
        let mut hours = Hours::default();
        for _ in 0..20 {
            for hour in 8..18 {
                hours.add(hour, 0.0, 500);
            }
            hours.close();
        }
        assert!(hours.add(3, 0.0, 1));
        assert!(!hours.add(10, 0.0, 1));
    }

    #[test]
    fn an_hour_weighs_the_same_however_its_rows_come() {
        let (mut whole, mut cut) = (Hours::default(), Hours::default());
        whole.add(9, 0.0, 90);
        for part in 0..9 {
            cut.add(9, f64::from(part * 10), 10);
        }
        assert!((whole.rows[9] - cut.rows[9]).abs() < 1e-12);
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
