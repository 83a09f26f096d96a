//! How connections begin, change and end.

use super::wire::{
    answer, command, error, greeting, ok, packet, query, ready, response, response_body, result,
    rows,
};
use crate::{
    connection::{CONNECTION_CLOSED, CONNECTION_PREEXISTING, Phase},
    protocol::simulation::{Emitted, Simulation},
    tied,
};

#[test]
fn start_up_in_all_its_forms() {
    let switch = packet(2, b"\xfemysql_native_password\0abcdefghijklmnopqrst\0");
    let more = packet(2, b"\x01\x03");
    for between in [
        vec![],
        vec![(switch.clone(), packet(3, b"scrambled"))],
        vec![(more.clone(), vec![])],
        vec![
            (switch, packet(3, b"x")),
            (packet(4, b"\x01\x04"), packet(5, b"secret\0")),
        ],
    ] {
        for cut in [1, 4, 10, 1000] {
            let mut simulation = Simulation::mysql();
            let mut feed = |sent: bool, bytes: &[u8]| {
                for piece in bytes.chunks(cut) {
                    if sent {
                        simulation.sent(piece);
                    } else {
                        simulation.received(piece);
                    }
                }
            };
            feed(true, &greeting());
            feed(false, &response(0));
            for (sent, received) in &between {
                feed(true, sent);
                feed(false, received);
            }
            feed(true, &packet(7, &ok(0, 2)));
            assert_eq!(simulation.connection.phase, Phase::Ready as u8);
            assert_eq!(simulation.emitted().startups, [response_body(0)]);
            simulation.received(&query("SELECT a FROM t"));
            simulation.sent(&answer(&result(false, 1, &rows(3), 2)));
            assert_eq!(
                simulation.totals()[1].1[..2],
                [1, 3],
                "{:?}",
                simulation.totals()
            );
        }
    }
}

#[test]
fn who_is_not_let_in_is_gone() {
    for (first, asks) in [
        (packet(2, &error("28000")), true),
        (packet(0, &error("08004")), false),
    ] {
        let mut simulation = Simulation::mysql();
        if asks {
            simulation.sent(&greeting());
            simulation.received(&response(0));
        }
        simulation.sent(&first);
        assert!(simulation.connection.has(CONNECTION_CLOSED));
        let (sent, received) = simulation.accounted();
        assert_eq!(sent, simulation.connection.seen_sent);
        assert_eq!(received, simulation.connection.seen_received);
    }
}

#[test]
fn encryption_and_compression_are_blind_spots_with_all_their_bytes() {
    let ask = packet(1, &response_body(1 << 11)[..32]);
    for (first, phase) in [
        (ask, Phase::Encrypted),
        (response(1 << 5), Phase::Compressed),
        (response(1 << 26), Phase::Compressed),
    ] {
        let mut simulation = Simulation::mysql();
        simulation.sent(&greeting());
        simulation.received(&first);
        let mut sent = greeting().len();
        if phase == Phase::Compressed {
            simulation.sent(&packet(2, &ok(0, 2)));
            sent += packet(2, &ok(0, 2)).len();
        }
        assert_eq!(simulation.connection.phase, phase as u8);
        simulation.received(&[9; 100]);
        simulation.sent(&[0; 1000]);
        simulation.received(&[9; 7]);
        simulation.closed();
        assert_eq!(
            simulation.accounted(),
            ((sent + 1000) as u64, (first.len() + 107) as u64)
        );
        let blind: u64 = simulation
            .emitted()
            .phases
            .iter()
            .filter(|(of, ..)| *of == phase as u8)
            .map(|(_, sent, _)| sent)
            .sum();
        assert!(blind >= 1000);
    }
}

/// A client that has asked for TLS, whose plaintext will be seen.
fn shaking_hands() -> Simulation {
    let mut simulation = Simulation::mysql();
    simulation.probed();
    simulation.sent(&greeting());
    let ask = packet(1, &response_body(1 << 11)[..32]);
    // As servers read: a header, then what it announces.
    simulation.received(&ask[..4]);
    simulation.received(&ask[4..]);
    assert_eq!(simulation.connection.phase, Phase::Handshake as u8);
    simulation.received(&[0x16; 517]);
    simulation.sent(&[0x16; 1300]);
    simulation.received(&[0x14; 80]);
    simulation
}

#[test]
fn encryption_whose_plaintext_comes_begins_afresh_in_it() {
    let mut simulation = shaking_hands();
    assert_eq!(simulation.emitted(), Emitted::default());
    assert!(!tied::tie(&mut simulation.connection));
    // The client says again that it uses TLS, and all else besides; packets are numbered on.
    let body = response_body(1 << 11);
    let answer_to_greeting = packet(2, &body);
    simulation.received(&answer_to_greeting[..4]);
    simulation.received(&answer_to_greeting[4..]);
    simulation.sent(&packet(3, &ok(0, 2)));
    assert_eq!(simulation.connection.phase, Phase::Ready as u8);
    assert_eq!(simulation.emitted().startups, [body]);
    let ask = query("SELECT a FROM t");
    let result = answer(&result(false, 1, &rows(3), 2));
    simulation.received(&ask);
    simulation.sent(&result);
    simulation.closed();
    assert_eq!(simulation.totals()[1].1[..2], [1, 3]);
    // The greeting is part of the negotiation.
    let sent = packet(3, &ok(0, 2)).len() + result.len();
    let received = answer_to_greeting.len() + ask.len();
    assert_eq!(simulation.accounted(), (sent as u64, received as u64));
    assert_eq!(
        (
            simulation.connection.seen_sent,
            simulation.connection.seen_received
        ),
        (sent as u64, received as u64)
    );
}

#[test]
fn encryption_whose_plaintext_never_comes_is_a_blind_spot() {
    let clear = (greeting().len() as u64, 36);
    // Over at once: all its bytes are told at its end.
    let mut short = shaking_hands();
    short.closed();
    assert_eq!(short.accounted(), (clear.0 + 1300, clear.1 + 597));
    // Going on: told while it does.
    let mut long = shaking_hands();
    for _ in 0..400 {
        long.received(&[0x17; 100]);
        long.sent(&[0x17; 900]);
    }
    assert_eq!(long.connection.phase, Phase::Encrypted as u8);
    long.closed();
    assert_eq!(
        long.accounted(),
        (clear.0 + 1300 + 400 * 900, clear.1 + 597 + 400 * 100)
    );
}

#[test]
fn another_user_is_told_behind_what_the_first_did() {
    let mut simulation = ready(0);
    simulation.received(&query("SELECT a FROM t"));
    simulation.sent(&answer(&result(false, 1, &rows(3), 2)));
    simulation.received(&command(0x11, b"bob\0\0crm\0\x21\0mysql_native_password\0"));
    assert_eq!(simulation.connection.merged, 0);
    simulation.sent(&packet(
        1,
        b"\xfemysql_native_password\0abcdefghijklmnopqrst\0",
    ));
    simulation.received(&packet(2, b"scrambled"));
    simulation.sent(&packet(3, &ok(0, 2)));
    assert_eq!(simulation.connection.phase, Phase::Ready as u8);
    assert_eq!(
        simulation.emitted().startups[1],
        b"bob\0\0crm\0\x21\0mysql_native_password\0"
    );
}

#[test]
fn replication_is_counted_only() {
    for dump in [0x12, 0x1e] {
        let mut simulation = ready(0);
        simulation.received(&command(dump, b"\x04\0\0\0\0\0\x01\0\0\0bin.000001"));
        simulation.sent(&packet(1, &[0; 40]));
        for _ in 0..100 {
            simulation.sent(&[0; 5000]);
        }
        assert_eq!(simulation.connection.phase, Phase::Replication as u8);
        simulation.closed();
        assert_eq!(simulation.accounted().0, simulation.connection.seen_sent);
        assert_eq!(
            simulation
                .totals()
                .iter()
                .map(|(_, sums)| sums[1])
                .sum::<u64>(),
            0
        );
    }
}

#[test]
fn goodbye_closes() {
    let mut simulation = ready(0);
    simulation.received(&[1, 0, 0, 0]);
    simulation.received(&[1]);
    assert!(simulation.connection.has(CONNECTION_CLOSED));
    assert_eq!(simulation.emitted().closed, 1);
}

#[test]
fn an_older_connection_makes_sense_again_with_its_next_command() {
    for cut in [0, 3] {
        let mut simulation = Simulation::mysql();
        simulation.connection.phase = Phase::Blind as u8;
        simulation.connection.set(CONNECTION_PREEXISTING);
        // The rest of a result.
        simulation.sent(&[7; 3000]);
        let ask = query("SELECT a FROM t");
        simulation.received(&ask[..4]);
        simulation.received(&ask[4..ask.len() - cut]);
        if cut > 0 {
            simulation.received(&ask[ask.len() - cut..]);
        }
        assert_eq!(simulation.connection.phase, Phase::Ready as u8);
        let answer = answer(&result(true, 1, &rows(3), 2));
        simulation.sent(&answer);
        simulation.closed();
        let totals = simulation.totals();
        let found = totals.iter().find(|(text, _)| text == "SELECT a FROM t");
        assert_eq!(found.map(|(_, sums)| sums[1]), Some(3));
        assert_eq!(
            simulation.accounted(),
            ((3000 + answer.len()) as u64, ask.len() as u64)
        );
    }
}

#[test]
fn what_is_encrypted_never_makes_sense() {
    let mut simulation = Simulation::mysql();
    simulation.sent(&greeting());
    simulation.received(&packet(1, &response_body(1 << 11)[..32]));
    let ask = query("SELECT a FROM t");
    simulation.received(&ask[..4]);
    simulation.received(&ask[4..]);
    assert_eq!(simulation.connection.phase, Phase::Encrypted as u8);
}
