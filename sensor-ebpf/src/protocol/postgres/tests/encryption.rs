//! Connections that become TLS, with and without their plaintext.

use super::{
    conversation::{columns, complete, message, query, ready, returned, rows, special, startup},
    simulation::{Emitted, Simulation},
};
use crate::{connection::Phase, tied};

const NEVER: u64 = u64::MAX;

#[test]
fn encryption_whose_plaintext_comes_begins_afresh_in_it() {
    for first in [&b"S"[..], b""] {
        let mut simulation = Simulation::new(NEVER);
        simulation.probed();
        if first.is_empty() {
            // Without asking (PostgreSQL 17).
            simulation.received(&[0x16, 3, 1, 2, 0, 1]);
        } else {
            simulation.received(&special(80_877_103));
            simulation.sent(first);
            simulation.received(&[0x16; 517]);
        }
        assert_eq!(simulation.connection.phase, Phase::Handshake as u8);
        simulation.sent(&[0x16; 1300]);
        assert_eq!(simulation.emitted(), Emitted::default());
        assert!(!tied::tie(&mut simulation.connection));
        let parameters = b"user\0by tls\0\0";
        simulation.received(&startup(parameters));
        simulation.sent(&[message(b'R', &[0; 4]), ready()].concat());
        assert_eq!(simulation.emitted().startups, [parameters.to_vec()]);
        simulation.received(&query("SELECT s"));
        let answer = [columns(), rows(3), complete("SELECT 3"), ready()].concat();
        simulation.sent(&answer);
        simulation.closed();
        assert_eq!(returned(&simulation), 3);
        assert_eq!(simulation.accounted().0, simulation.connection.seen_sent);
        assert_eq!(
            simulation.accounted().1,
            simulation.connection.seen_received
        );
    }
}

#[test]
fn encryption_whose_plaintext_never_comes_is_a_blind_spot() {
    // Over at once: all its bytes are told at its end.
    let mut short = Simulation::new(NEVER);
    short.probed();
    short.received(&special(80_877_103));
    short.sent(b"S");
    short.received(&[0x16; 500]);
    short.sent(&[0x16; 900]);
    short.closed();
    assert_eq!(short.accounted(), (901, 508));
    // Going on: told while it does.
    let mut long = Simulation::new(NEVER);
    long.probed();
    long.received(&special(80_877_103));
    long.sent(b"S");
    for _ in 0..400 {
        long.received(&[0x17; 100]);
        long.sent(&[0x17; 900]);
    }
    assert_eq!(long.connection.phase, Phase::Encrypted as u8);
    long.closed();
    assert_eq!(long.accounted(), (1 + 400 * 900, 8 + 400 * 100));
    // GSSAPI is never seen.
    let mut other = Simulation::new(NEVER);
    other.probed();
    other.received(&special(80_877_104));
    other.sent(b"G");
    assert_eq!(other.connection.phase, Phase::Encrypted as u8);
}
