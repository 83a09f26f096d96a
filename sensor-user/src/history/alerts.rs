//! Alerts as they are stored and read.

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};

use super::{count, store, stored};
use crate::{
    detect::arbitration::Verdict,
    export::{AlertRecord, describe},
    principal::Principal,
    time::Timestamp,
};

/// What a threshold's alerts have for a lane.
pub const THRESHOLD: &str = "threshold";

/// One alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// `log.record.uid`.
    pub id: String,
    /// When, by event time.
    pub time: Timestamp,
    /// `threshold`, or the lane that weighs most.
    pub lane: String,
    /// The threshold's name, or the lane again.
    pub rule: String,
    /// Urgency.
    pub severity: String,
    /// Whom it is about, as acknowledgements hold for.
    pub subject: String,
    /// Database user.
    pub user: Option<String>,
    /// Client address.
    pub client: String,
    /// OS user of a client on the host.
    pub os_user: Option<String>,
    /// Server.
    pub server: String,
    /// Database.
    pub database: String,
    /// What was measured.
    pub measure: String,
    /// How much.
    pub observed: u64,
    /// The limit, or what was to be expected.
    pub expected: u64,
    /// Seconds; zero for one statement.
    pub window: u64,
    /// Since when it accumulated.
    pub since: Timestamp,
    /// Tables, largest part first.
    pub tables: Vec<String>,
    /// What the principal did differently.
    pub evidence: Vec<String>,
    /// Statement shapes, largest part first.
    pub statements: Vec<Told>,
    /// The paragraph.
    pub explanation: String,
    /// The fate that kept it from being told.
    pub suppressed_by: Option<i64>,
}

/// A statement shape in an alert.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Told {
    /// `db.query.summary`.
    pub summary: String,
    /// `db.query.text`, sanitised.
    pub text: String,
    /// In the alert's measure.
    pub amount: u64,
}

/// Whom a threshold's alert is about: the principal, from that very host.
pub fn subject(principal: &Principal) -> String {
    store::identity(principal)
}

/// Whom a lane's alert is about.
pub fn verdict_subject(verdict: &Verdict) -> String {
    let named = |kind: &str, name: &Option<std::sync::Arc<str>>| {
        name.as_ref().map(|name| format!("{kind} {name}"))
    };
    named("principal", &verdict.principal)
        .or_else(|| named("host", &verdict.host))
        .or_else(|| named("os-user", &verdict.os_user))
        .or_else(|| named("group", &verdict.group))
        .unwrap_or_default()
}

impl AlertRow {
    /// Of an alert that is about to be told, or not.
    pub fn new(record: &AlertRecord, suppressed_by: Option<i64>) -> Self {
        let (alert, principal) = (&record.alert, &record.principal);
        let verdict = alert.verdict.as_deref();
        Self {
            id: alert.id.to_string(),
            time: alert.time,
            lane: verdict.map_or(THRESHOLD, |verdict| verdict.lane).to_owned(),
            rule: alert.threshold.to_string(),
            severity: alert.severity.as_str().to_owned(),
            subject: verdict.map_or_else(|| subject(principal), verdict_subject),
            user: principal.user.as_deref().map(str::to_owned),
            client: principal.client.to_string(),
            os_user: principal.os_user.as_ref().map(|user| user.name.to_string()),
            server: principal.server.to_string(),
            database: alert.database.to_string(),
            measure: alert.measure.as_str().to_owned(),
            observed: alert.observed,
            expected: alert.limit,
            window: alert.window.as_secs(),
            since: alert.since,
            tables: alert.tables.iter().map(ToString::to_string).collect(),
            evidence: verdict.map_or_else(Vec::new, |verdict| verdict.evidence.clone()),
            statements: alert
                .statements
                .iter()
                .map(|statement| Told {
                    summary: statement.summary.to_string(),
                    text: statement.text.to_string(),
                    amount: statement.amount,
                })
                .collect(),
            explanation: describe(record),
            suppressed_by,
        }
    }

    pub(super) fn insert(&self, transaction: &Transaction<'_>) -> Result<()> {
        transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO alert (id, time_ns, lane, rule, severity, subject, user, client, os_user, server,
                   database, measure, observed, expected, window, since_ns, tables, evidence, statements, explanation,
                   suppressed_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
            )?
            .execute(params![
                self.id,
                stored(self.time.0),
                self.lane,
                self.rule,
                self.severity,
                self.subject,
                self.user,
                self.client,
                self.os_user,
                self.server,
                self.database,
                self.measure,
                stored(self.observed),
                stored(self.expected),
                stored(self.window),
                stored(self.since.0),
                serde_json::to_string(&self.tables)?,
                serde_json::to_string(&self.evidence)?,
                serde_json::to_string(&self.statements)?,
                self.explanation,
                self.suppressed_by,
            ])?;
        Ok(())
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let json = |at: &str| row.get::<_, String>(at);
        Ok(Self {
            id: row.get("id")?,
            time: Timestamp(count(row.get("time_ns")?)),
            lane: row.get("lane")?,
            rule: row.get("rule")?,
            severity: row.get("severity")?,
            subject: row.get("subject")?,
            user: row.get("user")?,
            client: row.get("client")?,
            os_user: row.get("os_user")?,
            server: row.get("server")?,
            database: row.get("database")?,
            measure: row.get("measure")?,
            observed: count(row.get("observed")?),
            expected: count(row.get("expected")?),
            window: count(row.get("window")?),
            since: Timestamp(count(row.get("since_ns")?)),
            tables: serde_json::from_str(&json("tables")?).unwrap_or_default(),
            evidence: serde_json::from_str(&json("evidence")?).unwrap_or_default(),
            statements: serde_json::from_str(&json("statements")?).unwrap_or_default(),
            explanation: row.get("explanation")?,
            suppressed_by: row.get("suppressed_by")?,
        })
    }

    /// Alerts within a time, oldest first.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn between(connection: &Connection, from: Timestamp, to: Timestamp) -> Result<Vec<Self>> {
        let mut statement = connection.prepare(
            "SELECT * FROM alert WHERE time_ns >= ?1 AND time_ns < ?2 ORDER BY time_ns, id",
        )?;
        let rows = statement.query_map([stored(from.0), stored(to.0)], Self::read)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The alerts whose ids are, begin or end so: two at most, which are one too many.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn find(connection: &Connection, id: &str) -> Result<Vec<Self>> {
        let exact = connection
            .query_row("SELECT * FROM alert WHERE id = ?1", [id], Self::read)
            .optional()?;
        if exact.is_some() || id.len() < 4 {
            return Ok(exact.into_iter().collect());
        }
        let mut statement = connection.prepare(
            "SELECT * FROM alert WHERE substr(id, 1, length(?1)) = ?1 OR substr(id, -length(?1)) = ?1 LIMIT 2",
        )?;
        let found = statement.query_map([id], Self::read)?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }
}
