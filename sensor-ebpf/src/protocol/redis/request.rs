//! What the client asks for.

use super::{
    command::{Command, Kind},
    follow::{MONITORS, RECEIVED_LINE, SKIPS, UNANSWERED},
    head::{BAD, Head, MORE, NOTHING, OFF, ON, SILENT, SKIP, bulk},
    names, run,
};
use crate::{
    bytes::{CHUNK, swar},
    connection::{CONNECTION_PREEXISTING, Connection, PARTIAL, Phase, REQUEST_APART, Request},
    fingerprint::CAPTURE,
    loops::{Step, repeat},
    protocol::{
        Surroundings, Walk, is_parsed,
        outcome::{self, lose_track},
        pieces,
        postgres::mergeable,
    },
};

/// With this many bytes of a request at hand as much of it is looked at as ever will be.
const ENOUGH: u32 = CAPTURE + 256;
const _: () = assert!(ENOUGH as usize <= PARTIAL);

/// Pieces of [`CHUNK`] bytes that one read may bring.
const CHUNKS: u32 = 1024;
/// Steps over so many pieces: one for each argument, and one for each piece.
const STEPS: u32 = CHUNKS * (CHUNK / SHORTEST + 2);
/// Bytes of the shortest argument, or request.
const SHORTEST: u32 = 2;

/// What becomes of a request: it is answered.
const ANSWERED: u32 = 0;
/// Neither it is, nor the next.
const NEITHER: u32 = 1;
/// It alone is not.
const ALONE: u32 = 2;

/// Takes the client's bytes apart.
#[inline(always)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    let walk = &mut s.scratch().walk;
    walk.offset = 0;
    walk.length = length;
    run::begin(s);
    // The common case in one go: one request.
    if first(s, c) {
        repeat(
            STEPS,
            &mut Requests {
                s: &mut *s,
                c: &mut *c,
            },
        );
        let walk = &s.scratch().walk;
        if walk.offset < walk.length {
            c.requests_lost = 1;
        }
    }
    if s.scratch().run.several.queries != 0 {
        run::flush(s, c);
    }
    // What was asked before is still answered, and followed to its end.
    if c.requests_lost != 0 && c.outstanding == 0 {
        c.requests_lost = 0;
        lose_track(s, c);
    }
}

/// The first request, or what is at hand of it; true when more follows. A call of its own, so that what it keeps on the stack does
/// not lie there while the loop runs.
#[inline(never)]
fn first<S: Surroundings>(s: &mut S, c: &mut Connection) -> bool {
    let mut requests = Requests { s, c };
    requests.piece() && requests.next()
}

struct Requests<'a, S> {
    s: &'a mut S,
    c: &'a mut Connection,
}

impl<S: Surroundings> Step for Requests<'_, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Walk { position, end, .. } = self.s.scratch().walk;
        if position < end {
            return self.next();
        }
        self.piece()
    }
}

impl<S: Surroundings> Requests<'_, S> {
    /// Copies the next piece to the window; false when there is none, or it can't be read.
    #[inline(always)]
    fn piece(&mut self) -> bool {
        pieces::next_received(self.s, self.c)
    }

    /// The beginning of a request, or another argument; false when nothing is left to do.
    #[inline(always)]
    fn next(&mut self) -> bool {
        let Walk { position, end, .. } = self.s.scratch().walk;
        if !is_parsed(self.c) || self.c.requests_lost != 0 {
            // It has lost its sense: the rest is only counted.
            let walk = &mut self.s.scratch().walk;
            walk.position = end;
            walk.offset = walk.length;
            return false;
        }
        if self.c.counts().arguments > 0 {
            self.argument(position, end);
        } else if self.c.marks(RECEIVED_LINE) {
            self.line(position, end);
        } else {
            self.request(position, end);
        }
        let Walk {
            position,
            end,
            offset,
            length,
            ..
        } = self.s.scratch().walk;
        position < end || offset < length
    }

    /// Done with all in front of `behind`, which may lie beyond what is at hand.
    #[inline(always)]
    fn consume(&mut self, behind: u32, end: u32) {
        let position = if behind > end {
            self.c.received_skip = behind - end;
            end
        } else {
            behind
        };
        self.s.scratch().walk.position = position;
    }

    /// An argument of which nothing matters.
    #[inline(always)]
    fn argument(&mut self, position: u32, end: u32) {
        match bulk(self.s.window(), position, end) {
            Ok(argument) => {
                self.c.counts().arguments -= 1;
                self.consume(argument.start + argument.length + 2, end);
            }
            Err(answer) => self.wait(answer, position, end),
        }
    }

    /// The rest of a line that was too long.
    #[inline(always)]
    fn line(&mut self, position: u32, end: u32) {
        let mut at = position;
        let mut words = 0;
        while words < 8 && at < end {
            let word = self.s.window().le64(at);
            let length = swar::length(swar::mask_before(swar::equal(word, b'\n')));
            at += length;
            if length < 8 {
                if at < end {
                    self.c.unmark(RECEIVED_LINE);
                    at += 1;
                }
                break;
            }
            words += 1;
        }
        self.s.scratch().walk.position = if at > end { end } else { at };
    }

    /// What is at hand does not suffice, or makes no sense.
    #[inline(always)]
    fn wait(&mut self, answer: u32, position: u32, end: u32) {
        let available = end - position;
        self.s.scratch().walk.position = end;
        if answer == MORE && available < ENOUGH && self.s.save_partial(position, available) {
            self.c.partial = available as u16;
        } else {
            self.c.requests_lost = 1;
        }
    }

    #[inline(always)]
    fn request(&mut self, position: u32, end: u32) {
        self.s.scratch().head.forced = end - position >= ENOUGH;
        let answer = self.s.redis_head();
        if answer == MORE || answer == BAD {
            return self.wait(answer, position, end);
        }
        let Head {
            end: behind,
            arguments,
            ..
        } = self.s.scratch().head;
        self.consume(behind, end);
        if answer == NOTHING {
            // For the server it was the next one.
            self.c.unmark(SKIPS);
            return;
        }
        self.c.counts().arguments = arguments;
        self.take(position);
    }

    /// The request that begins at `position`.
    #[inline(always)]
    fn take(&mut self, position: u32) {
        let Head {
            fingerprint,
            command,
            text_end,
            ..
        } = self.s.scratch().head;
        let kind = Command(command).kind();
        let apart = self
            .s
            .text(self.c, fingerprint, position, text_end - position, false);
        let mut request = Request {
            fingerprint,
            started: 0,
            limit: u32::from(kind),
            count: 1,
            flags: if apart { REQUEST_APART } else { 0 },
            link: 0,
        };
        if self.s.scratch().head.goes_on {
            self.c.mark(RECEIVED_LINE);
        }
        let hidden = self.s.scratch().head.hidden;
        let answer = if kind <= Kind::Quiet as u8 && !hidden {
            ANSWERED
        } else {
            self.special(kind, &mut request)
        };
        if answer != ANSWERED || self.c.marks(UNANSWERED | SKIPS) {
            return self.unanswered(&request, answer);
        }
        self.enqueue(request);
    }

    /// One that changes the connection, or may do so: `ANSWERED`, `NEITHER` or `ALONE`.
    #[inline(always)]
    fn special(&mut self, kind: u8, request: &mut Request) -> u32 {
        let Head {
            hidden,
            reply,
            doubtful,
            ..
        } = self.s.scratch().head;
        let is_client = kind == Kind::Client as u8;
        if hidden || is_client && (reply != 0 || doubtful) {
            self.c.suspect();
        }
        if hidden || is_client || kind == Kind::Auth as u8 || kind == Kind::Hello as u8 {
            request.link = names::tell(self.s, self.c, kind);
            if request.link != 0 && self.c.marks(UNANSWERED | SKIPS) {
                // Whether it succeeds will not be known.
                names::doubt(self.s, self.c);
            }
            if reply == OFF {
                self.c.mark(UNANSWERED);
            } else if reply == ON {
                self.c.unmark(UNANSWERED | SKIPS);
            }
            return if reply == SKIP { NEITHER } else { ANSWERED };
        }
        if kind == Kind::Select as u8 {
            request.flags |= REQUEST_APART;
        } else if kind == Kind::Reset as u8 {
            request.flags |= REQUEST_APART;
            self.c.unmark(UNANSWERED | SKIPS);
        } else if reply == SILENT {
            if self.c.has(CONNECTION_PREEXISTING) && self.c.last_fingerprint == 0 {
                // The first that is seen of it: a replica that is older than the sensor.
                outcome::enter(self.s, self.c, Phase::Replication);
            }
            return ALONE;
        } else if kind == Kind::Monitor as u8 && self.monitors() {
            return ALONE;
        }
        ANSWERED
    }

    /// Who sees all commands already, or is about to, gets no answer when it asks again.
    #[inline(always)]
    fn monitors(&mut self) -> bool {
        self.c.marks(MONITORS)
            || self.c.outstanding > 0 && self.c.front.limit == Kind::Monitor as u32
    }

    /// It is over with that it came; so is the next one, unless it is that one.
    #[inline(always)]
    fn unanswered(&mut self, request: &Request, answer: u32) {
        if answer == NEITHER {
            self.c.mark(SKIPS);
        } else {
            self.c.unmark(SKIPS);
        }
        if run::is_of_another(self.s, request.fingerprint) {
            run::flush(self.s, self.c);
        }
        let started = self.s.now();
        run::add(self.s, request.fingerprint, started, 0, 0);
    }

    #[inline(always)]
    fn enqueue(&mut self, mut request: Request) {
        if self.c.outstanding == 0 {
            request.started = outcome::started(self.s, self.c, request.fingerprint, request.link);
            self.c.front = request;
            self.c.outstanding = 1;
            return;
        }
        if self.c.outstanding == 1 && mergeable(&self.c.front, &request) {
            self.c.front.count += 1;
            return;
        }
        request.started = self.s.now();
        if self.s.push(self.c, request) {
            names::doubt(self.s, self.c);
        }
    }
}
