//! Principals as a person at a terminal wants to see them.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Access, AccessKind, Volume, recent::Recent};
use crate::{
    principal::{ConnectionId, PrincipalId},
    time::Timestamp,
};

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

impl Row {
    /// Rows so far, those in flight included.
    pub fn shown(&self) -> u64 {
        self.volume.rows() + self.streaming
    }
}

/// See the module. Indexed by principal.
#[derive(Debug)]
pub struct LiveView {
    rows: Vec<Row>,
    /// Estimates in flight: a principal may have several connections.
    streaming: FxHashMap<ConnectionId, (usize, u64)>,
    /// The last minute.
    pub recent: Recent,
    max: usize,
}

impl LiveView {
    /// For at most `max` principals.
    pub fn new(max: usize) -> Self {
        Self {
            rows: Vec::new(),
            streaming: FxHashMap::default(),
            recent: Recent::default(),
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
        let before = self.rows[at].shown();
        self.rows[at].volume += access.volume;
        self.fly(at, access);
        let row = &mut self.rows[at];
        row.last = access.time;
        // What turned out less than estimated takes nothing back from seconds that are past.
        let more = row.shown().saturating_sub(before);
        if more > 0 {
            self.recent.add(access.principal, access.time, more);
        }
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

    /// An estimate replaces the connection's last one; what ends a statement takes it away.
    fn fly(&mut self, at: usize, access: &Access<'_>) {
        let connection = access.session.connection;
        let estimated = match access.kind {
            AccessKind::Streaming { estimated_rows } => estimated_rows,
            AccessKind::Completed | AccessKind::Suspended | AccessKind::Failed { .. } => 0,
            AccessKind::Overhead => return,
        };
        if !self.streaming.is_empty()
            && let Some((of, rows)) = self.streaming.remove(&connection)
        {
            self.rows[of].streaming -= rows;
        }
        if estimated > 0 {
            self.rows[at].streaming += estimated;
            self.streaming.insert(connection, (at, estimated));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{principal::Session, sql::Shape};

    #[test]
    fn estimates_of_several_connections_add_up_and_fall_away() {
        let mut live = LiveView::new(10);
        let mut observe = |connection, rows, kind| {
            let session = Session::for_tests(ConnectionId(connection), PrincipalId(0), "db");
            live.observe(&Access {
                time: Timestamp(5_000_000_000),
                started: Timestamp(5_000_000_000),
                principal: PrincipalId(0),
                session: &session,
                shape_id: 0,
                shape: &Shape::default(),
                volume: Volume {
                    rows_returned: rows,
                    bytes_sent: 1,
                    ..Volume::default()
                },
                kind,
                largest: None,
                picked: None,
            });
            let (_, row) = live.rows().next().expect("one principal");
            (row.shown(), row.streaming)
        };
        let streaming = |estimated_rows| AccessKind::Streaming { estimated_rows };
        assert_eq!(observe(1, 10, streaming(100)), (110, 100));
        assert_eq!(observe(2, 0, streaming(50)), (160, 150));
        assert_eq!(observe(1, 0, streaming(200)), (260, 250));
        assert_eq!(observe(1, 0, AccessKind::Overhead), (260, 250));
        assert_eq!(observe(1, 190, AccessKind::Completed), (250, 50));
        assert_eq!(
            observe(2, 0, AccessKind::Failed { estimated_rows: 50 }),
            (200, 0)
        );
        let recent = live.recent.of(PrincipalId(0), Timestamp(5_000_000_000));
        assert_eq!(recent.iter().sum::<u32>(), 260);
    }
}
