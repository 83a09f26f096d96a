//! One row of an events file, and a day of them.

use std::ops::Range;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Select,
    Copy,
    Update,
}

impl Operation {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Select => "SELECT",
            Self::Copy => "COPY",
            Self::Update => "UPDATE",
        }
    }
}

/// A client host; written as an address of 10.0.0.0/8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(pub u32);

/// What one account read by one statement within the time that a record sums up.
#[derive(Clone, Debug)]
pub struct Record {
    /// Milliseconds since 1970.
    pub time: u64,
    /// Index of the account.
    pub account: u32,
    pub host: Host,
    /// Index into [`super::world::World::tables`].
    pub table: u8,
    pub operation: Operation,
    pub fingerprint: u64,
    /// Rows of the largest statement.
    pub statement_rows: u64,
    pub rows: u64,
    pub bytes: u64,
    pub queries: u64,
    /// Where the keys stand in [`Day::keys`]; empty when rows were not picked one by one.
    pub keys: Range<u32>,
    pub ascending: bool,
    /// Number of the attack that it belongs to, from one; 0 is honest. Not written.
    pub attack: u32,
}

/// Records of a day, in order of time.
#[derive(Debug, Default)]
pub struct Day {
    pub records: Vec<Record>,
    pub keys: Vec<u64>,
}

impl Day {
    pub fn clear(&mut self) {
        self.records.clear();
        self.keys.clear();
    }

    /// A place in the keys from which a record's begin.
    pub fn mark(&self) -> u32 {
        self.keys.len() as u32
    }

    pub fn sort(&mut self) {
        self.records
            .sort_by_key(|record| (record.time, record.account));
    }

    pub fn keys(&self, record: &Record) -> &[u64] {
        &self.keys[record.keys.start as usize..record.keys.end as usize]
    }
}
