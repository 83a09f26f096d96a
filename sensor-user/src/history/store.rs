//! Batches into the database: one transaction each.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use rustc_hash::FxHashMap;

use super::{Amount, Batch, Bounds, Entry, Key, count, schema, seconds, sketch, stored, upkeep};
use crate::{
    export,
    principal::{Principal, PrincipalId, identity::Field},
    sql::Shape,
    time::Timestamp,
};

/// The database as the sensor writes it.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    rows: RowIds,
    /// Whether sums are also kept for a detector that goes on from its last state.
    pub follow_detector: bool,
}

/// Rows that stand for numbers of this process.
#[derive(Debug, Default)]
struct RowIds {
    principals: FxHashMap<PrincipalId, i64>,
    databases: FxHashMap<Arc<str>, i64>,
    statements: FxHashMap<u32, i64>,
}

impl Store {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it can't be made, or is of a newer version.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            connection: schema::open(path)?,
            rows: RowIds::default(),
            follow_detector: false,
        })
    }

    /// Writes a batch, all or nothing.
    ///
    /// # Errors
    /// When SQLite fails; nothing of the batch is in the database then.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        let result = self.write_all(batch);
        if result.is_err() {
            // Rows made in the transaction are gone with it.
            self.rows = RowIds::default();
        }
        result
    }

    fn write_all(&mut self, batch: &Batch) -> Result<()> {
        let transaction = self
            .connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for (key, entry) in &batch.entries {
            let who = principal(
                &transaction,
                &mut self.rows,
                key.principal,
                &entry.principal,
            )?;
            let database = database(&transaction, &mut self.rows, &key.database)?;
            let what = statement(&transaction, &mut self.rows, key.shape_id, &entry.shape)?;
            add(&transaction, key, &entry.amount, who, database, what)?;
            if self.follow_detector && batch.detector.is_none() && is_judged(entry) {
                transaction
                    .prepare_cached(
                        "INSERT INTO since_detector VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(params![
                        stored(entry.amount.last.0),
                        who,
                        database,
                        what,
                        stored(entry.amount.rows()),
                        stored(entry.amount.volume.bytes_sent),
                        stored(entry.amount.volume.queries),
                    ])?;
            }
        }
        for alert in &batch.alerts {
            alert.insert(&transaction)?;
        }
        if let Some((state, version, time)) = &batch.detector {
            transaction.execute(
                "INSERT OR REPLACE INTO detector (id, time, version, state) VALUES (1, ?1, ?2, ?3)",
                params![seconds(*time), version, state],
            )?;
            transaction.execute("DELETE FROM since_detector", [])?;
        }
        for fate in &batch.applied {
            transaction.execute(
                "UPDATE fate SET applied = ?2 WHERE id = ?1",
                params![fate, seconds(Timestamp::now())],
            )?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// One step of roll-up, retention and bound of size; true when there is more to do at once.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn upkeep(&mut self, bounds: &Bounds, now: Timestamp) -> Result<upkeep::Step> {
        let step = upkeep::step(&mut self.connection, bounds, now)?;
        if step.forgot_names {
            self.rows = RowIds::default();
        }
        Ok(step)
    }

    /// The connection, for what only reads.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn bytes(&self) -> Result<u64> {
        super::file_bytes(&self.connection)
    }

    /// Rows that the three resolutions hold, and queries: all there is.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn totals(&self) -> Result<(u64, u64)> {
        let (rows, queries): (i64, i64) = self.connection.query_row(
            "SELECT coalesce(sum(rows_returned + rows_written), 0), coalesce(sum(queries), 0) FROM
             (SELECT rows_returned, rows_written, queries FROM minute
              UNION ALL SELECT rows_returned, rows_written, queries FROM hour
              UNION ALL SELECT rows_returned, rows_written, queries FROM day)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok((count(rows), count(queries)))
    }
}

/// What the detector takes in: not what is outside of any statement.
fn is_judged(entry: &Entry) -> bool {
    entry.principal.user.is_some()
        && (entry.amount.volume.queries > 0
            || entry.amount.rows() > 0
            || !entry.shape.text.is_empty())
}

fn add(
    transaction: &Transaction<'_>,
    key: &Key,
    amount: &Amount,
    principal: i64,
    database: i64,
    statement: i64,
) -> Result<()> {
    let records = amount.records.as_ref().map(sketch::encode);
    transaction
        .prepare_cached(
            "INSERT INTO minute VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT DO UPDATE SET
               rows_returned = rows_returned + excluded.rows_returned,
               rows_written = rows_written + excluded.rows_written,
               rows_estimated = rows_estimated + excluded.rows_estimated,
               bytes_sent = bytes_sent + excluded.bytes_sent,
               bytes_received = bytes_received + excluded.bytes_received,
               queries = queries + excluded.queries,
               statement_rows = max(statement_rows, excluded.statement_rows),
               statement_bytes = max(statement_bytes, excluded.statement_bytes),
               first = min(first, excluded.first),
               last = max(last, excluded.last),
               records = records_merge(records, excluded.records)",
        )?
        .execute(params![
            stored(key.minute * 60),
            principal,
            database,
            statement,
            stored(amount.volume.rows_returned),
            stored(amount.volume.rows_written),
            stored(amount.rows_estimated),
            stored(amount.volume.bytes_sent),
            stored(amount.volume.bytes_received),
            stored(amount.volume.queries),
            stored(amount.statement_rows),
            stored(amount.statement_bytes),
            seconds(amount.first),
            seconds(amount.last),
            records,
        ])?;
    Ok(())
}

fn principal(
    transaction: &Transaction<'_>,
    rows: &mut RowIds,
    id: PrincipalId,
    principal: &Principal,
) -> Result<i64> {
    if let Some(row) = rows.principals.get(&id) {
        return Ok(*row);
    }
    let client = principal.client.to_string();
    let (os, login) = (principal.os_user.as_ref(), principal.login_user.as_ref());
    let identity = identity(principal);
    let row = transaction
        .prepare_cached("SELECT id FROM principal WHERE identity = ?1")?
        .query_row([&identity], |row| row.get(0))
        .optional()?;
    let row = match row {
        Some(row) => row,
        None => {
            transaction.execute(
                "INSERT INTO principal (identity, system, server, server_port, user, client, os_uid, os_user, login_uid, login_user)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    identity,
                    principal.system.as_str(),
                    principal.server,
                    principal.server_port,
                    principal.user,
                    client,
                    os.map(|user| user.uid),
                    os.map(|user| &user.name),
                    login.map(|user| user.uid),
                    login.map(|user| &user.name),
                ],
            )?;
            transaction.last_insert_rowid()
        }
    };
    rows.principals.insert(id, row);
    Ok(row)
}

/// Parts of an [`identity`] that have columns of their own.
const COLUMNS: usize = 7;

/// All that tells principals apart, as one text.
pub(super) fn identity(principal: &Principal) -> String {
    let user = |user: &Option<crate::principal::OsUser>| {
        user.as_ref().map_or(String::new(), ToString::to_string)
    };
    // An unknown user is not one whose name is empty.
    let name = principal
        .user
        .as_ref()
        .map_or(String::new(), |name| format!("={name}"));
    let columns: [&str; COLUMNS] = [
        principal.system.as_str(),
        &principal.server,
        &principal.server_port.to_string(),
        &name,
        &principal.client.to_string(),
        &user(&principal.os_user),
        &user(&principal.login_user),
    ];
    let mut identity = columns.join("\u{1f}");
    if principal.before_start {
        identity.push_str("\u{1f}before_start");
    }
    for (field, value) in &principal.more {
        identity.push_str(&format!("\u{1f}{}={value}", field.as_str()));
    }
    identity
}

/// The part of an [`identity`] that has no column of its own.
pub(super) fn more(identity: &str) -> Vec<(Field, Arc<str>)> {
    let parts = identity.split('\u{1f}').skip(COLUMNS);
    parts
        .filter_map(|part| {
            let (field, value) = part.split_once('=')?;
            Some((Field::from_name(field)?, value.into()))
        })
        .collect()
}

fn database(transaction: &Transaction<'_>, rows: &mut RowIds, name: &Arc<str>) -> Result<i64> {
    if let Some(row) = rows.databases.get(name) {
        return Ok(*row);
    }
    transaction.execute(
        "INSERT INTO database (name) VALUES (?1) ON CONFLICT DO NOTHING",
        [name],
    )?;
    let row = transaction.query_row("SELECT id FROM database WHERE name = ?1", [name], |row| {
        row.get(0)
    })?;
    rows.databases.insert(name.clone(), row);
    Ok(row)
}

fn statement(
    transaction: &Transaction<'_>,
    rows: &mut RowIds,
    id: u32,
    shape: &Shape,
) -> Result<i64> {
    if let Some(row) = rows.statements.get(&id) {
        return Ok(*row);
    }
    let fingerprint = export::fingerprint(shape);
    let tables: Vec<&str> = shape.tables.iter().map(AsRef::as_ref).collect();
    let tables_json = serde_json::to_string(&tables)?;
    let (route, destination) = match &shape.egress {
        Some(egress) => (Some(egress.route.as_str()), Some(&egress.destination)),
        None => (None, None),
    };
    let found = transaction
        .prepare_cached(
            "SELECT id FROM statement WHERE fingerprint = ?1 AND text = ?2 AND summary = ?3 AND tables = ?4
             AND operation = ?5 AND egress_route IS ?6 AND egress_destination IS ?7",
        )?
        .query_row(
            params![
                fingerprint,
                shape.text,
                shape.summary,
                tables_json,
                shape.operation,
                route,
                destination
            ],
            |row| row.get(0),
        )
        .optional()?;
    let row = match found {
        Some(row) => row,
        None => {
            transaction.execute(
                "INSERT INTO statement (fingerprint, operation, tables, summary, text, parsed, egress_route, egress_destination)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    fingerprint,
                    shape.operation,
                    tables_json,
                    shape.summary,
                    shape.text,
                    shape.parsed,
                    route,
                    destination
                ],
            )?;
            let row = transaction.last_insert_rowid();
            for table in tables {
                let bare = table.rsplit('.').next().unwrap_or(table);
                transaction.execute(
                    "INSERT INTO statement_table VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                    params![row, table, bare],
                )?;
            }
            row
        }
    };
    rows.statements.insert(id, row);
    Ok(row)
}
