//! What is kept of a connection that is tied to a TLS object: only its plaintext is parsed and counted, and the socket's own
//! counts are still held against what was seen of it.

use crate::{
    connection::{Connection, Phase, TLS_ENDED, TLS_REPEATS, TLS_TIED, TLS_WRITES},
    errno::is_again,
};

/// Is it tied?
#[inline(always)]
pub fn is_tied(c: &Connection) -> bool {
    c.tls & TLS_TIED != 0
}

/// Ties it. True when bytes that passed before were no handshake: they are to be reported first, in the phase as it is, and
/// then forgotten; what follows makes sense from the next whole request on.
#[inline(always)]
pub fn tie(c: &mut Connection) -> bool {
    c.tls = TLS_TIED;
    if c.phase != Phase::Handshake as u8 {
        return true;
    }
    // TLS' own bytes are the socket's, and not the protocol's.
    let (sent, received) = (c.sent, c.received);
    c.seen_sent -= sent;
    c.seen_received -= received;
    wire(c, sent as u32, received as u32);
    c.phase = Phase::Startup as u8;
    c.sent = 0;
    c.received = 0;
    false
}

/// Unties it: whose plaintext comes is not certain any more.
#[inline(always)]
pub fn untie(c: &mut Connection) {
    c.tls = 0;
    c.phase = Phase::Blind as u8;
    c.mysql.header_bytes = 0;
}

/// The socket sent and received bytes that the protocol does not count: the base of the socket's counts moves with them.
/// (Unix sockets keep none.)
#[inline(always)]
pub fn wire(c: &mut Connection, sent: u32, received: u32) {
    if c.base_sent | c.base_received != 0 {
        c.base_sent = c.base_sent.wrapping_add(sent);
        c.base_received = c.base_received.wrapping_add(received);
    }
}

/// The protocol counts bytes that the socket does not.
#[inline(always)]
pub fn plain(c: &mut Connection, sent: u32, received: u32) {
    wire(c, 0u32.wrapping_sub(sent), 0u32.wrapping_sub(received));
}

/// The socket received, or failed to: `length` as the operation returned.
#[inline(always)]
pub fn received(c: &mut Connection, length: i32) {
    if length > 0 {
        wire(c, 0, length as u32);
    } else if !is_again(length) {
        // What it means is TLS' to say.
        c.tls |= TLS_ENDED;
    }
}

/// The socket sent, or failed to.
#[inline(always)]
pub fn sent(c: &mut Connection, length: i32) {
    if length > 0 {
        wire(c, length as u32, 0);
        c.tls &= !TLS_REPEATS;
    } else if c.tls & TLS_WRITES != 0 && is_again(length) {
        c.tls |= TLS_REPEATS;
    }
}

/// The server reads plaintext: it is not in a write.
#[inline(always)]
pub fn reads(c: &mut Connection) {
    c.tls &= !TLS_WRITES;
}

/// The server writes `length` bytes of plaintext: from which on they are new. All leave, or the write is repeated, with as
/// many or more.
///
/// Until the socket has sent something it counts as not done: a library that is reached by two ways has its probes twice, and
/// those of one write come in a row.
#[inline(always)]
pub fn writes(c: &mut Connection, length: u32) -> u32 {
    let done = if c.tls & TLS_REPEATS != 0 {
        c.tls_written
    } else {
        0
    };
    c.tls |= TLS_REPEATS | TLS_WRITES;
    c.tls_written = length;
    if done < length { done } else { length }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection in its handshake, of which TCP has counted so much, over so many.
    fn handshake() -> Connection {
        Connection {
            phase: Phase::Handshake as u8,
            sent: 1400,
            received: 700,
            seen_sent: 1400,
            seen_received: 700,
            base_sent: u32::MAX - 100,
            base_received: 7,
            ..Connection::NEW
        }
    }

    /// What the socket is said to have carried, given its count.
    fn carried(c: &Connection, sent: u32, received: u32) -> (u32, u32) {
        (
            sent.wrapping_sub(c.base_sent),
            received.wrapping_sub(c.base_received),
        )
    }

    #[test]
    fn a_handshake_is_no_data() {
        let mut c = handshake();
        assert!(!tie(&mut c));
        assert_eq!(c.phase, Phase::Startup as u8);
        assert_eq!((c.sent, c.received), (0, 0));
        assert_eq!((c.seen_sent, c.seen_received), (0, 0));
        let counts = ((u32::MAX - 100).wrapping_add(1400), 707);
        assert_eq!(carried(&c, counts.0, counts.1), (0, 0));
    }

    #[test]
    fn what_is_seen_of_the_plaintext_is_held_against_the_socket() {
        let mut c = handshake();
        tie(&mut c);
        let mut counts = ((u32::MAX - 100).wrapping_add(1400), 707);
        for _ in 0..3 {
            // 22 bytes around each record, which comes in two reads.
            received(&mut c, 5);
            received(&mut c, 117);
            counts.1 += 122;
            plain(&mut c, 0, 100);
            c.seen_received += 100;
            assert_eq!(writes(&mut c, 8192), 0);
            plain(&mut c, 8192, 0);
            c.seen_sent += 8192;
            sent(&mut c, 8214);
            counts.0 = counts.0.wrapping_add(8214);
        }
        let (sent_in_all, received_in_all) = carried(&c, counts.0, counts.1);
        assert_eq!(u64::from(sent_in_all), c.seen_sent);
        assert_eq!(u64::from(received_in_all), c.seen_received);
        // A record that nobody saw shows.
        assert_eq!(
            carried(&c, counts.0.wrapping_add(60), counts.1).0,
            3 * 8192 + 60
        );
    }

    #[test]
    fn a_write_that_is_repeated_is_counted_once() {
        let mut c = handshake();
        tie(&mut c);
        assert_eq!(writes(&mut c, 8192), 0);
        // The socket is full in the middle of the record.
        sent(&mut c, 4000);
        sent(&mut c, -11);
        assert_eq!(writes(&mut c, 8192), 8192);
        sent(&mut c, -11);
        // Meanwhile there is more to write.
        assert_eq!(writes(&mut c, 9000), 8192);
        sent(&mut c, 4214);
        sent(&mut c, 830);
        assert_eq!(writes(&mut c, 8192), 0);
    }

    #[test]
    fn probes_that_run_twice_count_once() {
        let mut c = handshake();
        tie(&mut c);
        assert_eq!(writes(&mut c, 300), 0);
        assert_eq!(writes(&mut c, 300), 300);
        sent(&mut c, 322);
        assert_eq!(writes(&mut c, 300), 0);
    }

    #[test]
    fn a_read_that_answers_by_itself_repeats_no_write() {
        let mut c = handshake();
        tie(&mut c);
        writes(&mut c, 300);
        sent(&mut c, 322);
        reads(&mut c);
        // TLS sends a record of its own, and finds no room.
        sent(&mut c, -11);
        assert_eq!(writes(&mut c, 300), 0);
    }

    #[test]
    fn an_end_is_told() {
        let mut c = handshake();
        tie(&mut c);
        received(&mut c, -11);
        received(&mut c, -4);
        assert_eq!(c.tls & TLS_ENDED, 0);
        received(&mut c, 0);
        assert_ne!(c.tls & TLS_ENDED, 0);
    }

    #[test]
    fn unix_sockets_keep_no_counts() {
        let mut c = Connection {
            base_sent: 0,
            base_received: 0,
            ..handshake()
        };
        tie(&mut c);
        received(&mut c, 100);
        plain(&mut c, 50, 50);
        assert_eq!((c.base_sent, c.base_received), (0, 0));
    }
}
