//! What nobody asked for by itself: messages, lines of a monitor, news; and answers that do not come.

use super::wire::{ask, bulk, list, many, rows, text};
use crate::{connection::Phase, protocol::simulation::Simulation};

fn in_pieces(simulation: &mut Simulation, bytes: &[u8], size: usize) {
    for piece in bytes.chunks(size) {
        simulation.sent(piece);
    }
}

#[test]
fn messages_are_the_subscription_s() {
    for kind in ['*', '>'] {
        for size in [1, 2, 3, 7, 16, 40, 10_000] {
            let confirm = |name: &str| {
                format!(
                    "{kind}3\r\n$9\r\nsubscribe\r\n${}\r\n{name}\r\n:1\r\n",
                    name.len()
                )
            };
            let message = format!("{kind}3\r\n$7\r\nmessage\r\n$3\r\na:1\r\n$2\r\nhi\r\n");
            let pattern =
                format!("{kind}4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$3\r\na:1\r\n$2\r\nhi\r\n");
            let mut simulation = Simulation::redis();
            simulation.received(&ask(&["SUBSCRIBE", "a:1", "a:2"]));
            in_pieces(
                &mut simulation,
                &[confirm("a:1"), confirm("a:2")].concat().into_bytes(),
                size,
            );
            assert_eq!(simulation.connection.outstanding, 0);
            assert_eq!(rows(&simulation, "SUBSCRIBE a:1"), (1, 0));
            in_pieces(
                &mut simulation,
                [message.clone(), pattern, message].concat().as_bytes(),
                size,
            );
            assert_eq!(rows(&simulation, "SUBSCRIBE a:1"), (4, 3), "{kind} {size}");
            simulation.received(&ask(&["PING"]));
            let pong = if kind == '*' {
                "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
            } else {
                "+PONG\r\n"
            };
            in_pieces(&mut simulation, pong.as_bytes(), size);
            assert_eq!(rows(&simulation, "PING"), (1, 0));
            simulation.received(&ask(&["UNSUBSCRIBE"]));
            let end = confirm("a:1").replace("$9\r\nsub", "$11\r\nunsub");
            in_pieces(
                &mut simulation,
                [end.clone(), end].concat().as_bytes(),
                size,
            );
            assert_eq!(
                (
                    simulation.connection.outstanding,
                    rows(&simulation, "UNSUBSCRIBE")
                ),
                (0, (1, 0))
            );
            simulation.received(&ask(&["GET", "x:1"]));
            in_pieces(&mut simulation, &bulk(b"v"), size);
            assert_eq!(rows(&simulation, "GET x:1"), (1, 1));
        }
    }
}

/// In RESP3 messages and news come between answers, and answer nothing.
#[test]
fn news_between_answers_are_no_answers() {
    let news = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\na:1\r\n";
    let message = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n";
    let mut simulation = Simulation::redis();
    simulation.received(&ask(&["SUBSCRIBE", "c"]));
    simulation.sent(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    simulation.received(&[ask(&["GET", "a:1"]), ask(&["LRANGE", "l:1", "0", "-1"])].concat());
    simulation.sent(
        &[
            &news[..],
            &bulk(b"v"),
            message,
            news,
            &many('*', 5),
            message,
        ]
        .concat(),
    );
    assert_eq!(rows(&simulation, "GET a:1"), (1, 1));
    assert_eq!(rows(&simulation, "LRANGE l:1"), (1, 5));
    assert_eq!(rows(&simulation, "SUBSCRIBE c"), (3, 2));
    assert_eq!(simulation.connection.outstanding, 0);
}

/// Who has given up his subscriptions gets lists that are lists, whatever stands in them; so does who speaks the third version.
#[test]
fn data_that_looks_like_a_message() {
    for kind in ['*', '>'] {
        for size in [1, 3, 1000] {
            let confirm = |word: &str, left: u32| {
                format!(
                    "{kind}3\r\n${}\r\n{word}\r\n$1\r\nc\r\n:{left}\r\n",
                    word.len()
                )
            };
            let mut simulation = Simulation::redis();
            simulation.received(&ask(&["SUBSCRIBE", "c"]));
            in_pieces(&mut simulation, confirm("subscribe", 1).as_bytes(), size);
            if kind == '*' {
                simulation.received(&ask(&["UNSUBSCRIBE"]));
                in_pieces(&mut simulation, confirm("unsubscribe", 0).as_bytes(), size);
            }
            simulation.received(&ask(&["LRANGE", "l:1", "0", "-1"]));
            in_pieces(&mut simulation, &list('*', &[b"message", b"c", b"x"]), size);
            assert_eq!(rows(&simulation, "LRANGE l:1"), (1, 3), "{kind} {size}");
            assert_eq!(rows(&simulation, "SUBSCRIBE c"), (1, 0));
        }
    }
}

#[test]
fn a_refused_subscription_is_an_answer() {
    let mut simulation = Simulation::redis();
    simulation.received(&[ask(&["SUBSCRIBE", "c"]), ask(&["GET", "a:1"])].concat());
    simulation.sent(b"-NOPERM no\r\n$1\r\nv\r\n");
    assert_eq!(rows(&simulation, "GET a:1"), (1, 1));
    assert_eq!(simulation.connection.outstanding, 0);
}

/// With the right of a subscriber only, lists that are no messages are answers.
#[test]
fn answers_to_subscribers_are_answers() {
    let mut simulation = Simulation::redis();
    simulation.received(&[ask(&["SUBSCRIBE", "c"]), ask(&["MGET", "a:1"])].concat());
    simulation.sent(b"-NOPERM no\r\n");
    simulation.sent(&list('*', &[b"x", b"y", b"z"]));
    assert_eq!(rows(&simulation, "MGET a:1"), (1, 3));
}

#[test]
fn lines_of_a_monitor_count() {
    for size in [1, 5, 1000] {
        let mut simulation = Simulation::redis();
        simulation.received(&ask(&["MONITOR"]));
        in_pieces(&mut simulation, b"+OK\r\n", size);
        let line =
            b"+1339518083.107412 [0 127.0.0.1:60866] \"set\" \"a\" \"a value that is long\"\r\n";
        in_pieces(&mut simulation, &[&line[..], line, line].concat(), size);
        assert_eq!(rows(&simulation, "MONITOR"), (4, 3));
        simulation.received(&ask(&["PING"]));
        in_pieces(&mut simulation, &[&line[..], b"+PONG\r\n"].concat(), size);
        assert_eq!(rows(&simulation, "MONITOR"), (5, 4));
        assert_eq!(rows(&simulation, "PING"), (1, 0));
    }
}

#[test]
fn answers_that_nobody_wants() {
    let mut simulation = Simulation::redis();
    simulation.received(
        &[
            ask(&["CLIENT", "REPLY", "OFF"]),
            ask(&["SET", "a:1", "b"]),
            ask(&["SET", "a:2", "b"]),
        ]
        .concat(),
    );
    assert_eq!(rows(&simulation, "SET a:1"), (2, 0));
    simulation.received(&[ask(&["client", "reply", "on"]), ask(&["GET", "a:1"])].concat());
    simulation.sent(b"+OK\r\n$1\r\nb\r\n");
    assert_eq!(rows(&simulation, "GET a:1"), (1, 1));
    simulation.received(
        &[
            ask(&["CLIENT", "REPLY", "SKIP"]),
            ask(&["GET", "b:1"]),
            ask(&["GET", "c:1"]),
        ]
        .concat(),
    );
    simulation.sent(b"$1\r\nb\r\n");
    assert_eq!(rows(&simulation, "GET b:1"), (1, 0));
    assert_eq!(rows(&simulation, "GET c:1"), (1, 1));
    assert_eq!(simulation.connection.outstanding, 0);
}

/// Whoever may not say that answers are unwanted gets them, and they count.
#[test]
fn nobody_hides_behind_unwanted_answers() {
    for reply in ["OFF", "SKIP"] {
        let mut simulation = Simulation::redis();
        simulation
            .received(&[ask(&["CLIENT", "REPLY", reply]), ask(&["SMEMBERS", "a:1"])].concat());
        simulation.sent(&[&b"-NOPERM no\r\n"[..], &many('*', 50)].concat());
        simulation.received(&ask(&["SMEMBERS", "b:1"]));
        simulation.sent(&many('*', 70));
        simulation.closed();
        let all: u64 = text(&simulation).iter().map(|(_, sums)| sums[1]).sum();
        assert_eq!(all, 120, "{reply}");
        assert_eq!(rows(&simulation, "SMEMBERS b:1"), (1, 70), "{reply}");
    }
}

#[test]
fn replicas_are_replication() {
    for (request, answer) in [
        (
            ask(&["PSYNC", "?", "-1"]),
            &b"+FULLRESYNC 8de1787ba490483314a4d30f1c628bc5025eb761 0\r\n"[..],
        ),
        (ask(&["SYNC"]), b"\n"),
        (ask(&["sync"]), b"$1000\r\n"),
        (
            ask(&["SYNC"]),
            b"$EOF:8de1787ba490483314a4d30f1c628bc5025eb761\r\n",
        ),
    ] {
        let mut simulation = Simulation::redis();
        simulation.received(&ask(&["REPLCONF", "capa", "eof"]));
        simulation.sent(b"+OK\r\n");
        simulation.received(&request);
        simulation.sent(answer);
        assert_eq!(simulation.connection.phase, Phase::Replication as u8);
        simulation.sent(&[7; 5000]);
        simulation.received(&ask(&["REPLCONF", "ACK", "1"]));
        simulation.closed();
        let sent: u64 = simulation.emitted().phases.iter().map(|p| p.1).sum();
        assert!(sent >= 5000);
    }
}

#[test]
fn a_refused_replica_is_a_client() {
    let mut simulation = Simulation::redis();
    simulation.received(&[ask(&["PSYNC", "?", "-1"]), ask(&["GET", "a:1"])].concat());
    simulation.sent(b"-NOPERM no\r\n$1\r\nv\r\n");
    assert_eq!(rows(&simulation, "GET a:1"), (1, 1));
}

#[test]
fn goodbye_closes() {
    let mut simulation = Simulation::redis();
    simulation.received(&ask(&["QUIT"]));
    simulation.sent(b"+OK\r\n");
    assert_eq!(simulation.emitted().closed, 1);
}
