//! Principals as a person at a terminal wants to see them.

use std::sync::Arc;

use super::{Access, AccessKind, Volume};
use crate::{principal::PrincipalId, time::Timestamp};

/// Tables remembered a principal.
const TABLES: usize = 64;

/// One principal.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Exact volume so far.
    pub volume: Volume,
    /// Rows in flight by estimate.
    pub streaming: u64,
    /// Tables touched, by name.
    pub tables: Vec<Arc<str>>,
    /// Last seen.
    pub last: Timestamp,
}

/// See the module. Indexed by principal.
#[derive(Debug)]
pub struct LiveView {
    rows: Vec<Row>,
    max: usize,
}

impl LiveView {
    /// For at most `max` principals.
    pub fn new(max: usize) -> Self {
        Self {
            rows: Vec::new(),
            max,
        }
    }

    /// Adds one access.
    pub fn observe(&mut self, access: &Access<'_>) {
        let at = access.principal.0 as usize;
        // The resolver folds principals beyond the bound into one more.
        if at > self.max * 2 {
            return;
        }
        if self.rows.len() <= at {
            self.rows.resize(at + 1, Row::default());
        }
        let row = &mut self.rows[at];
        row.volume += access.volume;
        row.last = access.time;
        row.streaming = match access.kind {
            AccessKind::Streaming { estimated_rows } => estimated_rows,
            AccessKind::Completed | AccessKind::Failed { .. } => 0,
            AccessKind::Overhead => row.streaming,
        };
        for table in &access.shape.tables {
            if let Err(at) = row.tables.binary_search(table)
                && row.tables.len() < TABLES
            {
                if row.tables.len() == row.tables.capacity() {
                    // For one, and not for four: most principals touch one or two.
                    row.tables.reserve_exact(row.tables.len().max(1));
                }
                row.tables.insert(at, table.clone());
            }
        }
    }

    /// Principals that did anything.
    pub fn rows(&self) -> impl Iterator<Item = (PrincipalId, &Row)> {
        self.rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.volume != Volume::default())
            .map(|(at, row)| (PrincipalId(u32::try_from(at).unwrap_or(u32::MAX)), row))
    }
}
