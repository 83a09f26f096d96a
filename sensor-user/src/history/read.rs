//! History read back, in order of time.

use std::{collections::HashMap, net::IpAddr, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use rusqlite::{Connection, Row, params};

use super::{Amount, count, schema, seconds, sketch, store, timestamp};
use crate::{
    principal::{ClientAddress, DbSystem, OsUser, Principal},
    sql::{Egress, EgressRoute, Shape},
    time::Timestamp,
    volume::Volume,
};

/// How fine a sum is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Resolution {
    /// All, finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// Its table.
    pub fn table(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

/// One sum.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Its resolution.
    pub resolution: Resolution,
    /// When it begins.
    pub begin: Timestamp,
    /// Number of the principal in the file.
    pub principal: i64,
    /// Number of the statement in the file.
    pub statement: i64,
    /// Number of the database in the file.
    pub database: i64,
    /// How much.
    pub amount: Amount,
}

/// See the module.
#[derive(Debug)]
pub struct Reader<'a> {
    connection: &'a Connection,
    principals: HashMap<i64, Arc<Principal>>,
    statements: HashMap<i64, Arc<Shape>>,
    databases: HashMap<i64, Arc<str>>,
}

impl<'a> Reader<'a> {
    /// With all names and shapes.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn new(connection: &'a Connection) -> Result<Self> {
        Ok(Self {
            principals: principals(connection)?,
            statements: statements(connection)?,
            databases: databases(connection)?,
            connection,
        })
    }

    /// Opens a file for a verb.
    ///
    /// # Errors
    /// When it is missing, or of another layout.
    pub fn open(path: &Path) -> Result<Connection> {
        schema::open_existing(path, false)
    }

    /// A principal.
    pub fn principal(&self, id: i64) -> Option<&Arc<Principal>> {
        self.principals.get(&id)
    }

    /// A statement shape.
    pub fn shape(&self, id: i64) -> Option<&Arc<Shape>> {
        self.statements.get(&id)
    }

    /// A database.
    pub fn database(&self, id: i64) -> Option<&Arc<str>> {
        self.databases.get(&id)
    }

    /// Hands on all sums that begin within a time, in its order.
    ///
    /// # Errors
    /// When SQLite fails, or the taker does.
    pub fn buckets(
        &self,
        from: Timestamp,
        to: Timestamp,
        mut take: impl FnMut(Bucket) -> Result<()>,
    ) -> Result<()> {
        let select = |resolution: Resolution| {
            format!(
                "SELECT {} AS resolution, * FROM {} WHERE time >= ?1 AND time < ?2",
                resolution as u8,
                resolution.table()
            )
        };
        let all = Resolution::ALL.map(select).join(" UNION ALL ");
        let mut statement = self
            .connection
            .prepare(&format!("{all} ORDER BY time"))
            .context("cannot read the history")?;
        let mut rows = statement.query(params![seconds(from), seconds(to)])?;
        while let Some(row) = rows.next()? {
            take(bucket(row)?)?;
        }
        Ok(())
    }

    /// When the first and the last of it was seen.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn span(&self) -> Result<Option<(Timestamp, Timestamp)>> {
        let (first, last): (Option<i64>, Option<i64>) = self.connection.query_row(
            "SELECT min(first), max(last) FROM (
               SELECT min(time) AS first, max(time) + 59 AS last FROM minute
               UNION ALL SELECT min(time), max(time) + 3599 FROM hour
               UNION ALL SELECT min(time), max(time) + 86399 FROM day)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        Ok(first.map(timestamp).zip(last.map(timestamp)))
    }
}

fn bucket(row: &Row<'_>) -> rusqlite::Result<Bucket> {
    let number = |at: &str| row.get::<_, i64>(at).map(count);
    let resolution = match row.get::<_, i64>("resolution")? {
        0 => Resolution::Minute,
        1 => Resolution::Hour,
        _ => Resolution::Day,
    };
    Ok(Bucket {
        resolution,
        begin: timestamp(row.get("time")?),
        principal: row.get("principal")?,
        statement: row.get("statement")?,
        database: row.get("database")?,
        amount: Amount {
            volume: Volume {
                rows_returned: number("rows_returned")?,
                rows_written: number("rows_written")?,
                bytes_sent: number("bytes_sent")?,
                bytes_received: number("bytes_received")?,
                queries: number("queries")?,
            },
            rows_estimated: number("rows_estimated")?,
            statement_rows: number("statement_rows")?,
            statement_bytes: number("statement_bytes")?,
            first: timestamp(row.get("first")?),
            last: timestamp(row.get("last")?),
            records: row
                .get::<_, Option<Vec<u8>>>("records")?
                .and_then(|bytes| sketch::decode(&bytes)),
        },
    })
}

fn principals(connection: &Connection) -> Result<HashMap<i64, Arc<Principal>>> {
    let mut statement = connection.prepare("SELECT * FROM principal")?;
    let rows = statement.query_map([], |row| {
        let user = |uid: &str, name: &str| -> rusqlite::Result<Option<OsUser>> {
            let uid: Option<u32> = row.get(uid)?;
            let name: Option<String> = row.get(name)?;
            Ok(uid.zip(name).map(|(uid, name)| OsUser {
                uid,
                name: name.into(),
            }))
        };
        let system: String = row.get("system")?;
        let client: String = row.get("client")?;
        let principal = Principal {
            system: DbSystem::from_name(&system),
            server: row.get::<_, String>("server")?.into(),
            server_port: row.get("server_port")?,
            user: row.get::<_, Option<String>>("user")?.map(Into::into),
            client: client_address(&client),
            os_user: user("os_uid", "os_user")?,
            login_user: user("login_uid", "login_user")?,
            more: store::more(&row.get::<_, String>("identity")?),
            ..Principal::default()
        };
        Ok((row.get("id")?, Arc::new(principal)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A client address as it is displayed.
fn client_address(text: &str) -> ClientAddress {
    match (text, text.parse::<IpAddr>()) {
        ("local", _) => ClientAddress::Unix,
        ("any", _) => ClientAddress::Any,
        (_, Ok(address)) => ClientAddress::Ip(address),
        _ => ClientAddress::Unknown,
    }
}

fn statements(connection: &Connection) -> Result<HashMap<i64, Arc<Shape>>> {
    let mut statement = connection.prepare("SELECT * FROM statement")?;
    let rows = statement.query_map([], |row| {
        let text = |at: &str| row.get::<_, String>(at);
        let tables: Vec<String> = serde_json::from_str(&text("tables")?).unwrap_or_default();
        let route: Option<String> = row.get("egress_route")?;
        let destination: Option<String> = row.get("egress_destination")?;
        let egress = route
            .and_then(|name| EgressRoute::from_name(&name))
            .zip(destination)
            .map(|(route, destination)| Egress {
                route,
                destination: destination.into(),
            });
        let shape = Shape {
            operation: text("operation")?.into(),
            tables: tables.into_iter().map(Into::into).collect(),
            summary: text("summary")?.into(),
            text: text("text")?.into(),
            parsed: row.get("parsed")?,
            cursor: None,
            egress,
        };
        Ok((row.get("id")?, Arc::new(shape)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn databases(connection: &Connection) -> Result<HashMap<i64, Arc<str>>> {
    let mut statement = connection.prepare("SELECT id, name FROM database")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?.into())))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
