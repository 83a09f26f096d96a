//! Surroundings without a kernel: operations from memory, records into vectors.

use std::collections::{HashMap, VecDeque};

mod script;

pub use script::Script;

use crate::{
    bytes::{BASE, CHUNK},
    connection::{Connection, PARTIAL, Phase, Protocol, QUEUE, REQUEST_SYNC, Request},
    fingerprint::{Dialect, Hashed, fingerprint},
    link,
    merged::{self, Merged},
    picked::{self, Pick, Picker, Plan},
    protocol::{Outcome, Several, Surroundings, mysql, postgres, redis},
    record::StartupKind,
    scratch::Scratch,
    sqlstate,
    tags::{self, Names},
};

/// What left the parser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emitted {
    /// Finished statements and bytes outside of any, with bytes sent and received.
    pub statements: Vec<(Outcome, u64, u64)>,
    /// Exact rows, estimated rows, bytes sent, bytes received.
    pub progress: Vec<(u64, u64, u64, u64)>,
    /// Phase, bytes sent, bytes received.
    pub phases: Vec<(u8, u64, u64)>,
    /// Start-up parameters.
    pub startups: Vec<Vec<u8>>,
    /// Texts by fingerprint.
    pub texts: HashMap<u64, Vec<u8>>,
    /// Connections closed.
    pub closed: u32,
    /// Statements that were put together.
    pub merged: u64,
    /// Links to applications' traces, by number.
    pub links: Vec<(u8, String)>,
    /// Keys, by fingerprint.
    pub picks: Vec<(u64, Pick)>,
}

/// One simulated connection.
pub struct Simulation {
    /// Its state.
    pub connection: Connection,
    surroundings: Memory,
    /// Bytes sent, bytes received.
    given: (u64, u64),
    #[cfg(test)]
    kept: script::Kept,
}

/// Where the server's buffer lies.
const ADDRESS: u64 = 0x7f00_0000_0000;

/// Last place of the window that bytes are copied to.
const LAST_COPIED: u32 = 0x1fff;

struct Memory {
    scratch: Box<Scratch>,
    /// What the working memory holds that no operation put there.
    garbage: u8,
    operation: Vec<u8>,
    /// The server's buffer, which each send fills from the front.
    buffer: Vec<u8>,
    /// How much the operation was to send, where that is more than it took.
    asked: u32,
    clock: u64,
    names: HashMap<u64, u64>,
    plans: HashMap<u64, u64>,
    /// That of all other statements, zero for none.
    plan: u64,
    tags: Names,
    queue: VecDeque<Request>,
    partial: Vec<u8>,
    skim_after: u64,
    sees_plaintext: bool,
    merged: [Merged; merged::WAYS as usize],
    emitted: Emitted,
}

impl Simulation {
    /// A new connection; long results are skimmed after so many bytes.
    pub fn new(skim_after: u64) -> Self {
        Self {
            connection: Connection::NEW,
            surroundings: Memory {
                scratch: Scratch::boxed(),
                garbage: 0xaa,
                operation: Vec::new(),
                buffer: Vec::new(),
                asked: 0,
                clock: 0,
                names: HashMap::new(),
                plans: HashMap::new(),
                plan: 0,
                tags: Names::default(),
                queue: VecDeque::new(),
                partial: Vec::new(),
                skim_after,
                sees_plaintext: false,
                merged: <[Merged; merged::WAYS as usize]>::default(),
                emitted: Emitted::default(),
            },
            given: (0, 0),
            #[cfg(test)]
            kept: script::Kept::default(),
        }
    }

    /// A new connection to a MySQL server.
    pub fn mysql() -> Self {
        let mut simulation = Self::new(u64::MAX);
        simulation.connection.protocol = Protocol::MySql as u8;
        simulation
    }

    /// A new connection to a Redis server.
    pub fn redis() -> Self {
        let mut simulation = Self::new(u64::MAX);
        simulation.connection.protocol = Protocol::Redis as u8;
        simulation
    }

    /// A connection that is ready for queries.
    pub fn ready(skim_after: u64) -> Self {
        let mut simulation = Self::new(skim_after);
        simulation.connection.phase = Phase::Ready as u8;
        simulation
    }

    /// Should it become TLS, its plaintext will be seen.
    pub fn probed(&mut self) {
        self.surroundings.sees_plaintext = true;
    }

    /// Userspace has made a plan for a fingerprint.
    pub fn plan(&mut self, fingerprint: u64, plan: Plan) {
        self.surroundings.plans.insert(fingerprint, plan.pack());
    }

    /// The same for every fingerprint.
    pub fn plan_for_all(&mut self, plan: Plan) {
        self.surroundings.plan = plan.pack();
    }

    /// These tags are looked for.
    pub fn tags(&mut self, names: Names) {
        self.surroundings.tags = names;
    }

    /// What other operations have left in the working memory, which all connections share: no result may hang on it.
    pub fn garbage(&mut self, byte: u8) {
        self.surroundings.garbage = byte;
    }

    /// The server reads these bytes.
    pub fn received(&mut self, bytes: &[u8]) {
        #[cfg(test)]
        self.keep(false, bytes);
        self.surroundings.operation = bytes.to_vec();
        self.operation(bytes.len() as u32, false);
    }

    /// The server writes these bytes, and the kernel takes the first `taken` of them.
    pub fn sent_in_part(&mut self, bytes: &[u8], taken: usize) {
        self.surroundings.asked = bytes.len() as u32;
        self.sent(&bytes[..taken]);
        self.surroundings.asked = 0;
    }

    /// The server writes these bytes.
    pub fn sent(&mut self, bytes: &[u8]) {
        #[cfg(test)]
        self.keep(true, bytes);
        self.surroundings.operation = bytes.to_vec();
        let buffer = &mut self.surroundings.buffer;
        buffer.resize(buffer.len().max(bytes.len()), 0);
        buffer[..bytes.len()].copy_from_slice(bytes);
        self.operation(bytes.len() as u32, true);
    }

    /// The server reads or writes so many bytes, which can't be looked at: their page is not in memory.
    pub fn unreadable(&mut self, length: u32, is_sent: bool) {
        self.surroundings.operation.clear();
        self.operation(length, is_sent);
    }

    fn operation(&mut self, length: u32, is_sent: bool) {
        let given = &mut self.given;
        *(if is_sent { &mut given.0 } else { &mut given.1 }) += u64::from(length);
        let garbage = self.surroundings.garbage;
        self.surroundings.scratch.window.spoil(0, garbage);
        let (s, c) = (&mut self.surroundings, &mut self.connection);
        if c.protocol == Protocol::MySql as u8 {
            let take = if is_sent {
                mysql::sent
            } else {
                mysql::received
            };
            take(s, c, length);
        } else if c.protocol == Protocol::Redis as u8 {
            let take = if is_sent {
                redis::sent
            } else {
                redis::received
            };
            take(s, c, length);
        } else if is_sent {
            postgres::sent(s, c, length);
        } else {
            postgres::received(s, c, length);
        }
    }

    /// The server finds nothing to read.
    pub fn wants_input(&mut self) {
        #[cfg(test)]
        self.keep(false, &[]);
        self.without_data();
        postgres::wants_input(&mut self.surroundings, &mut self.connection);
    }

    #[cfg(test)]
    fn keep(&mut self, is_sent: bool, bytes: &[u8]) {
        let simulated = (&self.connection, self.surroundings.skim_after);
        self.kept.operation(simulated, is_sent, bytes);
    }

    fn without_data(&mut self) {
        let garbage = self.surroundings.garbage;
        self.surroundings.scratch.window.spoil(0, garbage);
        self.surroundings.operation.clear();
    }

    /// The connection ends.
    pub fn closed(&mut self) {
        self.without_data();
        let (s, c) = (&mut self.surroundings, &mut self.connection);
        if c.protocol == Protocol::MySql as u8 {
            mysql::closed(s, c);
        } else if c.protocol == Protocol::Redis as u8 {
            redis::closed(s, c);
        } else {
            postgres::closed(s, c);
        }
    }

    /// What left so far, and what would leave if userspace drained.
    pub fn emitted(&self) -> Emitted {
        let mut emitted = self.surroundings.emitted.clone();
        for merged in &self.surroundings.merged {
            leave(merged, &mut emitted);
        }
        emitted
    }

    /// Statements without the bytes that only follow up, by text: queries, rows returned, rows written, bytes sent.
    pub fn totals(&self) -> Vec<(String, [u64; 4])> {
        let mut totals: Vec<(String, [u64; 4])> = Vec::new();
        for (outcome, sent, _) in &self.emitted().statements {
            let text = self
                .emitted()
                .texts
                .get(&outcome.fingerprint)
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .unwrap_or_default();
            let add = [
                u64::from(outcome.queries),
                outcome.rows_returned as u64,
                outcome.rows_written,
                *sent,
            ];
            match totals.iter_mut().find(|(known, _)| *known == text) {
                Some((_, sum)) => {
                    for (sum, add) in sum.iter_mut().zip(add) {
                        *sum = sum.wrapping_add(add);
                    }
                }
                None => totals.push((text, add)),
            }
        }
        totals.sort();
        totals
    }

    /// All bytes that were sent and received.
    pub fn given(&self) -> (u64, u64) {
        self.given
    }

    /// All bytes that records account for: sent, received.
    pub fn accounted(&self) -> (u64, u64) {
        let emitted = self.emitted();
        let statements = emitted
            .statements
            .iter()
            .map(|(_, sent, received)| (*sent, *received));
        let progress = emitted
            .progress
            .iter()
            .map(|(_, _, sent, received)| (*sent, *received));
        let phases = emitted
            .phases
            .iter()
            .map(|(_, sent, received)| (*sent, *received));
        statements
            .chain(progress)
            .chain(phases)
            .fold((0, 0), |sum, add| (sum.0 + add.0, sum.1 + add.1))
    }
}

impl Memory {
    fn leave(&mut self, way: usize) {
        let merged = std::mem::take(&mut self.merged[way]);
        leave(&merged, &mut self.emitted);
    }
}

fn leave(merged: &Merged, emitted: &mut Emitted) {
    if merged.queries == 0 {
        return;
    }
    emitted.merged += u64::from(merged.queries);
    let outcome = Outcome {
        fingerprint: merged.fingerprint,
        rows_returned: merged.rows_returned as i64,
        rows_written: merged.rows_written,
        queries: merged.queries,
        started: merged.started,
        ended: merged.ended_at,
        largest_rows: merged.largest_rows,
        largest_bytes: merged.largest_bytes,
        ..Outcome::default()
    };
    emitted
        .statements
        .push((outcome, merged.bytes_sent, merged.bytes_received));
}

impl Picker for Memory {
    fn scratch(&mut self) -> &mut Scratch {
        &mut self.scratch
    }

    fn picked(&mut self, pick: Pick) {
        let fingerprint = self.scratch.keyer.fingerprint;
        self.emitted.picks.push((fingerprint, pick));
    }
}

impl Surroundings for Memory {
    fn sees_plaintext(&self) -> bool {
        self.sees_plaintext
    }

    fn scratch(&mut self) -> &mut Scratch {
        &mut self.scratch
    }

    fn read(&mut self, offset: u32, length: u32, position: u32) -> bool {
        // As `Window::copy_at` wants it.
        assert!(position <= LAST_COPIED && length <= CHUNK);
        let Some(bytes) = self
            .operation
            .get(offset as usize..offset as usize + length as usize)
        else {
            return false;
        };
        for (i, byte) in bytes.iter().enumerate() {
            self.scratch.window.set(position + i as u32, *byte);
        }
        // What lies behind must not matter.
        self.scratch.window.spoil(position + length, self.garbage);
        true
    }

    fn address(&self) -> Option<u64> {
        Some(ADDRESS)
    }

    fn is_cut(&self, length: u32) -> bool {
        self.asked > length
    }

    fn read_at(&mut self, address: u64, length: u32, position: u32) -> bool {
        assert!(position <= LAST_COPIED && length <= CHUNK);
        let start = address.wrapping_sub(ADDRESS) as usize;
        let end = start.wrapping_add(length as usize);
        let Some(bytes) = self.buffer.get(start..end) else {
            return false;
        };
        for (i, byte) in bytes.iter().enumerate() {
            self.scratch.window.set(position + i as u32, *byte);
        }
        true
    }

    fn ticks(&self) -> u64 {
        self.clock >> 20
    }

    fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn keys(&self) -> [u64; 2] {
        [0x9e37_79b9_7f4a_7c15, 42]
    }

    fn fingerprint<D: Dialect>(&mut self, start: u32, end: u32, dialect: D) -> Hashed {
        let keys = self.keys();
        let scratch = &mut self.scratch;
        scratch.hashed = fingerprint(scratch, start, end, keys, dialect);
        let end = start + scratch.hashed.length;
        if self.tags[tags::LENGTH as usize] != 0 && tags::find(scratch, start, end, &self.tags) {
            scratch.hashed.fingerprint = tags::mark(scratch, scratch.hashed.fingerprint, keys[0]);
        }
        scratch.hashed
    }

    fn skim_after(&self) -> u64 {
        self.skim_after
    }

    fn progress_due(&self, bytes: u64, _: u32) -> bool {
        bytes >= 64 << 10
    }

    fn text(
        &mut self,
        c: &mut Connection,
        fingerprint: u64,
        start: u32,
        length: u32,
        _: bool,
    ) -> bool {
        c.known_fingerprint = fingerprint;
        let text = (0..length)
            .map(|i| self.scratch.window.byte(start + i))
            .collect();
        self.emitted.texts.entry(fingerprint).or_insert(text);
        false
    }

    fn link(&mut self, c: &mut Connection, _: u64, start: u32, end: u32) -> bool {
        let value = link::find(&mut self.scratch.window, start, end);
        if value == 0 {
            return false;
        }
        c.link = link::next(c.link);
        let text = (0..link::LENGTH)
            .map(|i| char::from(self.scratch.window.byte(value + i)))
            .collect();
        self.emitted.links.push((c.link, text));
        true
    }

    fn sqlstate(&mut self, start: u32, end: u32) -> u32 {
        sqlstate::find(&mut self.scratch.window, start, end)
    }

    fn startup(&mut self, _: &mut Connection, _: StartupKind, start: u32, length: u32, _: bool) {
        let text = (0..length)
            .map(|i| self.scratch.window.byte(start + i))
            .collect();
        self.emitted.startups.push(text);
    }

    fn merge(&mut self, c: &mut Connection, several: &Several) -> bool {
        let way = merged::way(c, self.clock) as usize;
        if self.merged[way].queries != 0 && !self.merged[way].is_of(c) {
            self.leave(way);
        }
        self.clock += 1;
        let ended = self.clock;
        self.merged[way].add(c, several, ended);
        if self.merged[way].is_full() {
            self.leave(way);
        }
        c.merged |= 1 << way;
        true
    }

    fn merge_run(&mut self, c: &mut Connection) -> bool {
        let several = self.scratch.run.several;
        self.merge(c, &several)
    }

    fn flush(&mut self, c: &mut Connection) {
        for way in 0..merged::WAYS as usize {
            assert!(self.merged[way].queries == 0 || c.merged & 1 << way != 0);
            self.leave(way);
        }
        c.merged = 0;
    }

    fn statement(&mut self, c: &Connection) {
        let outcome = self.scratch.walk.outcome;
        self.emitted.statements.push((outcome, c.sent, c.received));
    }

    fn progress(&mut self, c: &Connection, exact: u64, estimated: u64, _: u64) {
        self.emitted
            .progress
            .push((exact, estimated, c.sent, c.received));
    }

    fn phase(&mut self, c: &Connection) {
        self.emitted.phases.push((c.phase, c.sent, c.received));
    }

    fn phase_entered(&mut self, _: &Connection) {}

    fn closed(&mut self, _: &Connection) {
        self.emitted.closed += 1;
    }

    fn remember(&mut self, _: &Connection, name: u64, fingerprint: u64) {
        self.names.insert(name, fingerprint);
    }

    fn recall(&mut self, _: &Connection, name: u64) -> u64 {
        self.names.get(&name).copied().unwrap_or(0)
    }

    fn push(&mut self, c: &mut Connection, request: Request) -> bool {
        if c.outstanding == 1 {
            self.queue.clear();
        }
        let depth = self.queue.len();
        if let Some(last) = self.queue.back_mut() {
            if postgres::mergeable(last, &request) {
                last.count += 1;
                return false;
            }
            if depth == QUEUE {
                // As the kernel programs do it.
                let is_redis = c.protocol == Protocol::Redis as u8;
                let lost = is_redis && (redis::changes(last) || redis::changes(&request));
                *last = Request {
                    fingerprint: 0,
                    link: 0,
                    limit: if is_redis { 0 } else { last.limit },
                    count: last.count.saturating_add(request.count),
                    flags: last.flags | request.flags & REQUEST_SYNC,
                    ..*last
                };
                return lost;
            }
        }
        self.queue.push_back(request);
        c.outstanding += 1;
        false
    }

    fn pop(&mut self, c: &mut Connection) {
        match self.queue.pop_front() {
            Some(request) => {
                c.front = request;
                c.outstanding -= 1;
            }
            None => c.outstanding = 0,
        }
    }

    fn sync_last(&mut self, _: &mut Connection) -> bool {
        match self.queue.back_mut() {
            Some(last) if last.flags & REQUEST_SYNC != 0 => false,
            Some(last) => {
                last.flags |= REQUEST_SYNC;
                true
            }
            None => true,
        }
    }

    fn save_partial(&mut self, position: u32, length: u32) -> bool {
        if length as usize > PARTIAL {
            return false;
        }
        self.partial = (0..length)
            .map(|i| self.scratch.window.byte(position + i))
            .collect();
        true
    }

    fn restore_partial(&mut self, position: u32, length: u32) -> bool {
        assert!((BASE..=LAST_COPIED).contains(&position));
        assert_eq!(self.partial.len(), length as usize);
        for (i, byte) in self.partial.iter().enumerate() {
            self.scratch.window.set(position + i as u32, *byte);
        }
        true
    }

    fn drop_partial(&mut self) {
        self.partial.clear();
    }

    fn plan(&mut self, fingerprint: u64) -> u64 {
        self.plans.get(&fingerprint).copied().unwrap_or(self.plan)
    }

    fn pick(
        &mut self,
        _: &Connection,
        fingerprint: u64,
        plan: u64,
        start: u32,
        end: u32,
        bound: bool,
    ) {
        let keys = self.keys();
        self.scratch.keyer.fingerprint = fingerprint;
        if bound {
            picked::parameters(self, plan, start, end, keys);
        } else {
            picked::literals(self, plan, start, end, keys);
        }
    }

    fn count_truncated(&mut self) {}

    fn behind_attributes(&mut self, start: u32, end: u32, says_so: bool) -> u32 {
        mysql::text_start(&mut self.scratch, start, end, says_so)
    }

    fn redis_head(&mut self) -> u32 {
        let keys = self.keys();
        redis::head(&mut self.scratch, keys)
    }
}
