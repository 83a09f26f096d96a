//! What the server answers: header by header, since only the elements themselves tell how many there are.

use super::{
    command::Kind,
    follow::{Answer, FAILED, MONITORS, OUTERMOST, QUEUED, SENT_LINE, SUBSCRIBED, UNANSWERED},
    number::{self, NULL, number},
    run,
};
use crate::{
    bytes::{BASE, CHUNK, swar},
    connection::{Connection, Phase, Request, TAIL},
    loops::{Step, repeat},
    protocol::{
        Completion, Surroundings, Walk, is_parsed,
        outcome::{self, lose_track},
        pieces,
    },
    record::{CommandTag, STATEMENT_FAILED, STATEMENT_SUSPENDED},
};

/// Pieces of [`CHUNK`] bytes that one send may bring: beyond, the stream counts as blind.
const CHUNKS: u32 = 1024;
/// Steps over so many pieces: one for each header, and one for each piece.
const STEPS: u32 = CHUNKS * (CHUNK / 3 + 2);

/// Bytes of a header that is no line.
const HEADER: u32 = 1 + number::LONGEST;
/// Bytes that tell what a message is of that nobody asked for by itself: its header, that of its kind, and that.
const KIND: u32 = 2 * HEADER + 8;
const _: () = assert!((KIND as usize) < TAIL);

/// Of a text: the server sends no longer ones.
const LONGEST: u64 = 0xf000_0000;
/// Of a list: likewise.
const MOST: u64 = 1 << 28;

/// How the elements of an answer count, beside as its request's [`Kind`] says: it is a message, one row.
const MESSAGE: u8 = 32;
/// News that are no rows.
const NEWS: u8 = 33;

/// A whole small answer.
const SMALL: u32 = 32;

/// Takes the server's bytes apart.
#[inline(always)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    if is_lone(c) && whole_answer(s, c, length) {
        return;
    }
    walk(s, c, length);
}

/// Is the answer to a single request for data about to begin?
#[inline(always)]
fn is_lone(c: &mut Connection) -> bool {
    c.outstanding == 1
        && c.front.count == 1
        && c.front.limit == Kind::Data as u32
        && c.sent_skip == 0
        && c.carried == 0
        && !c.marks(u8::MAX)
        && c.answer().pending == 0
}

/// The common case: one send holds all of a text, or a word.
#[inline(always)]
fn whole_answer<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) -> bool {
    let take = if length > SMALL { SMALL } else { length };
    if !s.read(0, take, BASE) {
        return false;
    }
    let word = s.window().le64(BASE);
    let rows = if word as u8 == b'$' {
        let (value, behind) = number(s.window(), BASE + 1);
        let header = u64::from(behind.wrapping_sub(BASE));
        if behind == 0 || value == NULL && header != u64::from(length) {
            return false;
        }
        if value != NULL && header + value + 2 != u64::from(length) {
            return false;
        }
        u64::from(value != NULL)
    } else if length == 5 && word & DONE_MASK == DONE {
        0
    } else if word as u8 == b':' {
        let (_, behind) = number(s.window(), BASE + 1);
        if behind != BASE + length {
            return false;
        }
        0
    } else {
        return false;
    };
    c.sent += u64::from(length);
    outcome::complete_lone(
        s,
        c,
        &Completion {
            tag: CommandTag::Select,
            returned: rows,
            written: 0,
            flags: 0,
        },
    );
    true
}

const DONE: u64 = u64::from_le_bytes(*b"+OK\r\n\0\0\0");
const DONE_MASK: u64 = (1 << 40) - 1;

/// Header by header.
#[inline(never)]
fn walk<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    let walk = &mut s.scratch().walk;
    walk.offset = 0;
    walk.length = length;
    walk.pending = false;
    // No piece yet.
    walk.position = walk.end;
    run::begin(s);
    let mut answers = Answers {
        s: &mut *s,
        c: &mut *c,
    };
    repeat(STEPS, &mut answers);
    if s.scratch().run.queries != 0 {
        run::flush(s, c);
    }
    let Walk {
        offset, pending, ..
    } = s.scratch().walk;
    if offset < length {
        lose_track(s, c);
    }
    if pending {
        // The server closes the connection without another read.
        outcome::close(s, c);
    } else {
        progress(s, c);
    }
}

/// Reports how far an answer has come, or what news nobody asked for, when it is time.
#[inline(always)]
fn progress<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if !is_parsed(c) || !s.progress_due(c.sent, c.reported_at) {
        return;
    }
    c.reported_at = s.ticks() as u32;
    if c.outstanding == 0 {
        outcome::flush(s, c);
        outcome::overhead(s, c);
        return;
    }
    let now = s.now();
    let exact = c.rows - c.rows_reported;
    s.progress(c, exact, 0, now);
    c.rows_reported = c.rows;
    c.sent = 0;
    c.received = 0;
}

struct Answers<'a, S> {
    s: &'a mut S,
    c: &'a mut Connection,
}

impl<S: Surroundings> Step for Answers<'_, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Walk { position, end, .. } = self.s.scratch().walk;
        if position < end {
            if !is_parsed(self.c) {
                // The phase changed on the way: the rest is only counted.
                self.consume(position, end - position);
            } else if self.c.marks(SENT_LINE) {
                if self.line(position, end) {
                    return true;
                }
            } else if self.header(position, end) {
                return true;
            }
        }
        pieces::next_sent(self.s, self.c)
    }
}

impl<S: Surroundings> Answers<'_, S> {
    #[inline(always)]
    fn consume(&mut self, position: u32, bytes: u32) {
        self.s.scratch().walk.position = position + bytes;
        pieces::count(self.c, bytes);
    }

    /// One header; false when the rest of the piece is done with.
    #[inline(always)]
    fn header(&mut self, position: u32, end: u32) -> bool {
        let word = self.s.window().le64(position);
        let kind = word as u8;
        if is_line(kind) {
            return self.line_begins(word, position, end);
        }
        let (value, behind) = number(self.s.window(), position + 1);
        if behind == 0 || behind > end {
            return self.unread(HEADER, position, end);
        }
        // A text in the middle of a list of data: nearly all of a long walk.
        let Answer { pending, upper } = *self.c.answer();
        let counts = self.c.command == Kind::Data as u8 && upper == 0 && self.c.counts().muted == 0;
        if kind == b'$' && pending > 1 && counts && value < LONGEST {
            self.c.answer().pending = pending - 1;
            self.c.rows += 1;
            return self.text(value, behind, position, end);
        }
        if pending == 0 {
            let looked_at = self.begin(word, behind, position, end);
            if looked_at == 0 {
                return self.unread(KIND, position, end);
            }
            if !is_parsed(self.c) {
                return true;
            }
        }
        self.element(kind, value, behind, position, end)
    }

    /// What is at hand of a header does not suffice: it makes no sense when it should.
    #[inline(always)]
    fn unread(&mut self, longest: u32, position: u32, end: u32) -> bool {
        let available = end - position;
        if available < longest {
            pieces::carry(self.s, self.c, end, available);
            return false;
        }
        self.malformed(position, end)
    }

    #[inline(never)]
    fn malformed(&mut self, position: u32, end: u32) -> bool {
        self.consume(position, end - position);
        lose_track(self.s, self.c);
        false
    }

    /// A text whose header ends at `behind`, of an answer that goes on behind it.
    #[inline(always)]
    fn text(&mut self, length: u64, behind: u32, position: u32, end: u32) -> bool {
        let whole = behind - position + length as u32 + 2;
        let available = end - position;
        if whole > available {
            self.consume(position, available);
            self.c.sent_skip = whole - available;
            return false;
        }
        self.consume(position, whole);
        true
    }

    /// An element with a number in its header.
    #[inline(never)]
    fn element(&mut self, kind: u8, value: u64, behind: u32, position: u32, end: u32) -> bool {
        let header = behind - position;
        if value == NULL {
            self.consume(position, header);
            self.leaf(kind, true);
            return true;
        }
        if kind == b'$' || kind == b'=' || kind == b'!' {
            if value > LONGEST {
                return self.malformed(position, end);
            }
            let available = end - position;
            let whole = header + value as u32 + 2;
            if whole > available {
                // It is over when it is, so that its bytes are its own: its last byte ends it as it ends a line.
                self.consume(position, available);
                self.c.sent_skip = whole - available - 1;
                self.c.mysql.header_bytes = kind;
                self.c.mark(SENT_LINE);
                return false;
            }
            self.consume(position, whole);
            self.leaf(kind, false);
            return true;
        }
        self.list(kind, value, header, position, end)
    }

    #[inline(always)]
    fn list(&mut self, kind: u8, count: u64, header: u32, position: u32, end: u32) -> bool {
        let is_list = kind == b'*' || kind == b'~' || kind == b'>';
        let is_map = kind == b'%' || kind == b'|';
        let Answer { pending, upper } = *self.c.answer();
        let count = if is_map { count * 2 } else { count };
        if !is_list && !is_map || count > MOST || u64::from(pending) + count > u64::from(u32::MAX / 2) {
            return self.malformed(position, end);
        }
        self.consume(position, header);
        let count = count as u32;
        let muted = self.is_muted();
        let mode = self.c.command;
        let answer = self.c.answer();
        if kind == b'|' {
            answer.pending = pending + count;
            if !muted {
                self.c.counts().muted = pending;
            }
            return true;
        }
        answer.pending = pending - 1 + count;
        if !muted {
            if upper == OUTERMOST {
                // Whether an element is of the outermost list makes a difference to few.
                let tells = mode == Kind::Exec as u8 || mode == Kind::Scan as u8;
                answer.upper = if tells { count } else { 0 };
            } else if upper != 0 && upper == pending {
                answer.upper = upper - 1;
            }
        }
        if answer.pending == 0 {
            self.over();
        }
        true
    }

    /// Is an attribute under way, which is no part of the answer?
    #[inline(always)]
    fn is_muted(&mut self) -> bool {
        let muted = self.c.counts().muted;
        if muted != 0 && self.c.answer().pending <= muted {
            self.c.counts().muted = 0;
            return false;
        }
        muted != 0
    }

    /// An element without others in it.
    #[inline(always)]
    fn leaf(&mut self, kind: u8, null: bool) {
        let muted = self.is_muted();
        let mode = self.c.command;
        let Answer { pending, upper } = *self.c.answer();
        if !muted {
            let outermost = upper == OUTERMOST;
            let is_upper = upper != 0 && upper == pending;
            let counts = if null || is_error(kind) {
                false
            } else if outermost || is_upper && mode == Kind::Exec as u8 {
                is_value(kind)
            } else {
                !(is_upper && mode == Kind::Scan as u8)
            };
            if counts && Kind::is_data(mode) {
                self.c.rows += 1;
            }
            if outermost && is_error(kind) {
                self.c.mark(FAILED);
            }
            if is_upper {
                self.c.answer().upper = upper - 1;
            }
        }
        self.c.answer().pending = pending - 1;
        if pending == 1 {
            self.over();
        }
    }

    /// A line, of which its first byte tells what it is.
    #[inline(always)]
    fn line_begins(&mut self, word: u64, position: u32, end: u32) -> bool {
        let begins = self.c.answer().pending == 0;
        if word as u8 == b'\n'
            && !(begins && self.c.outstanding > 0 && self.c.front.limit == Kind::Sync as u32)
        {
            // Only a replica is kept waiting with such.
            return self.malformed(position, end);
        }
        if begins {
            let looked_at = self.begin(word, 0, position, end);
            if looked_at == 0 {
                return self.unread(8, position, end);
            }
            if !is_parsed(self.c) {
                return true;
            }
        }
        self.c.mysql.header_bytes = word as u8;
        self.c.mark(SENT_LINE);
        self.line(position, end)
    }

    /// Up to a line's end, if that is near.
    #[inline(always)]
    fn line(&mut self, position: u32, end: u32) -> bool {
        let mut at = position;
        let mut words = 0;
        while words < 4 && at < end {
            let word = self.s.window().le64(at);
            let length = swar::length(swar::mask_before(swar::equal(word, b'\n')));
            at += length;
            if length < 8 {
                break;
            }
            words += 1;
        }
        if at >= end {
            self.consume(position, end - position);
            return false;
        }
        if words == 4 {
            self.consume(position, at - position);
            return true;
        }
        self.consume(position, at + 1 - position);
        self.c.unmark(SENT_LINE);
        let kind = self.c.mysql.header_bytes;
        self.leaf(kind, kind == b'_');
        true
    }

    /// An answer begins, or something that nobody asked for by itself; `behind` its header, if it has one with a number. Zero when
    /// that needs more bytes.
    #[inline(never)]
    fn begin(&mut self, word: u64, behind: u32, position: u32, end: u32) -> u32 {
        let kind = word as u8;
        let mode = if kind == b'>' || kind == b'*' && self.c.marks(SUBSCRIBED) {
            match self.message(kind, behind, position, end) {
                Some(mode) => mode,
                None => return 0,
            }
        } else if kind == b'+' && self.c.marks(MONITORS) {
            if end - position < 2 {
                return 0;
            }
            if (word >> 8) as u8 <= b'9' {
                MESSAGE
            } else {
                self.asked(kind)
            }
        } else {
            if kind == b'+' && self.c.front.link != 0 && !self.takes(word, end - position) {
                return 0;
            }
            self.asked(kind)
        };
        self.c.command = mode;
        self.c.unmark(FAILED);
        *self.c.answer() = Answer {
            pending: 1,
            upper: OUTERMOST,
        };
        self.c.counts().muted = 0;
        self.c.rows = 0;
        1
    }

    /// Does the word say that a name was taken, or that it will be? False when that needs more bytes.
    #[inline(always)]
    fn takes(&mut self, word: u64, available: u32) -> bool {
        self.c.unmark(QUEUED);
        if available >= 5 && word & DONE_MASK == DONE {
            return true;
        }
        if available < 8 {
            return false;
        }
        if word == u64::from_le_bytes(*b"+QUEUED\r") {
            self.c.mark(QUEUED);
        }
        true
    }

    /// The front request is answered. What nobody asked for is that of a statement that is not known: whatever it was that did not
    /// want an answer, or a stream that lost one.
    #[inline(always)]
    fn asked(&mut self, kind: u8) -> u8 {
        if self.c.outstanding == 0 {
            self.c.unmark(UNANSWERED);
            self.c.front = Request {
                started: self.s.now(),
                count: 1,
                ..Request::NONE
            };
            self.c.outstanding = 1;
        }
        let mode = self.c.front.limit as u8;
        if mode == Kind::Sync as u8 && kind != b'-' {
            // All that follows is a copy of the data, and what changes in it.
            run::flush(self.s, self.c);
            outcome::complete(self.s, self.c, &completion(0, 0));
            outcome::report_pending(self.s, self.c);
            self.c.outstanding = 0;
            self.c.ordinal = 0;
            self.c.phase = Phase::Replication as u8;
            self.s.phase_entered(self.c);
        }
        mode
    }

    /// What kind of message it is; nothing when that needs more bytes.
    #[inline(always)]
    fn message(&mut self, kind: u8, behind: u32, position: u32, end: u32) -> Option<u8> {
        let is_push = kind == b'>';
        let ordinary = |answers: &mut Self| {
            Some(if is_push {
                NEWS
            } else {
                answers.asked(kind)
            })
        };
        let long_enough = end - position >= KIND;
        if behind >= end {
            // A list of nothing is no message.
            let empty = (self.s.window().le64(position) >> 8) as u8 == b'0';
            return if empty { ordinary(self) } else { None };
        }
        if self.s.window().byte(behind) != b'$' {
            return ordinary(self);
        }
        let (length, start) = number(self.s.window(), behind + 1);
        let shown = if length < 8 { length as u32 } else { 8 };
        if start == 0 || start + shown > end {
            return if long_enough { ordinary(self) } else { None };
        }
        let word = self.s.window().le64(start);
        let word = if shown < 8 {
            word & ((1 << (shown * 8)) - 1)
        } else {
            word
        };
        const fn of(text: [u8; 8]) -> u64 {
            u64::from_le_bytes(text)
        }
        if word == const { of(*b"message\0") }
            || word == const { of(*b"pmessage") }
            || word == const { of(*b"smessage") }
        {
            return Some(MESSAGE);
        }
        let confirms = word == const { of(*b"subscrib") }
            || word == const { of(*b"psubscri") }
            || word == const { of(*b"ssubscri") }
            || word == const { of(*b"unsubscr") }
            || word == const { of(*b"punsubsc") }
            || word == const { of(*b"sunsubsc") };
        if !confirms {
            return ordinary(self);
        }
        let asked = self.c.front.limit as u8;
        let first = self.c.outstanding > 0
            && (asked == Kind::Subscribe as u8 || asked == Kind::Unsubscribe as u8);
        Some(if first { asked } else { NEWS })
    }

    /// All of it has come.
    #[inline(never)]
    fn over(&mut self) {
        let mode = self.c.command;
        let bytes = self.c.response_bytes;
        if mode == MESSAGE {
            let statement = self.c.skimmed_end;
            let now = self.s.roughly_now();
            run::add(self.s, self.c, statement, now, 1, bytes);
        } else if mode != NEWS {
            self.completed(mode, bytes);
        }
        outcome::forget_response(self.c);
    }

    #[inline(always)]
    fn completed(&mut self, mode: u8, bytes: u64) {
        let failed = self.c.marks(FAILED);
        let request = self.c.front;
        if mode > Kind::Client as u8 && !failed {
            self.succeeded(mode, request.fingerprint);
        }
        let rows = self.c.rows;
        if !failed && request.flags == 0 && request.link == 0 && self.c.rows_reported == 0 {
            run::add(
                self.s,
                self.c,
                request.fingerprint,
                request.started,
                rows,
                bytes,
            );
            self.c.front.count = request.count - 1;
            if request.count <= 1 {
                outcome::next(self.s, self.c);
            }
            return;
        }
        run::flush(self.s, self.c);
        let flags = if failed {
            STATEMENT_FAILED
        } else if self.c.marks(QUEUED) {
            STATEMENT_SUSPENDED
        } else {
            0
        };
        self.c.unmark(QUEUED);
        outcome::complete(self.s, self.c, &completion(rows, flags));
        outcome::report_pending(self.s, self.c);
        self.c.ordinal = 0;
    }

    /// What changes with it.
    #[inline(always)]
    fn succeeded(&mut self, mode: u8, statement: u64) {
        if mode == Kind::Subscribe as u8 {
            self.c.skimmed_end = statement;
        } else if mode == Kind::Monitor as u8 {
            self.c.skimmed_end = statement;
            self.c.mark(MONITORS);
        } else if mode == Kind::Quit as u8 {
            self.s.scratch().walk.pending = true;
        }
    }
}

#[inline(always)]
fn completion(rows: u64, flags: u8) -> Completion {
    Completion {
        tag: CommandTag::Other,
        returned: rows,
        written: 0,
        flags,
    }
}

/// Does all of it stand in its line?
#[inline(always)]
fn is_line(kind: u8) -> bool {
    matches!(
        kind,
        b'+' | b'-' | b':' | b',' | b'(' | b'#' | b'_' | b'\n'
    )
}

#[inline(always)]
fn is_error(kind: u8) -> bool {
    kind == b'-' || kind == b'!'
}

/// By itself, is it a value?
#[inline(always)]
fn is_value(kind: u8) -> bool {
    matches!(kind, b'$' | b'=' | b',' | b'(')
}
