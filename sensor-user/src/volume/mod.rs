//! How much: volumes of data access and their bounded aggregation.

use std::ops::{AddAssign, Sub};

pub mod completeness;
pub mod egress;
pub mod ledger;
pub mod live;
pub mod recent;
pub mod records;
pub mod spread;
pub mod totals;
pub mod under_way;

use crate::{
    principal::{PrincipalId, Session},
    sql::Shape,
    time::Timestamp,
};

/// Exact amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Rows returned to the client (or sent out by the server itself, see `sql::Egress`).
    pub rows_returned: u64,
    /// Rows inserted, updated, deleted, merged or copied in.
    pub rows_written: u64,
    /// Bytes sent to the client on its socket.
    pub bytes_sent: u64,
    /// Bytes received from the client on its socket.
    pub bytes_received: u64,
    /// Statements completed.
    pub queries: u64,
}

impl AddAssign for Volume {
    fn add_assign(&mut self, rhs: Self) {
        self.rows_returned += rhs.rows_returned;
        self.rows_written += rhs.rows_written;
        self.bytes_sent += rhs.bytes_sent;
        self.bytes_received += rhs.bytes_received;
        self.queries += rhs.queries;
    }
}

impl Sub for Volume {
    type Output = Self;

    fn sub(self, rhs: Self) -> Self {
        Self {
            rows_returned: self.rows_returned - rhs.rows_returned,
            rows_written: self.rows_written - rhs.rows_written,
            bytes_sent: self.bytes_sent - rhs.bytes_sent,
            bytes_received: self.bytes_received - rhs.bytes_received,
            queries: self.queries - rhs.queries,
        }
    }
}

impl Volume {
    /// Rows, whichever way.
    pub fn rows(&self) -> u64 {
        self.rows_returned + self.rows_written
    }

    /// Bytes, whichever way.
    pub fn bytes(&self) -> u64 {
        self.bytes_sent + self.bytes_received
    }
}

/// One increment of access, fully attributed: the unit that flows from ingest to volumes, detection and export.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// When the increment was seen in the kernel.
    pub time: Timestamp,
    /// When its statement was received in the kernel; equals `time` for increments outside a statement.
    pub started: Timestamp,
    /// Principal: `session.principal`, for detection and history without its role.
    pub principal: PrincipalId,
    /// The connection.
    pub session: &'a Session,
    /// Interned number of the statement shape, dense; pairs one-to-one with `shape`.
    pub shape_id: u32,
    /// The statement's shape. `Shape::default()` (all empty) for bytes outside any statement.
    pub shape: &'a Shape,
    /// The exact increment.
    pub volume: Volume,
    /// What kind of increment.
    pub kind: AccessKind,
    /// Of several statements that were put together, the most that one of them had; `None` for a single one.
    pub largest: Option<Largest>,
    /// Which records it was; `None`: not known, each row counts as one.
    pub picked: Option<&'a Picked>,
}

/// Which records an access picked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// Keyed hashes of the keys.
    pub hashes: Vec<u64>,
    /// Rows that no key covers: each counts as a record of its own.
    pub others: u64,
    /// Keys or bounds come in their order.
    pub walks: bool,
}

/// See [`Access::largest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Largest {
    /// Rows returned and written.
    pub rows: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
}

/// The kinds of [`Access`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// The statement completed; `volume` closes it.
    Completed,
    /// A portal has given the rows it was asked for, and may be asked for more of the same statement.
    Suspended,
    /// The statement ended in an error or with its connection. `estimated_rows` (usually zero) were returned
    /// beyond `volume.rows_returned` by estimate: the exact number never crossed the wire.
    Failed {
        /// Rows by estimate, on top of the exact ones.
        estimated_rows: u64,
    },
    /// The statement is still streaming. `estimated_rows` is the estimate of rows so far that no exact count
    /// covers yet: it replaces (is not added to) the estimate of the previous `Streaming` of the same connection,
    /// and falls to zero with `Completed` or `Failed`.
    Streaming {
        /// Rows in flight by estimate, on top of the exact ones.
        estimated_rows: u64,
    },
    /// Bytes outside any statement: start-up, authentication, notifications, blind traffic.
    Overhead,
}
