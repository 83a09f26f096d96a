//! What is under way on one connection.

use std::{collections::HashMap, sync::Arc};

use super::UserBytes;
use crate::{
    sql::{Cursor, Shape, shapes::Shapes},
    volume::under_way::UnderWay,
};

/// Cursors remembered a connection.
const CURSORS: usize = 64;

/// State of one connection between its records.
#[derive(Debug, Default)]
pub struct Flight {
    /// Bytes in records so far, server to client.
    pub bytes_sent: u64,
    /// Likewise, client to server.
    pub bytes_received: u64,
    /// Open cursors and the shape that declared each.
    cursors: HashMap<Arc<str>, u32>,
    /// Shape and estimated rows of the statement that streams.
    streaming: Option<(u32, u64)>,
    /// Rows that were reported as exact and turned out too many: later rows pay them back.
    debt: u64,
    /// What has come of statements that are not over.
    pub under_way: UnderWay,
}

impl Flight {
    /// Shape of a `FETCH` with the tables of its cursor; other shapes stay.
    pub fn resolve_cursor(&self, shape_id: u32, shapes: &mut Shapes) -> u32 {
        match &shapes.shape(shape_id).cursor {
            Some(Cursor::Fetches(name)) => match self.cursors.get(name) {
                Some(declare) => shapes.fetch(shape_id, *declare),
                None => shape_id,
            },
            _ => shape_id,
        }
    }

    /// Rows of a record as a count that never falls: a negative difference is kept and paid by later rows.
    pub fn settle(&mut self, rows: i64) -> u64 {
        if rows < 0 {
            self.debt += rows.unsigned_abs();
            return 0;
        }
        let rows = rows.unsigned_abs();
        let paid = rows.min(self.debt);
        self.debt -= paid;
        rows - paid
    }

    /// Adds this connection's bytes to those of the client's user.
    pub fn add_to(&self, user: &mut UserBytes) {
        user.sent += self.bytes_received;
        user.received += self.bytes_sent;
    }

    /// A statement streams.
    pub fn streaming(&mut self, shape_id: u32, estimated_rows: u64) {
        self.streaming = Some((shape_id, estimated_rows));
    }

    /// A statement finished.
    pub fn finished(&mut self, shape: &Shape, shape_id: u32) {
        self.streaming = None;
        match &shape.cursor {
            Some(Cursor::Declares(name)) => {
                if self.cursors.len() >= CURSORS {
                    self.cursors.clear();
                }
                self.cursors.insert(name.clone(), shape_id);
            }
            Some(Cursor::Closes(Some(name))) => {
                self.cursors.remove(name);
            }
            Some(Cursor::Closes(None)) => self.cursors.clear(),
            _ => {}
        }
    }

    /// The statement that was under way when the connection ended, with the rows that only an estimate covers.
    pub fn unfinished(&self) -> Option<(u32, u64)> {
        self.streaming
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_never_fall() {
        let mut flight = Flight::default();
        assert_eq!(flight.settle(10), 10);
        assert_eq!(flight.settle(-4), 0);
        assert_eq!(flight.settle(3), 0);
        assert_eq!(flight.settle(3), 2);
    }
}
