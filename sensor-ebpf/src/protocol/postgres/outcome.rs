//! How requests end: completion, error, ready, close; and what is reported then.

use crate::{
    bytes::barrier,
    connection::{
        CONNECTION_CLOSED, CONNECTION_COPY_IN, CONNECTION_COPY_OUT, CONNECTION_FAILED,
        CONNECTION_SET, Connection, Phase, QUEUE, REQUEST_APART, REQUEST_CONTINUES, REQUEST_SIMPLE,
        REQUEST_SYNC, REQUEST_TRUNCATED,
    },
    loops::{Step, repeat},
    merged::is_ordinary,
    protocol::{Completion, Outcome, Surroundings},
    record::{
        CommandTag, STATEMENT_ESTIMATED, STATEMENT_FAILED, STATEMENT_OVERHEAD,
        STATEMENT_SERVER_SIDE_COPY, STATEMENT_SUSPENDED, STATEMENT_TRUNCATED,
    },
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

/// The front request's statement completed: its outcome is put where [`report_pending`] finds it, and the request taken
/// off, but for the `ReadyForQuery` that may belong to it.
#[inline(always)]
pub fn complete<S: Surroundings>(s: &mut S, c: &mut Connection, completion: &Completion) {
    let Completion {
        tag,
        returned,
        written,
        flags,
    } = *completion;
    if tag == CommandTag::Set {
        c.set(CONNECTION_SET);
    }
    let request = c.front;
    let ended = s.now();
    s.scratch().walk.outcome = Outcome {
        fingerprint: request.fingerprint,
        rows_returned: returned.wrapping_sub(c.rows_reported) as i64,
        rows_written: written,
        flags: flags
            | if request.flags & REQUEST_TRUNCATED != 0 {
                STATEMENT_TRUNCATED
            } else {
                0
            },
        tag,
        link: 0,
        queries: u32::from(request.flags & REQUEST_CONTINUES == 0),
        sqlstate: 0,
        started: request.started,
        ended,
    };
    // Loaded now: before, it would be one more value that waits on the stack, of which old kernels have little.
    barrier();
    s.scratch().walk.outcome.link = c.front.link;
    c.last_fingerprint = request.fingerprint;
    forget_response(c);
    if request.flags & REQUEST_SIMPLE == 0 && c.front.count > 0 {
        c.front.count -= 1;
        if c.front.count == 0 && request.flags & REQUEST_SYNC == 0 {
            next(s, c);
        }
    }
}

/// Hands on the outcome that [`complete`] left, with all bytes that no record holds yet.
#[inline(always)]
pub fn report_pending<S: Surroundings>(s: &mut S, c: &mut Connection) {
    flush(s, c);
    s.statement(c);
    c.sent = 0;
    c.received = 0;
    // The statement's place in its message is reported with it.
    c.ordinal = c.ordinal.saturating_add(1);
}

/// A completion without a tag.
#[inline(always)]
pub fn unfinished(rows: u64, flags: u8) -> Completion {
    Completion {
        tag: CommandTag::Other,
        returned: rows,
        written: 0,
        flags,
    }
}

/// The only outstanding request completed, and its response is whole: what [`complete`], [`report_pending`] and
/// [`ready`] would do, but put together with others of its kind where that is possible.
#[inline(always)]
pub fn complete_lone<S: Surroundings>(s: &mut S, c: &mut Connection, completion: &Completion) {
    let flags = c.front.flags;
    let apart = flags & (REQUEST_TRUNCATED | REQUEST_CONTINUES | REQUEST_APART) != 0
        || c.front.link != 0
        || completion.flags != 0
        || !is_ordinary(completion.tag)
        || completion.tag == CommandTag::Transaction && c.has(CONNECTION_SET);
    if apart || !s.merge(c, completion) {
        complete(s, c, completion);
        report_pending(s, c);
    } else {
        c.last_fingerprint = c.front.fingerprint;
    }
    c.outstanding = 0;
    c.ordinal = 0;
}

/// Before something whose place among the statements matters: what was put together leaves.
#[inline(always)]
pub fn flush<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if c.merged != 0 {
        s.flush(c);
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

/// Bytes outside any statement.
#[inline(always)]
pub fn overhead<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if c.sent | c.received != 0 {
        let now = s.now();
        s.scratch().walk.outcome = Outcome {
            flags: STATEMENT_OVERHEAD,
            started: now,
            ended: now,
            ..Outcome::default()
        };
        s.statement(c);
        c.sent = 0;
        c.received = 0;
    }
}

/// What is outstanding will never be known: report its rows as far as they were counted or can be estimated.
#[inline(never)]
pub fn abandon<S: Surroundings>(s: &mut S, c: &mut Connection) {
    // The beginning of a message that will not be completed: seen, and counted nowhere yet.
    c.sent += u64::from(c.carried);
    c.carried = 0;
    if c.outstanding > 0 && c.response_bytes > 0 {
        let estimate = super::skim::estimate(c);
        let rows = c.rows + estimate;
        complete(
            s,
            c,
            &unfinished(rows, STATEMENT_FAILED | STATEMENT_ESTIMATED),
        );
        report_pending(s, c);
    }
    c.outstanding = 0;
    c.ordinal = 0;
    c.follow = 0;
    c.carried = 0;
    c.sent_skip = 0;
    c.received_skip = 0;
}

/// The connection ended.
#[inline(never)]
pub fn close<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if c.has(CONNECTION_CLOSED) {
        return;
    }
    super::wants_input(s, c);
    flush(s, c);
    if super::is_parsed(c) {
        abandon(s, c);
        overhead(s, c);
    } else {
        s.phase(c);
        c.sent = 0;
        c.received = 0;
    }
    s.closed(c);
    c.set(CONNECTION_CLOSED);
}

/// The next request becomes the front.
#[inline(always)]
fn next<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if c.outstanding > 1 {
        s.pop(c);
    } else {
        c.outstanding = 0;
    }
}

/// Starts afresh for the next statement's response.
#[inline(always)]
fn forget_response(c: &mut Connection) {
    c.rows = 0;
    c.rows_reported = 0;
    c.response_bytes = 0;
    c.walked_bytes = 0;
    c.copy_done = 0;
    c.clear(CONNECTION_COPY_IN | CONNECTION_COPY_OUT);
}
