//! A connection that goes over to TLS: the same in every protocol.

use super::{Surroundings, outcome::enter};
use crate::connection::{Connection, Phase};

/// Bytes of a TLS handshake at the most: one that goes on is data, of which no plaintext comes.
const LONGEST_HANDSHAKE: u64 = 256 << 10;

/// From here on TLS' records pass.
#[inline(always)]
pub fn begin<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if s.sees_plaintext() {
        // Its bytes wait: they are no data when plaintext comes, and all there is when none does.
        c.phase = Phase::Handshake as u8;
    } else {
        enter(s, c, Phase::Encrypted);
    }
}

/// A handshake that does not end is a conversation whose plaintext is not seen.
#[inline(always)]
pub fn bound<S: Surroundings>(s: &mut S, c: &mut Connection) {
    if c.sent + c.received > LONGEST_HANDSHAKE {
        enter(s, c, Phase::Encrypted);
    }
}
