//! Conversations between clients and servers, cut into operations in every way.

use super::wire::{ask, bulk, list, many, text};
use crate::{protocol::simulation::Simulation, random::draws, record::STATEMENT_FAILED};

/// One exchange: what the client asks and what the server answers.
struct Exchange {
    name: &'static str,
    ask: Vec<u8>,
    answer: Vec<u8>,
    /// Text, queries, rows returned – of statements, not of overhead.
    expect: Vec<(&'static str, u64, u64)>,
}

fn exchange(
    name: &'static str,
    words: &[&str],
    answer: impl AsRef<[u8]>,
    expect: (&'static str, u64),
) -> Exchange {
    Exchange {
        name,
        ask: ask(words),
        answer: answer.as_ref().to_vec(),
        expect: vec![(expect.0, 1, expect.1)],
    }
}

fn exchanges() -> Vec<Exchange> {
    let long = "v".repeat(20_000);
    let nested = b"*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n*2\r\n$3\r\n1-2\r\n*0\r\n";
    let mut exchanges = vec![
        exchange(
            "look-up",
            &["GET", "user:1:name"],
            bulk(b"Ann"),
            ("GET user:1:name", 1),
        ),
        exchange(
            "nothing",
            &["get", "user:2:name"],
            "$-1\r\n",
            ("get user:2:name", 0),
        ),
        exchange("nothing, RESP3", &["GETEX", "a"], "_\r\n", ("GETEX a", 0)),
        exchange("empty", &["GETDEL", "a"], bulk(b""), ("GETDEL a", 1)),
        exchange(
            "large",
            &["GETRANGE", "a", "0", "-1"],
            bulk(long.as_bytes()),
            ("GETRANGE a", 1),
        ),
        exchange(
            "written",
            &["SET", "user:1:name", &long],
            "+OK\r\n",
            ("SET user:1:name", 0),
        ),
        exchange(
            "number",
            &["INCR", "count:1"],
            ":18446744\r\n",
            ("INCR count:1", 0),
        ),
        exchange(
            "negative",
            &["DECR", "count:1"],
            ":-12\r\n",
            ("DECR count:1", 0),
        ),
        exchange(
            "list",
            &["LRANGE", "l:1", "0", "-1"],
            many('*', 30),
            ("LRANGE l:1", 30),
        ),
        exchange(
            "long list",
            &["SMEMBERS", "l:1"],
            many('*', 2000),
            ("SMEMBERS l:1", 2000),
        ),
        exchange("set", &["SINTER", "s:1"], many('~', 10), ("SINTER s:1", 10)),
        exchange(
            "map",
            &["HGETALL", "h:1"],
            many('%', 20),
            ("HGETALL h:1", 20),
        ),
        exchange("empty list", &["SORT", "l:1"], "*0\r\n", ("SORT l:1", 0)),
        exchange(
            "no list",
            &["BLPOP", "l:1", "5"],
            "*-1\r\n",
            ("BLPOP l:1", 0),
        ),
        exchange(
            "some of several",
            &["MGET", "user:1", "user:2", "user:3"],
            "*3\r\n$1\r\na\r\n$-1\r\n_\r\n",
            ("MGET user:1", 1),
        ),
        exchange(
            "streams",
            &["XREAD", "COUNT", "2", "STREAMS", "s:1", "0"],
            [&b"*1\r\n"[..], nested].concat(),
            ("XREAD COUNT 2 STREAMS s:1", 5),
        ),
        exchange(
            "page",
            &["SCAN", "0", "MATCH", "user:*", "COUNT", "100"],
            [&b"*2\r\n$3\r\n128\r\n"[..], &many('*', 11)].concat(),
            ("SCAN 0 MATCH user:*", 11),
        ),
        exchange(
            "page of a hash",
            &["HSCAN", "h:1", "0"],
            [&b"*2\r\n$1\r\n0\r\n"[..], &many('*', 8)].concat(),
            ("HSCAN h:1", 8),
        ),
        exchange(
            "empty page",
            &["SSCAN", "s:1", "0"],
            "*2\r\n$1\r\n7\r\n*0\r\n",
            ("SSCAN s:1", 0),
        ),
        exchange(
            "transaction",
            &["EXEC"],
            [
                &b"*6\r\n+OK\r\n:5\r\n$1\r\na\r\n$-1\r\n-ERR no\r\n"[..],
                &many('*', 3),
            ]
            .concat(),
            ("EXEC", 4),
        ),
        exchange("aborted", &["exec"], "*-1\r\n", ("exec", 0)),
        exchange(
            "text that says how",
            &["DUMP", "a"],
            "=7\r\ntxt:abc\r\n",
            ("DUMP a", 1),
        ),
        exchange(
            "numbers",
            &["ZRANGE", "z:1", "0", "1", "WITHSCORES"],
            "*2\r\n*2\r\n$1\r\na\r\n,1.5\r\n*2\r\n$1\r\nb\r\n,inf\r\n",
            ("ZRANGE z:1", 4),
        ),
        exchange(
            "one number",
            &["ZSCORE", "z:1", "a"],
            ",1.5\r\n",
            ("ZSCORE z:1", 1),
        ),
        exchange(
            "large number",
            &["EVALSHA", "abc", "1", "k:1"],
            "(3492890328409238509324850943850943825024385\r\n",
            ("EVALSHA abc 1 k:1", 1),
        ),
        exchange(
            "yes or no",
            &["SMISMEMBER", "s:1", "a"],
            "*3\r\n:1\r\n#t\r\n#f\r\n",
            ("SMISMEMBER s:1", 3),
        ),
        exchange(
            "script without keys",
            &["EVAL", "return 1", "0", "secret"],
            ":1\r\n",
            ("EVAL", 0),
        ),
        exchange(
            "with an attribute",
            &["OBJECT", "FREQ", "user:1"],
            "|1\r\n+ttl\r\n*2\r\n:1\r\n$1\r\na\r\n*2\r\n:1\r\n|1\r\n$1\r\nx\r\n$1\r\ny\r\n:2\r\n",
            ("OBJECT FREQ user:1", 2),
        ),
        exchange(
            "what is no data",
            &["CONFIG", "GET", "*"],
            many('*', 40),
            ("CONFIG GET", 0),
        ),
        exchange(
            "descriptions",
            &["COMMAND", "DOCS"],
            many('%', 40),
            ("COMMAND DOCS", 0),
        ),
        exchange(
            "words of the server",
            &["INFO"],
            bulk(&[b'i'; 5000]),
            ("INFO", 0),
        ),
        exchange(
            "an error",
            &["LPUSH", "user:1", "a"],
            "-WRONGTYPE Operation against a key holding the wrong kind of value, which is a long sentence\r\n",
            ("LPUSH user:1", 0),
        ),
        exchange(
            "an error that is long",
            &["HGET", "x"],
            "!5\r\nERR x\r\n",
            ("HGET x", 0),
        ),
    ];
    exchanges.push(Exchange {
        name: "a pipeline of equal requests",
        ask: (0..16)
            .flat_map(|i| ask(&["GET", &format!("p:{i}")]))
            .collect(),
        answer: (0..16)
            .flat_map(|i| {
                if i % 4 == 0 {
                    b"$-1\r\n".to_vec()
                } else {
                    bulk(b"abc")
                }
            })
            .collect(),
        expect: vec![("GET p:0", 16, 12)],
    });
    exchanges.push(Exchange {
        name: "a pipeline",
        ask: [
            ask(&["MULTI"]),
            ask(&["SADD", "q:1", "b"]),
            ask(&["SRANDMEMBER", "q:1", "2"]),
            b"ping\r\n\r\n*0\r\n*-1\r\n".to_vec(),
            ask(&["LINDEX", "q:2", "2"]),
        ]
        .concat(),
        answer: [
            &b"+OK\r\n:1\r\n"[..],
            &many('*', 2),
            b"+PONG\r\n$1\r\nx\r\n",
        ]
        .concat(),
        expect: vec![
            ("LINDEX q:2", 1, 1),
            ("MULTI", 1, 0),
            ("SADD q:1", 1, 0),
            ("SRANDMEMBER q:1", 1, 2),
            ("ping", 1, 0),
        ],
    });
    exchanges.push(Exchange {
        name: "lines",
        ask: b"strlen user:1\r\n \t zcard  x y\nhlen \"a b\" c\r\n  \r\n".to_vec(),
        answer: b":1\r\n:2\r\n-ERR unbalanced\r\n".to_vec(),
        expect: vec![
            (" \t zcard  x", 1, 0),
            ("hlen", 1, 0),
            ("strlen user:1", 1, 0),
        ],
    });
    exchanges
}

fn check(simulation: &Simulation, exchange: &Exchange, context: &str) {
    let mut totals: Vec<(String, u64, u64)> = text(simulation)
        .into_iter()
        .map(|(text, [queries, rows, _, _])| (text, queries, rows))
        .collect();
    // Told while it went on.
    let under_way: u64 = simulation.emitted().progress.iter().map(|p| p.0).sum();
    if let [(_, _, rows)] = totals.as_mut_slice() {
        *rows += under_way;
    }
    let mut expect: Vec<(String, u64, u64)> = exchange
        .expect
        .iter()
        .map(|(text, queries, rows)| ((*text).to_owned(), *queries, *rows))
        .collect();
    expect.sort();
    assert_eq!(totals, expect, "{} {context}", exchange.name);
    assert_eq!(
        simulation.accounted(),
        (exchange.answer.len() as u64, exchange.ask.len() as u64),
        "{} {context}",
        exchange.name
    );
}

fn pieces(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        if cut > start {
            pieces.push(bytes[start..cut].to_vec());
            start = cut;
        }
    }
    pieces
}

#[test]
fn whole() {
    for exchange in exchanges() {
        let mut simulation = Simulation::redis();
        simulation.received(&exchange.ask);
        simulation.sent(&exchange.answer);
        simulation.closed();
        check(&simulation, &exchange, "");
    }
}

#[test]
fn cut_in_two_everywhere() {
    for exchange in exchanges() {
        let step = |length: usize| (length / 700).max(1);
        for cut in (0..=exchange.ask.len()).step_by(step(exchange.ask.len())) {
            let mut simulation = Simulation::redis();
            for piece in pieces(&exchange.ask, &[cut]) {
                simulation.received(&piece);
            }
            simulation.sent(&exchange.answer);
            simulation.closed();
            check(&simulation, &exchange, &format!("asked up to {cut} first"));
        }
        for cut in (0..=exchange.answer.len()).step_by(step(exchange.answer.len())) {
            let mut simulation = Simulation::redis();
            simulation.received(&exchange.ask);
            for piece in pieces(&exchange.answer, &[cut]) {
                simulation.sent(&piece);
            }
            simulation.closed();
            check(
                &simulation,
                &exchange,
                &format!("answered up to {cut} first"),
            );
        }
    }
}

#[test]
fn cut_at_random() {
    let mut draw = draws();
    for round in 0..60 {
        for exchange in exchanges() {
            let mut cuts = |length: usize| {
                let mut cuts: Vec<usize> = (0..draw(12)).map(|_| draw(length + 1)).collect();
                cuts.sort_unstable();
                cuts
            };
            let asked = pieces(&exchange.ask, &cuts(exchange.ask.len()));
            let answered = pieces(&exchange.answer, &cuts(exchange.answer.len()));
            let mut simulation = Simulation::redis();
            for piece in asked {
                simulation.received(&piece);
            }
            for piece in answered {
                simulation.sent(&piece);
            }
            simulation.closed();
            check(&simulation, &exchange, &format!("round {round}"));
        }
    }
}

#[test]
fn byte_by_byte() {
    for exchange in exchanges() {
        if exchange.ask.len() + exchange.answer.len() > 5000 {
            continue;
        }
        let mut simulation = Simulation::redis();
        for byte in &exchange.ask {
            simulation.received(&[*byte]);
        }
        for byte in &exchange.answer {
            simulation.sent(&[*byte]);
        }
        simulation.closed();
        check(&simulation, &exchange, "byte by byte");
    }
}

/// All exchanges one after the other on one connection, and all requests in front of all answers.
#[test]
fn in_a_row_and_all_at_once() {
    let all = exchanges();
    for at_once in [false, true] {
        let mut simulation = Simulation::redis();
        if at_once {
            simulation.received(&all.iter().flat_map(|e| e.ask.clone()).collect::<Vec<_>>());
            simulation.sent(
                &all.iter()
                    .flat_map(|e| e.answer.clone())
                    .collect::<Vec<_>>(),
            );
        } else {
            for exchange in &all {
                simulation.received(&exchange.ask);
                simulation.sent(&exchange.answer);
            }
        }
        simulation.closed();
        let sum = |of: usize| {
            text(&simulation)
                .iter()
                .map(|(_, sums)| sums[of])
                .sum::<u64>()
        };
        let expect = |of: fn(&(&str, u64, u64)) -> u64| {
            all.iter().flat_map(|e| &e.expect).map(of).sum::<u64>()
        };
        assert_eq!(sum(0), expect(|e| e.1), "queries, at once: {at_once}");
        assert_eq!(sum(1), expect(|e| e.2), "rows, at once: {at_once}");
        let asked = all.iter().map(|e| e.ask.len() as u64).sum();
        let answered = all.iter().map(|e| e.answer.len() as u64).sum();
        assert_eq!(simulation.accounted(), (answered, asked));
    }
}

#[test]
fn errors_are_told() {
    let mut simulation = Simulation::redis();
    for (answer, failed) in [
        ("-ERR no\r\n", true),
        ("$1\r\na\r\n", false),
        ("!3\r\nERR\r\n", true),
    ] {
        simulation.received(&ask(&["GET", "a:1"]));
        simulation.sent(answer.as_bytes());
        let flags = simulation
            .emitted()
            .statements
            .last()
            .map(|(outcome, _, _)| outcome.flags);
        assert_eq!(
            flags.unwrap_or(0) & STATEMENT_FAILED != 0,
            failed,
            "{answer}"
        );
    }
}

/// What ends large is its own: its bytes, and none of the next.
#[test]
fn bytes_are_those_of_the_answer() {
    let mut simulation = Simulation::redis();
    simulation.received(&[ask(&["GET", "big:1"]), ask(&["LLEN", "small:1"])].concat());
    let big = bulk(&vec![b'x'; 100_000]);
    let answers = [&big[..], b":1\r\n"].concat();
    for piece in answers.chunks(16 << 10) {
        simulation.sent(piece);
    }
    let mut largest: Vec<u32> = simulation
        .emitted()
        .statements
        .iter()
        .map(|(o, _, _)| o.largest_bytes)
        .collect();
    largest.sort_unstable();
    assert_eq!(largest.last().copied(), Some(big.len() as u32));
    let progress: u64 = simulation.emitted().progress.iter().map(|p| p.2).sum();
    assert!(progress > 0);
}

/// Equal requests of a pipeline are handed on together, and say what the largest was.
#[test]
fn a_pipeline_is_put_together() {
    let mut simulation = Simulation::redis();
    for _ in 0..3 {
        simulation.received(
            &(0..16)
                .flat_map(|i| ask(&["HGETALL", &format!("h:{i}")]))
                .collect::<Vec<_>>(),
        );
        simulation.sent(&(0..16).flat_map(|i| many('*', i)).collect::<Vec<_>>());
    }
    let emitted = simulation.emitted();
    assert_eq!(emitted.statements.len(), 1);
    let (outcome, _, _) = emitted.statements[0];
    assert_eq!(
        (outcome.queries, outcome.rows_returned, outcome.largest_rows),
        (48, 3 * 120, 15)
    );
    assert_eq!(outcome.largest_bytes as usize, many('*', 15).len());
}

#[test]
fn equal_commands_on_equal_keys_are_one_statement() {
    let fingerprint = |words: &[&str]| {
        let mut simulation = Simulation::redis();
        simulation.received(&ask(words));
        simulation.connection.front.fingerprint
    };
    let line = |text: &str| {
        let mut simulation = Simulation::redis();
        simulation.received(text.as_bytes());
        simulation.connection.front.fingerprint
    };
    let get = fingerprint(&["GET", "user:1:email"]);
    assert_eq!(get, fingerprint(&["get", "user:99999:email"]));
    assert_eq!(get, line("GeT user:7:email\r\n"));
    assert_ne!(get, fingerprint(&["GET", "user:1:name"]));
    assert_ne!(get, fingerprint(&["GETDEL", "user:1:email"]));
    assert_eq!(
        fingerprint(&["SET", "a:1", "b"]),
        fingerprint(&["SET", "a:2", "c"])
    );
    assert_ne!(
        fingerprint(&["CONFIG", "GET", "a"]),
        fingerprint(&["CONFIG", "SET", "a"])
    );
    assert_ne!(fingerprint(&["SELECT", "1"]), fingerprint(&["SELECT", "2"]));
    assert_eq!(
        fingerprint(&["ZREVRANGEBYSCORE", "z:1"]),
        fingerprint(&["zrevrangebyscore", "z:2"])
    );
    assert_ne!(
        fingerprint(&["GEORADIUSBYMEMBER", "z:1"]),
        fingerprint(&["GEORADIUSBYMEMBER_RO", "z:2"])
    );
}

/// A pipeline of large answers, in the pieces that sockets take them in.
#[test]
fn large_ones_in_a_pipeline() {
    const ELEMENTS: usize = 40_000;
    let long = list(
        '*',
        &(0..ELEMENTS)
            .map(|i| format!("some value {}", i % 1000).into_bytes())
            .collect::<Vec<_>>()
            .iter()
            .map(Vec::as_slice)
            .collect::<Vec<_>>(),
    );
    let big = bulk(&vec![b'*'; 5_000_000]);
    let asked: Vec<u8> = [
        &["LRANGE", "work:1", "0", "-1"][..],
        &["GET", "user:1:email"],
        &["GET", "work:2"],
        &["LRANGE", "work:1", "0", "-1"],
        &["MGET", "work:2", "nothing:1", "user:1:email"],
    ]
    .iter()
    .flat_map(|words| ask(words))
    .collect();
    let small = bulk(b"ann@example.org");
    let answered = [
        &long,
        &small,
        &big,
        &long,
        &[&b"*3\r\n"[..], &big, b"$-1\r\n", &small].concat(),
    ]
    .into_iter()
    .flatten()
    .copied()
    .collect::<Vec<u8>>();
    let mut draw = draws();
    for round in 0..6 {
        let mut simulation = Simulation::redis();
        simulation.received(&asked);
        let mut rest = &answered[..];
        while !rest.is_empty() {
            let most = if round == 0 {
                65_536
            } else {
                1 + draw(150_000)
            };
            let (piece, behind) = rest.split_at(most.min(rest.len()));
            simulation.sent(piece);
            rest = behind;
        }
        simulation.closed();
        let rows: u64 = simulation
            .emitted()
            .statements
            .iter()
            .map(|(outcome, _, _)| outcome.rows_returned as u64)
            .chain(simulation.emitted().progress.iter().map(|p| p.0))
            .sum();
        assert_eq!(rows, 2 * ELEMENTS as u64 + 4, "round {round}");
        assert!(simulation.emitted().phases.iter().all(|phase| phase.1 == 0));
        assert_eq!(
            simulation.accounted(),
            (answered.len() as u64, asked.len() as u64)
        );
    }
}
