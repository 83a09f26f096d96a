//! How many rows a statement has: a histogram for each principal that has a place, one for all others; bounded.
//!
//! A place is kept for as long as the sensor runs, and what went to the others stays there, as with
//! [`Ledger`](super::ledger::Ledger): exported histograms never fall. The last quarter of the places is for principals that have
//! at least their fair share of all rows.

use rustc_hash::FxHashMap;

use crate::{principal::PrincipalId, time::Timestamp};

/// Upper ends of the buckets, each included; above the last there is one more. Empty statements stand apart, single rows too.
pub const BOUNDS: [u64; 16] = [
    0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000,
];
/// Buckets.
pub const BUCKETS: usize = BOUNDS.len() + 1;

/// Statements by their rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Statements of each bucket.
    pub buckets: [u64; BUCKETS],
    /// All their rows.
    pub sum: u64,
}

impl Histogram {
    /// The bucket of a statement with so many rows.
    pub fn bucket(rows: u64) -> usize {
        BOUNDS.partition_point(|bound| *bound < rows)
    }

    /// All statements.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Adds statements with so many rows each.
    fn add(&mut self, rows: u64, statements: u64) {
        self.buckets[Self::bucket(rows)] += statements;
        self.sum += rows * statements;
    }

    /// Adds statements that have so many rows together. Their number, the sum and, where it is known, the largest are exact; the
    /// others get the mean of what it leaves (docs/decisions/merging.md).
    fn add_merged(&mut self, rows: u64, statements: u64, largest: Option<u64>) {
        let (mut rows, mut statements) = (rows, statements);
        if let Some(largest) = largest.filter(|_| statements > 0) {
            let largest = largest.min(rows);
            self.add(largest, 1);
            rows -= largest;
            statements -= 1;
        }
        if statements == 0 {
            return;
        }
        let (mean, rest) = (rows / statements, rows % statements);
        self.add(mean + 1, rest);
        self.add(mean, statements - rest);
    }

    /// What has been added since another state of the same; `None`: it has begun again.
    pub fn since(&self, before: &Self) -> Option<Self> {
        let mut difference = Self {
            sum: self.sum.checked_sub(before.sum)?,
            ..Self::default()
        };
        for (at, bucket) in difference.buckets.iter_mut().enumerate() {
            *bucket = self.buckets[at].checked_sub(before.buckets[at])?;
        }
        Some(difference)
    }
}

/// A histogram of its own.
#[derive(Clone, Copy, Debug)]
pub struct Apart {
    /// Whose.
    pub principal: PrincipalId,
    /// What it is.
    pub histogram: Histogram,
    /// Since when that has been counted.
    pub start: Timestamp,
}

/// See the module.
#[derive(Debug)]
pub struct Spread {
    apart: Vec<Apart>,
    index: FxHashMap<PrincipalId, usize>,
    other: Histogram,
    max: usize,
}

impl Spread {
    /// At most `max` principals apart.
    pub fn new(max: usize) -> Self {
        Self {
            apart: Vec::new(),
            index: FxHashMap::default(),
            other: Histogram::default(),
            max,
        }
    }

    /// Statements that ended: their rows together, and of several the most that one had, where it is known.
    pub fn observe(
        &mut self,
        principal: PrincipalId,
        time: Timestamp,
        rows: u64,
        statements: u64,
        largest: Option<u64>,
    ) {
        let place = match self.index.get(&principal) {
            Some(at) => Some(*at),
            None if self.apart.len() < self.max - self.max / 4 => {
                Some(self.give_place(principal, time))
            }
            None => None,
        };
        let histogram = match place {
            Some(at) => &mut self.apart[at].histogram,
            None => &mut self.other,
        };
        histogram.add_merged(rows, statements, largest);
    }

    /// Gives the last places to those of the principals, with their rows so far, that have a fair share of all.
    pub fn admit(&mut self, principals: impl Iterator<Item = (PrincipalId, u64)>, now: Timestamp) {
        if self.apart.len() >= self.max || self.apart.len() < self.max - self.max / 4 {
            return;
        }
        let all = self.apart.iter().map(|one| one.histogram.sum);
        let all: u64 = all.sum::<u64>() + self.other.sum;
        for (principal, rows) in principals {
            let fair = u128::from(rows) * self.max as u128 >= u128::from(all) && rows > 0;
            if fair && self.apart.len() < self.max && !self.index.contains_key(&principal) {
                self.give_place(principal, now);
            }
        }
    }

    fn give_place(&mut self, principal: PrincipalId, start: Timestamp) -> usize {
        let at = self.apart.len();
        self.index.insert(principal, at);
        self.apart.push(Apart {
            principal,
            histogram: Histogram::default(),
            start,
        });
        at
    }

    /// Has it a histogram of its own?
    pub fn is_apart(&self, principal: PrincipalId) -> bool {
        self.index.contains_key(&principal)
    }

    /// Those that have.
    pub fn apart(&self) -> &[Apart] {
        &self.apart
    }

    /// All others together.
    pub fn other(&self) -> &Histogram {
        &self.other
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(histogram: &Histogram) -> Vec<(usize, u64)> {
        let buckets = histogram.buckets.iter().copied().enumerate();
        buckets.filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn bounds_are_included() {
        for (rows, bucket) in [(0, 0), (1, 1), (2, 2), (3, 3), (5, 3), (6, 4)] {
            assert_eq!(Histogram::bucket(rows), bucket, "{rows}");
        }
        assert_eq!(Histogram::bucket(1_000_000), BUCKETS - 2);
        assert_eq!(Histogram::bucket(1_000_001), BUCKETS - 1);
    }

    #[test]
    fn merged_statements_keep_number_sum_and_largest() {
        let mut histogram = Histogram::default();
        // A hundred look-ups by key.
        histogram.add_merged(100, 100, Some(1));
        assert_eq!(filled(&histogram), [(1, 100)]);
        // One of 40 rows and nine that share eleven: two of two, seven of one.
        let mut histogram = Histogram::default();
        histogram.add_merged(51, 10, Some(40));
        assert_eq!(filled(&histogram), [(1, 7), (2, 2), (6, 1)]);
        // Nothing known but the sum: the mean.
        let mut histogram = Histogram::default();
        histogram.add_merged(51, 10, None);
        assert_eq!(filled(&histogram), [(3, 9), (4, 1)]);
    }

    proptest! {
        #[test]
        fn number_and_sum_are_exact(rows in 0u64..10_000, statements in 0u64..1_000, largest in prop::option::of(0u64..10_000)) {
            let mut histogram = Histogram::default();
            histogram.add_merged(rows, statements, largest);
            prop_assert_eq!(histogram.count(), statements);
            if statements > 1 || statements == 1 && largest.is_none_or(|largest| largest >= rows) {
                prop_assert_eq!(histogram.sum, rows);
            }
        }
    }

    #[test]
    fn places_are_bounded_and_large_ones_get_the_last() {
        let mut spread = Spread::new(8);
        let observe = |spread: &mut Spread, principal, rows| {
            spread.observe(PrincipalId(principal), Timestamp(5), rows, 1, None);
        };
        for principal in 0..20 {
            observe(&mut spread, principal, 10);
        }
        assert_eq!(spread.apart().len(), 6);
        assert_eq!(spread.other().sum, 140);
        let rows = |principal| if principal == 15 { 1000 } else { 10 };
        observe(&mut spread, 15, 990);
        let principals = (0..20).map(|principal| (PrincipalId(principal), rows(principal)));
        spread.admit(principals, Timestamp(9));
        assert!(spread.is_apart(PrincipalId(15)) && !spread.is_apart(PrincipalId(16)));
        assert_eq!(spread.apart()[6].start, Timestamp(9));
        observe(&mut spread, 15, 7);
        assert_eq!(spread.apart()[6].histogram.sum, 7);
        // What it had before stays where it was.
        assert_eq!(spread.other().sum, 140 + 990);
    }
}
