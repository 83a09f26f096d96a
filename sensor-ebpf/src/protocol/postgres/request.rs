//! Frontend messages: what the client asks for.

use super::{
    messages::{self, HEADER},
    outcome,
};
#[cfg(not(floor))]
use crate::bytes::CHUNK;
#[cfg(floor)]
use crate::loops::turns;
use crate::{
    connection::{
        CONNECTION_COPY_IN, CONNECTION_PORTAL_USED, Connection, PARTIAL, Protocol, REQUEST_APART,
        REQUEST_CONTINUES, REQUEST_SEVERAL, REQUEST_SIMPLE, REQUEST_SYNC, REQUEST_TRUNCATED,
        Request,
    },
    fingerprint::{CAPTURE, Postgres},
    loops::{Step, repeat},
    picked::{NONE, Plan},
    protocol::{
        Surroundings, Walk,
        outcome::lose_track,
        pieces,
        text::{self, APART, LINKED, Text},
    },
};

/// With this many bytes of a message at hand its text is as complete as it will get.
const ENOUGH: u32 = CAPTURE + 256;
const _: () = assert!(ENOUGH as usize <= PARTIAL);

/// Lowest bit of a name's hash: portal or statement.
const PORTAL: u64 = 1;

/// Pieces of [`CHUNK`] bytes that one read may bring. PostgreSQL reads 8 KiB at most.
const CHUNKS: u32 = 64;

/// Steps over so many pieces: one for each message, and one for each piece.
#[cfg(not(floor))]
const STEPS: u32 = CHUNKS * (CHUNK / HEADER + 1);
/// Turns over so many pieces: each takes all messages of one.
#[cfg(floor)]
const STEPS: u32 = CHUNKS + 1;

/// Takes the client's bytes apart.
#[inline(always)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    let walk = &mut s.scratch().walk;
    walk.offset = 0;
    walk.length = length;
    walk.pending = false;
    let mut messages = Messages {
        s: &mut *s,
        c: &mut *c,
    };
    // The common case in one go: PostgreSQL never reads more than a piece, and nearly always one message. The loop costs
    // more than the step.
    #[cfg(not(floor))]
    let more = messages.piece() && (messages.message() || messages.piece_ends());
    #[cfg(floor)]
    let more = {
        messages.s.scratch().taken.kind = 0;
        messages.piece_ends()
    };
    if more {
        repeat(STEPS, &mut messages);
        let walk = &messages.s.scratch().walk;
        if walk.offset < walk.length {
            lose_track(messages.s, messages.c);
        }
    }
    // The server answers what came before `Terminate` first. A pooler does not.
    if s.scratch().walk.pending && (c.outstanding == 0 || c.protocol == Protocol::Pooled as u8) {
        super::closed(s, c);
    }
}

/// One loop over pieces and over the messages in each: calls nested less deep, for want of stack.
struct Messages<'a, S> {
    s: &'a mut S,
    c: &'a mut Connection,
}

impl<S: Surroundings> Step for Messages<'_, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Walk { position, end, .. } = self.s.scratch().walk;
        if position < end && self.message() {
            return true;
        }
        self.piece_ends() && self.piece()
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        // SAFETY: finds what this step has in maps.
        unsafe { turns::turn_piece_received() != 0 }
    }
}

/// One step of the loop.
#[cfg(floor)]
#[inline(always)]
pub fn turn<S: Surroundings>(s: &mut S, c: &mut Connection) -> bool {
    Messages { s, c }.step()
}

/// A message that is to be taken; none of type zero.
#[cfg(floor)]
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    kind: u8,
    body: u32,
    end: u32,
}

/// Takes the message that the step before came to, if any.
#[cfg(floor)]
#[inline(always)]
pub fn taken<S: Surroundings>(s: &mut S, c: &mut Connection) {
    let Taken { kind, body, end } = s.scratch().taken;
    if kind != 0 {
        s.scratch().taken.kind = 0;
        Messages { s, c }.take_now(kind, body, end);
    }
}

impl<S: Surroundings> Messages<'_, S> {
    /// Copies the next piece to the window; false when it can't be read.
    #[inline(always)]
    fn piece(&mut self) -> bool {
        let Walk { offset, length, .. } = self.s.scratch().walk;
        let rest = length.wrapping_sub(offset);
        pieces::received(self.s, self.c, offset, rest)
    }

    /// Nothing more of this piece; true when there is another.
    #[inline(always)]
    fn piece_ends(&mut self) -> bool {
        let walk = &mut self.s.scratch().walk;
        walk.position = walk.end;
        walk.offset < walk.length
    }

    /// One message; false behind the piece's last.
    #[inline(always)]
    fn message(&mut self) -> bool {
        let Walk { position, end, .. } = self.s.scratch().walk;
        let available = end.wrapping_sub(position);
        if position >= end {
            return false;
        }
        if self.c.received_skip > 0 {
            let skip = if self.c.received_skip < available {
                self.c.received_skip
            } else {
                available
            };
            self.c.received_skip -= skip;
            self.s.scratch().walk.position = position + skip;
            return true;
        }
        if available < HEADER {
            self.keep(position, available);
            return false;
        }
        let kind = self.s.window().byte(position);
        let length = self.s.window().be32(position + 1);
        if !messages::is_frontend(kind) || !(4..=messages::LARGEST).contains(&length) {
            self.lose_requests();
            return false;
        }
        let total = length + 1;
        if total > available {
            if is_captured(kind) && available < ENOUGH && self.keep(position, available) {
                return false;
            }
            self.take(kind, position + HEADER, end);
            self.c.received_skip = total - available;
            return false;
        }
        self.take(kind, position + HEADER, position + total);
        self.s.scratch().walk.position = position + total;
        // False with the last message, so that a lone one never starts the loop.
        total < available
    }

    /// Keeps the beginning of a message for the next read.
    #[inline(always)]
    fn keep(&mut self, position: u32, available: u32) -> bool {
        if self.s.save_partial(position, available) {
            self.c.partial = available as u16;
            return true;
        }
        if available < HEADER {
            lose_track(self.s, self.c);
        }
        false
    }

    /// Where the stack is short, what is to be taken is left to `taken`, which is called from a shallower place.
    #[inline(always)]
    fn take(&mut self, kind: u8, body: u32, end: u32) {
        #[cfg(not(floor))]
        self.take_now(kind, body, end);
        #[cfg(floor)]
        {
            self.s.scratch().taken = Taken { kind, body, end };
        }
    }

    #[cfg_attr(not(floor), inline(never))]
    #[cfg_attr(floor, inline(always))]
    fn take_now(&mut self, kind: u8, body: u32, end: u32) {
        match kind {
            b'Q' => self.query(body, end),
            b'P' => self.parse(body, end),
            b'B' => self.bind(body, end),
            b'E' => self.execute(body, end),
            b'S' => self.sync(),
            b'F' => self.enqueue(Request {
                flags: REQUEST_SIMPLE | REQUEST_SYNC,
                count: 1,
                ..Request::default()
            }),
            // Closed when the walk is over: calls nest eight deep at most.
            b'X' => self.s.scratch().walk.pending = true,
            b'c' | b'f' => self.c.copy_done = 1,
            // Close, Describe, Flush, CopyData, password and SASL responses change no counts.
            _ => {}
        }
    }

    #[inline(always)]
    fn query(&mut self, start: u32, end: u32) {
        let Text {
            fingerprint,
            several,
            truncated,
            apart,
            linked,
        } = text::take(self.s, self.c, start, end, Postgres);
        let plan = self.s.plan(fingerprint);
        if plan != 0 {
            self.s.pick(self.c, fingerprint, plan, start, end, false);
        }
        self.enqueue(Request {
            fingerprint,
            count: 1,
            flags: REQUEST_SIMPLE
                | REQUEST_SYNC
                | if several { REQUEST_SEVERAL } else { 0 }
                | if truncated {
                    REQUEST_TRUNCATED | REQUEST_SEVERAL
                } else {
                    0
                }
                | if apart { REQUEST_APART } else { 0 },
            link: if linked { self.c.link } else { 0 },
            ..Request::default()
        });
    }

    #[inline(always)]
    fn parse(&mut self, start: u32, end: u32) {
        let (name, body) = self.name(start, end);
        if body >= end {
            return;
        }
        let Text {
            fingerprint,
            apart,
            linked,
            ..
        } = text::take(self.s, self.c, body, end, Postgres);
        let plan = self.s.plan(fingerprint);
        if plan != 0 {
            // Those that are no parameters: they come once, however often the statement is run.
            self.s.pick(self.c, fingerprint, plan, body, end, false);
        }
        let fingerprint =
            fingerprint | if apart { APART } else { 0 } | if linked { LINKED } else { 0 };
        if name == 0 {
            self.c.unnamed_statement = fingerprint;
        } else {
            self.s.remember(self.c, name & !PORTAL, fingerprint);
        }
    }

    #[inline(always)]
    fn bind(&mut self, start: u32, end: u32) {
        let (portal, second) = self.name(start, end);
        let (statement, formats) = self.name(second, end);
        let fingerprint = if statement == 0 {
            let fingerprint = self.c.unnamed_statement;
            self.c.unnamed_statement = fingerprint & !LINKED;
            fingerprint
        } else {
            let fingerprint = self.s.recall(self.c, statement & !PORTAL);
            if fingerprint & LINKED != 0 {
                self.s
                    .remember(self.c, statement & !PORTAL, fingerprint & !LINKED);
            }
            fingerprint
        };
        let bare = fingerprint & !(APART | LINKED);
        let plan = self.s.plan(bare);
        if plan != 0 && is_bound(plan) {
            self.s.pick(self.c, bare, plan, formats, end, true);
        }
        if portal == 0 {
            self.c.unnamed_portal = fingerprint;
            self.c.clear(CONNECTION_PORTAL_USED);
        } else {
            self.s.remember(self.c, portal | PORTAL, fingerprint);
        }
    }

    #[inline(always)]
    fn execute(&mut self, start: u32, end: u32) {
        let (portal, after) = self.name(start, end);
        let limit = if after + 4 <= end {
            self.s.window().be32(after)
        } else {
            0
        };
        let (fingerprint, used) = if portal == 0 {
            let used = self.c.has(CONNECTION_PORTAL_USED);
            self.c.set(CONNECTION_PORTAL_USED);
            let fingerprint = self.c.unnamed_portal;
            self.c.unnamed_portal = fingerprint & !LINKED;
            (fingerprint, used)
        } else {
            // A fingerprint's lowest bit is always set: cleared, it says that the portal was executed before.
            let value = self.s.recall(self.c, portal | PORTAL);
            if value & 1 != 0 {
                self.s
                    .remember(self.c, portal | PORTAL, value & !(1 | LINKED));
            }
            (
                if value == 0 { 0 } else { value | 1 },
                value != 0 && value & 1 == 0,
            )
        };
        self.enqueue(Request {
            fingerprint: fingerprint & !(APART | LINKED),
            limit,
            count: 1,
            flags: if used { REQUEST_CONTINUES } else { 0 }
                | if fingerprint & APART != 0 {
                    REQUEST_APART
                } else {
                    0
                },
            link: if fingerprint & LINKED != 0 {
                self.c.link
            } else {
                0
            },
            ..Request::default()
        });
    }

    /// The rest of the client's bytes makes no sense. What it asked before is still answered, and followed to its end:
    /// garbage behind a query must not hide the query's rows.
    #[inline(always)]
    fn lose_requests(&mut self) {
        if self.c.outstanding > 0 {
            self.c.requests_lost = 1;
        } else {
            lose_track(self.s, self.c);
        }
    }

    #[inline(always)]
    fn sync(&mut self) {
        if self.c.has(CONNECTION_COPY_IN) && self.c.copy_done == 0 {
            // Ignored by the server until the copy is over.
            return;
        }
        if self.c.outstanding == 1 && self.c.front.flags & REQUEST_SYNC == 0 {
            self.c.front.flags |= REQUEST_SYNC;
            return;
        }
        if self.c.outstanding > 1 && self.s.sync_last(self.c) {
            return;
        }
        self.enqueue(Request {
            flags: REQUEST_SYNC,
            ..Request::default()
        });
    }

    #[inline(always)]
    fn enqueue(&mut self, mut request: Request) {
        if self.c.outstanding == 0 {
            request.started = outcome::started(self.s, self.c, request.fingerprint, request.link);
            self.c.front = request;
            self.c.outstanding = 1;
            return;
        }
        let front = &mut self.c.front;
        if self.c.outstanding == 1 && request.count == 1 && mergeable(front, &request) {
            front.count += 1;
            return;
        }
        request.started = self.s.now();
        self.s.push(self.c, request);
    }

    /// Hash of a NUL-terminated name (zero when empty) and the position behind its NUL.
    #[inline(never)]
    fn name(&mut self, start: u32, end: u32) -> (u64, u32) {
        if start >= end {
            return (0, end);
        }
        if self.s.window().byte(start) == 0 {
            return (0, start + 1);
        }
        let keys = self.s.keys();
        let lexer = &mut self.s.scratch().lexer;
        lexer.begin(start, end, keys);
        let mut name = Name { s: &mut *self.s };
        repeat(CAPTURE / 8, &mut name);
        let (hash, position) = self.s.scratch().lexer.result();
        // Two bits are taken: portal or statement, and never zero.
        (hash | 2, position + 1)
    }
}

struct Name<'a, S> {
    s: &'a mut S,
}

impl<S: Surroundings> Step for Name<'_, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        self.s.scratch().name_step()
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        // SAFETY: finds what this step has in maps.
        unsafe { turns::turn_name() != 0 }
    }
}

/// Messages whose content matters, so that they are put together when reads split them.
#[inline(always)]
fn is_captured(kind: u8) -> bool {
    kind == b'Q' || kind == b'P' || kind == b'B' || kind == b'E'
}

/// Do the keys come with `Bind`, as far as is known?
#[inline(always)]
fn is_bound(plan: u64) -> bool {
    let plan = Plan::unpack(plan);
    plan.param != NONE || plan.bound_param != NONE
}

/// Can `next` be counted as one more of `last`?
#[inline(always)]
pub fn mergeable(last: &Request, next: &Request) -> bool {
    last.count > 0
        && last.count < u16::MAX
        && last.fingerprint == next.fingerprint
        && last.limit == next.limit
        && last.flags == next.flags
        && last.link == next.link
        && last.flags & (REQUEST_SYNC | REQUEST_SIMPLE) == 0
}
