//! Sketches of distinct records as blobs, and SQL functions on them.

use anyhow::Result;
use rusqlite::{
    Connection,
    functions::{Aggregate, Context, FunctionFlags},
    types::ValueRef,
};

use crate::detect::sketch::Distinct;

/// The first byte of a blob.
const VERSION: u8 = 1;
/// Hashes kept: exact up to here, within some 4 % beyond.
const CAPACITY: usize = 512;

/// A sketch as bytes.
pub fn encode(sketch: &Distinct) -> Vec<u8> {
    // Can't fail: a vector takes all there is.
    postcard::to_extend(sketch, vec![VERSION])
        .unwrap_or_else(|error| unreachable!("serialising a sketch: {error}"))
}

/// Back from bytes; `None` when they are of another version or damaged.
pub fn decode(bytes: &[u8]) -> Option<Distinct> {
    let (version, rest) = bytes.split_first()?;
    (*version == VERSION)
        .then(|| postcard::from_bytes(rest).ok())
        .flatten()
}

/// Takes in keyed hashes of records.
pub fn insert(sketch: &mut Distinct, hashes: &[u64]) {
    for hash in hashes {
        sketch.insert(*hash, 0, CAPACITY);
    }
}

/// Unites two blobs; what can't be read does not count.
pub fn unite(sketch: &mut Option<Distinct>, bytes: &[u8]) {
    let Some(other) = decode(bytes) else { return };
    match sketch {
        Some(sketch) => sketch.unite(&other, CAPACITY),
        None => *sketch = Some(other),
    }
}

/// The records in both.
pub fn merge(sketch: &mut Option<Distinct>, other: Option<Distinct>) {
    match (sketch.as_mut(), other) {
        (Some(sketch), Some(other)) => sketch.unite(&other, CAPACITY),
        (None, other) => *sketch = other,
        (Some(_), None) => {}
    }
}

/// Distinct records.
pub fn count(sketch: &Distinct) -> u64 {
    // Never negative, far below 2^53.
    sketch.count(0).round() as u64
}

struct Union;

impl Aggregate<Option<Distinct>, Option<Vec<u8>>> for Union {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Option<Distinct>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut Option<Distinct>) -> rusqlite::Result<()> {
        if let ValueRef::Blob(bytes) = context.get_raw(0) {
            unite(sum, bytes);
        }
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        sum: Option<Option<Distinct>>,
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        Ok(sum.flatten().as_ref().map(encode))
    }
}

/// Adds `records_union(blob)` (aggregate) and `records_merge(blob, blob)` to a connection.
///
/// # Errors
/// When SQLite refuses.
pub fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_aggregate_function("records_union", 1, flags, Union)?;
    connection.create_scalar_function("records_merge", 2, flags, |context| {
        let mut sum = None;
        for at in 0..2 {
            if let ValueRef::Blob(bytes) = context.get_raw(at) {
                unite(&mut sum, bytes);
            }
        }
        Ok(sum.as_ref().map(encode))
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_unite_in_sql_as_in_memory() {
        let connection = Connection::open_in_memory().expect("open");
        register(&connection).expect("register");
        let blob = |range: std::ops::Range<u64>| {
            let mut sketch = Distinct::default();
            insert(&mut sketch, &range.collect::<Vec<_>>());
            encode(&sketch)
        };
        let merged: Vec<u8> = connection
            .query_row(
                "SELECT records_merge(?1, ?2)",
                [blob(0..100), blob(50..150)],
                |row| row.get(0),
            )
            .expect("merged");
        assert_eq!(count(&decode(&merged).expect("sketch")), 150);
        let union: Vec<u8> = connection
            .query_row(
                "SELECT records_union(column1) FROM (VALUES (?1), (NULL), (?2), (x'ff00'))",
                [blob(0..10_000), blob(5_000..15_000)],
                |row| row.get(0),
            )
            .expect("united");
        let counted = count(&decode(&union).expect("sketch"));
        assert!((13_500..16_500).contains(&counted), "{counted}");
        assert!(decode(&[]).is_none() && decode(&[9, 9]).is_none());
    }
}
