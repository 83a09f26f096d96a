//! Accesses summed up by minute until the writer takes them. Pure: time comes with the accesses.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Amount, Batch, Entry, Key, sketch};
use crate::{
    detect::sketch::Distinct,
    principal::{ConnectionId, Principal},
    sql::Shape,
    volume::{Access, AccessKind},
};

/// Nanoseconds in a minute.
const MINUTE: u64 = 60_000_000_000;

/// See the module.
#[derive(Debug)]
pub struct Collector {
    enabled: bool,
    max: usize,
    entries: FxHashMap<Key, Entry>,
    /// What the statement that runs on a connection has had so far.
    running: FxHashMap<ConnectionId, (u64, u64)>,
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
        let connection = access.session.connection;
        let (statement_rows, statement_bytes) = match access.kind {
            AccessKind::Streaming { .. } => {
                let so_far = self.running.entry(connection).or_default();
                so_far.0 += rows;
                so_far.1 += bytes;
                *so_far
            }
            AccessKind::Completed | AccessKind::Failed { .. } => {
                let (before, bytes_before) = self.running.remove(&connection).unwrap_or_default();
                match access.largest {
                    Some(largest) => (largest.rows, largest.bytes_sent),
                    None => (before + rows, bytes_before + bytes),
                }
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

    /// A connection is over.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.running.remove(&connection);
    }
}
