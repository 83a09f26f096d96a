//! Conversations between clients and servers, cut into operations in every way.

use super::simulation::Simulation;
use crate::{
    connection::Phase,
    record::{CommandTag, STATEMENT_ESTIMATED, STATEMENT_FAILED},
};

const NEVER: u64 = u64::MAX;

pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend((body.len() as u32 + 4).to_be_bytes());
    message.extend(body);
    message
}

pub(super) fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}

pub(super) fn parse(name: &str, text: &str) -> Vec<u8> {
    message(b'P', format!("{name}\0{text}\0\0\0").as_bytes())
}

pub(super) fn bind(portal: &str, statement: &str) -> Vec<u8> {
    message(
        b'B',
        format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes(),
    )
}

pub(super) fn execute(portal: &str, limit: u32) -> Vec<u8> {
    let mut body = format!("{portal}\0").into_bytes();
    body.extend(limit.to_be_bytes());
    message(b'E', &body)
}

pub(super) fn sync() -> Vec<u8> {
    message(b'S', b"")
}

pub(super) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', format!("{tag}\0").as_bytes())
}

pub(super) fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

pub(super) fn columns() -> Vec<u8> {
    message(
        b'T',
        b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0",
    )
}

pub(super) fn row(text: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend((text.len() as u32).to_be_bytes());
    body.extend(text);
    message(b'D', &body)
}

pub(super) fn rows(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|i| row(i.to_string().as_bytes()))
        .collect()
}

pub(super) fn error() -> Vec<u8> {
    message(b'E', b"SERROR\0C22012\0Mdivision by zero\0\0")
}

/// One exchange: what the client asks and what the server answers.
struct Exchange {
    name: &'static str,
    ask: Vec<u8>,
    answer: Vec<u8>,
    /// Text, queries, rows returned, rows written – of statements, not of overhead.
    expect: Vec<(&'static str, u64, u64, u64)>,
}

fn exchanges() -> Vec<Exchange> {
    vec![
        Exchange {
            name: "look-up",
            ask: query("SELECT a FROM t"),
            answer: [columns(), rows(1), complete("SELECT 1"), ready()].concat(),
            expect: vec![("SELECT a FROM t", 1, 1, 0)],
        },
        Exchange {
            name: "no rows",
            ask: query("BEGIN"),
            answer: [complete("BEGIN"), ready()].concat(),
            expect: vec![("BEGIN", 1, 0, 0)],
        },
        Exchange {
            name: "written rows",
            ask: query("UPDATE t SET a = b"),
            answer: [complete("UPDATE 12"), ready()].concat(),
            expect: vec![("UPDATE t SET a = b", 1, 0, 12)],
        },
        Exchange {
            name: "returning",
            ask: query("DELETE FROM t RETURNING a"),
            answer: [columns(), rows(3), complete("DELETE 3"), ready()].concat(),
            expect: vec![("DELETE FROM t RETURNING a", 1, 3, 3)],
        },
        Exchange {
            name: "create table as",
            ask: query("CREATE TABLE b AS SELECT a"),
            answer: [complete("SELECT 50"), ready()].concat(),
            expect: vec![("CREATE TABLE b AS SELECT a", 1, 0, 50)],
        },
        Exchange {
            name: "rows without a count",
            ask: query("SHOW all"),
            answer: [columns(), rows(340), complete("SHOW"), ready()].concat(),
            expect: vec![("SHOW all", 1, 340, 0)],
        },
        Exchange {
            name: "several statements",
            ask: query("SELECT a FROM t; UPDATE t SET a = b; SELECT c"),
            answer: [
                columns(),
                rows(2),
                complete("SELECT 2"),
                complete("UPDATE 4"),
                columns(),
                rows(1),
                complete("SELECT 1"),
                ready(),
            ]
            .concat(),
            expect: vec![("SELECT a FROM t; UPDATE t SET a = b; SELECT c", 3, 3, 4)],
        },
        Exchange {
            name: "error",
            ask: query("SELECT a / b"),
            answer: [columns(), rows(5), error(), ready()].concat(),
            expect: vec![("SELECT a / b", 1, 5, 0)],
        },
        Exchange {
            name: "empty",
            ask: query(""),
            answer: [message(b'I', b""), ready()].concat(),
            expect: vec![("", 1, 0, 0)],
        },
        Exchange {
            name: "copy out",
            ask: query("COPY t TO STDOUT"),
            answer: [
                message(b'H', b"\0\0\x01\0\0"),
                message(b'd', b"1\n"),
                message(b'd', b"2\n"),
                message(b'c', b""),
                complete("COPY 2"),
                ready(),
            ]
            .concat(),
            expect: vec![("COPY t TO STDOUT", 1, 2, 0)],
        },
        Exchange {
            name: "extended",
            ask: [
                parse("", "SELECT a FROM e"),
                bind("", ""),
                message(b'D', b"P\0"),
                execute("", 0),
                sync(),
            ]
            .concat(),
            answer: [
                message(b'1', b""),
                message(b'2', b""),
                columns(),
                rows(7),
                complete("SELECT 7"),
                ready(),
            ]
            .concat(),
            expect: vec![("SELECT a FROM e", 1, 7, 0)],
        },
        Exchange {
            name: "pipeline of different statements",
            ask: [
                parse("s1", "SELECT a FROM p"),
                parse("s2", "INSERT INTO p VALUES ($1)"),
                bind("", "s1"),
                execute("", 0),
                bind("", "s2"),
                execute("", 0),
                bind("", "s1"),
                execute("", 0),
                sync(),
            ]
            .concat(),
            answer: [
                message(b'1', b""),
                message(b'1', b""),
                message(b'2', b""),
                rows(2),
                complete("SELECT 2"),
                message(b'2', b""),
                complete("INSERT 0 1"),
                message(b'2', b""),
                rows(3),
                complete("SELECT 3"),
                ready(),
            ]
            .concat(),
            expect: vec![
                ("INSERT INTO p VALUES ($1)", 1, 0, 1),
                ("SELECT a FROM p", 2, 5, 0),
            ],
        },
        Exchange {
            name: "error in a pipeline, then another batch",
            ask: [
                parse("", "SELECT x"),
                bind("", ""),
                execute("", 0),
                parse("", "SELECT y"),
                bind("", ""),
                execute("", 0),
                parse("", "SELECT z"),
                bind("", ""),
                execute("", 0),
                sync(),
                parse("", "SELECT w"),
                bind("", ""),
                execute("", 0),
                sync(),
            ]
            .concat(),
            answer: [
                message(b'1', b""),
                message(b'2', b""),
                rows(1),
                complete("SELECT 1"),
                error(),
                ready(),
                message(b'1', b""),
                message(b'2', b""),
                rows(4),
                complete("SELECT 4"),
                ready(),
            ]
            .concat(),
            expect: vec![
                ("SELECT w", 1, 4, 0),
                ("SELECT x", 1, 1, 0),
                ("SELECT y", 1, 0, 0),
            ],
        },
        Exchange {
            name: "portal with a row limit",
            ask: [
                parse("", "SELECT a FROM l"),
                bind("p", ""),
                execute("p", 2),
                execute("p", 2),
                sync(),
            ]
            .concat(),
            answer: [
                message(b'1', b""),
                message(b'2', b""),
                rows(2),
                message(b's', b""),
                rows(1),
                complete("SELECT 1"),
                ready(),
            ]
            .concat(),
            expect: vec![("SELECT a FROM l", 1, 3, 0)],
        },
        Exchange {
            name: "notices and notifications in between",
            ask: query("SELECT n"),
            answer: [
                message(b'N', b"SNOTICE\0\0"),
                columns(),
                message(b'A', b"\0\0\0\x01c\0p\0"),
                rows(2),
                message(b'S', b"a\0b\0"),
                complete("SELECT 2"),
                ready(),
            ]
            .concat(),
            expect: vec![("SELECT n", 1, 2, 0)],
        },
    ]
}

fn check(simulation: &Simulation, exchange: &Exchange, how: &str) {
    let mut got: Vec<(String, u64, u64, u64)> = Vec::new();
    let progress: u64 = simulation
        .emitted()
        .progress
        .iter()
        .map(|(exact, ..)| exact)
        .sum();
    for (text, [queries, returned, written, _]) in simulation.totals() {
        if queries + returned + written > 0 {
            got.push((text, queries, returned, written));
        }
    }
    if let [(_, _, returned, _)] = &mut got[..] {
        *returned = returned.wrapping_add(progress);
    }
    let expected: Vec<_> = exchange
        .expect
        .iter()
        .map(|(text, queries, returned, written)| {
            ((*text).to_owned(), *queries, *returned, *written)
        })
        .collect();
    assert_eq!(got, expected, "{} {how}", exchange.name);
    assert_eq!(
        simulation.accounted(),
        (exchange.answer.len() as u64, exchange.ask.len() as u64),
        "bytes of {} {how}",
        exchange.name
    );
    assert_eq!(
        simulation.connection.outstanding, 0,
        "{} {how}",
        exchange.name
    );
    assert_eq!(
        simulation.connection.phase,
        Phase::Ready as u8,
        "{} {how}",
        exchange.name
    );
}

#[test]
fn whole() {
    for exchange in exchanges() {
        let mut simulation = Simulation::ready(NEVER);
        simulation.received(&exchange.ask);
        simulation.sent(&exchange.answer);
        simulation.wants_input();
        check(&simulation, &exchange, "in one piece");
    }
}

#[test]
fn cut_anywhere() {
    for exchange in exchanges() {
        for at in 1..exchange.ask.len() {
            let mut simulation = Simulation::ready(NEVER);
            simulation.received(&exchange.ask[..at]);
            simulation.received(&exchange.ask[at..]);
            simulation.sent(&exchange.answer);
            simulation.wants_input();
            check(
                &simulation,
                &exchange,
                &format!("asked in two pieces at {at}"),
            );
        }
        for at in 1..exchange.answer.len() {
            let mut simulation = Simulation::ready(NEVER);
            simulation.received(&exchange.ask);
            simulation.sent(&exchange.answer[..at]);
            simulation.sent(&exchange.answer[at..]);
            simulation.wants_input();
            check(
                &simulation,
                &exchange,
                &format!("answered in two pieces at {at}"),
            );
        }
    }
}

#[test]
fn byte_by_byte() {
    for exchange in exchanges() {
        let mut simulation = Simulation::ready(NEVER);
        for byte in exchange.ask.chunks(1) {
            simulation.received(byte);
        }
        for byte in exchange.answer.chunks(1) {
            simulation.sent(byte);
        }
        simulation.wants_input();
        check(&simulation, &exchange, "byte by byte");
    }
}

#[test]
fn all_after_each_other() {
    let mut simulation = Simulation::ready(NEVER);
    let exchanges = exchanges();
    let mut bytes = (0, 0);
    for _ in 0..3 {
        for exchange in &exchanges {
            simulation.received(&exchange.ask);
            simulation.sent(&exchange.answer);
            simulation.wants_input();
            bytes.0 += exchange.answer.len() as u64;
            bytes.1 += exchange.ask.len() as u64;
        }
    }
    assert_eq!(simulation.accounted(), bytes);
    for exchange in &exchanges {
        for (text, queries, returned, written) in &exchange.expect {
            let (_, got) = simulation
                .totals()
                .into_iter()
                .find(|(known, _)| known == text)
                .unwrap_or_else(|| panic!("{text} is missing"));
            assert_eq!(
                &got[..3],
                [3 * queries, 3 * returned, 3 * written],
                "{text}"
            );
        }
    }
}

/// Sends as a server does: 8 KiB at a time, and the rest.
fn send_buffered(simulation: &mut Simulation, answer: &[u8]) {
    for piece in answer.chunks(8192) {
        simulation.sent(piece);
    }
}

pub(super) fn returned(simulation: &Simulation) -> u64 {
    let statements: i64 = simulation
        .emitted()
        .statements
        .iter()
        .map(|(outcome, ..)| outcome.rows_returned)
        .sum();
    let progress: u64 = simulation
        .emitted()
        .progress
        .iter()
        .map(|(exact, ..)| exact)
        .sum();
    progress.wrapping_add(statements as u64)
}

#[test]
fn long_results_are_exact_at_the_end_however_they_are_cut() {
    // Every position of the end within the server's buffer, so that tag and ReadyForQuery are cut everywhere too.
    for pad in 0..80 {
        let count = 20_000;
        let answer = [
            columns(),
            row(&vec![b'x'; pad]),
            rows(count),
            complete(&format!("SELECT {}", count + 1)),
            ready(),
        ]
        .concat();
        let pad_to_border = (8192 - answer.len() % 8192) + pad;
        let answer = [
            columns(),
            row(&vec![b'x'; pad_to_border]),
            rows(count),
            complete(&format!("SELECT {}", count + 1)),
            ready(),
        ]
        .concat();
        for skim_after in [NEVER, 64 << 10] {
            let mut simulation = Simulation::ready(skim_after);
            simulation.received(&query("SELECT a FROM long"));
            send_buffered(&mut simulation, &answer);
            simulation.wants_input();
            assert_eq!(
                returned(&simulation),
                count as u64 + 1,
                "pad {pad}, skim after {skim_after}"
            );
            assert_eq!(
                simulation.accounted().0,
                answer.len() as u64,
                "pad {pad}, skim after {skim_after}"
            );
            let flags = simulation
                .emitted()
                .statements
                .iter()
                .fold(0, |flags, (outcome, ..)| flags | outcome.flags);
            assert_eq!(
                flags & (STATEMENT_ESTIMATED | STATEMENT_FAILED),
                0,
                "pad {pad}"
            );
            assert_eq!(simulation.connection.outstanding, 0);
        }
    }
}

#[test]
fn rows_that_look_like_an_end_do_not_end_a_result() {
    let fake = [complete("SELECT 1"), ready()].concat();
    for skim_after in [NEVER, 16 << 10] {
        let mut simulation = Simulation::ready(skim_after);
        simulation.received(&query("SELECT a FROM crafted"));
        let mut answer = columns();
        answer.extend(rows(4000));
        let mut count = 4000u64;
        // Each of the next buffers ends with the imitation.
        for _ in 0..5 {
            let room = 8192 - answer.len() % 8192;
            let room = if room < 100 { room + 8192 } else { room };
            let header = row(&[]).len();
            let mut data = vec![b'x'; room - header - fake.len()];
            data.extend(&fake);
            answer.extend(row(&data));
            count += 1;
            assert_eq!(answer.len() % 8192, 0);
        }
        answer.extend(rows(10));
        count += 10;
        answer.extend(complete(&format!("SELECT {count}")));
        answer.extend(ready());
        send_buffered(&mut simulation, &answer);
        simulation.wants_input();
        assert_eq!(returned(&simulation), count, "skim after {skim_after}");
        let queries: u32 = simulation
            .emitted()
            .statements
            .iter()
            .map(|(outcome, ..)| outcome.queries)
            .sum();
        assert_eq!(queries, 1);
    }
}

#[test]
fn a_result_that_never_ends_is_estimated_and_says_so() {
    let mut simulation = Simulation::ready(16 << 10);
    simulation.received(&query("SELECT a FROM dump"));
    let answer = [
        columns(),
        (0..50_000).flat_map(|_| row(b"twelve bytes")).collect(),
    ]
    .concat();
    for piece in answer[..answer.len() / 8192 * 8192].chunks(8192) {
        simulation.sent(piece);
    }
    simulation.closed();
    let estimate = returned(&simulation);
    assert!(
        (49_000..=50_100).contains(&estimate),
        "{estimate} rows of about 50,000"
    );
    let (outcome, ..) = simulation.emitted().statements[0];
    assert_eq!(
        outcome.flags & (STATEMENT_ESTIMATED | STATEMENT_FAILED),
        STATEMENT_ESTIMATED | STATEMENT_FAILED
    );
    assert_eq!(simulation.emitted().closed, 1);
}

pub(super) fn startup(parameters: &[u8]) -> Vec<u8> {
    let mut packet = (parameters.len() as u32 + 8).to_be_bytes().to_vec();
    packet.extend(196_608u32.to_be_bytes());
    packet.extend(parameters);
    packet
}

pub(super) fn special(code: u32) -> Vec<u8> {
    [8u32.to_be_bytes(), code.to_be_bytes()].concat()
}

#[test]
fn start_up_in_all_its_forms() {
    let parameters = b"user\0ann\0database\0crm\0\0";
    for refused in [vec![], vec![80_877_103], vec![80_877_104, 80_877_103]] {
        let packet = startup(parameters);
        for at in 1..=packet.len() {
            let mut simulation = Simulation::new(NEVER);
            for code in &refused {
                simulation.received(&special(*code));
                simulation.sent(b"N");
            }
            simulation.received(&packet[..at]);
            if at < packet.len() {
                simulation.received(&packet[at..]);
            }
            simulation.sent(&message(b'R', &[0, 0, 0, 10, b'S', 0, 0]));
            simulation.received(&message(b'p', b"SCRAM-SHA-256\0\0\0\0\0"));
            simulation.sent(
                &[
                    message(b'R', &[0; 4]),
                    message(b'S', b"a\0b\0"),
                    message(b'K', &[0; 8]),
                    ready(),
                ]
                .concat(),
            );
            assert_eq!(
                simulation.emitted().startups,
                [parameters.to_vec()],
                "cut at {at}"
            );
            assert_eq!(simulation.connection.phase, Phase::Ready as u8);
            simulation.received(&query("SELECT s"));
            simulation.sent(&[columns(), rows(1), complete("SELECT 1"), ready()].concat());
            assert_eq!(returned(&simulation), 1);
        }
    }
}

#[test]
fn encryption_is_a_blind_spot_with_all_its_bytes() {
    let mut simulation = Simulation::new(NEVER);
    simulation.received(&special(80_877_103));
    simulation.sent(b"S");
    for _ in 0..10 {
        simulation.received(&[0x17; 100]);
        simulation.sent(&[0x17; 900]);
    }
    simulation.closed();
    assert_eq!(simulation.connection.phase, Phase::Encrypted as u8);
    assert_eq!(simulation.accounted(), (9001, 1008));
    let mut direct = Simulation::new(NEVER);
    direct.received(&[0x16, 3, 1, 2, 0, 1]);
    assert_eq!(direct.connection.phase, Phase::Encrypted as u8);
}

#[test]
fn a_stream_that_makes_no_sense_is_blind_until_it_does() {
    let mut simulation = Simulation::ready(NEVER);
    simulation.received(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(simulation.connection.phase, Phase::Blind as u8);
    simulation.sent(b"nonsense");
    simulation.received(b"\0\0\0\0\0\0\0\0\0\0\0\0");
    simulation.received(&query("SELECT again"));
    assert_eq!(simulation.connection.phase, Phase::Ready as u8);
    simulation.sent(&[columns(), rows(2), complete("SELECT 2"), ready()].concat());
    simulation.closed();
    assert_eq!(returned(&simulation), 2);
    assert_eq!(simulation.accounted().0, simulation.connection.seen_sent);
    assert_eq!(
        simulation.accounted().1,
        simulation.connection.seen_received
    );
}

#[test]
fn an_answer_that_nobody_was_seen_to_ask_for_counts_under_no_name() {
    let mut simulation = Simulation::ready(NEVER);
    simulation.sent(&[columns(), rows(3), complete("SELECT 3"), ready()].concat());
    simulation.closed();
    assert_eq!(returned(&simulation), 3);
    let [(name, [queries, rows, ..])] = &simulation.totals()[..] else {
        panic!("{:?}", simulation.totals());
    };
    assert_eq!((name.as_str(), *queries, *rows), ("", 1, 3));
    assert_eq!(simulation.accounted().0, simulation.connection.seen_sent);
}

/// Whatever comes, every byte is accounted for and nothing panics.
#[test]
fn random_bytes_are_all_accounted_for() {
    let mut state = 7u64;
    let mut random = move |bound: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let exchanges = exchanges();
    for _ in 0..3000 {
        let mut simulation = if random(2) == 0 {
            Simulation::ready(2048)
        } else {
            Simulation::new(2048)
        };
        for _ in 0..random(20) {
            let exchange = &exchanges[random(exchanges.len() as u64) as usize];
            let mut bytes = if random(2) == 0 {
                exchange.ask.clone()
            } else {
                exchange.answer.clone()
            };
            for _ in 0..random(4) {
                let at = random(bytes.len() as u64) as usize;
                match random(3) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, random(256) as u8),
                }
            }
            if random(2) == 0 {
                simulation.received(&bytes);
            } else {
                simulation.sent(&bytes);
            }
            if random(5) == 0 {
                simulation.wants_input();
            }
        }
        simulation.closed();
        assert_eq!(
            simulation.accounted(),
            (
                simulation.connection.seen_sent,
                simulation.connection.seen_received
            )
        );
    }
}

#[test]
fn goodbye_closes() {
    let mut simulation = Simulation::ready(NEVER);
    simulation.received(&message(b'X', b""));
    assert_eq!(simulation.emitted().closed, 1);
    simulation.closed();
    assert_eq!(simulation.emitted().closed, 1, "only once");
    assert_eq!(simulation.accounted(), (0, 5));
}

#[test]
fn garbage_behind_a_query_does_not_hide_its_rows() {
    let mut simulation = Simulation::ready(NEVER);
    simulation.received(&[query("SELECT a FROM t"), b"\0garbage".to_vec()].concat());
    simulation.sent(&[columns(), rows(100), complete("SELECT 100"), ready()].concat());
    simulation.wants_input();
    assert_eq!(returned(&simulation), 100);
    simulation.received(b"more garbage");
    simulation.closed();
    assert_eq!(
        simulation.accounted(),
        (
            simulation.connection.seen_sent,
            simulation.connection.seen_received
        )
    );
}

#[test]
fn a_sync_in_copy_mode_is_none() {
    // What tokio-postgres sends; the first Sync is ignored by the server, wherever reads cut it off.
    let begin = [parse("", "COPY t FROM STDIN"), bind("", ""), execute("", 0)].concat();
    for late in [false, true] {
        let mut simulation = Simulation::ready(NEVER);
        let mut first = begin.clone();
        if !late {
            first.extend(sync());
        }
        simulation.received(&first);
        simulation.sent(
            &[
                message(b'1', b""),
                message(b'2', b""),
                message(b'G', b"\0\0\x01\0\0"),
            ]
            .concat(),
        );
        if late {
            simulation.received(&sync());
        }
        simulation.received(&[message(b'd', b"1\n"), message(b'c', b""), sync()].concat());
        simulation.sent(&[complete("COPY 1"), ready()].concat());
        simulation.received(&query("SELECT after"));
        simulation.sent(&[columns(), rows(5), complete("SELECT 5"), ready()].concat());
        assert_eq!(simulation.connection.outstanding, 0, "late {late}");
        let totals = simulation.totals();
        let of = |text: &str| {
            totals
                .iter()
                .find(|(known, _)| known == text)
                .map(|(_, sum)| [sum[0], sum[1], sum[2]])
        };
        assert_eq!(of("COPY t FROM STDIN"), Some([1, 0, 1]), "late {late}");
        assert_eq!(of("SELECT after"), Some([1, 5, 0]), "late {late}");
    }
}

#[test]
fn estimates_hold_for_wide_rows() {
    for width in [10usize, 150, 20_000, 1_000_000] {
        let count = (3_000_000 / width).max(30);
        let mut simulation = Simulation::ready(64 << 10);
        simulation.received(&query("SELECT wide"));
        let data = vec![b'x'; width];
        let answer = [columns(), (0..count).flat_map(|_| row(&data)).collect()].concat();
        send_buffered(&mut simulation, &answer);
        simulation.closed();
        let got = returned(&simulation) as f64 / count as f64;
        assert!(
            (0.97..=1.03).contains(&got),
            "{width} bytes a row: {got} of {count}"
        );
    }
}

#[test]
fn copy_in_counts_what_is_written() {
    let mut simulation = Simulation::ready(NEVER);
    simulation.received(&query("COPY t FROM STDIN"));
    simulation.sent(&message(b'G', b"\0\0\x01\0\0"));
    for _ in 0..100 {
        simulation.received(&message(b'd', &[b'x'; 5000]));
    }
    simulation.received(&message(b'c', b""));
    simulation.sent(&[complete("COPY 700"), ready()].concat());
    let (outcome, ..) = simulation.emitted().statements[0];
    assert_eq!(
        (outcome.tag, outcome.rows_written, outcome.rows_returned),
        (CommandTag::Copy, 700, 0)
    );
    simulation.closed();
    assert_eq!(
        simulation.accounted(),
        (
            simulation.connection.seen_sent,
            simulation.connection.seen_received
        )
    );
}
