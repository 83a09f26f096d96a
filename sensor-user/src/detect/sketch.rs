//! Distinct records in little space: the smallest hashes, with the day each was last seen.
//!
//! A theta sketch whose entries carry a day answers for any window up to the longest with one structure; library
//! sketches would take one for each day and table (see docs/decisions/dependencies.md).

use serde::{Deserialize, Serialize};

use super::mix;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distinct {
    /// Hashes at or above are not kept.
    limit: u64,
    /// Upper halves of hashes, ascending, with the day each was last seen.
    entries: Vec<(u32, u16)>,
}

/// The limit before anything had to go: all hashes are kept, the count is exact.
const ALL: u64 = 1 << 32;

impl Default for Distinct {
    fn default() -> Self {
        Self {
            limit: ALL,
            entries: Vec::new(),
        }
    }
}

impl Distinct {
    /// Takes in a record by its hash; `capacity` bounds what is kept (relative error about its square root's inverse).
    pub fn insert(&mut self, hash: u64, day: u16, capacity: usize) {
        let hash = u32::try_from(mix(hash) >> 32).unwrap_or(u32::MAX);
        if u64::from(hash) >= self.limit {
            return;
        }
        match self.entries.binary_search_by_key(&hash, |entry| entry.0) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(day),
            Err(at) => {
                self.entries.insert(at, (hash, day));
                if self.entries.len() > capacity
                    && let Some((largest, _)) = self.entries.pop()
                {
                    self.limit = u64::from(largest);
                }
            }
        }
    }

    /// Distinct records last seen on `from` or later.
    pub fn count(&self, from: u16) -> f64 {
        let kept = self.entries.iter().filter(|entry| entry.1 >= from).count();
        kept as f64 * (ALL as f64 / self.limit as f64)
    }

    /// Forgets what was last seen before `from`.
    pub fn expire(&mut self, from: u16) {
        self.entries.retain(|entry| entry.1 >= from);
    }

    /// The records of both: over several hosts, sketches are united before they are judged.
    pub fn unite(&mut self, other: &Self, capacity: usize) {
        self.limit = self.limit.min(other.limit);
        for (hash, day) in &other.entries {
            match self.entries.binary_search_by_key(hash, |entry| entry.0) {
                Ok(at) => self.entries[at].1 = self.entries[at].1.max(*day),
                Err(at) => self.entries.insert(at, (*hash, *day)),
            }
        }
        let limit = self.limit;
        self.entries.retain(|entry| u64::from(entry.0) < limit);
        while self.entries.len() > capacity
            && let Some((largest, _)) = self.entries.pop()
        {
            self.limit = u64::from(largest);
        }
    }

    /// What is kept, ascending: 32 bits of each hash.
    pub fn hashes(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|entry| entry.0)
    }

    /// Hashes at or above are not kept; 2^32 while all are.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(u32, u16)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_exact_and_many_within_a_tenth() {
        let mut sketch = Distinct::default();
        for key in 0..200 {
            sketch.insert(key, 1, 256);
            sketch.insert(key, 1, 256);
        }
        assert_eq!(sketch.count(0), 200.0);
        for key in 0..100_000 {
            sketch.insert(key, 2, 256);
        }
        let count = sketch.count(0);
        assert!((85_000.0..115_000.0).contains(&count), "{count}");
    }

    #[test]
    fn windows_hold_what_was_seen_in_them() {
        let mut sketch = Distinct::default();
        for day in 0..90u16 {
            for key in 0..50u64 {
                // Ten a day are seen each day, forty are new.
                let key = if key < 10 {
                    key
                } else {
                    u64::from(day) * 100 + key
                };
                sketch.insert(key, day, 512);
            }
        }
        for (days, truth, error) in [(90u16, 3610.0, 0.15), (30, 1210.0, 0.25), (7, 290.0, 0.5)] {
            let count = sketch.count(90 - days);
            assert!((count / truth - 1.0).abs() < error, "{days} days: {count}");
        }
        sketch.expire(60);
        assert!((sketch.count(0) / 1210.0 - 1.0).abs() < 0.25);
    }

    #[test]
    fn three_hosts_united_equal_one() {
        let mut one = Distinct::default();
        let mut parts = [
            Distinct::default(),
            Distinct::default(),
            Distinct::default(),
        ];
        for key in 0..5000u64 {
            one.insert(key % 3000, 5, 128);
            parts[(key % 7 % 3) as usize].insert(key % 3000, 5, 128);
        }
        let [mut united, second, third] = parts;
        united.unite(&second, 128);
        united.unite(&third, 128);
        assert_eq!(united, one);
    }
}
