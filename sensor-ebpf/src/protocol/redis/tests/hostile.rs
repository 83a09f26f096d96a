//! Streams that are broken, or made to deceive.

use super::wire::{ask, ask_bytes, bulk, list, many, text};
use crate::{
    connection::Phase, protocol::simulation::Simulation, random::draws, record::STATEMENT_ESTIMATED,
};

fn total(simulation: &Simulation) -> u64 {
    text(simulation).iter().map(|(_, sums)| sums[1]).sum()
}

/// Every byte is accounted for, whatever comes.
#[test]
fn garbage_is_counted_byte_for_byte() {
    let mut draw = draws();
    let words: [&[u8]; 14] = [
        b"*3\r\n",
        b"$5\r\n",
        b"\r\n",
        b"GET",
        b"$-1\r\n",
        b"*-1\r\n",
        b"$4294967295\r\n",
        b"*1000000\r\n",
        b"%2\r\n",
        b">1\r\n",
        b"+OK\r\n",
        b"|1\r\n",
        b"*4294967295\r\n",
        b"$99999999999999999999\r\n",
    ];
    for _ in 0..3000 {
        let mut simulation = Simulation::redis();
        let (mut sent, mut received) = (0, 0);
        for _ in 0..draw(12) + 1 {
            let mut bytes = Vec::new();
            for _ in 0..draw(20) {
                if draw(3) == 0 {
                    bytes.extend((0..draw(20)).map(|_| draw(256) as u8));
                } else {
                    bytes.extend(words[draw(words.len())]);
                }
            }
            if draw(3) == 0 {
                bytes.extend(ask(&["GET", "a:1"]));
            }
            if draw(2) == 0 {
                sent += bytes.len() as u64;
                simulation.sent(&bytes);
            } else {
                received += bytes.len() as u64;
                simulation.received(&bytes);
            }
        }
        simulation.closed();
        assert_eq!(simulation.accounted(), (sent, received));
    }
}

#[test]
fn what_makes_no_sense_is_blind_until_it_does() {
    for broken in [
        &b"*1\r\n$x\r\n"[..],
        b"*1\r\n:1\r\n",
        b"*x\r\n$1\r\na\r\n",
        b"*1\r\n$4294967295\r\n",
        b"*99999999999\r\n$1\r\na\r\n",
        b"*2\r\n$3\r\nGET\r\n$-1\r\n",
        b"*2\r\n$3\r\nGET\r\n$3x\r\nabcdefghijklmnopqrst",
        b"*00000000000000000000001\r\n",
    ] {
        let mut simulation = Simulation::redis();
        simulation.received(&[ask(&["GET", "a:1"]), broken.to_vec()].concat());
        // What was asked before is answered.
        simulation.sent(&bulk(b"v"));
        assert_eq!(total(&simulation), 1, "{}", broken.escape_ascii());
        simulation.sent(b"-ERR Protocol error\r\n");
        simulation.received(&[1; 100]);
        assert_eq!(
            simulation.connection.phase,
            Phase::Blind as u8,
            "{}",
            broken.escape_ascii()
        );
        simulation.sent(&[2; 100]);
        simulation.received(&ask(&["LRANGE", "l:1", "0", "-1"]));
        simulation.sent(&many('*', 20));
        assert_eq!(total(&simulation), 21);
    }
}

#[test]
fn answers_that_make_no_sense() {
    for broken in [
        &b"*2\r\n$1\r\na\r\nx"[..],
        b"*1\r\n$12x\r\n01234567890123456789",
        b"*4294967295\r\n",
        b"$99999999999\r\n0123456789012345",
        b"*2\r\n$-2\r\n01234567890123456789",
        b"?\r\n",
        b"*?\r\n01234567890123456789",
        b"$?\r\n;4\r\nHell\r\n;0\r\n",
    ] {
        let mut simulation = Simulation::redis();
        simulation.received(&ask(&["GET", "a:1"]));
        simulation.sent(broken);
        assert_eq!(
            simulation.connection.phase,
            Phase::Blind as u8,
            "{}",
            broken.escape_ascii()
        );
        let told = simulation.emitted().statements;
        assert!(
            told.iter()
                .all(|(o, _, _)| o.flags & STATEMENT_ESTIMATED != 0)
        );
        simulation.received(&ask(&["GET", "a:1"]));
        simulation.sent(&bulk(b"v"));
        assert_eq!(simulation.connection.phase, Phase::Ready as u8);
    }
}

#[test]
fn lists_in_lists_end_where_they_end() {
    let mut simulation = Simulation::redis();
    simulation.received(&[ask(&["EVAL", "x", "1", "k:1"]), ask(&["GET", "a:1"])].concat());
    let deep = b"*1\r\n".repeat(50_000);
    simulation.sent(&[&deep[..], b"$1\r\na\r\n$1\r\nv\r\n"].concat());
    assert_eq!(
        (total(&simulation), simulation.connection.outstanding),
        (2, 0)
    );
    // Each holds as many as may be: more than can be counted.
    simulation.received(&ask(&["EVAL", "x", "1", "k:1"]));
    simulation.sent(&b"*268435455\r\n".repeat(20));
    assert_eq!(simulation.connection.phase, Phase::Blind as u8);
}

/// Data full of headers is data.
#[test]
fn values_that_look_like_answers() {
    let evil = [&many('*', 100)[..], b"\r\n$1000000\r\n", b"+OK\r\n"].concat();
    for size in [1, 13, 64, 8192, 1 << 20] {
        let mut simulation = Simulation::redis();
        simulation.received(&[ask_bytes(&[b"SET", b"a:1", &evil]), ask(&["GET", "a:1"])].concat());
        for piece in [&b"+OK\r\n"[..], &bulk(&evil)].concat().chunks(size) {
            simulation.sent(piece);
        }
        assert_eq!(
            (total(&simulation), simulation.connection.outstanding),
            (1, 0),
            "{size}"
        );
        simulation.received(&ask(&["LRANGE", "l:1", "0", "-1"]));
        for piece in list('*', &[&evil, &evil, &evil]).chunks(size) {
            simulation.sent(piece);
        }
        assert_eq!(total(&simulation), 4);
    }
}

/// Requests hidden in arguments are none.
#[test]
fn arguments_that_look_like_requests() {
    let evil = ask(&["AUTH", "root", "x"]);
    for size in [1, 7, 4000, 1 << 20] {
        let request = [
            ask_bytes(&[b"SET", b"a:1", &evil.repeat(2000)]),
            ask(&["GET", "a:1"]),
        ]
        .concat();
        let mut simulation = Simulation::redis();
        for piece in request.chunks(size) {
            simulation.received(piece);
        }
        assert!(simulation.emitted().startups.is_empty());
        assert_eq!(simulation.connection.outstanding, 2);
    }
}

#[test]
fn lines_without_an_end() {
    let mut simulation = Simulation::redis();
    simulation.received(&[&b"GET a:1 "[..], &[b'x'; 20_000]].concat());
    simulation.received(&[b'x'; 20_000]);
    simulation.received(b"x\r\nGET b:1\r\n");
    simulation.sent(b"$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(
        (total(&simulation), simulation.connection.outstanding),
        (2, 0)
    );
}

#[test]
fn a_client_that_begins_tls() {
    let mut simulation = Simulation::redis();
    simulation.received(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03");
    simulation.sent(&[3; 1000]);
    simulation.received(&ask(&["GET", "a"]));
    simulation.closed();
    assert!(
        simulation
            .emitted()
            .phases
            .iter()
            .all(|p| p.0 == Phase::Encrypted as u8)
    );
    assert_eq!(simulation.emitted().statements, []);
}

#[test]
fn connections_that_are_older() {
    let mut simulation = Simulation::redis();
    simulation.connection.phase = Phase::Blind as u8;
    simulation.sent(b"345\r\n$5\r\nhello\r\n");
    simulation.received(&ask(&["HGETALL", "h:1"]));
    simulation.sent(&many('*', 10));
    simulation.closed();
    assert_eq!(total(&simulation), 10);
}
