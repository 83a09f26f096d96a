//! What goes to the store at once.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{AlertRow, sketch};
use crate::{
    detect::sketch::Distinct,
    principal::{Principal, PrincipalId},
    sql::Shape,
    time::Timestamp,
    volume::Volume,
};

/// What a sum is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Minutes since 1970.
    pub minute: u64,
    /// Who; as numbered while this process runs.
    pub principal: PrincipalId,
    /// `db.namespace`.
    pub database: Arc<str>,
    /// Statement shape; as numbered while this process runs.
    pub shape_id: u32,
}

/// How much.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amount {
    /// Exact.
    pub volume: Volume,
    /// Rows beyond, by estimate, whose exact count never crossed the wire.
    pub rows_estimated: u64,
    /// Rows of the largest single statement.
    pub statement_rows: u64,
    /// Bytes sent of the largest single statement.
    pub statement_bytes: u64,
    /// When the first of it was seen.
    pub first: Timestamp,
    /// When the last of it was seen.
    pub last: Timestamp,
    /// Distinct records, where keys are known.
    pub records: Option<Distinct>,
}

/// A sum, with what its numbers stand for.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who.
    pub principal: Arc<Principal>,
    /// What.
    pub shape: Arc<Shape>,
    /// How much.
    pub amount: Amount,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Batch {
    /// Sums.
    pub entries: FxHashMap<Key, Entry>,
    /// Alerts, told or suppressed.
    pub alerts: Vec<AlertRow>,
    /// The detector's state with all of `entries` taken in, its layout, and when.
    pub detector: Option<(Vec<u8>, u16, Timestamp)>,
    /// Fates whose new normal the detector has taken up.
    pub applied: Vec<i64>,
    /// Rows that found no place in a collector that is full.
    pub lost_rows: u64,
}

impl Amount {
    /// Adds another sum.
    pub fn add(&mut self, other: Self) {
        if self.volume == Volume::default() && self.first == Timestamp::default() {
            *self = other;
            return;
        }
        self.volume += other.volume;
        self.rows_estimated += other.rows_estimated;
        self.statement_rows = self.statement_rows.max(other.statement_rows);
        self.statement_bytes = self.statement_bytes.max(other.statement_bytes);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        sketch::merge(&mut self.records, other.records);
    }

    /// Rows, whichever way, estimated ones included.
    pub fn rows(&self) -> u64 {
        self.volume.rows() + self.rows_estimated
    }
}

impl Batch {
    /// Is there anything to write?
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.alerts.is_empty()
            && self.detector.is_none()
            && self.applied.is_empty()
    }

    /// Takes in a later batch; at most `max` sums and as many alerts are kept. Returns the rows that found no place.
    pub fn absorb(&mut self, later: Self, max: usize) -> u64 {
        let mut lost = later.lost_rows;
        // A state that later sums are not part of would let them be forgotten after a restart.
        self.detector = later.detector;
        for (key, entry) in later.entries {
            if let Some(known) = self.entries.get_mut(&key) {
                known.amount.add(entry.amount);
            } else if self.entries.len() < max {
                self.entries.insert(key, entry);
            } else {
                lost += entry.amount.rows();
            }
        }
        self.alerts.extend(later.alerts);
        self.alerts.truncate(max);
        self.applied.extend(later.applied);
        lost
    }
}
