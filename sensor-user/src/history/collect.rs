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
    /// What statements that are not over have had so far.
    running: FxHashMap<ConnectionId, Vec<Running>>,
    lost_rows: u64,
}

/// A statement that is not over: one that streams, or a portal that is fetched from in steps.
#[derive(Debug)]
struct Running {
    shape_id: u32,
    rows: u64,
    bytes: u64,
}

/// Statements that are under way on one connection; portals may be left open.
const OPEN: usize = 16;

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
            AccessKind::Streaming { .. } | AccessKind::Suspended => {
                self.goes_on(connection, access.shape_id, rows, bytes)
            }
            AccessKind::Completed | AccessKind::Failed { .. } => {
                let (before, bytes_before) = self.ended(connection, access.shape_id);
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

    /// What a statement has come to that is not over.
    fn goes_on(
        &mut self,
        connection: ConnectionId,
        shape_id: u32,
        rows: u64,
        bytes: u64,
    ) -> (u64, u64) {
        let open = self.running.entry(connection).or_default();
        if let Some(part) = open.iter_mut().find(|part| part.shape_id == shape_id) {
            part.rows += rows;
            part.bytes += bytes;
            return (part.rows, part.bytes);
        }
        if open.len() == OPEN {
            open.remove(0);
        }
        open.push(Running {
            shape_id,
            rows,
            bytes,
        });
        (rows, bytes)
    }

    /// What a statement had come to before its last part.
    fn ended(&mut self, connection: ConnectionId, shape_id: u32) -> (u64, u64) {
        let Some(open) = self.running.get_mut(&connection) else {
            return (0, 0);
        };
        let at = open.iter().position(|part| part.shape_id == shape_id);
        let ended = at.map(|at| open.swap_remove(at));
        if open.is_empty() {
            self.running.remove(&connection);
        }
        ended.map_or((0, 0), |part| (part.rows, part.bytes))
    }

    /// A connection is over.
    pub fn closed(&mut self, connection: ConnectionId) {
        self.running.remove(&connection);
    }
}
