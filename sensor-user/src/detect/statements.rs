//! Which statements a group is known to run.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

/// Statements remembered; beyond, those unused for longest go.
const CAPACITY: usize = 50_000;
/// A statement is new for so many days …
const SETTLES: u32 = 3;
/// … and only while no more than so many people run it: a deployment brings it to many at once.
const FEW: usize = 2;

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(Key, Known)>", into = "Vec<(Key, Known)>")]
pub struct Statements {
    known: FxHashMap<Key, Known>,
}

/// Group and fingerprint.
type Key = (u32, u64);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    first_day: u32,
    last_day: u32,
    /// Who has run it, as far as [`FEW`] (`u32::MAX`: nobody, or somebody who is gone).
    people: [u32; FEW],
    /// Others have, too.
    many: bool,
}

impl Statements {
    /// Notes that somebody ran a statement: is it new to his group?
    pub fn is_new(&mut self, group: u32, fingerprint: u64, id: u32, day: u32) -> bool {
        let known = self.known.entry((group, fingerprint)).or_insert(Known {
            first_day: day,
            last_day: day,
            people: [u32::MAX; FEW],
            many: false,
        });
        if !known.people.contains(&id) {
            match known.people.iter_mut().find(|one| **one == u32::MAX) {
                Some(free) => *free = id,
                None => known.many = true,
            }
        }
        known.last_day = known.last_day.max(day);
        known.first_day + SETTLES > day && !known.many
    }

    /// Principals have other numbers, or none any more.
    pub fn renumber(&mut self, renumber: impl Fn(u32) -> Option<u32>) {
        for known in self.known.values_mut() {
            for one in &mut known.people {
                *one = renumber(*one).unwrap_or(u32::MAX);
            }
        }
    }

    /// Forgets what has been unused for longest when there is too much.
    pub fn close(&mut self, day: u32) {
        let mut age = 90;
        while self.known.len() > CAPACITY && age > 0 {
            self.known.retain(|_, known| known.last_day + age >= day);
            age /= 2;
        }
        if self.known.len() > 2 * CAPACITY {
            // Texts that are never the same twice: none of them says anything.
            self.known.clear();
        }
    }
}

impl From<Vec<(Key, Known)>> for Statements {
    fn from(known: Vec<(Key, Known)>) -> Self {
        Self {
            known: known.into_iter().collect(),
        }
    }
}

impl From<Statements> for Vec<(Key, Known)> {
    fn from(statements: Statements) -> Self {
        let mut known: Self = statements.known.into_iter().collect();
        known.sort_unstable_by_key(|(key, _)| *key);
        known
    }
}
