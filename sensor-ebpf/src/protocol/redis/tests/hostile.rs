//! Streams that are broken, or made to deceive.

use super::wire::{ask, ask_bytes, bulk, list, many, rows, text};
use crate::{
    connection::{CONNECTION_PREEXISTING, Phase, QUEUE},
    protocol::{redis::DOUBT, simulation::Simulation},
    random::draws,
    record::STATEMENT_ESTIMATED,
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
    simulation.sent(b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03");
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

/// Who only says that TLS begins is answered in clear, and followed.
#[test]
fn a_client_that_pretends_to_begin_tls() {
    let mut simulation = Simulation::redis();
    simulation.received(b"\x16\x03 x\r\n");
    simulation.sent(b"-ERR unknown command\r\n");
    simulation.received(&ask(&["SMEMBERS", "a:1"]));
    simulation.sent(&many('*', 50));
    assert_eq!(total(&simulation), 50);
}

/// No count of arguments hides what follows it.
#[test]
fn requests_of_less_than_nothing() {
    for nothing in ["*-1\r\n", "*-2\r\n", "*0\r\n", "*-10000000\r\n", "\r\n"] {
        let mut simulation = Simulation::redis();
        simulation.received(&[nothing.as_bytes(), &ask(&["SMEMBERS", "a:1"])].concat());
        simulation.sent(&many('*', 50));
        assert_eq!(rows(&simulation, "SMEMBERS a:1"), (1, 50), "{nothing}");
    }
}

/// Deeper than what is kept apart, answers are data, whatever was asked for last.
#[test]
fn nobody_hides_in_a_deep_pipeline() {
    let mut simulation = Simulation::redis();
    let mut asked = Vec::new();
    for _ in 0..QUEUE {
        asked.extend(b"PING\r\nGET a:1\r\n");
    }
    asked.extend(b"PING\r\n");
    for _ in 0..100 {
        asked.extend(ask(&["LRANGE", "l:1", "0", "-1"]));
    }
    asked.extend(ask(&["AUTH", "ann", "x"]));
    simulation.received(&asked);
    for _ in 0..QUEUE {
        simulation.sent(b"+PONG\r\n$1\r\nv\r\n");
    }
    simulation.sent(b"+PONG\r\n");
    for _ in 0..100 {
        simulation.sent(&many('*', 50));
    }
    simulation.sent(b"+OK\r\n");
    simulation.closed();
    assert_eq!(total(&simulation), QUEUE as u64 + 5000);
    let doubts = simulation.emitted().startups;
    assert!(
        doubts.iter().any(|record| record[..2] == [0, DOUBT]),
        "a login that was lost"
    );
}

/// What is not answered is not waited for, and what is over is over, so that no answer is taken for another's.
#[test]
fn nobody_shifts_answers() {
    let steps: [(&[&[&str]], &[u8]); 7] = [
        (&[&["REPLCONF", "ACK", "1"]], b""),
        (&[&["REPLCONF", "GETACK", "*"]], b""),
        (
            &[&["MONITOR"], &["MONITOR"], &["RESET"]],
            b"+OK\r\n+RESET\r\n",
        ),
        (
            &[&["SUBSCRIBE", "c"], &["RESET"]],
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+RESET\r\n",
        ),
        (
            &[&["MULTI"], &["MONITOR"], &["DISCARD"]],
            b"+OK\r\n+QUEUED\r\n+OK\r\n",
        ),
        (
            &[&["CLIENT", "REPLY", "SKIP", "x"]],
            b"-ERR wrong number of arguments\r\n",
        ),
        (&[&["CLIENT", "REPLY", "SKIP"], &[]], b""),
    ];
    for (requests, answers) in steps {
        // Who could have set answers apart has each word counted but `OK`.
        let suspect = requests[0] == ["MULTI"] || requests[0] == ["CLIENT", "REPLY", "SKIP"];
        let mut simulation = Simulation::redis();
        let asked: Vec<u8> = requests.iter().flat_map(|words| ask(words)).collect();
        simulation.received(&asked);
        if !answers.is_empty() {
            simulation.sent(answers);
        }
        for _ in 0..3 {
            simulation.received(&ask(&["PING"]));
            simulation.sent(b"+PONG\r\n");
            simulation.received(&ask(&["LRANGE", "l:1", "0", "-1"]));
            simulation.sent(&list('*', &[b"message", b"a", b"b"]));
        }
        simulation.closed();
        assert_eq!(rows(&simulation, "LRANGE l:1"), (3, 9), "{requests:?}");
        let pongs = if suspect { 3 } else { 0 };
        assert_eq!(rows(&simulation, "PING"), (3, pongs), "{requests:?}");
    }
}

/// A script can put data into a word, or into errors.
#[test]
fn data_in_words_of_a_script() {
    let script = ["EVAL", "return 1", "1", "user:1"];
    for (answer, expected) in [
        (&b"+ann@example.org\r\n"[..], 1),
        (b"+OK\r\n", 0),
        (b"*2\r\n-ann\r\n-bob\r\n", 2),
        (b"-ERR no\r\n", 0),
        // In a list all that is something counts.
        (b"*2\r\n+OK\r\n+O\r\n", 2),
    ] {
        for cut in 0..answer.len() {
            let mut simulation = Simulation::redis();
            simulation.received(&ask(&script));
            if cut > 0 {
                simulation.sent(&answer[..cut]);
            }
            simulation.sent(&answer[cut..]);
            assert_eq!(total(&simulation), expected, "{}", answer.escape_ascii());
        }
    }
}

/// A replica that is older than the sensor speaks first of how far it is.
#[test]
fn a_replica_that_is_older() {
    let mut simulation = Simulation::redis();
    simulation.connection.phase = Phase::Blind as u8;
    simulation.connection.set(CONNECTION_PREEXISTING);
    simulation.received(&ask(&["REPLCONF", "ACK", "4711"]));
    simulation.sent(&ask(&["SET", "user:1:email", "ann@example.org"]));
    simulation.closed();
    assert_eq!(simulation.connection.phase, Phase::Replication as u8);
    assert_eq!(total(&simulation), 0);
}

/// A subscriber that is older: what nobody asked for is a message.
#[test]
fn a_subscriber_that_is_older() {
    let mut simulation = Simulation::redis();
    simulation.connection.phase = Phase::Blind as u8;
    simulation.connection.set(CONNECTION_PREEXISTING);
    simulation.received(&ask(&["PING"]));
    simulation.sent(&list('*', &[b"pong", b""]));
    for _ in 0..5 {
        simulation.sent(&list('*', &[b"message", b"news", b"text"]));
    }
    simulation.closed();
    assert_eq!(total(&simulation), 5);
}

/// Who makes it uncertain which answer is whose gets data whatever was asked for, and logs in as nobody.
#[test]
fn nobody_sets_requests_and_answers_apart() {
    let off = ask(&["CLIENT", "REPLY", "OFF"]);
    let on = ask(&["CLIENT", "REPLY", "ON"]);
    let blanks = " ".repeat(40);
    // What is asked and answered first, and whether what comes next is not answered.
    let multi = |command: &[&str]| [ask(&["MULTI"]), ask(command), ask(&["EXEC"])].concat();
    let steps: [(Vec<u8>, &[u8], usize); 10] = [
        (
            [multi(&["CLIENT", "REPLY", "OFF"]), on.clone()].concat(),
            b"+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n",
            0,
        ),
        (
            multi(&["CLIENT", "REPLY", "SKIP"]),
            b"+OK\r\n+QUEUED\r\n*1\r\n",
            1,
        ),
        (
            [ask(&["MULTI"]), ask(&["MONITOR"]), ask(&["DISCARD"])].concat(),
            b"+OK\r\n+QUEUED\r\n+OK\r\n",
            0,
        ),
        (
            multi(&["SUBSCRIBE", "c", "d"]),
            b"+OK\r\n+QUEUED\r\n*1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:2\r\n",
            0,
        ),
        (
            [off.clone(), ask(&["SUBSCRIBE", "c"]), on.clone()].concat(),
            b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n+OK\r\n",
            0,
        ),
        (
            [ask(&["CLIENT", "REPLY", "SKIP"]), ask(&[])].concat(),
            b"",
            0,
        ),
        (
            b"\"client\" reply skip\r\n".to_vec(),
            b"",
            1,
        ),
        (
            b"client \"reply\" skip\r\n".to_vec(),
            b"",
            1,
        ),
        (
            format!("{blanks}client reply skip\r\n").into_bytes(),
            b"",
            1,
        ),
        (
            format!("client{blanks}reply skip\r\n").into_bytes(),
            b"",
            1,
        ),
    ];
    for (asked, answered, missing) in steps {
        // Answers that are missing, or too many.
        for (lost, more) in [(0, 0), (1, 0), (2, 0), (0, 1), (0, 2)] {
            let mut simulation = Simulation::redis();
            let shown = asked.escape_ascii().to_string();
            simulation.received(&[asked.clone(), ask(&["ECHO", "x"])].concat());
            if !answered.is_empty() {
                simulation.sent(answered);
            }
            if missing == 0 {
                simulation.sent(&bulk(b"x"));
            }
            let before = total(&simulation);
            // Another request is always under way.
            simulation.received(&ask(&["PING"]).repeat(lost + 1));
            simulation.sent(&b"+PONG\r\n".repeat(more));
            for _ in 0..10 {
                simulation.received(&[ask(&["LRANGE", "l:1", "0", "-1"]), ask(&["INFO"])].concat());
                simulation.sent(&[&b"+PONG\r\n"[..], &many('*', 50)].concat());
                simulation.received(&ask(&["AUTH", "bob", "x"]));
                simulation.sent(&[&bulk(b"# Server")[..], b"+OK\r\n"].concat());
                simulation.received(&ask(&["PING"]));
            }
            simulation.closed();
            assert!(total(&simulation) - before >= 500, "{shown}");
            let names = simulation.emitted().startups;
            assert!(names.iter().all(|record| record[1] == DOUBT), "{shown}");
        }
    }
}

/// What follows a number is its line's end for the server, whatever it is.
#[test]
fn lines_that_end_otherwise() {
    let mut simulation = Simulation::redis();
    simulation.received(b"*4\rX$6\rYLRANGE\r\n$3\r\tl:1ab$1\r\n0\r\n$2\r\n-1\r\n");
    simulation.sent(&many('*', 50));
    assert_eq!(total(&simulation), 50);
    let odd = simulation.emitted().statements[0].0.fingerprint;
    simulation.received(&ask(&["LRANGE", "l:2", "0", "-1"]));
    simulation.sent(&many('*', 50));
    assert_eq!(simulation.emitted().statements[0].0.fingerprint, odd);
}

/// Of all that says something of the server, one thing names keys.
#[test]
fn keys_by_slot_are_data() {
    let mut simulation = Simulation::redis();
    simulation.received(
        &[
            ask(&["cluster", "getkeysinslot", "7", "50"]),
            ask(&["CLUSTER", "SLOTS"]),
        ]
        .concat(),
    );
    simulation.sent(&[many('*', 50), many('*', 20)].concat());
    assert_eq!(total(&simulation), 50);
}
