//! One observation after the other: who, what, how much; then on to volumes, detection and export.

use std::{collections::HashMap, sync::Arc};

use sensor_ebpf::{
    connection::Phase,
    record::{
        CloseRecord, CommandTag, OverflowKey, OverflowVolume, PhaseRecord, ProgressRecord,
        STATEMENT_ESTIMATED, STATEMENT_FAILED, STATEMENT_OVERHEAD, STATEMENT_SERVER_SIDE_COPY,
        STATEMENT_SUSPENDED, STATEMENT_TRUNCATED, StatementRecord,
    },
};

use crate::{
    config::Config,
    detect::{Alert, threshold::ThresholdLane},
    history::Collector,
    ingest::{Clock, Observation},
    principal::{DbSystem, Principal, PrincipalId, Session, resolver::Resolver},
    sql::{
        EgressRoute, Language, Shape,
        keys::Plans,
        mysql, redis,
        shapes::{self, Learned, Shapes},
        tags::Tags,
    },
    time::Timestamp,
    trace::{Detail, OfAlert, Tracer},
    volume::{
        Access, AccessKind, Largest, Volume,
        completeness::{BlindSpot, Completeness},
        egress::EgressTotals,
        live::LiveView,
        records::Records,
        spread::Spread,
        totals::Totals,
    },
};

mod flight;
pub mod keys;
pub mod lanes;
mod overflow;
mod redis_session;

use flight::Flight;
use keys::Keys;
use lanes::Lanes;
use overflow::Overflow;

/// Everything between the ring and the exporters. Pure: time comes with the observations.
pub struct Pipeline {
    /// Connections and principals.
    pub resolver: Resolver,
    /// Statement shapes.
    pub shapes: Shapes,
    /// Who asks, by statements' comments.
    pub tags: Tags,
    /// Cumulative volumes.
    pub totals: Totals,
    /// What left by the server's own hands.
    pub egress: EgressTotals,
    /// Principals as a person wants to see them.
    pub live: LiveView,
    /// The thresholds.
    pub lane: ThresholdLane,
    /// The lanes that compare people with their past and their peers.
    pub lanes: Lanes,
    /// Sessions as traces; tells nothing unless somebody replaces it.
    pub tracer: Tracer,
    /// Volumes for history; keeps nothing until somebody takes it.
    pub history: Collector,
    /// Which statements pick rows by keys.
    pub plans: Plans,
    /// Keys whose statements are not over.
    pub keys: Keys,
    /// Distinct records by principal and table.
    pub records: Records,
    /// Rows a statement by principal.
    pub spread: Spread,
    /// What poolers asked for on behalf of clients that are watched at the pooler's front, where it counts; by server.
    pub pooled: HashMap<Arc<str>, Volume>,
    /// Sizes of tables.
    pub sizes: crate::detect::threshold::TableSizes,
    /// How much of each principal's bytes was understood; indexed by [`PrincipalId`].
    completeness: Vec<Completeness>,
    flights: HashMap<u64, Flight>,
    /// Bytes of ended connections whose client was on this host, by its uid.
    local_users: HashMap<u32, UserBytes>,
    overflow: Overflow,
    endings: Vec<Ending>,
    alerts: Vec<Raised>,
    /// Records that made no sense.
    pub malformed: u64,
    /// Records whose detail was lost because the ring was full.
    pub lost_detail: u64,
}

/// The end of connections, observed but not yet in force; see [`Pipeline::settle`].
enum Ending {
    Closed(CloseRecord, Timestamp),
    /// All those that a server process had.
    Exited(u32, Timestamp),
}

/// An alert with who it is about, as of when it was raised: the connection may be gone a moment later.
#[derive(Clone, Debug)]
pub struct Raised {
    /// The alert.
    pub alert: Alert,
    /// Who.
    pub principal: Arc<Principal>,
    /// The connection.
    pub session: Session,
    /// How much of the principal's bytes was understood.
    pub completeness: Completeness,
    /// Its session and statements, where those are traced.
    pub trace: Option<OfAlert>,
}

/// Bytes that a local user's processes exchanged with watched servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserBytes {
    /// Client to server.
    pub sent: u64,
    /// Server to client.
    pub received: u64,
}

/// What an observation asks of the outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Nothing.
    None,
    /// A server began or ended: look for servers.
    Discover,
    /// Which texts are wanted has changed.
    Texts(Learned),
}

impl Pipeline {
    /// With the bounds and thresholds of a configuration. `seed` makes alert ids unique to this host and start.
    pub fn new(config: &Config, seed: u64) -> Self {
        Self {
            resolver: Resolver::new(config.volumes.max_principals, &config.principals),
            shapes: Shapes::new(config.volumes.max_statements),
            tags: Tags::new(&config.principals.tags),
            totals: Totals::new(config.volumes.max_keys, config.volumes.max_statements),
            egress: EgressTotals::default(),
            live: LiveView::new(config.volumes.max_principals),
            lane: ThresholdLane::new(&config.thresholds, config.volumes.max_principals, seed),
            lanes: Lanes::new(&config.detection, &config.tables, seed),
            tracer: Tracer::new(0, 0),
            history: Collector::new(false, 0),
            plans: Plans::new(config.detection.keys.clone()),
            keys: Keys::default(),
            records: Records::default(),
            spread: Spread::new(config.export.histogram_series),
            pooled: HashMap::new(),
            sizes: config.tables.clone(),
            completeness: Vec::new(),
            flights: HashMap::new(),
            local_users: HashMap::new(),
            overflow: Overflow::default(),
            endings: Vec::new(),
            alerts: Vec::new(),
            malformed: 0,
            lost_detail: 0,
        }
    }

    /// Takes one observation in.
    pub fn observe(&mut self, observation: &Observation<'_>, clock: Clock) -> Request {
        match observation {
            Observation::Statement(record) => self.statement(record, clock, true),
            Observation::Progress(record) => self.progress(record, clock),
            Observation::Text {
                connection,
                fingerprint,
                text,
                truncated,
                language,
            } => {
                if *language != Language::Redis {
                    // Comments, in which applications tell of their traces.
                    self.tracer.text(*connection, *fingerprint, text);
                    self.tags.learn(*fingerprint, text);
                }
                let mut learned = self.shapes.learn(*fingerprint, text, *truncated, *language);
                if let Some(forgotten) = learned.forget {
                    self.tags.forget(forgotten);
                }
                learned.plan = self
                    .plans
                    .learn(*fingerprint, language.picks(text, *truncated))
                    .map(|plan| (*fingerprint, plan));
                if learned != Learned::default() {
                    return Request::Texts(learned);
                }
            }
            Observation::Opened(record) => {
                self.resolver.opened(record, clock.convert(record.time));
            }
            Observation::Startup {
                connection,
                kind,
                parameters,
                truncated,
            } => {
                self.resolver
                    .started(*connection, *kind, parameters, *truncated);
            }
            Observation::Phase(record) => self.phase(record, clock),
            Observation::Closed(record) => {
                self.endings
                    .push(Ending::Closed(*record, clock.convert(record.time)));
            }
            Observation::ProcessExited(record) => {
                self.endings
                    .push(Ending::Exited(record.pid, clock.convert(record.time)));
                return if self.resolver.knows_server(record.pid) {
                    Request::Discover
                } else {
                    Request::None
                };
            }
            Observation::ProcessExecuted(_) => return Request::Discover,
            Observation::Keys(record) => self.keys.observe(record),
            Observation::Link {
                connection,
                number,
                fingerprint,
                traceparent,
            } => self
                .tracer
                .link(*connection, *number, *fingerprint, traceparent),
            Observation::LocalClient(record) => self.resolver.local_client(record),
            Observation::Certificate {
                connection,
                name,
                truncated,
            } => self.resolver.certified(*connection, name, *truncated),
        }
        Request::None
    }

    /// Time passes, whether or not anything is observed.
    pub fn advance(&mut self, time: Timestamp) {
        self.lanes.advance(time);
        self.take_verdicts();
    }

    fn take_verdicts(&mut self) {
        if self.lanes.is_quiet() {
            return;
        }
        let completeness = &self.completeness;
        let raised = self.lanes.take(&self.shapes, |session| {
            completeness
                .get(session.principal.0 as usize)
                .copied()
                .unwrap_or_default()
        });
        for mut one in raised {
            one.trace = self.tracer.alerted(&one.alert);
            self.alerts.push(one);
        }
    }

    /// Alerts since the last call.
    pub fn take_alerts(&mut self) -> Vec<Raised> {
        std::mem::take(&mut self.alerts)
    }

    /// How much of a principal's bytes was understood.
    pub fn completeness(&self, principal: PrincipalId) -> Completeness {
        self.completeness
            .get(principal.0 as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The same over all principals.
    pub fn total_completeness(&self) -> Completeness {
        let mut total = Completeness::default();
        for one in &self.completeness {
            total += *one;
        }
        total
    }

    /// Bytes of each local user, those of open connections included.
    pub fn local_users(&self) -> HashMap<u32, UserBytes> {
        let mut all = self.local_users.clone();
        for session in self.resolver.sessions() {
            if let (Some(uid), Some(flight)) = (
                Self::local_uid(session),
                self.flights.get(&session.connection.0),
            ) {
                flight.add_to(all.entry(uid).or_default());
            }
        }
        all
    }

    fn local_uid(session: &Session) -> Option<u32> {
        session.who.os_user.as_ref().map(|user| user.uid)
    }

    /// Takes in what has been added to the overflow map since the last call.
    pub fn overflowed(&mut self, key: OverflowKey, value: OverflowVolume, clock: Clock) {
        let Some(delta) = self.overflow.difference(key, value) else {
            return;
        };
        self.lost_detail += delta.records;
        let record = StatementRecord {
            header: sensor_ebpf::record::RecordHeader {
                connection: key.connection,
                ..Default::default()
            },
            fingerprint: key.fingerprint,
            rows_returned: delta.rows_returned,
            rows_written: delta.rows_written,
            bytes_sent: delta.bytes_sent,
            bytes_received: delta.bytes_received,
            started: delta.time,
            ended: delta.time,
            queries: u32::try_from(delta.queries).unwrap_or(u32::MAX),
            ordinal: 0,
            // One of them may have had all.
            largest_rows: u32::try_from(delta.rows_returned.max(0)).unwrap_or(u32::MAX),
            largest_bytes: u32::try_from(delta.bytes_sent).unwrap_or(u32::MAX),
        };
        self.statement(&record, clock, false);
        let principal = self
            .session(key.connection, clock.convert(delta.time))
            .principal;
        self.completeness_mut(principal).lost_detail_records += delta.records;
    }

    /// Forgets overflow entries of connections that are gone.
    pub fn overflow_entry_is_over(&self, key: OverflowKey) -> bool {
        !self.resolver.is_open(key.connection)
    }

    /// The entry was deleted from the kernel's map.
    pub fn overflow_forgotten(&mut self, key: OverflowKey) {
        self.overflow.forget(key);
    }

    fn session(&mut self, connection: u64, time: Timestamp) -> Session {
        if self.resolver.session(connection).is_none() && !self.resolver.begin(connection) {
            self.resolver.placeholder(connection, time);
        }
        // Present: made right above when it was not.
        self.resolver
            .session(connection)
            .cloned()
            .unwrap_or_else(|| unreachable!("placeholder"))
    }

    /// The session as of a statement: who asks may stand in its comment.
    fn session_of(&mut self, connection: u64, fingerprint: u64, time: Timestamp) -> Session {
        let session = self.session(connection, time);
        if self.tags.is_off() || session.tags.as_ref() == self.tags.of(fingerprint) {
            return session;
        }
        let tags = self.tags.of(fingerprint).cloned();
        self.resolver.tagged(connection, tags);
        self.session(connection, time)
    }

    fn completeness_mut(&mut self, principal: PrincipalId) -> &mut Completeness {
        let at = principal.0 as usize;
        if self.completeness.len() <= at {
            self.completeness.resize(at + 1, Completeness::default());
        }
        &mut self.completeness[at]
    }

    /// `in_detail`: what it says of the largest of several statements is more than a bound.
    fn statement(&mut self, record: &StatementRecord, clock: Clock, in_detail: bool) {
        let time = clock.convert(record.ended);
        let connection = record.header.connection;
        let flags = record.header.flags;
        if flags & STATEMENT_OVERHEAD == 0 && record.queries > 0 {
            self.resolver.runs(connection, record.ordinal);
        }
        let names = record.header.link != 0 && self.names_answered(record);
        let session = if flags & STATEMENT_OVERHEAD == 0 {
            self.session_of(connection, record.fingerprint, time)
        } else {
            self.session(connection, time)
        };
        let mut shape_id = if flags & STATEMENT_OVERHEAD != 0 {
            shapes::NONE
        } else {
            self.shapes.lookup(record.fingerprint, record.ordinal)
        };
        let flight = self.flights.entry(connection).or_default();
        shape_id = flight.resolve_cursor(shape_id, &mut self.shapes);
        let shape = self.shapes.shape(shape_id).clone();

        // Corrections and estimates that were too high lower a count; a total never falls below what was reported.
        // What a backup streams are blocks: the kernel takes them for rows until the tag counts none.
        let rows = if session.replication {
            record.rows_returned.max(0)
        } else {
            record.rows_returned
        };
        let exact = flight.settle(rows);
        let mut volume = Volume {
            rows_returned: exact,
            rows_written: record.rows_written,
            bytes_sent: record.bytes_sent,
            bytes_received: record.bytes_received,
            queries: u64::from(record.queries),
        };
        if flags & STATEMENT_SERVER_SIDE_COPY != 0 && copies_in(&shape) {
            volume.rows_written += volume.rows_returned;
            volume.rows_returned = 0;
        }
        let system = self.resolver.principal(session.principal).system;
        if system.is_mysql() {
            as_mysql_means(&shape, &mut volume);
        }
        let estimated = flags & STATEMENT_ESTIMATED != 0;
        // Of Redis' it says that a command waits for its transaction's end.
        let is_suspended = flags & STATEMENT_SUSPENDED != 0 && system == DbSystem::PostgreSql;
        let kind = if flags & STATEMENT_OVERHEAD != 0 {
            AccessKind::Overhead
        } else if flags & STATEMENT_FAILED != 0 || estimated {
            AccessKind::Failed { estimated_rows: 0 }
        } else if is_suspended {
            AccessKind::Suspended
        } else {
            AccessKind::Completed
        };
        flight.finished(&shape, shape_id);
        if kind == AccessKind::Completed {
            if let Some(database) = mysql::uses(&shape) {
                self.resolver.uses(connection, database);
            }
            if system == DbSystem::Redis && redis::writes(&shape) {
                volume.rows_written = volume.queries;
            }
        }
        let whole = match kind {
            AccessKind::Overhead => None,
            _ if record.queries > 1 => Some(volume),
            AccessKind::Completed | AccessKind::Suspended if record.queries == 0 => {
                // More of it comes: a portal that is fetched from in steps, say.
                flight
                    .under_way
                    .add(record.fingerprint, volume, record.ended);
                None
            }
            _ => {
                let ended = match record.ended {
                    // Not known, so now.
                    0 => u64::MAX,
                    ended => ended,
                };
                let under_way = &mut flight.under_way;
                Some(under_way.end(record.fingerprint, volume, ended))
            }
        };
        if system == DbSystem::Redis && kind == AccessKind::Completed {
            let known = names || in_detail && record.header.link == 0;
            self.redis_session(record, &shape, known);
        }
        if let Some(whole) = whole
            && record.queries > 0
            && !self.resolver.is_counted_at_front(&session)
        {
            let largest = in_detail && record.queries > 1;
            self.spread.observe(
                session.principal,
                time,
                whole.rows(),
                record.queries.into(),
                largest.then_some(record.largest_rows.into()),
            );
        }
        let completeness = self.completeness_mut(session.principal);
        completeness.bytes_seen += volume.bytes_sent + volume.bytes_received;
        completeness.bytes_parsed += volume.bytes_sent + volume.bytes_received;
        completeness.truncated_statements += u64::from(flags & STATEMENT_TRUNCATED != 0);
        if estimated {
            completeness.estimated_rows += volume.rows_returned;
        }
        if shape_id == shapes::UNKNOWN {
            completeness.unknown_statement_bytes += volume.bytes_sent + volume.bytes_received;
        }
        if session.preexisting && session.who.user.is_none() {
            self.completeness_mut(session.principal).unattributed_bytes +=
                volume.bytes_sent + volume.bytes_received;
        }
        self.account(connection, volume.bytes_sent, volume.bytes_received);
        // Bytes that follow a statement say nothing new of it.
        let says = record.queries > 0 || volume.rows() > 0;
        let picked = if flags & STATEMENT_OVERHEAD == 0 && says {
            self.keys.take(
                connection,
                record.fingerprint,
                record.queries.into(),
                volume.rows(),
            )
        } else {
            None
        };
        let started = if record.started == 0 {
            time
        } else {
            clock.convert(record.started)
        };
        self.deliver(
            Access {
                time,
                started,
                principal: session.principal,
                session: &session,
                shape_id,
                shape: &shape,
                volume,
                kind,
                largest: (record.queries > 1).then(|| Largest {
                    rows: record.largest_rows.into(),
                    bytes_sent: record.largest_bytes.into(),
                }),
                picked: picked.as_ref(),
            },
            Detail {
                fingerprint: record.fingerprint,
                whole,
                sqlstate: record.header.detail,
                link: if system == DbSystem::Redis {
                    0
                } else {
                    record.header.link
                },
            },
        );
        if flags & STATEMENT_OVERHEAD == 0 && record.queries > 0 {
            self.change_session(record);
        }
    }

    /// What a statement has changed for those that follow it.
    fn change_session(&mut self, record: &StatementRecord) {
        let connection = record.header.connection;
        if record.header.flags & STATEMENT_FAILED != 0 {
            self.resolver.failed(connection);
        } else if let Some(change) = self.shapes.change(record.fingerprint, record.ordinal) {
            self.resolver.changed(connection, change, record.queries);
        } else if record.header.tag == CommandTag::Set as u8
            && self.shapes.is_unreadable(record.fingerprint)
        {
            self.resolver.changed_somehow(connection);
        }
    }

    fn progress(&mut self, record: &ProgressRecord, clock: Clock) {
        let time = clock.convert(record.time);
        let connection = record.header.connection;
        let session = self.session_of(connection, record.fingerprint, time);
        let shape_id = self.shapes.lookup(record.fingerprint, record.header.detail);
        let flight = self.flights.entry(connection).or_default();
        let shape_id = flight.resolve_cursor(shape_id, &mut self.shapes);
        let shape = self.shapes.shape(shape_id).clone();
        let (exact, estimated) = if session.replication {
            (0, 0)
        } else {
            (record.rows_exact, record.rows_estimated)
        };
        let volume = Volume {
            rows_returned: flight.settle(i64::try_from(exact).unwrap_or(i64::MAX)),
            bytes_sent: record.bytes_sent,
            bytes_received: record.bytes_received,
            ..Volume::default()
        };
        flight
            .under_way
            .add(record.fingerprint, volume, record.time);
        let completeness = self.completeness_mut(session.principal);
        completeness.bytes_seen += volume.bytes_sent + volume.bytes_received;
        completeness.bytes_parsed += volume.bytes_sent + volume.bytes_received;
        self.account(connection, volume.bytes_sent, volume.bytes_received);
        let picked = (volume.rows() > 0)
            .then(|| {
                self.keys
                    .take(connection, record.fingerprint, 0, volume.rows())
            })
            .flatten();
        self.deliver(
            Access {
                time,
                started: clock.convert(record.started),
                principal: session.principal,
                session: &session,
                shape_id,
                shape: &shape,
                volume,
                kind: AccessKind::Streaming {
                    estimated_rows: estimated,
                },
                largest: None,
                picked: picked.as_ref(),
            },
            Detail {
                fingerprint: record.fingerprint,
                ..Detail::default()
            },
        );
    }

    fn phase(&mut self, record: &PhaseRecord, clock: Clock) {
        let connection = record.header.connection;
        if record.header.tag == Phase::Ready as u8 {
            self.resolver.understood(connection, true);
        }
        let bytes = record.bytes_sent + record.bytes_received;
        if bytes == 0 {
            return;
        }
        let time = clock.convert(record.time);
        let session = self.session(connection, time);
        let spot = match record.header.tag {
            tag if tag == Phase::Encrypted as u8 || tag == Phase::Handshake as u8 => {
                BlindSpot::Encrypted
            }
            tag if tag == Phase::Replication as u8 => BlindSpot::Replication,
            tag if tag == Phase::Cancel as u8 => BlindSpot::Control,
            tag if tag == Phase::Compressed as u8 => BlindSpot::Compressed,
            _ if session.preexisting => BlindSpot::BeforeStart,
            _ => BlindSpot::Unparsable,
        };
        self.completeness_mut(session.principal)
            .add_blind(spot, bytes);
        self.resolver
            .understood(connection, spot == BlindSpot::Control);
        self.account(connection, record.bytes_sent, record.bytes_received);
        let shape = self.shapes.shape(shapes::NONE).clone();
        self.deliver(
            Access {
                time,
                started: time,
                principal: session.principal,
                session: &session,
                shape_id: shapes::NONE,
                shape: &shape,
                volume: Volume {
                    bytes_sent: record.bytes_sent,
                    bytes_received: record.bytes_received,
                    ..Volume::default()
                },
                kind: AccessKind::Overhead,
                largest: None,
                picked: None,
            },
            Detail::default(),
        );
    }

    /// Ends the connections whose end was observed. Called when all else that the kernel has said is taken in: what found
    /// the ring full comes by another way than the end itself, and belongs to whom the connection was.
    pub fn settle(&mut self) {
        let any = !self.endings.is_empty();
        for ending in std::mem::take(&mut self.endings) {
            match ending {
                Ending::Closed(record, time) => self.closed(&record, time),
                Ending::Exited(pid, time) => {
                    for connection in self.resolver.connections_of(pid) {
                        self.ended(connection, time);
                    }
                }
            }
        }
        if any && !self.keys.is_empty() {
            let resolver = &self.resolver;
            self.keys
                .closed(|connection| resolver.session(connection).is_some());
        }
    }

    fn closed(&mut self, record: &CloseRecord, time: Timestamp) {
        let connection = record.header.connection;
        let session = self.session(connection, time);
        let (sent, received) = self
            .flights
            .get(&connection)
            .map_or((0, 0), |flight| (flight.bytes_sent, flight.bytes_received));
        // Bytes that the kernel saw on the socket but reported in no record, and bytes that the socket carried but the
        // hooks did not see. Both are zero, or something is wrong; then it must show.
        let unreported = record.seen_sent.abs_diff(sent) + record.seen_received.abs_diff(received);
        let missed = if record.socket_sent | record.socket_received == 0 {
            0
        } else {
            // The kernel counts the end of the stream (FIN) as one byte read.
            let low = |seen: u64| u32::try_from(seen & u64::from(u32::MAX)).unwrap_or(0);
            let sent = record.socket_sent.wrapping_sub(low(record.seen_sent));
            let received = record
                .socket_received
                .wrapping_sub(low(record.seen_received));
            u64::from(sent) + u64::from(if received == 1 { 0 } else { received })
        };
        let completeness = self.completeness_mut(session.principal);
        completeness.missed_bytes += unreported + missed;
        completeness.bytes_seen += unreported + missed;
        self.ended(connection, time);
    }

    /// A connection is over: an unfinished statement on it is, too.
    fn ended(&mut self, connection: u64, time: Timestamp) {
        let flight = self.flights.remove(&connection);
        let Some(session) = self.resolver.session(connection).cloned() else {
            return;
        };
        if let (Some(uid), Some(flight)) = (Self::local_uid(&session), &flight) {
            flight.add_to(self.local_users.entry(uid).or_default());
        }
        let unfinished = flight.as_ref().and_then(Flight::unfinished);
        if let (Some((shape_id, estimated_rows)), Some(flight)) = (unfinished, flight) {
            let (fingerprint, whole) = flight.under_way.abandoned().unwrap_or_default();
            // The server process vanished in the middle of a result: what was estimated is all that will ever be known.
            self.completeness_mut(session.principal).estimated_rows += estimated_rows;
            let shape = self.shapes.shape(shape_id).clone();
            self.deliver(
                Access {
                    time,
                    started: time,
                    principal: session.principal,
                    session: &session,
                    shape_id,
                    shape: &shape,
                    volume: Volume::default(),
                    kind: AccessKind::Failed { estimated_rows },
                    largest: None,
                    picked: None,
                },
                Detail {
                    fingerprint,
                    whole: Some(whole),
                    ..Detail::default()
                },
            );
        }
        self.tracer.closed(connection, time);
        self.history.closed(session.connection);
        self.resolver.closed(connection);
    }

    fn account(&mut self, connection: u64, sent: u64, received: u64) {
        let flight = self.flights.entry(connection).or_default();
        flight.bytes_sent += sent;
        flight.bytes_received += received;
    }

    fn deliver(&mut self, access: Access<'_>, detail: Detail) {
        if let AccessKind::Streaming { estimated_rows } = access.kind
            && let Some(flight) = self.flights.get_mut(&access.session.connection.0)
        {
            flight.streaming(access.shape_id, estimated_rows);
        }
        if self.resolver.is_counted_at_front(access.session) {
            let server = access.session.who.server.clone();
            *self.pooled.entry(server).or_default() += access.volume;
            return;
        }
        self.totals.observe(&access);
        self.egress.observe(&access);
        self.records.observe(&access);
        let principal = self.resolver.principal(access.principal).clone();
        self.live.observe(&access);
        self.tracer.observe(&access, &principal, detail);
        // A person is judged as one, whichever roles are in force.
        let person = self.resolver.person(access.principal);
        let principal = self.resolver.principal(person).clone();
        let access = Access {
            principal: person,
            ..access
        };
        let shape = self.shapes.shape(access.shape_id);
        self.history.observe(&access, &principal, shape);
        let mut alerts = Vec::new();
        self.lane
            .observe(&access, &principal, &self.sizes, &mut alerts);
        for alert in alerts {
            self.alerts.push(Raised {
                trace: self.tracer.alerted(&alert),
                alert,
                principal: principal.clone(),
                session: access.session.clone(),
                completeness: self.completeness(access.session.principal),
            });
        }
        self.lanes.observe(&access, &principal);
        self.take_verdicts();
    }
}

/// What MySQL's end of a statement leaves to its text: rows that went to a file were read, and those that `RETURNING` gave
/// back were written.
fn as_mysql_means(shape: &Shape, volume: &mut Volume) {
    let to_file = |shape: &Shape| {
        let route = shape.egress.as_ref().map(|egress| egress.route);
        route == Some(EgressRoute::CopyToFile)
    };
    if to_file(shape) && volume.rows_returned == 0 {
        volume.rows_returned = std::mem::take(&mut volume.rows_written);
    } else if matches!(&*shape.operation, "INSERT" | "REPLACE" | "DELETE")
        && volume.rows_written == 0
    {
        volume.rows_written = volume.rows_returned;
    }
}

/// Does a `COPY` whose data did not cross the socket read a file into a table?
fn copies_in(shape: &Shape) -> bool {
    shape
        .egress
        .as_ref()
        .is_none_or(|egress| matches!(egress.route, EgressRoute::ServerFileRead))
}
