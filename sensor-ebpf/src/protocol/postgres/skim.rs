//! The middle of a long result: only its end is looked at.
//!
//! Walking row by row costs a few nanoseconds a row; a bulk result would pay them millions of times for a number that
//! its `CommandComplete` gives exactly. So after `skim_after` bytes the sends are only counted. The server asks for input
//! again when the result is over, and never before: then the last bytes it sent are read, out of the buffer from which it
//! sent them. Data that is crafted to look like an end is never taken for one.

use super::{
    completion::{completion_before, ends_ready, parse_tag},
    messages::{HEADER, READY_LENGTH},
    outcome,
};
use crate::{
    bytes::BASE,
    connection::{
        CONNECTION_COPY_OUT, Connection, Follow, Protocol, REQUEST_SEVERAL, REQUEST_SYNC, TAIL,
    },
    protocol::{
        Surroundings,
        tail::{keep_tail, restore_tail},
    },
    record::{CommandTag, STATEMENT_ESTIMATED, STATEMENT_FAILED},
};

const TAIL_LENGTH: u32 = TAIL as u32;

/// May the rest of the current response be skimmed? Only when it answers the only outstanding statement, and never a pooler's: it asks
/// for input when it likes to, and what it has sent is overwritten soon.
#[inline(always)]
pub fn may_begin<S: Surroundings>(s: &S, c: &Connection) -> bool {
    c.response_bytes >= s.skim_after()
        && c.protocol != Protocol::Pooled as u8
        && c.outstanding == 1
        && c.front.count == 1
        && c.front.flags & (REQUEST_SYNC | REQUEST_SEVERAL) == REQUEST_SYNC
        && c.rows > 0
}

/// Begins to skim behind what was walked, with the last bytes of this send of `length` bytes in mind.
#[inline(always)]
pub fn begin<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    if length < TAIL_LENGTH || !s.read(length - TAIL_LENGTH, TAIL_LENGTH, BASE) {
        return;
    }
    keep_tail(s, c, BASE);
    c.sent += u64::from(c.carried);
    c.response_bytes += u64::from(c.carried);
    c.follow = Follow::Skim as u8;
    c.skimmed_end = 0;
    // With the rest of the row that has begun: it was counted.
    c.walked_bytes = c.response_bytes + u64::from(c.sent_skip);
    c.carried = 0;
    c.sent_skip = 0;
}

/// One send in the middle of a result.
#[inline(never)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    c.sent += u64::from(length);
    c.response_bytes += u64::from(length);
    match s.address() {
        Some(address) if length >= TAIL_LENGTH => {
            c.skimmed_end = address + u64::from(length);
        }
        _ => short(s, c, length),
    }
    super::response::progress(s, c);
}

/// A send that is too short to hold an end alone, or scattered: what it leaves of the bytes before is kept with it.
#[inline(always)]
fn short<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    let taken = if length > TAIL_LENGTH {
        TAIL_LENGTH
    } else {
        length
    };
    let address = s.address().unwrap_or(0);
    // The server fills its buffer from the front: the end of a longer send is still there behind a short one.
    let kept = c.skimmed_end != 0
        && (address + u64::from(length) <= c.skimmed_end - u64::from(TAIL_LENGTH)
            || address >= c.skimmed_end)
        && s.read_at(
            c.skimmed_end - u64::from(TAIL_LENGTH),
            TAIL_LENGTH,
            BASE - TAIL_LENGTH,
        );
    if !kept {
        // Of a connection that skims from its first short send on, or garbage that is no end.
        restore_tail(s, c, BASE - TAIL_LENGTH);
    }
    c.skimmed_end = 0;
    if s.read(length - taken, taken, BASE) {
        keep_tail(s, c, BASE + taken - TAIL_LENGTH);
    }
}

/// The server asks for input: the response is over.
#[inline(never)]
pub fn confirm_end<S: Surroundings>(s: &mut S, c: &mut Connection) {
    let end = BASE + TAIL_LENGTH;
    if c.skimmed_end == 0 {
        restore_tail(s, c, BASE);
    } else if !s.read_at(c.skimmed_end - u64::from(TAIL_LENGTH), TAIL_LENGTH, BASE) {
        s.window().set(end - 1, 0);
    }
    if !ends_ready(s.window(), end) {
        // Bytes were missed: an estimate is all there is.
        outcome::abandon(s, c);
        return;
    }
    let total = completion_before(s.window(), end, BASE);
    let tagged = if total > 0 {
        let start = end - READY_LENGTH - total;
        parse_tag(s.window(), start + HEADER, total - HEADER)
    } else {
        (CommandTag::Other, 0)
    };
    let estimated = outcome::estimate(c);
    if suspended_before(s, end) {
        let limit = u64::from(c.front.limit);
        let completion = outcome::rows(c, CommandTag::Suspended, 0, limit);
        outcome::complete(s, c, &completion);
    } else if total == 0 || matches!(tagged.0, CommandTag::Other) {
        // An error after many rows, or a command that counts none: an estimate is all there is. A base backup's
        // CopyData are no rows.
        let backup = total > 0 && c.has(CONNECTION_COPY_OUT);
        let rows = if backup { 0 } else { c.rows + estimated };
        let flags = STATEMENT_ESTIMATED | if total == 0 { STATEMENT_FAILED } else { 0 };
        outcome::complete(s, c, &outcome::unfinished(rows, flags));
    } else {
        // With rows on the wire, RETURNING returned as many as the tag counts.
        let completion = outcome::rows(c, tagged.0, tagged.1, tagged.1);
        outcome::complete(s, c, &completion);
    }
    c.follow = Follow::Walk as u8;
    outcome::report_pending(s, c);
    outcome::ready(s, c);
}

/// Is there a `PortalSuspended` in front of the `ReadyForQuery` that ends at `end`?
#[inline(always)]
pub fn suspended_before<S: Surroundings>(s: &mut S, end: u32) -> bool {
    let start = end - READY_LENGTH - HEADER;
    s.window().byte(start) == b's' && s.window().be32(start + 1) == 4
}
