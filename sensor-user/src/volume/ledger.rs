//! Which series are exported apart, and how much of each has been: what makes exported sums exact.
//!
//! Exported sums are cumulative. Whoever reads them subtracts the last value from this one and sums up over the series,
//! so none may ever fall, and nothing may be in two of them. A list of the largest does not have that property: a
//! series that comes into it takes its volume out of "other", one that leaves it puts it back, and one that
//! [`Totals`](super::totals::Totals) has folded begins again at nothing. Therefore increments are accounted for
//! instead of values:
//!
//! * Once apart, a series stays so: it is exported for as long as the sensor runs, whether anything is added or not.
//! * What is added goes to the series when it is apart, else to "other"; from there it never comes back.
//!
//! So at each export the exported series add up to all there is, and each of them only grows. The price: a series that
//! is apart late lacks what went to "other" before, and places are not given back. The last quarter is therefore kept
//! for series that hold at least their fair share of everything: many small ones don't keep out a large one.

use std::{cmp::Reverse, hash::Hash};

use rustc_hash::FxHashMap;

use super::{Volume, totals::Series};
use crate::time::Timestamp;

/// See the module.
#[derive(Debug)]
pub struct Ledger<K> {
    apart: Vec<Account<K>>,
    index: FxHashMap<K, usize>,
    /// Exported as "other".
    other: Volume,
    /// All that has been accounted for.
    total: Volume,
    updated: Timestamp,
    max: usize,
}

/// A series that is exported apart.
#[derive(Clone, Debug)]
pub struct Account<K> {
    /// What it is of.
    pub key: K,
    /// What is exported.
    pub volume: Volume,
    /// Since when that has been counted.
    pub start: Timestamp,
}

impl<K: Clone + Eq + Hash> Ledger<K> {
    /// At most `max` series apart.
    pub fn new(max: usize) -> Self {
        Self {
            apart: Vec::new(),
            index: FxHashMap::default(),
            other: Volume::default(),
            total: Volume::default(),
            updated: Timestamp::default(),
            max,
        }
    }

    /// Accounts for what has been added since the last time. `series` are all there are, and add up to everything;
    /// those for which `nameable` is false can't be apart.
    pub fn update<'a>(
        &mut self,
        series: impl Iterator<Item = &'a mut Series<K>>,
        nameable: impl Fn(&K) -> bool,
        now: Timestamp,
    ) where
        K: 'a,
    {
        let mut total = Volume::default();
        let mut apart = Volume::default();
        let mut newcomers = Vec::new();
        for one in series {
            total += one.volume;
            if let Some(at) = self.index.get(&one.key) {
                let increment = one.account();
                self.apart[*at].volume += increment;
                apart += increment;
            } else if nameable(&one.key) {
                newcomers.push(one);
            }
        }
        apart += self.admit(newcomers, &total);
        // What is not in a series of its own, and what has been folded meanwhile.
        self.other += total - self.total - apart;
        self.total = total;
        self.updated = now;
    }

    /// Gives places to the largest newcomers, as far as there are any; returns what that puts apart.
    fn admit(&mut self, mut newcomers: Vec<&mut Series<K>>, total: &Volume) -> Volume {
        let for_all = self.max - self.max / 4;
        if self.apart.len() + newcomers.len() > for_all {
            newcomers.sort_by_key(|one| Reverse((one.volume.rows(), one.volume.bytes())));
        }
        let mut apart = Volume::default();
        for one in newcomers {
            let place = self.apart.len() < for_all
                || self.apart.len() < self.max && self.has_fair_share(&one.volume, total);
            let passed_over_before = one.accounted != Volume::default();
            let increment = one.account();
            if !place {
                continue;
            }
            apart += increment;
            self.index.insert(one.key.clone(), self.apart.len());
            self.apart.push(Account {
                key: one.key.clone(),
                volume: increment,
                start: if passed_over_before {
                    self.updated
                } else {
                    one.first
                },
            });
        }
        apart
    }

    fn has_fair_share(&self, volume: &Volume, total: &Volume) -> bool {
        let fair = |part: u64, whole: u64| {
            part > 0 && u128::from(part) * self.max as u128 >= u128::from(whole)
        };
        fair(volume.rows(), total.rows()) || fair(volume.bytes(), total.bytes())
    }

    /// The series to export.
    pub fn apart(&self) -> &[Account<K>] {
        &self.apart
    }

    /// All the rest.
    pub fn other(&self) -> &Volume {
        &self.other
    }
}

#[cfg(test)]
mod tests;
