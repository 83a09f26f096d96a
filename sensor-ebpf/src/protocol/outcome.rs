//! How requests end, whatever the protocol: what is reported when one completes, is abandoned, or the connection ends.

use super::{Completion, Outcome, Several, Surroundings, is_parsed};
use crate::{
    bytes::barrier,
    connection::{
        CONNECTION_CLOSED, CONNECTION_COPY_IN, CONNECTION_COPY_OUT, CONNECTION_SET, Connection,
        Follow, Phase, REQUEST_APART, REQUEST_CONTINUES, REQUEST_SIMPLE, REQUEST_SYNC,
        REQUEST_TRUNCATED,
    },
    merged::{self, is_ordinary},
    record::{
        CommandTag, STATEMENT_ESTIMATED, STATEMENT_FAILED, STATEMENT_OVERHEAD, STATEMENT_TRUNCATED,
    },
};

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
        largest_rows: 0,
        largest_bytes: 0,
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
    forget_bytes(c);
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
/// `ReadyForQuery` would do, but put together with others of its kind where that is possible.
#[inline(always)]
pub fn complete_lone<S: Surroundings>(s: &mut S, c: &mut Connection, completion: &Completion) {
    let flags = c.front.flags;
    let apart = flags & (REQUEST_TRUNCATED | REQUEST_CONTINUES | REQUEST_APART) != 0
        || c.front.link != 0
        || completion.flags != 0
        || !is_ordinary(completion.tag)
        || completion.tag == CommandTag::Transaction && c.has(CONNECTION_SET);
    if apart || !s.merge(c, &Several::one(c, completion)) {
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

/// When the request at hand came. Most likely it is one more of those that are put together: a clock read would be a tenth
/// of all it costs.
#[inline(always)]
pub fn started<S: Surroundings>(s: &mut S, c: &Connection, fingerprint: u64, link: u8) -> u64 {
    if link == 0 && merged::is_open(c, fingerprint) {
        s.roughly_now()
    } else {
        s.now()
    }
}

/// Rows in flight that no exact count covers, by the size of the rows that were walked.
#[inline(always)]
pub fn estimate(c: &Connection) -> u64 {
    if c.follow == Follow::Walk as u8 || c.walked_bytes == 0 {
        return 0;
    }
    let unseen = c.response_bytes.saturating_sub(c.walked_bytes);
    if c.rows < 1 << 20 {
        // Exact enough, and below 2^64 for results of up to 2^44 bytes.
        (unseen.wrapping_mul(c.rows) + c.walked_bytes / 2) / c.walked_bytes
    } else {
        (unseen >> 12).wrapping_mul(c.rows) / (c.walked_bytes >> 12).max(1)
    }
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
        forget_bytes(c);
    }
}

/// What is outstanding will never be known: report its rows as far as they were counted or can be estimated.
#[inline(never)]
pub fn abandon<S: Surroundings>(s: &mut S, c: &mut Connection) {
    // The beginning of a message that will not be completed: seen, and counted nowhere yet.
    c.sent += u64::from(c.carried);
    c.carried = 0;
    if c.outstanding > 0 && c.response_bytes > 0 {
        let estimate = estimate(c);
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
    flush(s, c);
    if is_parsed(c) {
        abandon(s, c);
        overhead(s, c);
    } else {
        c.sent += u64::from(c.carried);
        s.phase(c);
        forget_bytes(c);
    }
    s.closed(c);
    c.set(CONNECTION_CLOSED);
}

/// The next request becomes the front.
#[inline(always)]
pub fn next<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if c.outstanding > 1 {
        s.pop(c);
    } else {
        c.outstanding = 0;
    }
}

/// Starts afresh for the next statement's response.
#[inline(always)]
pub fn forget_response(c: &mut Connection) {
    c.rows = 0;
    c.rows_reported = 0;
    c.response_bytes = 0;
    c.walked_bytes = 0;
    c.copy_done = 0;
    c.clear(CONNECTION_COPY_IN | CONNECTION_COPY_OUT);
}

/// The stream makes no sense: count its bytes as blind until it does again.
#[inline(never)]
pub fn lose_track<S: Surroundings>(s: &mut S, c: &mut Connection) {
    flush(s, c);
    abandon(s, c);
    enter(s, c, Phase::Blind);
}

/// Another phase begins: what has been counted is told as of it.
#[inline(always)]
pub fn enter<S: Surroundings>(s: &mut S, c: &mut Connection, phase: Phase) {
    c.phase = phase as u8;
    s.phase(c);
    forget_bytes(c);
}

/// What has been counted was told.
#[inline(always)]
pub fn forget_bytes(c: &mut Connection) {
    c.sent = 0;
    c.received = 0;
}
