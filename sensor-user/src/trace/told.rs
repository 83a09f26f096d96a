//! What is told: spans of statements and sessions, and why.

use std::sync::Arc;

use crate::{
    principal::{Principal, Session},
    sql::Shape,
    time::Timestamp,
    volume::{Largest, Volume},
};

/// Which trace, and which span in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanContext {
    /// Trace.
    pub trace: [u8; 16],
    /// Span.
    pub span: [u8; 8],
}

/// Why a span is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// Part of the alert with this id.
    Alert(Arc<str>),
    /// It failed.
    Failed,
    /// Among the largest of its second.
    Largest,
    /// The application that sent it samples its own trace.
    Application,
    /// One of the random sample, chosen with this probability.
    Chance(f64),
}

/// A statement, or several equal small ones that the kernel has added up.
#[derive(Clone, Debug)]
pub struct StatementSpan {
    /// Itself.
    pub context: SpanContext,
    /// The session's span.
    pub parent: SpanContext,
    /// Who.
    pub principal: Arc<Principal>,
    /// The connection.
    pub session: Arc<Session>,
    /// What.
    pub shape: Arc<Shape>,
    /// When the (first) request was seen.
    pub started: Timestamp,
    /// When the (last) response ended.
    pub ended: Timestamp,
    /// How much; `queries`: how many statements this is.
    pub volume: Volume,
    /// Ended in an error.
    pub failed: bool,
    /// Its SQLSTATE, where it crossed the wire.
    pub sqlstate: Option<[u8; 5]>,
    /// Of several statements the most that one had.
    pub largest: Option<Largest>,
    /// The application's span, where it said so in a comment.
    pub application: Option<SpanContext>,
    /// Why it is told.
    pub reason: Reason,
}

/// A session, or an hour of it.
#[derive(Clone, Debug)]
pub struct SessionSpan {
    /// Itself.
    pub context: SpanContext,
    /// The part before it.
    pub previous: Option<SpanContext>,
    /// Who.
    pub principal: Arc<Principal>,
    /// The connection.
    pub session: Arc<Session>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// All statements in it, told or not.
    pub volume: Volume,
}

/// What is to be told.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// Statements.
    pub statements: Vec<StatementSpan>,
    /// Sessions that ended, or their hour.
    pub sessions: Vec<SessionSpan>,
}

/// What has been told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Spans of alerts.
    pub alert: u64,
    /// Failing ones.
    pub failed: u64,
    /// The largest.
    pub largest: u64,
    /// By wish of the application.
    pub application: u64,
    /// By chance.
    pub chance: u64,
    /// Not told.
    pub left_out: u64,
}

/// Where an alert's trace leads, and how much of its statements is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfAlert {
    /// The session that it is about, while that is known.
    pub session: Option<SpanContext>,
    /// Statements of its principal and shapes within its window that are told as spans because of it.
    pub told: u64,
    /// Those that are remembered and not told: there are too many, or their session is over.
    pub left_out: u64,
    /// Statements before this time, later than the window's begin, are not remembered, and not counted.
    pub since: Option<Timestamp>,
}
