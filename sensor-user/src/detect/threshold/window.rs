//! A sliding window by event time, in bounded memory.

use std::{sync::Arc, time::Duration};

use crate::{detect::StatementShare, time::Timestamp, volume::Access};

/// Buckets a window is made of. The sum covers at least the window's length and at most one bucket more.
const BUCKETS: usize = 32;
/// Statement shapes and tables remembered a window.
const REMEMBERED: usize = 16;

/// See the module. A length of zero never slides: it holds one statement.
#[derive(Debug)]
pub struct Sliding {
    /// Nanoseconds a bucket.
    bucket: u64,
    buckets: Box<[u64]>,
    /// Number of the newest bucket.
    newest: u64,
    sum: u64,
    since: Timestamp,
    last: Timestamp,
    statements: Vec<StatementShare>,
    tables: Vec<(Arc<str>, u64, Timestamp)>,
}

impl Sliding {
    /// An empty window of this length.
    pub fn new(length: Duration) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self {
            bucket: nanos.div_ceil(BUCKETS as u64),
            // One bucket more than the window: the oldest is partly over.
            buckets: vec![0; if nanos == 0 { 1 } else { BUCKETS + 1 }].into(),
            newest: 0,
            sum: 0,
            since: Timestamp::default(),
            last: Timestamp::default(),
            statements: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Adds an amount of an access. What is older than the window counts in its oldest bucket: never lost.
    pub fn add(&mut self, access: &Access<'_>, amount: u64) {
        self.advance(access.time);
        if amount == 0 {
            return;
        }
        let number = self.number(access.time);
        let age = self.newest.saturating_sub(number);
        let oldest = self.newest.saturating_sub(self.buckets.len() as u64 - 1);
        let number = if age >= self.buckets.len() as u64 {
            oldest
        } else {
            number
        };
        let at = self.slot(number);
        self.buckets[at] += amount;
        if self.sum == 0 {
            self.since = access.started.min(access.time);
            self.statements.clear();
            self.tables.clear();
        }
        self.sum += amount;
        self.remember(access, amount);
    }

    /// What the window holds, as of the newest access.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Since when its content has been accumulating.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Has everything in it slid out by `now`?
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.number(now) >= self.newest + self.buckets.len() as u64
    }

    /// Shapes and their amounts.
    pub fn statements(&self) -> &[StatementShare] {
        &self.statements
    }

    /// Tables and their amounts, largest first.
    pub fn tables(&self) -> Vec<(Arc<str>, u64)> {
        let mut tables: Vec<_> = self
            .tables
            .iter()
            .map(|(table, amount, _)| (table.clone(), *amount))
            .collect();
        tables.sort_by_key(|(_, amount)| std::cmp::Reverse(*amount));
        tables
    }

    fn number(&self, time: Timestamp) -> u64 {
        time.0.checked_div(self.bucket).unwrap_or(0)
    }

    fn slot(&self, number: u64) -> usize {
        // Fits: smaller than the number of buckets.
        usize::try_from(number % self.buckets.len() as u64).unwrap_or(0)
    }

    /// Empties the buckets that time has passed over.
    fn advance(&mut self, time: Timestamp) {
        let number = self.number(time);
        if number > self.newest {
            let passed = (number - self.newest).min(self.buckets.len() as u64);
            for step in 1..=passed {
                let at = self.slot(self.newest + step);
                self.sum -= std::mem::take(&mut self.buckets[at]);
            }
            if passed == self.buckets.len() as u64 {
                self.sum = 0;
                self.buckets.fill(0);
            }
            self.newest = number;
        }
        if time > self.last {
            self.last = time;
        }
        let length = self.bucket.saturating_mul(self.buckets.len() as u64);
        if length > 0 {
            let horizon = Timestamp(self.last.0.saturating_sub(length));
            if self.since < horizon {
                self.since = horizon;
            }
            self.statements.retain(|share| share.last >= horizon);
            self.tables.retain(|(_, _, last)| *last >= horizon);
        }
    }

    fn remember(&mut self, access: &Access<'_>, amount: u64) {
        match self
            .statements
            .iter_mut()
            .find(|share| share.shape_id == access.shape_id)
        {
            Some(share) => {
                share.amount += amount;
                share.last = share.last.max(access.time);
            }
            None => {
                if self.statements.len() >= REMEMBERED
                    && let Some(at) = smallest(self.statements.iter().map(|share| share.amount))
                {
                    self.statements.swap_remove(at);
                }
                self.statements.push(StatementShare {
                    shape_id: access.shape_id,
                    summary: access.shape.summary.clone(),
                    text: access.shape.text.clone(),
                    amount,
                    first: access.started.min(access.time),
                    last: access.time,
                });
            }
        }
        for table in &access.shape.tables {
            match self.tables.iter_mut().find(|(known, _, _)| known == table) {
                Some((_, sum, last)) => {
                    *sum += amount;
                    *last = (*last).max(access.time);
                }
                None => {
                    if self.tables.len() >= REMEMBERED
                        && let Some(at) = smallest(self.tables.iter().map(|(_, sum, _)| *sum))
                    {
                        self.tables.swap_remove(at);
                    }
                    self.tables.push((table.clone(), amount, access.time));
                }
            }
        }
    }
}

fn smallest(amounts: impl Iterator<Item = u64>) -> Option<usize> {
    amounts
        .enumerate()
        .min_by_key(|(_, amount)| *amount)
        .map(|(at, _)| at)
}
