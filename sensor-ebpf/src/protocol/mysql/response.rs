//! What the server answers: packet by packet, since only rows themselves tell how many there are.

use super::{
    Stage,
    packets::{
        self, END, EOF_LENGTH, ERROR, HEADER, INFILE, LONGEST, OK, STATUS_CURSOR, STATUS_MORE,
        STATUS_PLAIN, command,
    },
    startup,
};
use crate::{
    bytes::CHUNK,
    connection::{
        Connection, MYSQL_CHANGES_USER, MYSQL_DEPRECATES_EOF, MYSQL_PLAIN, MYSQL_SENT_CONTINUES,
        Phase, REQUEST_CONTINUES, REQUEST_SEVERAL, TAIL,
    },
    loops::{Step, repeat},
    protocol::{
        Completion, Surroundings, Walk,
        outcome::{self, lose_track},
        pieces,
    },
    record::{CommandTag, STATEMENT_FAILED},
    sqlstate,
};

/// Bytes of a packet that are looked at: what an `OK` says of rows and status, or an error of its code.
const LOOKED_AT: u32 = 32;
const _: () = assert!(LOOKED_AT as usize <= TAIL);

/// Pieces of [`CHUNK`] bytes that one send may bring: beyond, the stream counts as blind.
const CHUNKS: u32 = 1024;
/// Steps over so many pieces: one for each packet, and one for each piece.
const STEPS: u32 = CHUNKS * (CHUNK / HEADER + 2);

/// Length of the first packet that answers `COM_STMT_PREPARE`, without what was added to it later.
const PREPARED_LENGTH: u32 = 12;

/// An error's number that is none: news of how far a statement is (MariaDB).
const PROGRESS: u32 = 0xffff;

/// Takes the server's bytes apart.
#[inline(always)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    let walk = &mut s.scratch().walk;
    walk.offset = 0;
    walk.length = length;
    walk.pending = false;
    // No piece yet.
    walk.position = walk.end;
    let mut packets = Packets {
        s: &mut *s,
        c: &mut *c,
    };
    repeat(STEPS, &mut packets);
    let Walk {
        offset, pending, ..
    } = s.scratch().walk;
    if offset < length {
        lose_track(s, c);
    }
    if pending {
        // Not let in: the server closes the connection without another read.
        outcome::close(s, c);
    } else if c.outstanding > 0 && c.front.count > 0 {
        progress(s, c);
    }
}

/// Reports how far an answer has come, when it is time.
#[inline(always)]
fn progress<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if s.progress_due(c.sent, c.reported_at) {
        let now = s.now();
        let exact = c.rows - c.rows_reported;
        s.progress(c, exact, 0, now);
        c.rows_reported = c.rows;
        c.reported_at = s.ticks() as u32;
        c.sent = 0;
        c.received = 0;
    }
}

struct Packets<'a, S> {
    s: &'a mut S,
    c: &'a mut Connection,
}

impl<S: Surroundings> Step for Packets<'_, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Walk { position, end, .. } = self.s.scratch().walk;
        if position < end {
            if !super::is_walked(self.c) {
                // The phase changed on the way: the rest is only counted.
                self.consume(position, end - position);
            } else if self.packet(position, end) {
                return true;
            }
        }
        if !pieces::next_sent(self.s, self.c) {
            return false;
        }
        packets::end_piece(self.s);
        true
    }
}

impl<S: Surroundings> Packets<'_, S> {
    #[inline(always)]
    fn consume(&mut self, position: u32, bytes: u32) {
        self.s.scratch().walk.position = position + bytes;
        pieces::count(self.c, bytes);
    }

    /// One packet; false when the rest of the piece is done with.
    #[inline(always)]
    fn packet(&mut self, position: u32, end: u32) -> bool {
        let available = end - position;
        let word = self.s.window().le64(position);
        let length = packets::length(word as u32);
        let whole = HEADER + length;
        let looked_at = if whole < LOOKED_AT { whole } else { LOOKED_AT };
        if available < HEADER || available < looked_at {
            pieces::carry(self.s, self.c, end, available);
            return false;
        }
        let taken = if whole > available { available } else { whole };
        self.consume(position, taken);
        let first = (word >> 32) as u8;
        let continues = self.c.mysql.flags & MYSQL_SENT_CONTINUES != 0;
        if continues || length == LONGEST {
            self.long(length);
        }
        if !continues {
            // The hot case of a long walk: a row, which no end looks like, and an end no row.
            if self.c.mysql.stage == Stage::Rows as u8 && (first < END || length == LONGEST) {
                self.c.rows += 1;
            } else {
                self.other(word as u32, first, position + HEADER);
            }
        }
        if whole > available {
            self.c.sent_skip = whole - available;
            return false;
        }
        true
    }

    /// A packet that goes on with the next, or is what another goes on with.
    #[inline(always)]
    fn long(&mut self, length: u32) {
        if length == LONGEST {
            self.c.mysql.flags |= MYSQL_SENT_CONTINUES;
        } else {
            self.c.mysql.flags &= !MYSQL_SENT_CONTINUES;
        }
    }

    /// What is no row, its body at `position`.
    #[inline(never)]
    fn other(&mut self, header: u32, first: u8, position: u32) {
        let length = packets::length(header);
        if self.c.phase == Phase::Startup as u8 {
            self.greeting(header, first);
        } else if self.c.phase == Phase::Authentication as u8 {
            match first {
                OK => startup::admitted(self.s, self.c),
                ERROR if self.c.mysql.flags & MYSQL_CHANGES_USER != 0 => {
                    startup::refused(self.s, self.c);
                }
                ERROR => self.s.scratch().walk.pending = true,
                // Another way to authenticate, or more of what one says.
                _ => {}
            }
        } else if first == ERROR && length > 2 {
            let code = (self.s.window().le64(position) >> 8) as u32 & 0xffff;
            if code != PROGRESS {
                self.failed(position);
            }
        } else {
            self.goes_on(header, first, position);
        }
    }

    /// The server's first packet: a greeting of the protocol's version 10, or an error instead.
    #[inline(always)]
    fn greeting(&mut self, header: u32, first: u8) {
        if first == ERROR {
            self.s.scratch().walk.pending = true;
        } else if first != packets::GREETING || packets::sequence(header) != 0 {
            lose_track(self.s, self.c);
        }
    }

    #[inline(always)]
    fn goes_on(&mut self, header: u32, first: u8, position: u32) {
        let length = packets::length(header);
        let stage = self.c.mysql.stage;
        if stage == Stage::First as u8 {
            if packets::sequence(header) == 0 {
                // No answer begins so.
                return lose_track(self.s, self.c);
            }
            self.first(length, first, position);
        } else if stage == Stage::Columns as u8 {
            self.c.front.limit = self.c.front.limit.saturating_sub(1);
            if self.c.front.limit == 0 {
                self.c.mysql.stage = Stage::Described as u8;
            }
        } else if stage == Stage::Described as u8 {
            // Behind the descriptions: an EOF where it is not deprecated, whatever the client has said. An OK that ends a
            // result without rows is longer.
            if first == END && length == EOF_LENGTH {
                let status = packets::end_status(self.s.window(), position, length);
                if status & STATUS_CURSOR != 0 {
                    return self.rows_end(status);
                }
                self.c.mysql.stage = Stage::Rows as u8;
            } else if first == END && length < LONGEST {
                let status = packets::end_status(self.s.window(), position, length);
                self.rows_end(status);
            } else {
                self.c.mysql.stage = Stage::Rows as u8;
                self.c.rows += 1;
            }
        } else if stage == Stage::Rows as u8 {
            let status = packets::end_status(self.s.window(), position, length);
            self.rows_end(status);
        } else if stage == Stage::Prepared as u8 {
            self.c.front.limit = self.c.front.limit.saturating_sub(1);
            if self.c.front.limit == 0 {
                self.over();
            }
        } else if stage == Stage::Any as u8
            || stage == Stage::Fields as u8 && first == END && length < LONGEST
        {
            self.over();
        }
    }

    /// The first packet of an answer or a further result.
    #[inline(always)]
    fn first(&mut self, length: u32, first: u8, position: u32) {
        if first == OK && self.c.command == command::STMT_PREPARE {
            return self.prepared(length, position);
        }
        if packets::takes_over(self.c.command) {
            // Not refused: no packets of the protocol from here on.
            outcome::flush(self.s, self.c);
            self.c.outstanding = 0;
            self.c.mysql.stage = Stage::Idle as u8;
            self.c.phase = Phase::Replication as u8;
            return self.s.phase_entered(self.c);
        }
        if first == OK {
            let (affected, status) = packets::ok(self.s.window(), position);
            let tag = if affected > 0 {
                CommandTag::Insert
            } else {
                CommandTag::Transaction
            };
            self.completed(tag, 0, affected, status);
        } else if first == END {
            let status = packets::end_status(self.s.window(), position, length);
            self.completed(CommandTag::Transaction, 0, 0, status);
        } else if first == INFILE {
            self.c.mysql.stage = Stage::Infile as u8;
        } else {
            let (columns, behind) = packets::number(self.s.window(), position);
            // Descriptions that the client knows already (MariaDB) or does not want (MySQL) are left out, as the byte behind the
            // number says.
            let left_out = behind < position + length && self.s.window().byte(behind) == 0;
            self.c.front.limit = columns as u32;
            self.c.mysql.stage = if left_out {
                Stage::Described as u8
            } else {
                Stage::Columns as u8
            };
        }
    }

    /// A statement was prepared.
    #[inline(always)]
    fn prepared(&mut self, length: u32, position: u32) {
        let number = self.s.window().le64(position + 1) as u32;
        let counts = self.s.window().le64(position + 5) as u32;
        let (columns, parameters) = (counts & 0xffff, counts >> 16);
        let stored = self.c.unnamed_statement;
        self.s.remember(self.c, u64::from(number), stored);
        let ends = if self.c.mysql.flags & MYSQL_DEPRECATES_EOF != 0 {
            0
        } else {
            u32::from(columns > 0) + u32::from(parameters > 0)
        };
        // A thirteenth byte is there for clients that may not want descriptions (MySQL), and says whether they follow.
        let left_out =
            length > PREPARED_LENGTH && self.s.window().byte(position + PREPARED_LENGTH) == 0;
        let described = if left_out { 0 } else { columns + parameters };
        // Nothing was executed: no rows, no query.
        self.c.front.count = 0;
        self.c.front.limit = described + ends;
        self.c.mysql.stage = Stage::Prepared as u8;
        if self.c.front.limit == 0 {
            self.over();
        }
    }

    #[inline(always)]
    fn rows_end(&mut self, status: u32) {
        let rows = self.c.rows;
        self.completed(CommandTag::Select, rows, 0, status);
    }

    /// A result is over, and with it the statement unless the status says that another follows.
    #[inline(never)]
    fn completed(&mut self, tag: CommandTag, returned: u64, written: u64, status: u32) {
        if status & STATUS_PLAIN != 0 {
            self.c.mysql.flags |= MYSQL_PLAIN;
        } else {
            self.c.mysql.flags &= !MYSQL_PLAIN;
        }
        let more = status & STATUS_MORE != 0;
        if self.c.front.count == 0 {
            if !more {
                self.over();
            }
            return;
        }
        let completion = Completion {
            tag,
            returned,
            written,
            flags: 0,
        };
        if !more && self.c.ordinal == 0 && self.c.rows_reported == 0 {
            outcome::complete_lone(self.s, self.c, &completion);
            outcome::forget_response(self.c);
        } else {
            outcome::complete(self.s, self.c, &completion);
            outcome::report_pending(self.s, self.c);
        }
        if more {
            // Of one statement (a procedure's call), all results are one query's.
            if self.c.front.flags & REQUEST_SEVERAL == 0 {
                self.c.front.flags |= REQUEST_CONTINUES;
            }
            self.c.mysql.stage = Stage::First as u8;
        } else {
            self.c.outstanding = 0;
            self.c.ordinal = 0;
            self.c.mysql.stage = Stage::Idle as u8;
        }
    }

    /// An error ends whatever was asked.
    #[inline(always)]
    fn failed(&mut self, position: u32) {
        if self.c.outstanding == 0 || self.c.front.count == 0 {
            return self.over();
        }
        let rows = self.c.rows;
        outcome::complete(self.s, self.c, &outcome::unfinished(rows, STATEMENT_FAILED));
        // 0xff, number, '#', five letters or digits.
        let word = self.s.window().le64(position + 3);
        self.s.scratch().walk.outcome.sqlstate = if word as u8 == b'#' {
            sqlstate::pack(word >> 8)
        } else {
            0
        };
        outcome::report_pending(self.s, self.c);
        self.c.outstanding = 0;
        self.c.ordinal = 0;
        self.c.mysql.stage = Stage::Idle as u8;
    }

    /// Something that is no statement's is answered.
    #[inline(always)]
    fn over(&mut self) {
        outcome::flush(self.s, self.c);
        outcome::overhead(self.s, self.c);
        outcome::forget_response(self.c);
        self.c.outstanding = 0;
        self.c.ordinal = 0;
        self.c.mysql.stage = Stage::Idle as u8;
    }
}
