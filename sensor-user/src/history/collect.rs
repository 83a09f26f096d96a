//! Accesses summed up by minute until the writer takes them. Pure: time comes with the accesses.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Amount, Batch, Entry, Key, sketch};
use crate::{
    detect::sketch::Distinct,
    principal::{ConnectionId, Principal},
    sql::Shape,
    volume::{Access, AccessKind, Volume, under_way::UnderWay},
};

/// Nanoseconds in a minute.
const MINUTE: u64 = 60_000_000_000;
/// Parts of statements are taken in the order in which they are told.
const AS_TOLD: u64 = 0;

/// See the module.
#[derive(Debug)]
pub struct Collector {
    enabled: bool,
    max: usize,
    entries: FxHashMap<Key, Entry>,
    /// What statements that are not over have had so far.
    running: FxHashMap<ConnectionId, UnderWay>,
    lost_rows: u64,
}

impl Collector {
    /// Keeps at most `max` sums between two takes; beyond, rows are counted as lost. Not enabled: keeps nothing.
    pub fn new(enabled: bool, max: usize) -> Self {
        Self {
            enabled,
            max,
            entries: FxHashMap::default(),
            running: FxHashMap::default(),
            lost_rows: 0,
        }
    }

    /// Takes in one access.
    pub fn observe(&mut self, access: &Access<'_>, principal: &Arc<Principal>, shape: &Arc<Shape>) {
        if !self.enabled {
            return;
        }
        let rows_estimated = match access.kind {
            AccessKind::Failed { estimated_rows } => estimated_rows,
            // The exact number comes later.
            _ => 0,
        };
        let (rows, bytes) = (
            access.volume.rows() + rows_estimated,
            access.volume.bytes_sent,
        );
        if rows == 0 && access.volume.queries == 0 && access.volume.bytes() == 0 {
            return;
        }
        let part = Volume {
            rows_returned: rows,
            bytes_sent: bytes,
            ..Volume::default()
        };
        let (statement_rows, statement_bytes) = match access.kind {
            AccessKind::Streaming { .. } | AccessKind::Suspended => {
                self.statement(access, part, false)
            }
            AccessKind::Completed | AccessKind::Failed { .. } => {
                let whole = self.statement(access, part, true);
                access
                    .largest
                    .map_or(whole, |largest| (largest.rows, largest.bytes_sent))
            }
            AccessKind::Overhead => (0, 0),
        };
        let key = Key {
            minute: access.time.0 / MINUTE,
            principal: access.principal,
            database: access.session.database.clone(),
            shape_id: access.shape_id,
        };
        let amount = Amount {
            volume: access.volume,
            rows_estimated,
            statement_rows,
            statement_bytes,
            first: access.started.min(access.time),
            last: access.time,
            records: access
                .picked
                .filter(|picked| !picked.hashes.is_empty())
                .map(|picked| {
                    let mut records = Distinct::default();
                    sketch::insert(&mut records, &picked.hashes);
                    records
                }),
        };
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.amount.add(amount);
        } else if self.entries.len() < self.max {
            self.entries.insert(
                key,
                Entry {
                    principal: principal.clone(),
                    shape: shape.clone(),
                    amount,
                },
            );
        } else {
            self.lost_rows += rows;
        }
    }

    /// All sums since the last take.
    pub fn take(&mut self) -> Batch {
        Batch {
            entries: std::mem::take(&mut self.entries),
            lost_rows: std::mem::take(&mut self.lost_rows),
            ..Batch::default()
        }
    }

    /// What a statement has come to with this part of it, which may be its last.
    fn statement(&mut self, access: &Access<'_>, part: Volume, is_last: bool) -> (u64, u64) {
        let connection = access.session.connection;
        let shape = u64::from(access.shape_id);
        let whole = if is_last {
            let Some(open) = self.running.get_mut(&connection) else {
                return (part.rows(), part.bytes_sent);
            };
            let whole = open.end(shape, part, AS_TOLD);
            if open.is_empty() {
                self.running.remove(&connection);
            }
            whole
        } else {
            let open = self.running.entry(connection).or_default();
            open.add(shape, part, AS_TOLD)
        };
        (whole.rows(), whole.bytes_sent)
    }

    /// A connection is over.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.running.remove(&connection);
    }
}
