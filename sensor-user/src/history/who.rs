//! "Who read these records?"

use std::collections::BTreeSet;

use anyhow::Result;
use rusqlite::{Connection, params_from_iter, types::Value};

use super::{Resolution, count, seconds, sketch, stored, timestamp};
use crate::{detect::sketch::Distinct, time::Timestamp};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Table, with or without its schema; `None`: any.
    pub table: Option<String>,
    /// Database; `None`: any.
    pub database: Option<String>,
    /// Database user; `None`: any.
    pub user: Option<String>,
    /// From then on.
    pub since: Timestamp,
    /// Before then.
    pub until: Timestamp,
}

/// What one user of one server read.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Reading {
    /// Database user; `None`: not known.
    pub user: Option<String>,
    /// OS users and, after a slash, the logins behind them, of clients on the host.
    pub os_users: BTreeSet<String>,
    /// Server.
    pub server: String,
    /// Client hosts.
    pub clients: BTreeSet<String>,
    /// Databases.
    pub databases: BTreeSet<String>,
    /// Rows read by statements that name the table, estimated ones included.
    pub rows_read: u64,
    /// The part of them that is an estimate.
    pub rows_estimated: u64,
    /// Rows written.
    pub rows_written: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Statements.
    pub queries: u64,
    /// Distinct records, of accesses whose keys are known; `None`: of none.
    pub records: Option<u64>,
    /// Rows of accesses whose keys are not known.
    pub rows_without_keys: u64,
    /// First and last time.
    #[serde(serialize_with = "as_text")]
    pub first: Timestamp,
    /// See `first`.
    #[serde(serialize_with = "as_text")]
    pub last: Timestamp,
    /// Statement shapes: rows, queries, sanitised text; most rows first.
    pub statements: Vec<Statement>,
}

/// One statement shape's part.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Statement {
    /// Rows read by it.
    pub rows_read: u64,
    /// Runs.
    pub queries: u64,
    /// Summary.
    pub summary: String,
    /// Text.
    pub text: String,
    /// Where its data went by the server's own hands.
    pub egress: Option<String>,
}

fn as_text<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

impl Asked {
    /// Who, most rows read first. Sums that are partly within the time count whole.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn answer(&self, connection: &Connection) -> Result<Vec<Reading>> {
        let mut parameters: Vec<Value> = Vec::new();
        let mut bind = |value: Value| {
            parameters.push(value);
            format!("?{}", parameters.len())
        };
        let until = bind(seconds(self.until).into());
        // A bucket that begins before but ends after counts: minutes, hours or days, as they were summed up.
        let volumes = Resolution::ALL
            .map(|resolution| {
                let since = seconds(self.since) - stored(resolution.seconds()) + 1;
                let since = bind(since.into());
                format!(
                    "SELECT * FROM {} WHERE time >= {since} AND time < {until}",
                    resolution.table()
                )
            })
            .join(" UNION ALL ");
        let mut conditions = vec![format!("v.last >= {}", bind(seconds(self.since).into()))];
        conditions.push(format!("v.first < {until}"));
        if let Some(table) = &self.table {
            let column = if table.contains('.') { "name" } else { "bare" };
            let table = bind(table.clone().into());
            conditions.push(format!(
                "v.statement IN (SELECT statement FROM statement_table WHERE {column} = {table})"
            ));
        }
        if let Some(database) = &self.database {
            conditions.push(format!("d.name = {}", bind(database.clone().into())));
        }
        if let Some(user) = &self.user {
            conditions.push(format!("p.user = {}", bind(user.clone().into())));
        }
        let sql = format!(
            "SELECT p.user, p.server, p.client, p.os_user, p.login_user, d.name AS database,
               s.summary, s.text, s.egress_route, s.egress_destination,
               sum(v.rows_returned) + sum(v.rows_estimated) AS rows_read, sum(v.rows_estimated) AS rows_estimated,
               sum(v.rows_written) AS rows_written, sum(v.bytes_sent) AS bytes_sent, sum(v.queries) AS queries,
               sum(CASE WHEN v.records IS NULL THEN v.rows_returned + v.rows_estimated ELSE 0 END) AS without_keys,
               records_union(v.records) AS records, min(v.first) AS first, max(v.last) AS last
             FROM ({volumes}) v
             JOIN principal p ON p.id = v.principal JOIN database d ON d.id = v.database
             JOIN statement s ON s.id = v.statement
             WHERE {}
             GROUP BY v.principal, v.database, v.statement
             ORDER BY p.user, p.server, rows_read DESC",
            conditions.join(" AND ")
        );
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(parameters))?;
        let mut readings: Vec<(Reading, Option<Distinct>)> = Vec::new();
        while let Some(row) = rows.next()? {
            let number = |at: &str| row.get::<_, i64>(at).map(count);
            let (user, server): (Option<String>, String) = (row.get("user")?, row.get("server")?);
            if readings
                .last()
                .is_none_or(|(last, _)| last.user != user || last.server != server)
            {
                readings.push((Reading::new(user, server), None));
            }
            let Some((reading, records)) = readings.last_mut() else {
                continue;
            };
            reading.clients.insert(row.get("client")?);
            reading.databases.insert(row.get("database")?);
            if let Some(os_user) = row.get::<_, Option<String>>("os_user")? {
                let login: Option<String> = row.get("login_user")?;
                reading.os_users.insert(match login {
                    Some(login) if login != os_user => format!("{os_user}/{login}"),
                    _ => os_user,
                });
            }
            reading.rows_read += number("rows_read")?;
            reading.rows_estimated += number("rows_estimated")?;
            reading.rows_written += number("rows_written")?;
            reading.bytes_sent += number("bytes_sent")?;
            reading.queries += number("queries")?;
            reading.rows_without_keys += number("without_keys")?;
            reading.first = reading.first.min(timestamp(row.get("first")?));
            reading.last = reading.last.max(timestamp(row.get("last")?));
            if let Some(bytes) = row.get::<_, Option<Vec<u8>>>("records")? {
                sketch::unite(records, &bytes);
            }
            reading.add_statement(Statement {
                rows_read: number("rows_read")?,
                queries: number("queries")?,
                summary: row.get("summary")?,
                text: row.get("text")?,
                egress: row
                    .get::<_, Option<String>>("egress_route")?
                    .zip(row.get::<_, Option<String>>("egress_destination")?)
                    .map(|(route, destination)| format!("{route} {destination}")),
            });
        }
        let mut answer: Vec<Reading> = readings
            .into_iter()
            .map(|(reading, records)| Reading {
                records: records.as_ref().map(sketch::count),
                ..reading
            })
            .collect();
        for reading in &mut answer {
            reading
                .statements
                .sort_by_key(|statement| std::cmp::Reverse(statement.rows_read));
        }
        answer.sort_by_key(|reading| std::cmp::Reverse(reading.rows_read));
        Ok(answer)
    }
}

impl Reading {
    fn new(user: Option<String>, server: String) -> Self {
        Self {
            user,
            server,
            os_users: BTreeSet::new(),
            clients: BTreeSet::new(),
            databases: BTreeSet::new(),
            rows_read: 0,
            rows_estimated: 0,
            rows_written: 0,
            bytes_sent: 0,
            queries: 0,
            records: None,
            rows_without_keys: 0,
            first: Timestamp(u64::MAX),
            last: Timestamp(0),
            statements: Vec::new(),
        }
    }

    /// The same text by several principals or in several databases is one.
    fn add_statement(&mut self, statement: Statement) {
        match self
            .statements
            .iter_mut()
            .find(|known| known.text == statement.text && known.egress == statement.egress)
        {
            Some(known) => {
                known.rows_read += statement.rows_read;
                known.queries += statement.queries;
            }
            None => self.statements.push(statement),
        }
    }
}
