//! One send or one read, a piece of it at a time in the window: the same whatever is spoken.

use super::{
    Surroundings, Walk,
    outcome::lose_track,
    tail::{keep_tail, restore_tail},
};
use crate::{
    bytes::{BASE, CHUNK},
    connection::{Connection, TAIL},
};

/// Copies the next piece of a send to the window; false when there is none, or it can't be read.
#[inline(always)]
pub fn next_sent<S: Surroundings>(s: &mut S, c: &mut Connection) -> bool {
    let Walk { offset, length, .. } = s.scratch().walk;
    let rest = length.wrapping_sub(offset);
    if offset >= length {
        return false;
    }
    // What a long message still covers need not be read.
    let skip = c.sent_skip;
    if skip >= rest {
        c.sent_skip = skip - rest;
        count(c, rest);
        s.scratch().walk.offset = length;
        return false;
    }
    c.sent_skip = 0;
    count(c, skip);
    let offset = offset + skip;
    let rest = rest - skip;
    let take = if rest > CHUNK { CHUNK } else { rest };
    let carried = u32::from(c.carried) & (TAIL as u32 - 1);
    if carried > 0 {
        // Kept flush with the end of the tail.
        restore_tail(s, c, BASE - TAIL as u32);
    }
    if !s.read(offset, take, BASE) {
        count(c, rest);
        lose_track(s, c);
        s.scratch().walk.offset = length;
        return false;
    }
    c.carried = 0;
    let walk = &mut s.scratch().walk;
    walk.position = BASE - carried;
    walk.end = BASE + take;
    walk.offset = offset + take;
    true
}

/// Counts bytes of a send.
#[inline(always)]
pub fn count(c: &mut Connection, bytes: u32) {
    c.sent += u64::from(bytes);
    c.response_bytes += u64::from(bytes);
}

/// Keeps the last `available` bytes before `end`, the beginning of a message, for the next send.
#[inline(always)]
pub fn carry<S: Surroundings>(s: &mut S, c: &mut Connection, end: u32, available: u32) {
    keep_tail(s, c, end - TAIL as u32);
    c.carried = available as u8;
    s.scratch().walk.position = end;
}

/// Copies the next piece of a read to the window; false when there is none, or it can't be read.
#[inline(always)]
pub fn next_received<S: Surroundings>(s: &mut S, c: &mut Connection) -> bool {
    let Walk { offset, length, .. } = s.scratch().walk;
    let rest = length.wrapping_sub(offset);
    if offset >= length {
        return false;
    }
    // What a long message still covers need not be read.
    let skip = c.received_skip;
    if skip >= rest {
        c.received_skip = skip - rest;
        s.scratch().walk.offset = length;
        return false;
    }
    c.received_skip = 0;
    received(s, c, offset + skip, rest - skip)
}

/// Copies the piece of a read at `offset`, with `rest` bytes up to its end, to the window, behind what was saved of the one before; false
/// when it can't be read.
#[inline(always)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, offset: u32, rest: u32) -> bool {
    let take = if rest > CHUNK { CHUNK } else { rest };
    let saved = u32::from(c.partial);
    if !s.read(offset, take, BASE + saved) || saved > 0 && !s.restore_partial(BASE, saved) {
        lose_track(s, c);
        s.scratch().walk.offset = offset + rest;
        return false;
    }
    if saved > 0 {
        s.drop_partial();
        c.partial = 0;
    }
    let walk = &mut s.scratch().walk;
    walk.position = BASE;
    walk.end = BASE + saved + take;
    walk.offset = offset + take;
    true
}
