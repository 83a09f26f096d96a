//! What the client asks for.

use super::{
    Stage,
    packets::{self, HEADER, LONGEST, command, is_command},
    startup,
};
use crate::{
    bytes::{BASE, CHUNK},
    connection::{
        Connection, MYSQL_ATTRIBUTES, MYSQL_CHANGES_USER, MYSQL_PLAIN, MYSQL_RECEIVED_CONTINUES,
        MYSQL_SENT_CONTINUES, PARTIAL, Phase, REQUEST_APART, REQUEST_CONTINUES, REQUEST_SEVERAL,
        REQUEST_SIMPLE, REQUEST_SYNC, REQUEST_TRUNCATED, Request,
    },
    fingerprint::{CAPTURE, MySql},
    loops::{Step, repeat},
    protocol::{
        Surroundings, Walk, outcome, pieces,
        text::{self, APART, LINKED, Text},
    },
    record::StartupKind,
};

/// With this many bytes of a packet at hand its text is as complete as it will get.
const ENOUGH: u32 = CAPTURE + 256;
const _: () = assert!(ENOUGH as usize <= PARTIAL);

/// Pieces of [`CHUNK`] bytes that one read may bring.
const CHUNKS: u32 = 1024;
/// Steps over so many pieces: a header and a body for each packet, and one for each piece.
const STEPS: u32 = CHUNKS * (CHUNK / HEADER + 2);

/// A statement of the server's own, from which a client may go on with the one that it prepared last.
const LAST_PREPARED: u32 = u32::MAX;

/// Takes the client's bytes apart.
#[inline(always)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    if length == HEADER && header(s, c) {
        return;
    }
    let walk = &mut s.scratch().walk;
    walk.offset = 0;
    walk.length = length;
    walk.pending = false;
    let mut packets = Packets {
        s: &mut *s,
        c: &mut *c,
    };
    // The common case in one go: a header, or a body.
    if packets.piece() && packets.packet() {
        repeat(STEPS, &mut packets);
        let walk = &packets.s.scratch().walk;
        if walk.offset < walk.length {
            packets.c.requests_lost = 1;
        }
    }
    if c.requests_lost != 0 {
        c.requests_lost = 0;
        outcome::lose_track(s, c);
    }
    if s.scratch().walk.pending {
        outcome::close(s, c);
    }
}

/// The common case: the server reads a header by itself. False when it is something else.
#[inline(always)]
fn header<S: Surroundings>(s: &mut S, c: &mut Connection) -> bool {
    if c.mysql.header_bytes != 0
        || c.received_skip != 0
        || c.partial != 0
        || !s.read(0, HEADER, BASE)
    {
        return false;
    }
    let header = s.window().le64(BASE) as u32;
    if packets::length(header) == 0 {
        return false;
    }
    c.set_header(header);
    c.mysql.header_bytes = HEADER as u8;
    true
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
            return self.packet();
        }
        self.piece()
    }
}

impl<S: Surroundings> Packets<'_, S> {
    /// Copies the next piece to the window; false when there is none, or it can't be read.
    #[inline(always)]
    fn piece(&mut self) -> bool {
        if !pieces::next_received(self.s, self.c) {
            return false;
        }
        packets::end_piece(self.s);
        true
    }

    /// A header, or a body; false when nothing is left to do.
    #[inline(always)]
    fn packet(&mut self) -> bool {
        let Walk { position, end, .. } = self.s.scratch().walk;
        if !super::is_walked(self.c) || self.c.requests_lost != 0 {
            // The phase changed on the way: the rest is only counted.
            let walk = &mut self.s.scratch().walk;
            walk.position = end;
            walk.offset = walk.length;
            return false;
        }
        let available = end.wrapping_sub(position);
        let known = u32::from(self.c.mysql.header_bytes);
        if known < HEADER {
            let missing = HEADER - known;
            let take = if available < missing {
                available
            } else {
                missing
            };
            let word = self.s.window().le64(position) & ((1 << (take * 8)) - 1);
            let before = if known == 0 { 0 } else { self.c.header() };
            self.c
                .set_header(before | (word as u32) << ((known * 8) & 31));
            self.c.mysql.header_bytes = (known + take) as u8;
            self.s.scratch().walk.position = position + take;
            if known + take == HEADER && packets::length(self.c.header()) == 0 {
                self.c.mysql.header_bytes = 0;
                self.settle();
                self.take(position + take, position + take, false);
            }
            return self.goes_on();
        }
        let total = packets::length(self.c.header());
        if total > available {
            if available < ENOUGH && self.is_captured() && self.keep(position, available) {
                return self.goes_on();
            }
            self.c.mysql.header_bytes = 0;
            self.s.scratch().walk.position = end;
            self.settle();
            self.take(position, end, true);
            self.c.received_skip = total - available;
            return self.goes_on();
        }
        self.c.mysql.header_bytes = 0;
        self.s.scratch().walk.position = position + total;
        self.settle();
        self.take(position, position + total, false);
        self.goes_on()
    }

    #[inline(always)]
    fn goes_on(&mut self) -> bool {
        let Walk {
            position,
            end,
            offset,
            length,
            ..
        } = self.s.scratch().walk;
        position < end || offset < length
    }

    /// Before a command: the server never reads one before it has answered. When it seems so, something was missed.
    #[inline(always)]
    fn settle(&mut self) {
        if self.c.outstanding > 0 && self.is_captured() {
            outcome::flush(self.s, self.c);
            outcome::abandon(self.s, self.c);
        }
    }

    /// Does the body that has begun matter, so that it is put together when reads split it?
    #[inline(always)]
    fn is_captured(&self) -> bool {
        self.c.phase != Phase::Authentication as u8
            && self.c.mysql.stage != Stage::Infile as u8
            && self.c.mysql.flags & MYSQL_RECEIVED_CONTINUES == 0
    }

    /// Keeps the beginning of a body for the next read.
    #[inline(always)]
    fn keep(&mut self, position: u32, available: u32) -> bool {
        if !self.s.save_partial(position, available) {
            return false;
        }
        self.c.partial = available as u16;
        let end = self.s.scratch().walk.end;
        self.s.scratch().walk.position = end;
        true
    }

    /// The body between `start` and `end` of the window; more of it follows when `truncated`.
    #[inline(never)]
    fn take(&mut self, start: u32, end: u32, truncated: bool) {
        let header = self.c.header();
        let continues = self.c.mysql.flags & MYSQL_RECEIVED_CONTINUES != 0;
        if packets::length(header) == LONGEST {
            self.c.mysql.flags |= MYSQL_RECEIVED_CONTINUES;
        } else {
            self.c.mysql.flags &= !MYSQL_RECEIVED_CONTINUES;
        }
        if continues {
            return;
        }
        if self.c.phase == Phase::Startup as u8 {
            startup::response(self.s, self.c, start, end, truncated);
        } else if self.c.phase == Phase::Authentication as u8 {
            // What the ways of authentication say to each other.
        } else if self.c.mysql.stage == Stage::Infile as u8 {
            if packets::length(header) == 0 {
                self.c.mysql.stage = Stage::First as u8;
            }
        } else if packets::sequence(header) != 0
            || end > start && !is_command(self.s.window().byte(start))
        {
            // From a shallower place, for want of stack.
            self.c.requests_lost = 1;
        } else if end > start {
            self.command(start, end, truncated);
        }
    }

    #[inline(always)]
    fn command(&mut self, start: u32, end: u32, truncated: bool) {
        let c = &mut *self.c;
        c.sent += u64::from(c.carried);
        c.carried = 0;
        c.sent_skip = 0;
        c.mysql.flags &= !MYSQL_SENT_CONTINUES;
        outcome::forget_response(c);
        let command = self.s.window().byte(start);
        let body = start + 1;
        match command {
            command::QUERY | command::INIT_DB => {
                let start = if command == command::QUERY {
                    self.behind_attributes(body, end)
                } else {
                    self.as_use(body)
                };
                if start == 0 {
                    return self.ask(
                        command::QUERY,
                        Stage::First,
                        statement(0, REQUEST_SEVERAL | REQUEST_TRUNCATED),
                    );
                }
                self.text(start, end, truncated);
            }
            command::STMT_PREPARE => self.prepare(body, end, truncated),
            command::STMT_EXECUTE | command::STMT_BULK_EXECUTE | command::STMT_FETCH => {
                self.execute(command, body);
            }
            // Nothing is answered.
            command::STMT_CLOSE | command::STMT_SEND_LONG_DATA => {}
            // Closed when the walk is over: the server does not read again.
            command::QUIT => self.s.scratch().walk.pending = true,
            command::CHANGE_USER => {
                outcome::flush(self.s, self.c);
                outcome::overhead(self.s, self.c);
                self.s.startup(
                    self.c,
                    StartupKind::MySqlChangeUser,
                    body,
                    end - body,
                    truncated,
                );
                self.c.mysql.flags |= MYSQL_CHANGES_USER;
                self.c.phase = Phase::Authentication as u8;
            }
            command::STATISTICS => self.ask(command, Stage::Any, Request::default()),
            command::FIELD_LIST => self.ask(command, Stage::Fields, Request::default()),
            command::PROCESS_INFO => self.ask(command, Stage::First, statement(0, 0)),
            _ => self.ask(command, Stage::First, Request::default()),
        }
    }

    /// Where the text of a query begins whose command is passed over; zero when it has no name.
    #[inline(always)]
    fn behind_attributes(&mut self, start: u32, end: u32) -> u32 {
        let says_so = self.c.mysql.flags & MYSQL_ATTRIBUTES != 0;
        if !says_so && self.s.window().byte(start) >= b' ' {
            return start;
        }
        self.s.behind_attributes(start, end, says_so)
    }

    /// Makes the name of a database that begins at `start` the statement which does the same; where that begins.
    #[inline(always)]
    fn as_use(&mut self, start: u32) -> u32 {
        let mut i = 0;
        while i < USE.len() as u32 {
            self.s.window().set(start - 4 + i, USE[i as usize & 3]);
            i += 1;
        }
        start - 4
    }

    #[inline(always)]
    fn text(&mut self, start: u32, end: u32, cut: bool) {
        let dialect = self.dialect();
        let Text {
            fingerprint,
            several,
            truncated,
            apart,
            linked,
        } = text::take(self.s, self.c, start, end, dialect);
        // What follows runs in another database.
        let uses = self.s.window().le64(start) & USE_MASK == USE_WORD;
        let flags = if several { REQUEST_SEVERAL } else { 0 }
            | if truncated || cut {
                REQUEST_TRUNCATED | REQUEST_SEVERAL
            } else {
                0
            }
            | if apart || uses { REQUEST_APART } else { 0 };
        let mut request = statement(fingerprint, flags);
        if linked {
            request.link = self.c.link;
        }
        self.ask(command::QUERY, Stage::First, request);
    }

    #[inline(always)]
    fn prepare(&mut self, start: u32, end: u32, cut: bool) {
        let dialect = self.dialect();
        let Text {
            fingerprint,
            truncated,
            apart,
            linked,
            ..
        } = text::take(self.s, self.c, start, end, dialect);
        self.c.unnamed_statement =
            fingerprint | if apart { APART } else { 0 } | if linked { LINKED } else { 0 };
        let flags = if truncated || cut {
            REQUEST_TRUNCATED
        } else {
            0
        };
        self.ask(
            command::STMT_PREPARE,
            Stage::First,
            statement(fingerprint, flags),
        );
    }

    #[inline(always)]
    fn execute(&mut self, command: u8, start: u32) {
        let number = self.s.window().le64(start) as u32;
        let stored = if number == LAST_PREPARED {
            let stored = self.c.unnamed_statement;
            self.c.unnamed_statement = stored & !LINKED;
            self.c.skimmed_end = 0;
            stored
        } else if self.is_executed_again(number) {
            self.c.front.fingerprint
        } else {
            let stored = self.s.recall(self.c, u64::from(number));
            self.c.skimmed_end = if stored & (APART | LINKED) == 0 {
                EXECUTED | u64::from(number)
            } else {
                0
            };
            if stored & LINKED != 0 {
                self.s.remember(self.c, u64::from(number), stored & !LINKED);
            }
            stored
        };
        let mut request = statement(
            stored & !(APART | LINKED),
            if stored & APART != 0 {
                REQUEST_APART
            } else {
                0
            },
        );
        if stored & LINKED != 0 {
            request.link = self.c.link;
        }
        if command == command::STMT_FETCH {
            request.flags |= REQUEST_CONTINUES;
            self.ask(command, Stage::Rows, request);
        } else {
            self.ask(command, Stage::First, request);
        }
    }

    /// Is it the statement that the command before executed, so that it need not be looked up? Its number may be another's only when one
    /// was prepared meanwhile.
    #[inline(always)]
    fn is_executed_again(&self, number: u32) -> bool {
        self.c.command == command::STMT_EXECUTE
            && self.c.skimmed_end == EXECUTED | u64::from(number)
    }

    /// The command is going to be answered.
    #[inline(always)]
    fn ask(&mut self, command: u8, stage: Stage, mut request: Request) {
        if request.count > 0 {
            request.started = outcome::started(self.s, self.c, request.fingerprint, request.link);
        }
        self.c.front = request;
        self.c.outstanding = 1;
        self.c.ordinal = 0;
        self.c.command = command;
        self.c.mysql.stage = stage as u8;
    }

    #[inline(always)]
    fn dialect(&self) -> MySql {
        MySql {
            plain: self.c.mysql.flags & MYSQL_PLAIN != 0,
        }
    }
}

/// Beside the number of the statement that was executed last.
const EXECUTED: u64 = 1 << 32;

const USE: [u8; 4] = *b"USE ";
/// `USE `, in any case.
const USE_WORD: u64 = u32::from_le_bytes(USE) as u64;
const USE_MASK: u64 = 0xffdf_dfdf;

/// A command whose rows count; others have a count of zero.
#[inline(always)]
fn statement(fingerprint: u64, flags: u8) -> Request {
    Request {
        fingerprint,
        count: 1,
        flags: flags | REQUEST_SIMPLE | REQUEST_SYNC,
        ..Request::default()
    }
}
