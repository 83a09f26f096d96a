//! Detection: pure functions of accesses and event time. No clock, no I/O: replay and live are the same code.

use std::{sync::Arc, time::Duration};

use crate::{
    principal::{ConnectionId, PrincipalId},
    time::Timestamp,
};

pub mod arbitration;
pub mod calendar;
pub mod calibration;
pub mod coverage;
pub mod detector;
pub mod drift;
pub mod eprocess;
pub mod evidence;
pub mod explain;
pub mod fast;
pub mod finding;
pub mod focus;
pub mod group;
pub mod names;
pub mod observation;
pub mod pool;
pub mod ring;
pub mod sketch;
pub mod statements;
pub mod threshold;

/// How urgent an alert is; ordered.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// OTel INFO.
    Info,
    /// OTel WARN.
    Warning,
    /// OTel ERROR.
    Critical,
}

impl Severity {
    /// As configuration and history spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What a limit is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// Rows returned plus rows written, whichever the selected operations do.
    Rows,
    /// Bytes sent to the client.
    Bytes,
    /// Statements completed.
    Queries,
}

impl Measure {
    /// As configuration and history spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Queries => "queries",
        }
    }
}

/// An anomaly, complete enough to be understood without the sensor at hand.
#[derive(Clone, Debug)]
pub struct Alert {
    /// `log.record.uid`: unique, stable over re-delivery (26-character ULID-like text).
    pub id: Arc<str>,
    /// Event time of the crossing.
    pub time: Timestamp,
    /// Name of the threshold that was crossed, from the configuration.
    pub threshold: Arc<str>,
    /// Urgency.
    pub severity: Severity,
    /// Who.
    pub principal: PrincipalId,
    /// The connection whose access crossed the limit.
    pub connection: ConnectionId,
    /// `db.namespace` of that connection.
    pub database: Arc<str>,
    /// What was measured.
    pub measure: Measure,
    /// Amount in the window at the crossing, in the measure's unit; includes `estimated`.
    pub observed: u64,
    /// The part of `observed` that is an estimate of rows still streaming.
    pub estimated: u64,
    /// The limit in the measure's unit (a share is converted with the table's size).
    pub limit: u64,
    /// Length of the window; zero for a single statement.
    pub window: Duration,
    /// Since when the window's content has been accumulating (first increment in the window).
    pub since: Timestamp,
    /// Tables involved, largest contribution first.
    pub tables: Vec<Arc<str>>,
    /// Share of the table read in the window (0–1, above 1 when re-read), where the table's size is known,
    /// for the first entry of `tables`.
    pub share_of_table: Option<f64>,
    /// Top statement shapes in the window, largest contribution first (at most five).
    pub statements: Vec<StatementShare>,
    /// What a lane has to say beyond that; `None` for thresholds.
    pub verdict: Option<Arc<arbitration::Verdict>>,
}

/// One statement shape's part in an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementShare {
    /// Interned shape number.
    pub shape_id: u32,
    /// `db.query.summary`.
    pub summary: Arc<str>,
    /// `db.query.text`, sanitised.
    pub text: Arc<str>,
    /// Amount in the alert's measure.
    pub amount: u64,
    /// First and last time seen in the window.
    pub first: Timestamp,
    /// See `first`.
    pub last: Timestamp,
}

/// A statement's text as a number that is the same after a restart.
pub fn hash_text(text: &str) -> u64 {
    text.as_bytes()
        .chunks(8)
        .fold(text.len() as u64, |sum, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(sum.rotate_left(5) ^ u64::from_le_bytes(word))
        })
}

/// SplitMix64's finalizer: spreads any number evenly over all.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
