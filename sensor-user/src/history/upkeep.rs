//! Minutes become hours, hours become days, days go; and the file stays within its size. One short transaction a step, so
//! that nobody waits for it.

use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::{count, seconds, stored};
use crate::time::Timestamp;

/// How long what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Minutes are kept so long, then summed up by hour.
    pub minutes: Duration,
    /// Hours are kept so long, then summed up by day.
    pub hours: Duration,
    /// Days, and alerts, are kept so long.
    pub days: Duration,
    /// Bytes of the file; beyond, the oldest goes.
    pub max_bytes: u64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Call again soon.
    pub more: bool,
    /// Rows (of accesses) forgotten because the file had no room, before their time.
    pub pruned_rows: u64,
    /// Names and shapes that nothing refers to were deleted.
    pub forgot_names: bool,
}

/// Alerts that nobody has answered are kept so long, however full the file is.
const OPEN: Duration = Duration::from_secs(30 * 86_400);
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// Pages given back to the file system at once.
const VACUUM_PAGES: u32 = 2_000;

/// One step.
///
/// # Errors
/// When SQLite fails; nothing is changed then.
pub fn step(connection: &mut Connection, bounds: &Bounds, now: Timestamp) -> Result<Step> {
    let horizon = |keep: Duration, unit: i64| {
        let oldest = seconds(now - keep);
        oldest - oldest.rem_euclid(unit)
    };
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if roll_up(
        &transaction,
        "minute",
        "hour",
        HOUR,
        horizon(bounds.minutes, HOUR),
    )? || roll_up(&transaction, "hour", "day", DAY, horizon(bounds.hours, DAY))?
    {
        transaction.commit()?;
        return Ok(Step {
            more: true,
            ..Step::default()
        });
    }
    let too_old = horizon(bounds.days, DAY);
    let expired = forget_oldest(&transaction, "day", DAY, Some(too_old))?;
    if expired.is_some() {
        let nanos = stored(super::timestamp(too_old).0);
        transaction.execute("DELETE FROM alert WHERE time_ns < ?1", [nanos])?;
        transaction.execute(
            "DELETE FROM fate WHERE until < ?1 AND alert NOT IN (SELECT id FROM alert)",
            [too_old],
        )?;
        forget_names(&transaction)?;
        transaction.commit()?;
        return Ok(Step {
            more: true,
            forgot_names: true,
            pruned_rows: 0,
        });
    }
    if used_bytes(&transaction)? > bounds.max_bytes {
        for (table, unit) in [("day", DAY), ("hour", HOUR), ("minute", HOUR)] {
            if let Some(rows) = forget_oldest(&transaction, table, unit, None)? {
                // Otherwise what was made up once would take the place of all that comes.
                forget_answered(&transaction, now)?;
                forget_names(&transaction)?;
                transaction.commit()?;
                give_back(connection)?;
                return Ok(Step {
                    more: true,
                    pruned_rows: rows,
                    forgot_names: true,
                });
            }
        }
    }
    transaction.commit()?;
    Ok(Step {
        more: give_back(connection)?,
        ..Step::default()
    })
}

/// Sums up the oldest span of a table that lies before the horizon.
fn roll_up(
    transaction: &Transaction<'_>,
    from: &str,
    to: &str,
    unit: i64,
    horizon: i64,
) -> Result<bool> {
    let oldest: Option<i64> =
        transaction.query_row(&format!("SELECT min(time) FROM {from}"), [], |row| {
            row.get(0)
        })?;
    let Some(oldest) = oldest else {
        return Ok(false);
    };
    let begin = oldest - oldest.rem_euclid(unit);
    if begin + unit > horizon {
        return Ok(false);
    }
    transaction.execute(
        &format!(
            "INSERT INTO {to}
             SELECT ?1, principal, database, statement, sum(rows_returned), sum(rows_written), sum(rows_estimated),
               sum(bytes_sent), sum(bytes_received), sum(queries), max(statement_rows), max(statement_bytes),
               min(first), max(last), records_union(records)
             FROM {from} WHERE time >= ?1 AND time < ?2 GROUP BY principal, database, statement
             ON CONFLICT DO UPDATE SET
               rows_returned = rows_returned + excluded.rows_returned,
               rows_written = rows_written + excluded.rows_written,
               rows_estimated = rows_estimated + excluded.rows_estimated,
               bytes_sent = bytes_sent + excluded.bytes_sent,
               bytes_received = bytes_received + excluded.bytes_received,
               queries = queries + excluded.queries,
               statement_rows = max(statement_rows, excluded.statement_rows),
               statement_bytes = max(statement_bytes, excluded.statement_bytes),
               first = min(first, excluded.first), last = max(last, excluded.last),
               records = records_merge(records, excluded.records)"
        ),
        [begin, begin + unit],
    )?;
    transaction.execute(
        &format!("DELETE FROM {from} WHERE time >= ?1 AND time < ?2"),
        [begin, begin + unit],
    )?;
    Ok(true)
}

/// Deletes the oldest span of a table, if it lies before `horizon`. Returns the rows that were counted in it.
fn forget_oldest(
    transaction: &Transaction<'_>,
    table: &str,
    unit: i64,
    horizon: Option<i64>,
) -> Result<Option<u64>> {
    let oldest: Option<i64> = transaction
        .query_row(&format!("SELECT min(time) FROM {table}"), [], |row| {
            row.get(0)
        })
        .optional()?
        .flatten();
    let Some(oldest) = oldest.filter(|oldest| horizon.is_none_or(|horizon| *oldest < horizon))
    else {
        return Ok(None);
    };
    let end = oldest - oldest.rem_euclid(unit) + unit;
    let rows: i64 = transaction.query_row(
        &format!(
            "SELECT coalesce(sum(rows_returned + rows_written + rows_estimated), 0) FROM {table} WHERE time < ?1"
        ),
        [end],
        |row| row.get(0),
    )?;
    transaction.execute(
        &format!("DELETE FROM {table} WHERE time < ?1"),
        params![end],
    )?;
    Ok(Some(count(rows)))
}

/// Deletes alerts that are older than all volumes, and what was said of them where it holds no longer. Those that nobody has
/// answered only when they are old.
fn forget_answered(transaction: &Transaction<'_>, now: Timestamp) -> Result<()> {
    let oldest: Option<i64> = transaction.query_row(
        "SELECT min(time) FROM (SELECT min(time) AS time FROM day UNION ALL SELECT min(time) FROM hour
         UNION ALL SELECT min(time) FROM minute)",
        [],
        |row| row.get(0),
    )?;
    let Some(oldest) = oldest else {
        return Ok(());
    };
    transaction.execute(
        "DELETE FROM alert WHERE time_ns < ?1
         AND (time_ns < ?2 OR suppressed_by IS NOT NULL OR id IN (SELECT alert FROM fate))",
        [stored(super::timestamp(oldest).0), stored((now - OPEN).0)],
    )?;
    transaction.execute(
        "DELETE FROM fate WHERE until < ?1 AND alert NOT IN (SELECT id FROM alert)",
        [oldest.min(seconds(now))],
    )?;
    Ok(())
}

/// Deletes principals, databases and statements that nothing refers to.
fn forget_names(transaction: &Transaction<'_>) -> Result<()> {
    for name in ["principal", "database", "statement"] {
        transaction.execute(
            &format!(
                "DELETE FROM {name} WHERE id NOT IN (SELECT {name} FROM minute UNION SELECT {name} FROM hour
                 UNION SELECT {name} FROM day UNION SELECT {name} FROM since_detector)"
            ),
            [],
        )?;
    }
    Ok(())
}

/// Bytes of the file that hold something.
fn used_bytes(connection: &Connection) -> Result<u64> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    Ok(super::file_bytes(connection)?.saturating_sub(count(free) * count(size)))
}

/// Gives free pages back to the file system, some at a time; true when there are more.
fn give_back(connection: &Connection) -> Result<bool> {
    let free = |connection: &Connection| -> Result<u64> {
        let pages: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        Ok(count(pages))
    };
    if free(connection)? < u64::from(VACUUM_PAGES) {
        return Ok(false);
    }
    let mut statement =
        connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(free(connection)? >= u64::from(VACUUM_PAGES))
}
