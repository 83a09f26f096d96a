//! How large tables are, and who was connected before the sensor began, by a read-only login: planner statistics and
//! `pg_stat_activity`, no data.

use std::{collections::HashSet, time::Duration};

use anyhow::anyhow;
use tokio::sync::mpsc;
use tokio_postgres::NoTls;

use crate::config::inventory::Inventory;

/// Sizes of one database's tables.
#[derive(Debug)]
pub struct Measured {
    /// Database.
    pub database: String,
    /// `schema.table` and rows.
    pub tables: Vec<(String, u64)>,
    /// `schema.table` and the columns that have a unique index of their own.
    pub keys: Vec<(String, Vec<String>)>,
}

const DATABASES: &str = "SELECT datname FROM pg_database \
    WHERE datallowconn AND NOT datistemplate AND has_database_privilege(datname, 'CONNECT')";
const TABLES: &str = "SELECT n.nspname || '.' || c.relname, greatest(c.reltuples, 0)::bigint \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
const KEYS: &str = "SELECT n.nspname || '.' || c.relname, \
        coalesce(array_agg(DISTINCT a.attname::text) FILTER (WHERE a.attname IS NOT NULL), '{}') \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisunique AND i.indisvalid \
        AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL \
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
    GROUP BY 1";
/// A server that does not answer must not hold a connection for long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is connected to a server.
#[derive(Debug)]
pub struct Activity {
    /// Process that serves this very login: its parent is the server that was asked, if it is on this host at all.
    pub own_pid: u32,
    /// All clients.
    pub clients: Vec<ActiveClient>,
}

/// One of them.
#[derive(Debug)]
pub struct ActiveClient {
    /// Process that serves it.
    pub pid: u32,
    /// User who logged in.
    pub user: String,
    /// Database.
    pub database: String,
    /// `application_name`.
    pub application: String,
    /// Its TCP port, zero of unix sockets; `None` when the login may not know.
    pub port: Option<u16>,
}

/// Text by hand: the types of these columns differ between versions.
const ACTIVITY: &str = "SELECT pid, usename::text, datname::text, coalesce(application_name, '')::text, client_port, pg_backend_pid() \
    FROM pg_stat_activity WHERE usename IS NOT NULL AND datname IS NOT NULL";
/// When to ask: connections older than the sensor are there from the start, or not at all.
const ASKED_AFTER: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// Asks a few times who is connected.
pub async fn ask_who(inventory: Inventory, found: mpsc::Sender<Activity>) {
    let Some(connection) = inventory.postgresql else {
        return;
    };
    for pause in ASKED_AFTER {
        tokio::time::sleep(pause).await;
        let asked = tokio::time::timeout(PATIENCE, activity(&connection)).await;
        match asked {
            Ok(Ok(activity)) => {
                if found.send(activity).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => log::debug!("inventory: cannot ask who is connected: {error}"),
            Err(_) => log::debug!("inventory: the server does not say who is connected"),
        }
    }
}

async fn activity(connection: &str) -> anyhow::Result<Activity> {
    let client = connect(&connection.parse()?).await?;
    let rows = client.query(ACTIVITY, &[]).await?;
    let number = |number: i32| u32::try_from(number).unwrap_or(0);
    Ok(Activity {
        own_pid: rows.first().map_or(0, |row| number(row.get(5))),
        clients: rows
            .iter()
            .map(|row| ActiveClient {
                pid: number(row.get(0)),
                user: row.get(1),
                database: row.get(2),
                application: row.get(3),
                port: row
                    .get::<_, Option<i32>>(4)
                    .map(|port| u16::try_from(port).unwrap_or(0)),
            })
            .collect(),
    })
}

/// Measures now and then until the receiver is gone. Failures are logged when they begin.
pub async fn measure(inventory: Inventory, found: mpsc::Sender<Measured>) {
    let Some(connection) = inventory.postgresql else {
        return;
    };
    let mut failing = false;
    let mut refusing = HashSet::new();
    while !found.is_closed() {
        match all(&connection, &mut refusing, &found).await {
            Ok(()) => failing = false,
            Err(error) => {
                if !failing {
                    log::warn!(
                        "inventory: cannot read table sizes: {error:#}; trying again, shares of tables are unknown until then"
                    );
                }
                failing = true;
            }
        }
        // Soon after a failure: the server may just be starting.
        let pause = if failing {
            Duration::from_secs(5)
        } else {
            inventory.interval
        };
        tokio::time::sleep(pause.min(inventory.interval)).await;
    }
}

async fn all(
    connection: &str,
    refusing: &mut HashSet<String>,
    found: &mpsc::Sender<Measured>,
) -> anyhow::Result<()> {
    let config: tokio_postgres::Config = connection.parse()?;
    let databases = patiently(PATIENCE, databases(&config)).await?;
    let read = |database| one(config.clone(), database);
    each(databases, PATIENCE, refusing, found, read).await
}

async fn databases(config: &tokio_postgres::Config) -> anyhow::Result<Vec<String>> {
    let client = connect(config).await?;
    let rows = client.query(DATABASES, &[]).await?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// Measures one database after the other. One that refuses the login, or is slow, is told of when it begins to be, and holds up none
/// of the others.
///
/// # Errors
/// When none of them answers.
async fn each<F: Future<Output = anyhow::Result<Measured>>>(
    databases: Vec<String>,
    patience: Duration,
    refusing: &mut HashSet<String>,
    found: &mpsc::Sender<Measured>,
    read: impl Fn(String) -> F,
) -> anyhow::Result<()> {
    refusing.retain(|database| databases.contains(database));
    let mut last = None;
    let mut answered = databases.is_empty();
    for database in databases {
        match patiently(patience, read(database.clone())).await {
            Ok(measured) => {
                answered = true;
                refusing.remove(&database);
                if found.send(measured).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                let error = error.context(format!("database {database}"));
                if refusing.insert(database) {
                    log::warn!(
                        "inventory: {error:#}; trying again, its tables' sizes and keys stay as they were known"
                    );
                }
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if !answered => Err(error),
        _ => Ok(()),
    }
}

async fn one(mut config: tokio_postgres::Config, database: String) -> anyhow::Result<Measured> {
    config.dbname(&database);
    let client = connect(&config).await?;
    let tables = client
        .query(TABLES, &[])
        .await?
        .into_iter()
        .map(|row| (row.get(0), u64::try_from(row.get::<_, i64>(1)).unwrap_or(0)))
        .filter(|(_, rows)| *rows > 0)
        .collect();
    let keys = client
        .query(KEYS, &[])
        .await?
        .into_iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    Ok(Measured {
        database,
        tables,
        keys,
    })
}

async fn patiently<T>(
    patience: Duration,
    answer: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::time::timeout(patience, answer)
        .await
        .map_err(|_| anyhow!("the server does not answer within {patience:?}"))?
}

async fn connect(config: &tokio_postgres::Config) -> anyhow::Result<tokio_postgres::Client> {
    let mut config = config.clone();
    config.application_name("data-access-sensor");
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            log::debug!("inventory: {error}");
        }
    });
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_refuses_or_hangs_holds_up_none_of_the_others() {
        let (found, mut measured) = mpsc::channel(16);
        let names = ["closed", "shop", "hung", "support"].map(str::to_owned);
        let read = |database: String| async move {
            match database.as_str() {
                "closed" => Err(anyhow!("no pg_hba.conf entry")),
                "hung" => std::future::pending().await,
                _ => Ok(Measured {
                    database,
                    tables: Vec::new(),
                    keys: Vec::new(),
                }),
            }
        };
        let patience = Duration::from_millis(20);
        let mut refusing = HashSet::from(["dropped".to_owned()]);
        each(names.to_vec(), patience, &mut refusing, &found, read)
            .await
            .expect("two have answered");
        for database in ["shop", "support"] {
            assert_eq!(measured.try_recv().expect("measured").database, database);
        }
        assert!(measured.try_recv().is_err());
        assert_eq!(
            refusing,
            HashSet::from(["closed".to_owned(), "hung".to_owned()])
        );
        let error = each(names[..1].to_vec(), patience, &mut refusing, &found, read)
            .await
            .expect_err("none has answered");
        assert_eq!(
            format!("{error:#}"),
            "database closed: no pg_hba.conf entry"
        );
    }
}
