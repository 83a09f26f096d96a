//! Everything that is not a parsed stream of typed messages: start-up packets, the encryption handshake, and phases
//! of which only bytes are counted.

use super::messages;
use crate::{
    bytes::{BASE, CHUNK},
    connection::{Connection, PARTIAL, Phase},
    protocol::{
        Surroundings, encryption,
        outcome::{enter, forget_bytes},
    },
    record::StartupKind,
};

/// `CancelRequest`, code 1234/5678.
const CANCEL: u32 = 80_877_102;
/// `SSLRequest`, code 1234/5679.
const SSL: u32 = 80_877_103;
/// `GSSENCRequest`, code 1234/5680.
const GSSENC: u32 = 80_877_104;
/// Protocol major version 3.
const MAJOR: u32 = 3;
/// A start-up packet's length and code.
const PREFIX: u32 = 8;
/// First byte of a TLS handshake record (direct TLS, PostgreSQL 17).
const TLS_HANDSHAKE: u8 = 0x16;
/// `MAX_STARTUP_PACKET_LENGTH` of the server.
const LONGEST: u32 = 10_000;

/// Bytes from the client outside of the parsed phases; true when they turn out to be parsed again.
#[inline(always)]
pub fn received<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) -> bool {
    if c.phase == Phase::Startup as u8 {
        return packet(s, c, length);
    } else if c.phase == Phase::Blind as u8 {
        return resynchronise(s, c, length);
    } else if c.phase == Phase::Handshake as u8 {
        encryption::bound(s, c);
    } else if c.sent > 0 {
        // One record a turn, so that an encrypted conversation is accounted for while it goes on.
        s.phase(c);
        forget_bytes(c);
    }
    false
}

/// Bytes to the client outside of the parsed phases.
#[inline(always)]
pub fn sent<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) {
    c.sent += u64::from(length);
    if c.phase == Phase::EncryptionRequested as u8 {
        let answer = if length == 1 && s.read(0, 1, BASE) {
            s.window().byte(BASE)
        } else {
            0
        };
        match answer {
            b'N' => c.phase = Phase::Startup as u8,
            b'S' => encryption::begin(s, c),
            b'G' => enter(s, c, Phase::Encrypted),
            _ => enter(s, c, Phase::Blind),
        }
    } else if c.phase == Phase::Handshake as u8 {
        encryption::bound(s, c);
    } else if s.progress_due(c.sent, c.reported_at) {
        s.phase(c);
        forget_bytes(c);
    }
}

/// May a read of `length` bytes, the first eight of which are these, be a client's first words: a start-up packet, or a request for
/// encryption or to cancel?
#[inline(always)]
pub fn is_startup(word: u64, length: u32) -> bool {
    let total = (word as u32).swap_bytes();
    let code = ((word >> 32) as u32).swap_bytes();
    (PREFIX..=LONGEST).contains(&total)
        && total <= length
        && (code >> 16 == MAJOR || code == SSL || code == GSSENC || code == CANCEL)
}

/// True when messages follow the start-up packet in the same read: who needs no password may ask at once.
#[inline(never)]
fn packet<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) -> bool {
    let saved = u32::from(c.partial);
    let start = BASE;
    let take = if length > CHUNK { CHUNK } else { length };
    if saved > 0 && !s.restore_partial(start, saved) || !s.read(0, take, start + saved) {
        enter(s, c, Phase::Blind);
        return false;
    }
    let available = saved + take;
    c.partial = 0;
    if s.window().byte(start) == TLS_HANDSHAKE {
        encryption::begin(s, c);
        return false;
    }
    let total = if available >= PREFIX {
        s.window().be32(start)
    } else {
        PREFIX
    };
    if !(PREFIX..=LONGEST).contains(&total) {
        enter(s, c, Phase::Blind);
        return false;
    }
    if available < total && available < PARTIAL as u32 {
        if s.save_partial(start, available) {
            c.partial = available as u16;
        } else {
            enter(s, c, Phase::Blind);
        }
        return false;
    }
    if saved > 0 {
        s.drop_partial();
    }
    let code = s.window().be32(start + 4);
    match code {
        SSL | GSSENC => c.phase = Phase::EncryptionRequested as u8,
        CANCEL => enter(s, c, Phase::Cancel),
        _ if code >> 16 == MAJOR => {
            let parameters = if available < total { available } else { total } - PREFIX;
            s.startup(
                c,
                StartupKind::Postgres,
                start + PREFIX,
                parameters,
                available < total,
            );
            c.phase = Phase::Authentication as u8;
            let own = total.wrapping_sub(saved);
            let more = own < length;
            // Of this read, or of those that follow.
            c.received_skip = if more { own } else { own - length };
            return more;
        }
        _ => enter(s, c, Phase::Blind),
    }
    false
}

/// A blind connection makes sense again when the client sends one whole message that begins a request: the server
/// reads at message borders only, so that this can't be the middle of another. True when it does; the message is the
/// caller's to parse, because calls nested in this one would have less stack.
#[inline(never)]
fn resynchronise<S: Surroundings>(s: &mut S, c: &mut Connection, length: u32) -> bool {
    if (messages::HEADER..=CHUNK).contains(&length) && s.read(0, length, BASE) {
        let kind = s.window().byte(BASE);
        let total = s.window().be32(BASE + 1).wrapping_add(1);
        let end = BASE + length;
        let whole_query = kind == b'Q' && total == length;
        // An extended request: from Parse, Bind or Execute to a Sync.
        let whole_batch = (kind == b'P' || kind == b'B' || kind == b'E')
            && total < length
            && s.window().byte(end - 5) == b'S'
            && s.window().be32(end - 4) == 4;
        if whole_query || whole_batch {
            let request_bytes = u64::from(length);
            c.received = c.received.saturating_sub(request_bytes);
            s.phase(c);
            forget_bytes(c);
            c.received = request_bytes;
            forget_stream(c);
            c.phase = Phase::Ready as u8;
            s.phase_entered(c);
            return true;
        }
    }
    if c.sent > 0 {
        s.phase(c);
        forget_bytes(c);
    }
    false
}

#[inline(always)]
fn forget_stream(c: &mut Connection) {
    c.outstanding = 0;
    c.sent_skip = 0;
    c.received_skip = 0;
    c.partial = 0;
    c.carried = 0;
    c.follow = 0;
    c.rows = 0;
    c.rows_reported = 0;
    c.response_bytes = 0;
    c.ordinal = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_of_a_client_are_known() {
        let is = |bytes: [u8; 8], length| is_startup(u64::from_le_bytes(bytes), length);
        assert!(is([0, 0, 0, 9, 0, 3, 0, 0], 9));
        // With more behind it, of another minor version, and what asks for encryption or to cancel.
        assert!(is([0, 0, 0, 9, 0, 3, 0, 2], 100));
        for code in [SSL, GSSENC, CANCEL] {
            let [a, b, c, d] = code.to_be_bytes();
            assert!(is([0, 0, 0, 8, a, b, c, d], 8), "{code}");
        }
        assert!(!is([0, 0, 0, 90, 0, 3, 0, 0], 50), "not all of it");
        assert!(!is([0, 0, 0, 9, 0, 2, 0, 0], 9), "another version");
        assert!(!is(*b"Q\0\0\0\x0bSEL", 12), "a query");
        assert!(!is([0; 8], 8));
    }
}
