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

use sensor_ebpf::sqlstate;

use crate::{
    detect::Alert,
    principal::{Principal, PrincipalId},
    sql::shapes::Shapes,
    time::Timestamp,
    volume::{Access, AccessKind, Largest, Volume},
};

mod comment;
mod links;
mod sample;
mod told;
mod trail;

pub use comment::traceparent;
use links::Links;
use sample::Second;
pub use told::{Counts, OfAlert, Reason, SessionSpan, SpanContext, Spans, StatementSpan};
use trail::{Trail, id, mix};

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
    links: Links,
    /// What has been told so far.
    pub counts: Counts,
}

/// What only traces want to know of an increment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail {
    /// Statement.
    pub fingerprint: u64,
    /// All of the statement, or statements, that end with it.
    pub whole: Option<Volume>,
    /// Packed code of its error; zero: not known, or none.
    pub sqlstate: u32,
    /// Number of its link; zero: none.
    pub link: u8,
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
    /// Packed code of its error.
    sqlstate: u32,
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
            links: Links::default(),
            counts: Counts::default(),
        }
    }

    /// A statement's text was seen, with its comments: the kernel hands it out once for each fingerprint.
    pub fn text(&mut self, connection: u64, fingerprint: u64, text: &[u8]) {
        if self.budget > 0 {
            self.links.text(connection, fingerprint, text);
        }
    }

    /// One execution's own traceparent was seen; the record of its end has the same number.
    pub fn link(&mut self, connection: u64, number: u8, fingerprint: u64, traceparent: &[u8]) {
        if self.budget > 0 {
            self.links
                .link(connection, number, fingerprint, traceparent);
        }
    }

    /// Executions whose link was lost on the way.
    pub fn lost_links(&self) -> u64 {
        self.links.lost
    }

    /// Takes an increment in.
    pub fn observe(&mut self, access: &Access<'_>, principal: &Arc<Principal>, detail: Detail) {
        let Detail {
            fingerprint,
            whole,
            sqlstate,
            link,
        } = detail;
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
            link: None,
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
        let application = match trail.link {
            Some((number, context)) if number == link && link != 0 => Some(context),
            _ => self.links.take(connection, link, fingerprint),
        };
        if link != 0 {
            trail.link = application.map(|context| (link, context));
        }
        let candidate = Candidate {
            number: self.next,
            connection,
            principal: access.principal,
            shape_id: access.shape_id,
            started: access.started.min(access.time),
            ended: access.time,
            volume,
            failed,
            sqlstate,
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

    /// An alert was raised: its statements are told, as many as one trace holds. `None`: nothing is.
    pub fn alerted(&mut self, alert: &Alert) -> Option<OfAlert> {
        if self.budget == 0 {
            return None;
        }
        let mut found: Vec<&Candidate> = self
            .recent
            .iter()
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
        let mut of_alert = OfAlert {
            since: self
                .recent
                .front()
                .filter(|oldest| oldest.number > 0 && oldest.ended > alert.since)
                .map(|oldest| oldest.ended),
            ..OfAlert::default()
        };
        let mut places = OF_ALERT;
        for one in found {
            let known = self.trails.contains_key(&one.connection)
                || self.closed.contains_key(&one.connection);
            if known && places > 0 {
                places -= 1;
                of_alert.told += one.volume.queries;
                self.wanted.push((*one, Reason::Alert(alert.id.clone())));
            } else {
                of_alert.left_out += one.volume.queries;
            }
        }
        if let Some(trail) = self.trails.get_mut(&alert.connection.0) {
            if let Some(fingerprint) = trail.under_way {
                trail.alert = Some((fingerprint, alert.id.clone()));
            }
            // Its session is told, whatever else is.
            trail.told += 1;
            of_alert.session = Some(trail.context(self.seed));
        }
        Some(of_alert)
    }

    /// A connection ended.
    pub fn closed(&mut self, connection: u64, time: Timestamp) {
        if let Some(trail) = self.trails.remove(&connection) {
            self.links.closed(connection);
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
            sqlstate: sqlstate::unpack(candidate.sqlstate),
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

#[cfg(test)]
mod tests;
