//! How a connection begins, and phases of which only bytes are counted.

use super::{
    follow::{Answer, Counts, RESUMED},
    is_request,
};
use crate::{
    bytes::BASE,
    connection::{CONNECTION_PREEXISTING, Connection, Phase},
    protocol::{
        Surroundings,
        outcome::{self, forget_bytes, forget_response},
    },
};

/// How a client begins TLS: a record of the handshake's, and its version.
const HANDSHAKE: u16 = u16::from_le_bytes([22, 3]);

/// Bytes from the client outside of the parsed phases; true when they turn out to be parsed.
///
/// A blind connection makes sense again when the server reads what begins like a request that is a list.
#[inline(never)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) -> bool {
    let take = if length > 8 { 8 } else { length };
    if c.phase == Phase::Startup as u8 && s.read(0, take, BASE) {
        let word = s.window().le64(BASE);
        if word as u16 == HANDSHAKE && length > 2 {
            outcome::enter(s, c, Phase::Encrypted);
            return false;
        }
        c.phase = Phase::Ready as u8;
        return true;
    }
    if c.phase == Phase::Blind as u8
        && length >= 8
        && s.read(0, take, BASE)
        && is_request(s.window().le64(BASE))
    {
        resume(s, c, length);
        return true;
    }
    if c.sent > 0 {
        // One record a turn, so that the conversation is accounted for while it goes on.
        s.phase(c);
        forget_bytes(c);
    }
    false
}

/// The stream makes sense again with the `length` bytes at hand.
#[inline(always)]
fn resume<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    let received = u64::from(length);
    c.received -= received;
    if c.sent | c.received != 0 {
        s.phase(c);
        forget_bytes(c);
    }
    c.received = received;
    forget_response(c);
    c.outstanding = 0;
    c.sent_skip = 0;
    c.received_skip = 0;
    c.partial = 0;
    c.carried = 0;
    c.ordinal = 0;
    c.unmark(u8::MAX);
    if !c.has(CONNECTION_PREEXISTING) || c.last_fingerprint != 0 {
        c.mysql.flags |= RESUMED;
    }
    *c.answer() = Answer::default();
    *c.counts() = Counts::default();
    c.phase = Phase::Ready as u8;
    s.phase_entered(c);
}

/// Bytes to the client outside of the parsed phases.
#[inline(always)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    c.sent += u64::from(length);
    let encrypted = c.phase == Phase::Encrypted as u8;
    if encrypted && c.seen_sent == u64::from(length) && !answers_by_tls(s, length) {
        // The client only said so.
        outcome::enter(s, c, Phase::Blind);
        return;
    }
    if s.progress_due(c.sent, c.reported_at) {
        s.phase(c);
        forget_bytes(c);
        c.reported_at = s.ticks() as u32;
    }
}

/// Does the server's first word begin like a record of TLS'?
#[inline(always)]
fn answers_by_tls<S: Surroundings>(s: &mut S, length: u32) -> bool {
    let take = if length > 8 { 8 } else { length };
    if !s.read(0, take, BASE) {
        return true;
    }
    let word = s.window().le64(BASE);
    matches!(word as u8, 20..=23) && (length < 2 || (word >> 8) as u8 == 3)
}
