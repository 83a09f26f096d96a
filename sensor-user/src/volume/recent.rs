//! Rows of the last minute by second, of principals that are active; bounded.

use rustc_hash::FxHashMap;

use crate::{principal::PrincipalId, time::Timestamp};

/// Seconds remembered.
pub const SECONDS: usize = 60;
/// Principals remembered.
const MOST: usize = 4_096;
const SECOND: u64 = 1_000_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Recent {
    of: FxHashMap<PrincipalId, Minute>,
}

/// A ring of seconds, by their number since the epoch.
#[derive(Debug)]
struct Minute {
    newest: u64,
    rows: [u32; SECONDS],
}

impl Recent {
    /// Adds rows; what is older than a minute is nothing to show.
    pub fn add(&mut self, principal: PrincipalId, time: Timestamp, rows: u64) {
        let second = time.0 / SECOND;
        if self.of.len() >= MOST && !self.of.contains_key(&principal) {
            self.make_room(second);
        }
        let minute = self.of.entry(principal).or_insert_with(|| Minute {
            newest: second,
            rows: [0; SECONDS],
        });
        minute.advance(second);
        if second + SECONDS as u64 > minute.newest {
            let place = &mut minute.rows[at(second)];
            *place = place.saturating_add(u32::try_from(rows).unwrap_or(u32::MAX));
        }
    }

    /// Rows by second, oldest first, up to and with the second of `now`.
    pub fn of(&self, principal: PrincipalId, now: Timestamp) -> [u32; SECONDS] {
        let mut rows = [0; SECONDS];
        let Some(minute) = self.of.get(&principal) else {
            return rows;
        };
        let last = (now.0 / SECOND).max(minute.newest);
        for (place, rows) in rows.iter_mut().enumerate() {
            let second = (last + 1 + place as u64).saturating_sub(SECONDS as u64);
            if second <= minute.newest && second + SECONDS as u64 > minute.newest {
                *rows = minute.rows[at(second)];
            }
        }
        rows
    }

    /// The same over all principals that are remembered.
    pub fn all(&self, now: Timestamp) -> [u64; SECONDS] {
        let mut sums = [0; SECONDS];
        for principal in self.of.keys() {
            for (sum, rows) in sums.iter_mut().zip(self.of(*principal, now)) {
                *sum += u64::from(rows);
            }
        }
        sums
    }

    /// Those that were idle for a minute go; if all are busy, the less busy half.
    fn make_room(&mut self, second: u64) {
        self.of
            .retain(|_, minute| minute.newest + SECONDS as u64 > second);
        if self.of.len() < MOST {
            return;
        }
        let mut sums: Vec<u64> = self.of.values().map(Minute::sum).collect();
        let middle = sums.len() / 2;
        let (_, median, _) = sums.select_nth_unstable(middle);
        let median = *median;
        self.of.retain(|_, minute| minute.sum() > median);
    }
}

impl Minute {
    /// Empties the seconds that time has passed over.
    fn advance(&mut self, second: u64) {
        let passed = second.saturating_sub(self.newest).min(SECONDS as u64);
        for step in 1..=passed {
            self.rows[at(self.newest + step)] = 0;
        }
        if passed == SECONDS as u64 {
            self.rows = [0; SECONDS];
        }
        self.newest = self.newest.max(second);
    }

    fn sum(&self) -> u64 {
        self.rows.iter().map(|rows| u64::from(*rows)).sum()
    }
}

fn at(second: u64) -> usize {
    usize::try_from(second % SECONDS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(recent: &Recent, now: u64) -> Vec<(usize, u32)> {
        let rows = recent.of(PrincipalId(1), Timestamp(now * SECOND));
        let filled = rows.into_iter().enumerate().filter(|(_, rows)| *rows > 0);
        filled
            .map(|(place, rows)| (SECONDS - 1 - place, rows))
            .collect()
    }

    #[test]
    fn each_second_slides_out_after_a_minute() {
        let mut recent = Recent::default();
        let mut add = |second: u64, rows| {
            recent.add(PrincipalId(1), Timestamp(second * SECOND + 7), rows);
        };
        add(1000, 5);
        add(1002, 7);
        add(1001, 1);
        add(1002, 2);
        // Too late to be shown.
        add(930, 100);
        assert_eq!(seconds(&recent, 1002), [(2, 5), (1, 1), (0, 9)]);
        assert_eq!(seconds(&recent, 1060), [(59, 1), (58, 9)]);
        assert_eq!(seconds(&recent, 1062), []);
        recent.add(PrincipalId(1), Timestamp(1100 * SECOND), 3);
        assert_eq!(seconds(&recent, 1100), [(0, 3)]);
        assert_eq!(recent.all(Timestamp(1100 * SECOND))[SECONDS - 1], 3);
        // A clock that is behind shows what there is.
        assert_eq!(seconds(&recent, 1099), [(0, 3)]);
        assert_eq!(
            recent.of(PrincipalId(2), Timestamp(1100 * SECOND)),
            [0; SECONDS]
        );
    }

    #[test]
    fn it_is_bounded_and_the_busy_stay() {
        let mut recent = Recent::default();
        for principal in 0..3 * MOST {
            let principal = PrincipalId(u32::try_from(principal).expect("small"));
            recent.add(principal, Timestamp(1000 * SECOND), u64::from(principal.0));
            assert!(recent.of.len() <= MOST);
        }
        let busiest = PrincipalId(u32::try_from(3 * MOST - 1).expect("small"));
        assert!(recent.of.contains_key(&busiest));
        recent.add(PrincipalId(0), Timestamp(2000 * SECOND), 1);
        let now = Timestamp(2000 * SECOND);
        assert_eq!(recent.of(PrincipalId(0), now)[SECONDS - 1], 1);
    }
}
