//! Backend messages: what the server answers.

use super::{
    completion::{SINGLE_DIGIT, completion_before, ends_ready, parse_tag, single_digit},
    messages::{self, HEADER, READY_LENGTH},
    outcome, skim,
};
#[cfg(floor)]
use crate::loops::turns;
use crate::{
    bytes::{BASE, CHUNK},
    connection::{
        CONNECTION_COPY_IN, CONNECTION_COPY_OUT, CONNECTION_FAILED, Connection, Follow, Phase,
        Protocol, REQUEST_SEVERAL, REQUEST_SIMPLE, REQUEST_SYNC, Request, TAIL,
    },
    loops::{Step, repeat},
    protocol::{Surroundings, Walk, is_parsed, outcome::lose_track, pieces},
    record::CommandTag,
};

/// Bytes at the end of a small response that are read at once.
const SMALL: u32 = 64;
/// `ParseComplete`, `BindComplete`, `NoData`: what may stand before a completion without any row.
const MOST_BEFORE: u32 = 3 * HEADER;
/// Pieces of [`CHUNK`] bytes that one send may bring (PostgreSQL 17 sends large values in one go).
const CHUNKS: u32 = 1024;
/// Steps over so many pieces: one for each message, and one for each piece.
#[cfg(not(floor))]
const STEPS: u32 = CHUNKS * (CHUNK / HEADER + 2);
/// Turns over so many pieces: each takes all messages of one.
#[cfg(floor)]
const STEPS: u32 = CHUNKS + 1;

/// Takes the server's bytes apart.
#[inline(always)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    if c.follow != Follow::Walk as u8 {
        skim::sent(s, c, length);
        return;
    }
    if is_lone(c) && length < CHUNK && whole_response(s, c, length) {
        return;
    }
    #[cfg(not(floor))]
    walk(s, c, length);
    // From a shallower place.
    #[cfg(floor)]
    {
        s.scratch().walks = true;
    }
}

/// Is the response to a single statement about to begin, at a message border?
#[inline(always)]
fn is_lone(c: &Connection) -> bool {
    c.outstanding == 1
        && c.front.count == 1
        && c.front.flags & (REQUEST_SYNC | REQUEST_SEVERAL) == REQUEST_SYNC
        && c.response_bytes == 0
        && c.sent_skip == 0
        && c.carried == 0
        && c.phase == Phase::Ready as u8
        // It hands on what it has read of the server, which may end anywhere.
        && c.protocol != Protocol::Pooled as u8
        && !c.has(CONNECTION_COPY_IN | CONNECTION_COPY_OUT | CONNECTION_FAILED)
}

/// The common case: one send holds the whole response, so that its end tells everything. False when it does not.
///
/// Shorter than the server's buffer, a send ends where the server flushed, not in the middle of a row.
#[inline(always)]
fn whole_response<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) -> bool {
    let take = if length > SMALL { SMALL } else { length };
    if take < READY_LENGTH + HEADER || !s.read(length - take, take, BASE) {
        return false;
    }
    let end = BASE + take;
    // In a full socket, a send may end anywhere: in a row that looks like an end, say.
    if !ends_ready(s.window(), end) || s.is_cut(length) {
        return false;
    }
    let (total, tag, count) = match single_digit(s.window(), end) {
        Some(count) if take >= READY_LENGTH + SINGLE_DIGIT => {
            (SINGLE_DIGIT, CommandTag::Select, count)
        }
        _ => {
            let total = completion_before(s.window(), end, BASE);
            let start = end - READY_LENGTH - total;
            let (tag, count) = if total > 0 {
                parse_tag(s.window(), start + HEADER, total - HEADER)
            } else {
                (CommandTag::Other, 0)
            };
            (total, tag, count)
        }
    };
    let completion = if total > 0 {
        let before = length - READY_LENGTH - total;
        // Rows stand before the completion, or only messages of five bytes do.
        let no_rows = before == 0
            || before <= MOST_BEFORE
                && before.is_multiple_of(HEADER)
                && is_acknowledgement(s.window().byte(BASE));
        if !no_rows && !matches!(tag, CommandTag::Select | CommandTag::Fetch) {
            // RETURNING, SHOW, EXPLAIN, COPY: rows must be counted.
            return false;
        }
        outcome::rows(c, tag, count, if no_rows { 0 } else { count })
    } else if take > READY_LENGTH + HEADER && skim::suspended_before(s, end) {
        let limit = u64::from(c.front.limit);
        outcome::rows(c, CommandTag::Suspended, 0, limit)
    } else {
        return false;
    };
    c.sent += u64::from(length);
    outcome::complete_lone(s, c, &completion);
    true
}

/// Must more of this message be at hand before it is taken?
#[inline(always)]
fn is_needed(kind: u8, total: u32, available: u32) -> bool {
    match kind {
        b'C' | b'Z' => total < TAIL as u32,
        // The code stands at its beginning.
        b'E' => available < TAIL as u32,
        _ => false,
    }
}

#[inline(always)]
fn is_acknowledgement(kind: u8) -> bool {
    kind == b'1' || kind == b'2' || kind == b'3' || kind == b'n'
}

/// Message by message.
#[cfg_attr(not(floor), inline(never))]
#[cfg_attr(floor, inline(always))]
pub fn walk<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    let walk = &mut s.scratch().walk;
    walk.offset = 0;
    walk.length = length;
    walk.pending = false;
    // No piece yet.
    walk.position = walk.end;
    let mut messages = Messages { s, c };
    repeat(STEPS, &mut messages);
    let Messages { s, c } = messages;
    let Walk { offset, .. } = s.scratch().walk;
    if offset < length {
        lose_track(s, c);
    }
    flush(s, c);
    if c.outstanding > 0 {
        if skim::may_begin(s, c) {
            skim::begin(s, c, length);
        }
        progress(s, c);
    }
}

/// Reports how far a response has come, when it is time.
#[inline(always)]
pub fn progress<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if s.progress_due(c.sent, c.reported_at) {
        let now = s.now();
        let exact = c.rows - c.rows_reported;
        let estimate = outcome::estimate(c);
        s.progress(c, exact, estimate, now);
        c.rows_reported = c.rows;
        c.reported_at = s.ticks() as u32;
        c.sent = 0;
        c.received = 0;
    }
}

/// Reports the completed statement with the bytes up to here.
#[inline(always)]
fn flush<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if s.scratch().walk.pending {
        s.scratch().walk.pending = false;
        outcome::report_pending(s, c);
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
        if position < end {
            if !is_parsed(self.c) {
                // The phase changed on the way (replication, or no sense): the rest is only counted.
                self.consume(position, end - position);
            } else if self.message(position, end) {
                return true;
            }
        }
        pieces::next_sent(self.s, self.c)
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        // SAFETY: finds what this step has in maps.
        unsafe { turns::turn_piece_sent() != 0 }
    }
}

/// One step of the loop.
#[cfg(floor)]
#[inline(always)]
pub fn turn<S: Surroundings>(s: &mut S, c: &mut Connection) -> bool {
    Messages { s, c }.step()
}

impl<S: Surroundings> Messages<'_, S> {
    #[inline(always)]
    fn message(&mut self, position: u32, end: u32) -> bool {
        let available = end - position;
        if available < HEADER {
            pieces::carry(self.s, self.c, end, available);
            return false;
        }
        let kind = self.s.window().byte(position);
        let length = self.s.window().be32(position + 1);
        if !messages::is_backend(kind) || !(4..=messages::LARGEST).contains(&length) {
            flush(self.s, self.c);
            self.consume(position, available);
            lose_track(self.s, self.c);
            return false;
        }
        let total = length + 1;
        if total > available && is_needed(kind, total, available) {
            pieces::carry(self.s, self.c, end, available);
            return false;
        }
        let taken = if total > available { available } else { total };
        if kind == b'D' || kind == b'd' {
            // The hot case of a long walk.
            flush(self.s, self.c);
            self.c.rows += 1;
            self.consume(position, taken);
        } else {
            self.other(kind, position, taken);
        }
        if total > available {
            self.c.sent_skip = total - available;
            return false;
        }
        true
    }

    #[inline(always)]
    fn other(&mut self, kind: u8, start: u32, taken: u32) {
        if kind == b'Z' {
            self.consume(start, taken);
            flush(self.s, self.c);
            outcome::ready(self.s, self.c);
            return;
        }
        flush(self.s, self.c);
        self.consume(start, taken);
        match kind {
            b'C' => {
                let (tag, count) = parse_tag(self.s.window(), start + HEADER, taken - HEADER);
                self.completed(tag, count);
            }
            b'I' => self.completed(CommandTag::Empty, 0),
            b's' => self.completed(CommandTag::Suspended, 0),
            b'V' => self.completed(CommandTag::Other, 0),
            b'E' if self.c.phase == Phase::Ready as u8 => {
                if self.c.outstanding == 0 && self.c.rows == 0 {
                    // To a Parse, say, behind which nothing was executed yet: all up to the next Sync is discarded.
                    self.c.set(CONNECTION_FAILED);
                    return;
                }
                self.suppose_asked();
                outcome::failed(self.s, self.c, start + HEADER, start + taken);
                self.s.scratch().walk.pending = true;
            }
            b'G' => {
                self.c.set(CONNECTION_COPY_IN);
                if self.c.front.flags & REQUEST_SIMPLE == 0 && self.c.copy_done == 0 {
                    // A Sync that came with the Execute is read in copy mode, and ignored there.
                    self.c.front.flags &= !REQUEST_SYNC;
                    self.c.outstanding = 1;
                }
            }
            b'H' => self.c.set(CONNECTION_COPY_OUT),
            b'W' => {
                self.c.phase = Phase::Replication as u8;
                self.s.phase_entered(self.c);
            }
            _ => {}
        }
    }

    /// What nobody was seen to ask for is answered: too many requests waited, or the server has understood more than was read here.
    /// It counts, under no statement's name.
    #[inline(always)]
    fn suppose_asked(&mut self) {
        if self.c.outstanding == 0 {
            self.c.front = Request {
                count: 1,
                flags: REQUEST_SIMPLE | REQUEST_SYNC,
                started: self.s.now(),
                ..Request::default()
            };
            self.c.outstanding = 1;
        }
    }

    #[inline(always)]
    fn completed(&mut self, tag: CommandTag, count: u64) {
        if self.c.phase != Phase::Ready as u8 {
            return;
        }
        if self.c.outstanding > 0 && self.c.front.count == 0 {
            // `ReadyForQuery` alone answers a Sync: this one was ignored (in copy mode).
            outcome::next(self.s, self.c);
        }
        self.suppose_asked();
        let messages = self.c.rows;
        let completion = outcome::rows(self.c, tag, count, messages);
        outcome::complete(self.s, self.c, &completion);
        self.s.scratch().walk.pending = true;
    }

    #[inline(always)]
    fn consume(&mut self, position: u32, bytes: u32) {
        self.s.scratch().walk.position = position + bytes;
        pieces::count(self.c, bytes);
    }
}
