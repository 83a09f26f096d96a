//! What a running sensor and its readers say to each other over the socket: JSON, one line each way. The reader asks, the
//! sensor answers; it never speaks unasked, so that a reader that does not read costs nothing.
//!
//! A change that an older reader would misunderstand takes another [`VERSION`]; new fields alone do not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Version of all that is below.
pub const VERSION: u32 = 1;
/// A longer request is none of ours.
pub const LONGEST_REQUEST: u64 = 4_096;
/// A longer answer is none of ours.
pub const LONGEST_ANSWER: u64 = 8 << 20;
/// Principals in one answer.
pub const MOST_PRINCIPALS: usize = 500;

/// Order of principals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Rows a second, most first.
    #[default]
    Rate,
    /// Rows, most first.
    Rows,
    /// Bytes sent, most first.
    Bytes,
    /// Statements, most first.
    Queries,
    /// How near to a limit, nearest first.
    Limit,
    /// Last seen, newest first.
    Seen,
    /// Name, alphabetically.
    User,
}

impl Sort {
    /// All, in the order in which a key steps through them.
    pub const ALL: [Self; 7] = [
        Self::Rate,
        Self::Rows,
        Self::Bytes,
        Self::Queries,
        Self::Limit,
        Self::Seen,
        Self::User,
    ];

    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rows/s",
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Queries => "queries",
            Self::Limit => "limit",
            Self::Seen => "last seen",
            Self::User => "user",
        }
    }
}

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of who asks.
    pub version: u32,
    /// Order of the principals.
    #[serde(default)]
    pub sort: Sort,
    /// The other way round.
    #[serde(default)]
    pub reverse: bool,
    /// Principals of which anything holds this text, without regard to case: users, client, server, tables.
    #[serde(default)]
    pub filter: String,
    /// Principals wanted, at most [`MOST_PRINCIPALS`].
    #[serde(default)]
    pub limit: usize,
    /// The principal of which everything is wanted.
    #[serde(default)]
    pub principal: Option<u32>,
    /// The alert of which the whole text is wanted.
    #[serde(default)]
    pub alert: Option<String>,
}

/// What can be understood of an answer of any version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`VERSION`] of who answers.
    pub version: u32,
    /// Its release.
    pub release: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Who answers.
    #[serde(flatten)]
    pub head: Head,
    /// What was asked for, or why not.
    #[serde(flatten)]
    pub body: Body,
}

/// See [`Answer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// The sensor's state.
    Snapshot(Box<Snapshot>),
    /// Why there is none.
    Error(String),
}

impl Answer {
    /// From this sensor.
    pub fn new(body: Body) -> Self {
        Self {
            head: Head {
                version: VERSION,
                release: env!("CARGO_PKG_VERSION").to_owned(),
            },
            body,
        }
    }
}

/// The sensor's state as of one moment. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When.
    pub time: u64,
    /// The sensor itself.
    pub sensor: Sensor,
    /// Over all principals.
    pub total: Amounts,
    /// Likewise, mean of the last ten seconds.
    #[serde(default)]
    pub rows_per_second: f64,
    /// Principals that the filter leaves.
    pub matching: usize,
    /// Those asked for, in their order.
    pub principals: Vec<PrincipalRow>,
    /// Everything of the one that was asked for; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// The last alerts, newest first.
    pub alerts: Vec<AlertRow>,
    /// The text of the alert that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
}

/// What watches, and how well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sensor {
    /// Host's name.
    pub host: String,
    /// Since when it watches.
    pub since: u64,
    /// Servers watched.
    pub servers: Vec<String>,
    /// Connections open.
    pub connections: usize,
    /// Principals seen.
    pub principals: usize,
    /// Alerts raised.
    pub alerts: u64,
    /// Share of the bytes that was parsed.
    pub understood: f64,
    /// Records whose time and order were lost.
    pub lost_detail: u64,
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Rows to clients.
    pub rows_returned: u64,
    /// Rows into tables.
    pub rows_written: u64,
    /// Bytes to clients.
    pub bytes_sent: u64,
    /// Bytes from clients.
    pub bytes_received: u64,
    /// Statements completed.
    pub queries: u64,
}

impl Amounts {
    /// Rows, whichever way.
    pub fn rows(&self) -> u64 {
        self.rows_returned + self.rows_written
    }
}

/// A principal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PrincipalRow {
    /// Its number while the sensor runs.
    pub id: u32,
    /// Database user.
    pub user: Option<String>,
    /// The role in force, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// OS user of a client on this host.
    pub os_user: Option<String>,
    /// The login behind it.
    pub login_user: Option<String>,
    /// Client's address.
    pub client: String,
    /// Server.
    pub server: String,
    /// What else tells it apart, such as tags and the subject of a certificate, under the names of `[principals] identity`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more: BTreeMap<String, String>,
    /// What it did.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// Rows in flight by estimate, on top of the exact ones.
    pub streaming: u64,
    /// Mean of the last ten seconds.
    pub rows_per_second: f64,
    /// Rows by second of the last minute, oldest first.
    pub recent: Vec<u32>,
    /// Tables, some of them.
    pub tables: Vec<String>,
    /// The limit it is nearest to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Level>,
    /// Last seen.
    pub seen: u64,
}

impl PrincipalRow {
    /// The user as a person reads it.
    pub fn shown_user(&self) -> &str {
        self.user.as_deref().unwrap_or("(unknown)")
    }

    /// Rows so far, those in flight included.
    pub fn shown(&self) -> u64 {
        self.amounts.rows() + self.streaming
    }
}

/// How far a limit's window is filled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// The threshold's name.
    pub threshold: String,
    /// Severity of its alert.
    pub severity: String,
    /// `rows`, `bytes` or `queries`.
    pub measure: String,
    /// For a share of a table: that table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What the window holds.
    pub used: u64,
    /// What it may hold.
    pub limit: u64,
    /// Its length in seconds; zero: one statement.
    pub window: u64,
}

impl Level {
    /// Part of the limit that is used.
    pub fn share(&self) -> f64 {
        self.used as f64 / self.limit.max(1) as f64
    }
}

/// Everything of a principal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// The principal.
    pub principal: PrincipalRow,
    /// Its limits, nearest first.
    pub levels: Vec<Level>,
    /// By database, tables and operation, most rows first.
    pub tables: Vec<TableRow>,
    /// By statement shape, most rows first.
    pub statements: Vec<StatementRow>,
    /// Its open connections.
    pub sessions: Vec<SessionRow>,
    /// Share of its bytes that was parsed.
    pub understood: f64,
}

/// What a principal did with some tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRow {
    /// Database.
    pub database: String,
    /// Tables, joined by commas.
    pub table: String,
    /// Operation.
    pub operation: String,
    /// How much.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// What a principal did by one statement shape.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementRow {
    /// Operation and tables.
    pub summary: String,
    /// Sanitised text, shortened.
    pub text: String,
    /// How much.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// An open connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    /// Database.
    pub database: String,
    /// As the client claims.
    pub application: String,
    /// Command name of a client on this host.
    pub program: String,
    /// Its process.
    pub client_pid: Option<u32>,
    /// Its TCP port.
    pub client_port: u16,
    /// The server's process.
    pub server_pid: u32,
    /// Since when.
    pub since: u64,
}

/// An alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRow {
    /// `log.record.uid`.
    pub id: String,
    /// When.
    pub time: u64,
    /// Severity.
    pub severity: String,
    /// Threshold or lane.
    pub name: String,
    /// Whom it is about.
    pub principal: u32,
    /// Database user.
    pub user: Option<String>,
    /// What happened, in one line.
    pub headline: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The version is to be raised with whatever makes this fail.
    #[test]
    fn version_one_is_read_as_it_was_written() {
        let request: Request =
            serde_json::from_str(r#"{"version":1,"sort":"limit","filter":"ann","limit":20}"#)
                .expect("a request");
        assert_eq!((request.sort, request.limit), (Sort::Limit, 20));
        let line = r#"{"version":1,"release":"0.1.0","snapshot":{"time":5,"sensor":{"host":"db1","since":1,
            "servers":["15/main:5432"],"connections":2,"principals":1,"alerts":0,"understood":1.0,"lost_detail":0},
            "total":{"rows_returned":7,"rows_written":1,"bytes_sent":99,"bytes_received":9,"queries":3},"matching":1,
            "principals":[{"id":0,"user":"ann","os_user":null,"login_user":null,"client":"local","server":"15/main:5432",
            "rows_returned":7,"rows_written":1,"bytes_sent":99,"bytes_received":9,"queries":3,"streaming":0,
            "rows_per_second":0.8,"recent":[0,8],"tables":["t"],"seen":4,"nearest":{"threshold":"bulk","severity":"info",
            "measure":"rows","used":8,"limit":10,"window":60}}],"alerts":[],"new_field":true}}"#;
        let answer: Answer = serde_json::from_str(line).expect("an answer");
        let Body::Snapshot(snapshot) = answer.body else {
            panic!("a snapshot");
        };
        let row = &snapshot.principals[0];
        assert_eq!((row.shown(), row.amounts.bytes_sent), (8, 99));
        assert_eq!(row.nearest.as_ref().map(Level::share), Some(0.8));
    }

    #[test]
    fn the_head_of_another_version_is_understood() {
        let line = r#"{"version":9,"release":"3.0.0","picture":[1,2]}"#;
        let head: Head = serde_json::from_str(line).expect("a head");
        assert_eq!((head.version, &*head.release), (9, "3.0.0"));
        let error = serde_json::to_string(&Answer::new(Body::Error("no".into()))).expect("JSON");
        let head: Head = serde_json::from_str(&error).expect("a head");
        assert_eq!(head.version, VERSION);
        assert!(error.ends_with(r#""error":"no"}"#), "{error}");
    }
}
