//! What the detector is fed with: one record of access, live or from a file.

use crate::time::Timestamp;

/// Some access by one principal to some tables; may sum up as much as an hour of one statement shape.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// When (the end, for a sum).
    pub time: Timestamp,
    /// Who, as a key that stays the same over reconnects.
    pub principal: &'a str,
    /// The team or role of the principal: its peers. Empty: everybody without one.
    pub group: &'a str,
    /// The client host.
    pub host: &'a str,
    /// The OS user at the client, empty when not known.
    pub os_user: &'a str,
    /// The database.
    pub database: &'a str,
    /// The tables, the one that the rows come from first.
    pub tables: &'a [&'a str],
    /// `SELECT`, `COPY`, …
    pub operation: &'a str,
    /// Fingerprint of the statement, zero when not known.
    pub fingerprint: u64,
    /// Rows, whichever way.
    pub rows: u64,
    /// The largest single statement's rows; `rows` when not known.
    pub statement_rows: Option<u64>,
    /// Bytes sent to the client.
    pub bytes: u64,
    /// Statements.
    pub queries: u64,
    /// Which records were picked, as far as known.
    pub keys: Keys<'a>,
    /// In which order, as far as known.
    pub key_order: KeyOrder,
}

/// Which records were picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys<'a> {
    /// Keyed hashes, evenly spread over all 64-bit numbers; the values behind them are not known here.
    Hashes(&'a [u64]),
    /// So many distinct ones in this record.
    Count(u64),
    /// Not known: each row counts as a record of its own.
    Unknown,
}

/// The order in which keys were walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// Not known.
    #[default]
    Unknown,
    /// Upwards: a walk over the table.
    Ascending,
    /// No order.
    Random,
}

impl Observation<'_> {
    /// Distinct records as far as a count can say; hashes count once each.
    pub fn counted(&self) -> u64 {
        match self.keys {
            Keys::Hashes(hashes) => hashes.len() as u64,
            Keys::Count(count) => count,
            Keys::Unknown => self.rows,
        }
    }
}
