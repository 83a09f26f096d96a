//! What is remembered beyond the memory of a process: volumes, statement shapes, the detector's state, alerts and their
//! fate, in one embedded database. docs/history.md describes it.
//!
//! [`Collector`] sums up accesses in the pipeline (pure), [`Writer`] takes the sums once a second on a thread of its own,
//! [`Reader`] answers questions. The sensor never waits for any of it and never ends because of it.

use anyhow::Result;
use rusqlite::Connection;

mod alerts;
mod batch;
mod collect;
mod fates;
mod past;
mod read;
mod schema;
mod secret;
mod sketch;
mod store;
#[cfg(test)]
mod tests;
mod upkeep;
mod who;
mod writer;

pub use alerts::{AlertRow, Told, subject, verdict_subject};
pub use batch::{Amount, Batch, Entry, Key};
pub use collect::Collector;
pub use fates::{Fate, FateKind, Fates};
pub use past::{Numbers, Past, StoredNumbers};
pub use read::{Bucket, Reader, Resolution};
pub use schema::{open, open_existing};
pub use secret::secret;
pub use sketch::insert as insert_records;
pub use store::Store;
pub use upkeep::Bounds;
pub use who::{Asked, Reading};
pub use writer::{State, Writer};

/// Seconds since 1970 of a time, as they are stored.
fn seconds(time: crate::time::Timestamp) -> i64 {
    // Fits: 2^63 seconds are far off.
    i64::try_from(time.0 / 1_000_000_000).unwrap_or(i64::MAX)
}

/// Back from stored seconds.
fn timestamp(seconds: i64) -> crate::time::Timestamp {
    crate::time::Timestamp(
        u64::try_from(seconds)
            .unwrap_or(0)
            .saturating_mul(1_000_000_000),
    )
}

/// A count as it is stored.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count back from storage; negative ones are damage and count nothing.
fn count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

/// Bytes the file takes, those of its log left out.
fn file_bytes(connection: &Connection) -> Result<u64> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(count(pages) * count(size))
}
