//! Sessions as traces: a connection is a trace, its statements are spans, of which a bounded part is told
//! (docs/decisions/traces.md).
//!
//! Told always: statements of an alert, the largest and the failing ones of each second. Of all others a random sample
//! of a fixed size a second, with the probability at which each was chosen. Pure: time comes with the observations.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    detect::Alert,
    principal::{Principal, PrincipalId, Session},
    sql::{Shape, shapes::Shapes},
    time::Timestamp,
    volume::{Access, AccessKind, Largest, Volume},
};

mod comment;
mod sample;

pub use comment::traceparent;
use sample::Second;

/// Statements remembered, so that an alert finds those that led to it.
const RECENT: usize = 16_384;
/// Statements told of one alert.
const OF_ALERT: usize = 100;
/// A session that lasts goes on in another trace after this time …
const LONGEST: Duration = Duration::from_secs(3600);
/// … or so many spans.
const MOST_SPANS: u32 = 5_000;
/// A session that ended is remembered so long: an alert may be about it yet.
const LINGER: Duration = Duration::from_secs(5);
/// Contexts of applications that wait for their statement.
const CONTEXTS: usize = 1_024;

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

/// See the module.
#[derive(Debug)]
pub struct Tracer {
    /// Spans a second by chance; zero: no spans at all.
    budget: usize,
    seed: u64,
    random: u64,
    trails: HashMap<u64, Trail>,
    closed: HashMap<u64, (Trail, Timestamp)>,
    recent: VecDeque<Candidate>,
    next: u64,
    second: Second,
    began: Timestamp,
    wanted: Vec<(Candidate, Reason)>,
    contexts: HashMap<(u64, u64), SpanContext>,
    /// What has been told so far.
    pub counts: Counts,
}

#[derive(Debug)]
struct Trail {
    principal: Arc<Principal>,
    session: Arc<Session>,
    part: u64,
    part_began: Timestamp,
    previous: Option<SpanContext>,
    /// Statements of this part.
    volume: Volume,
    /// Fingerprint of a statement that is under way.
    under_way: Option<u64>,
    /// The statement with this fingerprint, under way, belongs to this alert.
    alert: Option<(u64, Arc<str>)>,
    told: u32,
}

/// A statement that may be told.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    number: u64,
    connection: u64,
    principal: PrincipalId,
    shape_id: u32,
    started: Timestamp,
    ended: Timestamp,
    volume: Volume,
    failed: bool,
    largest: Option<Largest>,
    application: Option<SpanContext>,
    told: bool,
}

impl Candidate {
    fn rows(&self) -> u64 {
        self.volume.rows_returned + self.volume.rows_written
    }
}

impl Tracer {
    /// With so many spans a second by chance; zero: no spans at all. `seed` makes ids unique to this host and start.
    pub fn new(budget: usize, seed: u64) -> Self {
        Self {
            budget,
            seed,
            random: seed | 1,
            trails: HashMap::new(),
            closed: HashMap::new(),
            recent: VecDeque::new(),
            next: 0,
            second: Second::new(budget),
            began: Timestamp(0),
            wanted: Vec::new(),
            contexts: HashMap::new(),
            counts: Counts::default(),
        }
    }

    /// A statement's text was seen, with its comments: the kernel hands it out once for each fingerprint.
    pub fn text(&mut self, connection: u64, fingerprint: u64, text: &[u8]) {
        if self.budget > 0
            && self.contexts.len() < CONTEXTS
            && let Some(context) = traceparent(text)
        {
            self.contexts.insert((connection, fingerprint), context);
        }
    }

    /// Takes an increment in. `fingerprint` leads to what the application said; `whole` is all of the statement, or
    /// statements, that end with it.
    pub fn observe(
        &mut self,
        access: &Access<'_>,
        principal: &Arc<Principal>,
        fingerprint: u64,
        whole: Option<Volume>,
    ) {
        if self.budget == 0 || access.kind == AccessKind::Overhead {
            return;
        }
        let connection = access.session.connection.0;
        let trail = self.trails.entry(connection).or_insert_with(|| Trail {
            principal: principal.clone(),
            session: Arc::new(access.session.clone()),
            part: 0,
            part_began: access.session.since.min(access.started),
            previous: None,
            volume: Volume::default(),
            under_way: None,
            alert: None,
            told: 0,
        });
        if trail.session.principal != access.principal {
            trail.principal = principal.clone();
            trail.session = Arc::new(access.session.clone());
        }
        trail.volume += access.volume;
        let failed = matches!(access.kind, AccessKind::Failed { .. });
        let Some(volume) = whole else {
            trail.under_way = Some(fingerprint);
            return;
        };
        // Small ones before it may be told while it streams (docs/decisions/merging.md).
        let is_it = trail.under_way == Some(fingerprint) && access.largest.is_none();
        trail.under_way = trail.under_way.filter(|_| !is_it);
        let alert = match trail.alert.take() {
            Some((of, id)) if of == fingerprint && is_it => Some(id),
            other => {
                trail.alert = other;
                None
            }
        };
        let application = if self.contexts.is_empty() {
            None
        } else {
            self.contexts.remove(&(connection, fingerprint))
        };
        let candidate = Candidate {
            number: self.next,
            connection,
            principal: access.principal,
            shape_id: access.shape_id,
            started: access.started.min(access.time),
            ended: access.time,
            volume,
            failed,
            largest: access.largest,
            application,
            told: false,
        };
        self.next += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(candidate);
        if let Some(id) = alert {
            self.wanted.push((candidate, Reason::Alert(id)));
        } else if application.is_some() {
            self.wanted.push((candidate, Reason::Application));
        } else {
            let random = self.draw();
            self.second.offer(candidate, random);
        }
    }

    /// An alert was raised: its statements are told. Returns the span of the session that it is about.
    pub fn alerted(&mut self, alert: &Alert) -> Option<SpanContext> {
        if self.budget == 0 {
            return None;
        }
        let mut found: Vec<&mut Candidate> = self
            .recent
            .iter_mut()
            .filter(|one| {
                !one.told
                    && one.principal == alert.principal
                    && one.ended >= alert.since
                    && alert
                        .statements
                        .iter()
                        .any(|statement| statement.shape_id == one.shape_id)
            })
            .collect();
        found.sort_by_key(|one| std::cmp::Reverse((one.rows(), one.volume.bytes_sent)));
        for one in found.into_iter().take(OF_ALERT) {
            self.wanted.push((*one, Reason::Alert(alert.id.clone())));
        }
        let seed = self.seed;
        let trail = self.trails.get_mut(&alert.connection.0)?;
        if let Some(fingerprint) = trail.under_way {
            trail.alert = Some((fingerprint, alert.id.clone()));
        }
        // Its session is told, whatever else is.
        trail.told += 1;
        Some(trail.context(seed))
    }

    /// A connection ended.
    pub fn closed(&mut self, connection: u64, time: Timestamp) {
        if let Some(trail) = self.trails.remove(&connection) {
            self.contexts.retain(|(of, _), _| *of != connection);
            self.closed.insert(connection, (trail, time));
        }
    }

    /// What is to be told by now; a second at a time.
    pub fn take(&mut self, now: Timestamp, shapes: &Shapes) -> Spans {
        if self.budget == 0 || now.since(self.began) < Duration::from_secs(1) {
            return Spans::default();
        }
        self.began = now;
        self.told(now, shapes, false)
    }

    /// The same at the end: sessions that are open end with it.
    pub fn finish(&mut self, now: Timestamp, shapes: &Shapes) -> Spans {
        let connections: Vec<u64> = self.trails.keys().copied().collect();
        for connection in connections {
            self.closed(connection, now);
        }
        self.told(now, shapes, true)
    }

    fn told(&mut self, now: Timestamp, shapes: &Shapes, all: bool) -> Spans {
        let mut spans = Spans::default();
        let second = std::mem::replace(&mut self.second, Second::new(self.budget));
        let offered = second.offered();
        let wanted = std::mem::take(&mut self.wanted);
        for (candidate, reason) in wanted.into_iter().chain(second.chosen()) {
            if let Some(span) = self.span(&candidate, reason, shapes) {
                spans.statements.push(span);
            }
        }
        let chosen = spans
            .statements
            .iter()
            .filter(|span| !matches!(span.reason, Reason::Alert(_) | Reason::Application))
            .count() as u64;
        self.counts.left_out += offered.saturating_sub(chosen);
        let seed = self.seed;
        self.closed.retain(|_, (trail, ended)| {
            let stays = !all && now.since(*ended) < LINGER;
            if !stays {
                spans.sessions.extend(trail.part(seed, *ended));
            }
            stays
        });
        for trail in self.trails.values_mut() {
            if now.since(trail.part_began) >= LONGEST || trail.told >= MOST_SPANS {
                if let Some(part) = trail.part(seed, now) {
                    trail.previous = Some(part.context);
                    spans.sessions.push(part);
                }
                trail.part += 1;
                trail.part_began = now;
                trail.volume = Volume::default();
                trail.told = 0;
            }
        }
        spans
    }

    /// Of a statement, unless it has been told already.
    fn span(
        &mut self,
        candidate: &Candidate,
        reason: Reason,
        shapes: &Shapes,
    ) -> Option<StatementSpan> {
        let first = self.recent.front().map_or(self.next, |one| one.number);
        if let Some(at) = candidate.number.checked_sub(first)
            && let Some(one) = self.recent.get_mut(usize::try_from(at).ok()?)
            && std::mem::replace(&mut one.told, true)
        {
            return None;
        }
        let seed = self.seed;
        // Gone for long when an alert comes late: its statements are in the alert's own trace, added up.
        let trail = match self.trails.get_mut(&candidate.connection) {
            Some(trail) => trail,
            None => &mut self.closed.get_mut(&candidate.connection)?.0,
        };
        trail.told += 1;
        match reason {
            Reason::Alert(_) => self.counts.alert += 1,
            Reason::Failed => self.counts.failed += 1,
            Reason::Largest => self.counts.largest += 1,
            Reason::Application => self.counts.application += 1,
            Reason::Chance(_) => self.counts.chance += 1,
        }
        let parent = trail.context(seed);
        Some(StatementSpan {
            context: SpanContext {
                span: id(mix(seed ^ 3, candidate.number)),
                ..parent
            },
            parent,
            principal: trail.principal.clone(),
            session: trail.session.clone(),
            shape: shapes.shape(candidate.shape_id).clone(),
            started: candidate.started,
            ended: candidate.ended,
            volume: candidate.volume,
            failed: candidate.failed,
            largest: candidate.largest,
            application: candidate.application,
            reason,
        })
    }

    /// xorshift64: a sample needs to be fair, not secret.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Trail {
    /// The span of this part of the session.
    fn context(&self, seed: u64) -> SpanContext {
        let connection = self.session.connection.0;
        let high = mix(seed ^ self.part, connection);
        let low = mix(seed.rotate_left(32) ^ self.part, connection ^ 1);
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&high.to_be_bytes());
        trace[8..].copy_from_slice(&(low | 1).to_be_bytes());
        SpanContext {
            trace,
            span: id(mix(high, low)),
        }
    }

    /// This part of the session as a span, if anything of it was told.
    fn part(&self, seed: u64, ended: Timestamp) -> Option<SessionSpan> {
        (self.told > 0).then(|| SessionSpan {
            context: self.context(seed),
            previous: self.previous,
            principal: self.principal.clone(),
            session: self.session.clone(),
            started: self.part_began,
            ended: ended.max(self.part_began),
            volume: self.volume,
        })
    }
}

/// Never all zeros, which is no id.
fn id(number: u64) -> [u8; 8] {
    (number | 1).to_be_bytes()
}

/// MurmurHash3's finaliser over both: samplers look at parts of an id.
fn mix(seed: u64, number: u64) -> u64 {
    let mut hash = seed.rotate_left(17) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash ^= hash >> 33;
        hash = u64::wrapping_mul(hash, factor);
    }
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests;
