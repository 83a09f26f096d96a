//! A sliding window by event time, in bounded memory.

use std::{sync::Arc, time::Duration};

use super::buckets::Buckets;
use crate::{detect::StatementShare, time::Timestamp, volume::Access};

/// Buckets a window is made of. The sum covers at least the window's length and at most one bucket more.
const BUCKETS: u64 = 32;
/// A portal that nobody has fetched from for so long is given up when there is no room.
const ABANDONED: Duration = Duration::from_secs(3_600);
/// Statement shapes and tables remembered a window.
const REMEMBERED: usize = 16;

/// See the module. A length of zero never slides: it holds one statement.
#[derive(Debug)]
pub struct Sliding {
    /// Nanoseconds a bucket.
    bucket: u64,
    buckets: Buckets,
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
            bucket: nanos.div_ceil(BUCKETS),
            // One bucket more than the window: the oldest is partly over.
            buckets: Buckets::new(if nanos == 0 { 1 } else { BUCKETS + 1 }),
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
        if self.buckets.sum() == 0 {
            self.since = access.started.min(access.time);
            self.statements.clear();
            self.tables.clear();
        }
        self.buckets.add(self.number(access.time), amount);
        self.remember(access, amount);
    }

    /// What the window holds, as of the newest access.
    pub fn sum(&self) -> u64 {
        self.buckets.sum()
    }

    /// What it will hold by `now`, if nothing is added.
    pub fn sum_at(&self, now: Timestamp) -> u64 {
        self.buckets.sum_at(self.number(now))
    }

    /// Since when its content has been accumulating.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Has everything in it slid out by `now`? A statement's never does: it is over when nothing has come of it for long.
    pub fn is_over(&self, now: Timestamp) -> bool {
        if self.bucket == 0 {
            return now > self.last + ABANDONED;
        }
        self.buckets.is_over(self.number(now))
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

    /// Empties the buckets that time has passed over.
    fn advance(&mut self, time: Timestamp) {
        self.buckets.advance(self.number(time));
        if time > self.last {
            self.last = time;
        }
        let length = self.bucket.saturating_mul(self.buckets.length());
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
                make_room(&mut self.statements);
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
                    make_room(&mut self.tables);
                    self.tables.push((table.clone(), amount, access.time));
                }
            }
        }
    }
}

/// For one more, and not for four: most windows remember one.
fn make_room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len().max(1));
    }
}

fn smallest(amounts: impl Iterator<Item = u64>) -> Option<usize> {
    amounts
        .enumerate()
        .min_by_key(|(_, amount)| *amount)
        .map(|(at, _)| at)
}
