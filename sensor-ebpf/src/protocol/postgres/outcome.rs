//! How requests end here: what a tag says, error, ready.

pub use crate::protocol::outcome::{
    abandon, close, complete, complete_lone, estimate, next, overhead, report_pending, started,
    unfinished,
};
use crate::{
    connection::{
        CONNECTION_COPY_IN, CONNECTION_COPY_OUT, CONNECTION_FAILED, Connection, Phase, QUEUE,
        REQUEST_SIMPLE, REQUEST_SYNC,
    },
    loops::{Step, repeat},
    protocol::{Completion, Outcome, Surroundings},
    record::{CommandTag, STATEMENT_FAILED, STATEMENT_SERVER_SIDE_COPY, STATEMENT_SUSPENDED},
};

/// What a completion says about rows, given the `rows` messages that were counted (or none could have been sent).
///
#[inline(always)]
pub fn rows(c: &Connection, tag: CommandTag, count: u64, messages: u64) -> Completion {
    let (returned, written, flags) = match tag {
        // Without a single row message the rows went into a new table (CREATE TABLE AS, SELECT INTO).
        CommandTag::Select if count > 0 && messages == 0 => (0, count, 0),
        CommandTag::Select | CommandTag::Fetch => (count, 0, 0),
        // One row message a row with RETURNING, none without.
        CommandTag::Insert | CommandTag::Update | CommandTag::Delete | CommandTag::Merge => {
            (messages, count, 0)
        }
        CommandTag::Copy if c.has(CONNECTION_COPY_IN) => (0, count, 0),
        CommandTag::Copy if c.has(CONNECTION_COPY_OUT) => (count, 0, 0),
        CommandTag::Copy => (count, 0, STATEMENT_SERVER_SIDE_COPY),
        CommandTag::Suspended => (messages, 0, STATEMENT_SUSPENDED),
        CommandTag::Move | CommandTag::Empty | CommandTag::Transaction | CommandTag::Set => {
            (0, 0, 0)
        }
        // SHOW, EXPLAIN, CALL, VALUES …: rows without a count in the tag. A base backup's CopyData are no rows.
        CommandTag::Other if c.has(CONNECTION_COPY_OUT) => (0, 0, 0),
        CommandTag::Other => (messages, 0, 0),
    };
    Completion {
        tag,
        returned,
        written,
        flags,
    }
}

/// `ErrorResponse` in a response, its fields between `start` and `end` of the window.
#[inline(always)]
pub fn failed<S: Surroundings>(s: &mut S, c: &mut Connection, start: u32, end: u32) {
    let extended = c.front.flags & REQUEST_SIMPLE == 0;
    let rows = c.rows;
    complete(s, c, &unfinished(rows, STATEMENT_FAILED));
    let sqlstate = s.sqlstate(start, end);
    s.scratch().walk.outcome.sqlstate = sqlstate;
    if extended {
        c.set(CONNECTION_FAILED);
    }
}

/// `ReadyForQuery`, its bytes already counted.
#[inline(never)]
pub fn ready<S: Surroundings>(s: &mut S, c: &mut Connection) {
    // The next byte begins a response.
    c.response_bytes = 0;
    if c.phase == Phase::Authentication as u8 {
        c.phase = Phase::Ready as u8;
        s.phase_entered(c);
        overhead(s, c);
        return;
    }
    if c.sent > 0 || c.received > 0 {
        // The completion left in an earlier record: these bytes follow it. Without one (Parse, Describe, Sync) they
        // belong to no statement's execution.
        if c.ordinal > 0 {
            let now = s.now();
            s.scratch().walk.outcome = Outcome {
                fingerprint: c.last_fingerprint,
                started: now,
                ended: now,
                ..Outcome::default()
            };
            report_pending(s, c);
        } else {
            overhead(s, c);
        }
    }
    c.ordinal = 0;
    let failed = c.has(CONNECTION_FAILED);
    c.clear(CONNECTION_FAILED);
    let mut skipped = Skipped { s, c, failed };
    // The front request is nearly always the one.
    if skipped.step() {
        repeat(QUEUE as u32, &mut skipped);
    }
}

/// Takes off requests up to the one that the `ReadyForQuery` answers: after an error in an extended request the server
/// has discarded all that came before its `Sync`, simple queries included.
struct Skipped<'a, S> {
    s: &'a mut S,
    c: &'a mut Connection,
    failed: bool,
}

impl<S: Surroundings> Step for Skipped<'_, S> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        if self.c.outstanding == 0 {
            return false;
        }
        let flags = self.c.front.flags;
        let answered = flags & REQUEST_SYNC != 0 && (!self.failed || flags & REQUEST_SIMPLE == 0);
        next(self.s, self.c);
        !answered
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        self.s.scratch().failed = self.failed;
        // SAFETY: finds what this step has in maps.
        unsafe { crate::loops::turns::turn_skipped() != 0 }
    }
}

/// One turn of the loop over discarded requests.
#[cfg(floor)]
#[inline(always)]
pub fn skipped_turn<S: Surroundings>(s: &mut S, c: &mut Connection) -> bool {
    let failed = s.scratch().failed;
    Skipped { s, c, failed }.step()
}
