//! What the server answers: header by header, since only the elements themselves tell how many there are.

use super::{
    command::Kind,
    element::{ENDS, GOES_ON, LONGEST, MALFORMED, NEWS, is_error},
    follow::{Answer, MONITORS, SENT_LINE, SUBSCRIBED},
    number::{self, NULL, number},
    run::{self, Small},
};
use crate::{
    bytes::{BASE, CHUNK, swar},
    connection::{Connection, Request, TAIL},
    loops::{Step, repeat},
    protocol::{
        Completion, Surroundings, Walk, is_parsed,
        outcome::{self, lose_track},
        pieces,
    },
    record::CommandTag,
};

/// Pieces of [`CHUNK`] bytes that one send may bring: beyond, the stream counts as blind.
const CHUNKS: u32 = 1024;
/// Steps over so many pieces: one for each header, and one for each piece.
const STEPS: u32 = CHUNKS * (CHUNK / 3 + 2);

/// Bytes of a header that is no line.
const HEADER: u32 = 1 + number::LONGEST;
/// Bytes that tell what a message is of that nobody asked for by itself: its header, that of its kind, and that.
pub const KIND: u32 = 2 * HEADER + 8;
const _: () = assert!((KIND as usize) < TAIL);

/// A whole small answer.
const SMALL: u32 = 32;

/// Takes the server's bytes apart.
#[inline(always)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    if !(is_lone(c) && whole_answer(s, c, length)) {
        walk(s, c, length);
    }
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

/// The common case: one send holds all of a text, or a word. A call of its own, so that what it keeps on the stack does not lie there
/// during the walk.
#[inline(never)]
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

/// A word that says that it is done.
pub const DONE: u64 = u64::from_le_bytes(*b"+OK\r\n\0\0\0");
/// The bytes of that.
pub const DONE_MASK: u64 = (1 << 40) - 1;

/// Header by header. Calls nest eight deep at most.
#[inline(always)]
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
    if s.scratch().run.due != 0 {
        run::settle(s, c);
    }
    if s.scratch().run.several.queries != 0 {
        // Bytes of an answer that goes on are its own.
        let own = c.response_bytes.min(c.sent);
        c.sent -= own;
        run::flush(s, c);
        c.sent += own;
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

/// One loop over pieces and over the headers in each.
pub struct Answers<'a, S> {
    /// What the parser needs.
    pub s: &'a mut S,
    /// Whose answers.
    pub c: &'a mut Connection,
}

impl<S: Surroundings> Step for Answers<'_, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        if self.s.scratch().run.due != 0 {
            run::settle(self.s, self.c);
        }
        let Walk { position, end, .. } = self.s.scratch().walk;
        if position < end {
            if !is_parsed(self.c) {
                // The phase changed on the way: the rest is only counted.
                self.consume(position, end - position);
            } else if self.c.marks(SENT_LINE) {
                if self.line(position, end) {
                    return true;
                }
            } else {
                let done = self.header(position, end);
                if done == GOES_ON {
                    return true;
                }
                if done == MALFORMED {
                    self.consume(position, end - position);
                    lose_track(self.s, self.c);
                }
            }
        }
        pieces::next_sent(self.s, self.c)
    }
}

impl<S: Surroundings> Answers<'_, S> {
    #[inline(always)]
    pub fn consume(&mut self, position: u32, bytes: u32) {
        self.s.scratch().walk.position = position + bytes;
        pieces::count(self.c, bytes);
    }

    /// One header: `ENDS`, `GOES_ON` or `MALFORMED`.
    #[inline(always)]
    fn header(&mut self, position: u32, end: u32) -> u32 {
        let word = self.s.window().le64(position);
        if self.is_one_more(word, end - position) {
            return GOES_ON;
        }
        self.s.scratch().run.last.mask = 0;
        if self.c.answer().pending == 0 {
            if self.s.scratch().run.several.queries != 0 && self.is_another(word as u8) {
                run::flush(self.s, self.c);
            }
            if self.is_plain() && self.small(word, position, end) {
                return GOES_ON;
            }
        }
        self.any(word)
    }

    /// Is it one more answer like the last, to one more of the same requests? (Nothing has happened between the two.)
    #[inline(always)]
    fn is_one_more(&mut self, word: u64, available: u32) -> bool {
        let Small {
            word: last,
            mask,
            bytes,
            ..
        } = self.s.scratch().run.last;
        if mask == 0 || (word ^ last) & mask != 0 || bytes > available || self.c.front.count <= 1 {
            return false;
        }
        self.c.front.count -= 1;
        self.s.scratch().walk.position += bytes;
        self.c.sent += u64::from(bytes);
        run::repeat_last(self.s);
        true
    }

    /// May the answer that begins be one that is not put together with those before it?
    #[inline(always)]
    fn is_another(&mut self, kind: u8) -> bool {
        let front = self.c.front;
        self.c.outstanding == 0
            || self.s.scratch().run.fingerprint != front.fingerprint
            || front.flags != 0
            || front.link != 0
            || is_error(kind)
            || kind == b'>'
            || self.c.marks(SUBSCRIBED | MONITORS)
    }

    /// Does a request for data come next that is answered as nearly all are?
    #[inline(always)]
    fn is_plain(&mut self) -> bool {
        let front = self.c.front;
        self.c.outstanding > 0
            && front.limit == Kind::Data as u32
            && front.flags == 0
            && front.link == 0
            && !self.c.marks(u8::MAX)
    }

    /// A text, a number or a word that is the answer, all of it at hand: nearly all of a pipeline. False when it is another.
    #[inline(always)]
    fn small(&mut self, word: u64, position: u32, end: u32) -> bool {
        let available = end - position;
        let kind = word as u8;
        let mut compared = 5;
        let (bytes, rows) = if kind == b'$' || kind == b':' {
            let (value, behind) = number(self.s.window(), position + 1);
            if behind == 0 || behind > end {
                return false;
            }
            let header = behind - position;
            compared = header;
            if kind == b':' || value == NULL {
                (header, 0)
            } else if value < u64::from(available) {
                (header + value as u32 + 2, 1)
            } else {
                return false;
            }
        } else if word & DONE_MASK == DONE {
            (5, 0)
        } else {
            return false;
        };
        if bytes > available {
            return false;
        }
        self.s.scratch().walk.position = position + bytes;
        self.c.sent += u64::from(bytes);
        let more = self.c.front.count > 1;
        self.completes(rows, u64::from(bytes));
        // When that was the last of its requests, another may be answered next.
        if more && compared <= 8 {
            self.s.scratch().run.last = Small {
                word,
                mask: u64::MAX >> ((64 - compared * 8) & 63),
                bytes,
                rows: rows as u32,
            };
        }
        true
    }

    /// The front request, an ordinary one, is answered.
    #[inline(always)]
    pub fn completes(&mut self, rows: u64, bytes: u64) {
        let Request {
            fingerprint,
            started,
            count,
            ..
        } = self.c.front;
        run::add(self.s, fingerprint, started, rows, bytes);
        self.c.front.count = count.wrapping_sub(1);
        if count <= 1 {
            outcome::next(self.s, self.c);
        }
    }

    /// Any header. It and what it calls hand nothing on: calls nest eight deep at most.
    #[inline(never)]
    fn any(&mut self, word: u64) -> u32 {
        let Walk { position, end, .. } = self.s.scratch().walk;
        let kind = word as u8;
        if is_line(kind) {
            return self.line_begins(word, position, end);
        }
        if !has_number(kind) {
            return MALFORMED;
        }
        if kind == b'$' && self.is_copy() {
            // Its length may be a mark that will end it: whatever follows is the copy.
            self.begin(word, position + 1, position, end);
            return self.element(kind, NULL, position + 1);
        }
        let (value, behind) = number(self.s.window(), position + 1);
        if behind == 0 || behind > end {
            return self.unread(HEADER, end - position, end);
        }
        // A text in the middle of a list of data: nearly all of a long walk.
        let Answer { pending, upper } = *self.c.answer();
        let counts = self.c.command == Kind::Data as u8 && upper == 0 && self.c.counts().muted == 0;
        if kind == b'$' && pending > 1 && counts && value < LONGEST {
            self.c.answer().pending = pending - 1;
            self.c.rows += 1;
            return self.text(value, behind, position, end);
        }
        if pending == 0 && self.begin(word, behind, position, end) == 0 {
            return self.unread(KIND, end - position, end);
        }
        self.element(kind, value, behind)
    }

    /// Does the copy begin that a replica asked for?
    #[inline(always)]
    fn is_copy(&mut self) -> bool {
        self.c.answer().pending == 0
            && self.c.outstanding > 0
            && self.c.front.limit == Kind::Sync as u32
    }

    /// What is at hand of a header does not suffice: it makes no sense when it should.
    #[inline(always)]
    fn unread(&mut self, longest: u32, available: u32, end: u32) -> u32 {
        if available >= longest {
            return MALFORMED;
        }
        pieces::carry(self.s, self.c, end, available);
        ENDS
    }

    /// A text whose header ends at `behind`, of an answer that goes on behind it.
    #[inline(always)]
    fn text(&mut self, length: u64, behind: u32, position: u32, end: u32) -> u32 {
        let whole = behind - position + length as u32 + 2;
        let available = end - position;
        if whole > available {
            self.consume(position, available);
            self.c.sent_skip = whole - available;
            return ENDS;
        }
        self.consume(position, whole);
        GOES_ON
    }

    /// A line, of which its first byte tells what it is. It is read when it is looked for its end.
    #[inline(always)]
    fn line_begins(&mut self, word: u64, position: u32, end: u32) -> u32 {
        let available = end - position;
        let kind = word as u8;
        let begins = self.c.answer().pending == 0;
        if kind == b'\n' && !self.is_copy() {
            // Only a replica is kept waiting with such.
            return MALFORMED;
        }
        if kind == b'+' && available < 5 && is_beginning_of_done(word, available) {
            return self.unread(5, available, end);
        }
        if begins && self.begin(word, 0, position, end) == 0 {
            return self.unread(8, available, end);
        }
        if kind == b':' && self.c.answer().pending == 1 && is_confirmation(self.c.command) {
            // The last part says how many subscriptions there are.
            if available < 2 {
                return self.unread(2, available, end);
            }
            if (word >> 8) as u8 == b'0' {
                self.c.unmark(SUBSCRIBED);
            }
        }
        // A script can say anything in the place of a word that says that it is done.
        let says = kind == b'+'
            && self.c.command == Kind::Script as u8
            && !(available >= 5 && word & DONE_MASK == DONE);
        self.c.mysql.header_bytes = if says { b'$' } else { kind };
        self.c.mark(SENT_LINE);
        GOES_ON
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
}

/// May the word be [`DONE`] when more of it has come?
#[inline(always)]
fn is_beginning_of_done(word: u64, available: u32) -> bool {
    let mask = (1u64 << (available * 8)) - 1;
    (word ^ DONE) & mask == 0
}

/// Is it about subscriptions, and no message?
#[inline(always)]
fn is_confirmation(mode: u8) -> bool {
    mode == Kind::Unsubscribe as u8 || mode == NEWS
}

/// Does a number follow, of bytes or of elements?
#[inline(always)]
fn has_number(kind: u8) -> bool {
    matches!(kind, b'$' | b'*' | b'~' | b'>' | b'%' | b'|' | b'=' | b'!')
}

/// Does all of it stand in its line?
#[inline(always)]
fn is_line(kind: u8) -> bool {
    matches!(kind, b'+' | b'-' | b':' | b',' | b'(' | b'#' | b'_' | b'\n')
}
