//! Elements of answers: how many are to come, which of them count, and what is over with the last.

use super::{
    answer::Answers,
    changes,
    command::Kind,
    follow::{Answer, FAILED, MONITORS, OUTERMOST, QUEUED, SENT_LINE, SUBSCRIBED},
    number::NULL,
    run::{self, ENTERED, REPORT},
};
use crate::{
    connection::Phase,
    protocol::{Completion, Surroundings, Walk, outcome},
    record::{CommandTag, STATEMENT_FAILED, STATEMENT_SUSPENDED},
};

/// What an element's header leads to: what is at hand is done with.
pub const ENDS: u32 = 0;
/// More follows.
pub const GOES_ON: u32 = 1;
/// It makes no sense.
pub const MALFORMED: u32 = 2;

/// Of a text: the server sends no longer ones.
pub const LONGEST: u64 = 0xf000_0000;
/// Of a list: likewise.
const MOST: u64 = 1 << 28;

/// How the elements of an answer count, beside as its request's [`Kind`] says: it is a message, one row.
pub const MESSAGE: u8 = 32;
/// News that are no rows.
pub const NEWS: u8 = 33;

impl<S: Surroundings> Answers<'_, S> {
    /// An element with a number in its header.
    #[inline(always)]
    pub fn element(&mut self, kind: u8, value: u64, behind: u32) -> u32 {
        let Walk { position, end, .. } = self.s.scratch().walk;
        let header = behind - position;
        if value == NULL {
            self.consume(position, header);
            self.leaf(kind, true);
            return GOES_ON;
        }
        if kind == b'$' || kind == b'=' || kind == b'!' {
            if value > LONGEST {
                return MALFORMED;
            }
            let available = end - position;
            let whole = header + value as u32 + 2;
            if whole > available {
                // It is over when it is, so that its bytes are its own: its last byte ends it as it ends a line.
                self.consume(position, available);
                self.c.sent_skip = whole - available - 1;
                self.c.mysql.header_bytes = kind;
                self.c.mark(SENT_LINE);
                return ENDS;
            }
            self.consume(position, whole);
            self.leaf(kind, false);
            return GOES_ON;
        }
        self.list(kind, value, header, position)
    }

    #[inline(always)]
    fn list(&mut self, kind: u8, count: u64, header: u32, position: u32) -> u32 {
        let is_list = kind == b'*' || kind == b'~' || kind == b'>';
        let is_map = kind == b'%' || kind == b'|';
        let Answer { pending, upper } = *self.c.answer();
        let count = if is_map { count * 2 } else { count };
        if !is_list && !is_map
            || count > MOST
            || u64::from(pending) + count > u64::from(u32::MAX / 2)
        {
            return MALFORMED;
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
            return GOES_ON;
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
        GOES_ON
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
    #[inline(never)]
    pub fn leaf(&mut self, kind: u8, null: bool) {
        let muted = self.is_muted();
        let mode = self.c.command;
        let Answer { pending, upper } = *self.c.answer();
        if !muted {
            let outermost = upper == OUTERMOST;
            let is_upper = upper != 0 && upper == pending;
            let is_data = mode == Kind::Script as u8 && !outermost;
            let counts = if null || is_error(kind) && !is_data {
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

    /// All of it has come.
    #[inline(never)]
    fn over(&mut self) {
        let mode = self.c.command;
        let bytes = self.c.response_bytes;
        if mode == MESSAGE {
            let statement = self.c.skimmed_end;
            let now = self.s.roughly_now();
            run::add(self.s, statement, now, 1, bytes);
        } else if mode != NEWS {
            self.completed(mode, bytes);
        }
        outcome::forget_response(self.c);
    }

    #[inline(always)]
    fn completed(&mut self, mode: u8, bytes: u64) {
        let failed = self.c.marks(FAILED);
        let request = self.c.front;
        // Nor is it a success that may be another's.
        let queued = self.c.marks(QUEUED) || self.c.is_suspect() && changes(&request);
        self.c.unmark(QUEUED);
        if mode > Kind::Client as u8 && !failed && !queued {
            self.succeeded(mode, request.fingerprint);
        }
        let rows = self.c.rows;
        if !failed && request.flags == 0 && request.link == 0 && self.c.rows_reported == 0 {
            return self.completes(rows, bytes);
        }
        let mut flags = if queued { STATEMENT_SUSPENDED } else { 0 };
        if failed {
            flags |= STATEMENT_FAILED;
        }
        outcome::complete(self.s, self.c, &completion(rows, flags));
        self.s.scratch().run.due |= REPORT;
    }

    /// What changes with it.
    #[inline(always)]
    fn succeeded(&mut self, mode: u8, statement: u64) {
        if mode == Kind::Subscribe as u8 {
            self.c.skimmed_end = statement;
        } else if mode == Kind::Monitor as u8 {
            self.c.skimmed_end = statement;
            self.c.mark(MONITORS);
        } else if mode == Kind::Sync as u8 {
            // All that follows is a copy of the data, and what changes in it.
            self.c.outstanding = 1;
            self.c.front.count = 1;
            self.c.phase = Phase::Replication as u8;
            self.s.scratch().run.due |= ENTERED;
        } else if mode == Kind::Reset as u8 {
            self.c.unmark(SUBSCRIBED | MONITORS);
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

/// Is it one?
#[inline(always)]
pub fn is_error(kind: u8) -> bool {
    kind == b'-' || kind == b'!'
}

/// By itself, is it a value?
#[inline(always)]
fn is_value(kind: u8) -> bool {
    matches!(kind, b'$' | b'=' | b',' | b'(')
}
