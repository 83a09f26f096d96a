//! Conversations between clients and servers, cut into operations in every way.

use super::wire::{
    DEPRECATES, answer, column, command, end, error, number, ok, packet, query, ready, result, rows,
};
use crate::{
    connection::Phase,
    protocol::{mysql::packets::STATUS_MORE, simulation::Simulation},
    random::draws,
    record::{STATEMENT_ESTIMATED, STATEMENT_FAILED},
};

const MORE: u16 = STATUS_MORE as u16 | 2;

/// One exchange: what the client asks and what the server answers.
struct Exchange {
    name: &'static str,
    ask: Vec<u8>,
    answer: Vec<u8>,
    /// Text, queries, rows returned, rows written – of statements, not of overhead.
    expect: Vec<(&'static str, u64, u64, u64)>,
}

fn exchanges(deprecated: bool) -> Vec<Exchange> {
    let of = |columns, count, status| result(deprecated, columns, &rows(count), status);
    let prepared = |columns: u16, parameters: u16| {
        let mut bodies = vec![
            [
                &[0, 7, 0, 0, 0][..],
                &columns.to_le_bytes(),
                &parameters.to_le_bytes(),
                &[0, 0, 0],
            ]
            .concat(),
        ];
        for count in [parameters, columns] {
            bodies.extend((0..count).map(|_| column("?")));
            if count > 0 && !deprecated {
                bodies.push(end(false, 2));
            }
        }
        answer(&bodies)
    };
    vec![
        Exchange {
            name: "look-up",
            ask: query("SELECT a FROM t"),
            answer: answer(&of(1, 1, 2)),
            expect: vec![("SELECT a FROM t", 1, 1, 0)],
        },
        Exchange {
            name: "no rows",
            ask: query("SELECT a FROM t WHERE b"),
            answer: answer(&of(3, 0, 2)),
            expect: vec![("SELECT a FROM t WHERE b", 1, 0, 0)],
        },
        Exchange {
            name: "many rows and columns",
            ask: query("SELECT * FROM t"),
            answer: answer(&of(300, 1000, 2)),
            expect: vec![("SELECT * FROM t", 1, 1000, 0)],
        },
        Exchange {
            name: "written rows",
            ask: query("UPDATE t SET a = b"),
            answer: answer(&[ok(70_000, 2)]),
            expect: vec![("UPDATE t SET a = b", 1, 0, 70_000)],
        },
        Exchange {
            name: "nothing to count",
            ask: query("COMMIT"),
            answer: answer(&[ok(0, 0)]),
            expect: vec![("COMMIT", 1, 0, 0)],
        },
        Exchange {
            name: "several statements",
            ask: query("SELECT a; DELETE FROM t; SELECT b"),
            answer: answer(&[of(1, 2, MORE), vec![ok(4, MORE)], of(2, 5, 2)].concat()),
            expect: vec![("SELECT a; DELETE FROM t; SELECT b", 3, 7, 4)],
        },
        Exchange {
            name: "several statements, the second of which fails",
            ask: query("SELECT a; SELECT nothing"),
            answer: answer(&[of(1, 2, MORE), vec![error("42S02")]].concat()),
            expect: vec![("SELECT a; SELECT nothing", 2, 2, 0)],
        },
        Exchange {
            name: "results of a procedure",
            ask: query("CALL p()"),
            answer: answer(&[of(1, 3, MORE), of(2, 4, MORE), vec![ok(0, 2)]].concat()),
            expect: vec![("CALL p()", 1, 7, 0)],
        },
        Exchange {
            name: "an error after rows",
            ask: query("SELECT f(a) FROM t"),
            answer: answer(
                &[
                    result(deprecated, 1, &rows(5), 2)[..if deprecated { 7 } else { 8 }].to_vec(),
                    vec![error("22012")],
                ]
                .concat(),
            ),
            expect: vec![("SELECT f(a) FROM t", 1, 5, 0)],
        },
        Exchange {
            name: "news of how far it is",
            ask: query("ALTER TABLE t"),
            answer: answer(&[
                b"\xff\xff\xff\x01\x01\x02\x10\0\0\x05stage".to_vec(),
                b"\xff\xff\xff\x01\x02\x02\x20\0\0\x05stage".to_vec(),
                ok(9, 2),
            ]),
            expect: vec![("ALTER TABLE t", 1, 0, 9)],
        },
        Exchange {
            name: "prepare",
            ask: command(0x16, b"SELECT a FROM t WHERE c = ?"),
            answer: prepared(2, 1),
            expect: vec![],
        },
        Exchange {
            name: "execute",
            ask: command(0x17, &[7, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 8, 0, 5]),
            answer: answer(&result(deprecated, 2, &vec![b"\0\0\x01x".to_vec(); 20], 2)),
            expect: vec![("SELECT a FROM t WHERE c = ?", 1, 20, 0)],
        },
        Exchange {
            name: "execute the one prepared last, with a cursor",
            ask: command(0x17, &[255, 255, 255, 255, 1, 1, 0, 0, 0]),
            answer: answer(&[vec![number(1), column("a")], vec![end(deprecated, 0x42)]].concat()),
            expect: vec![("SELECT a FROM t WHERE c = ?", 1, 0, 0)],
        },
        Exchange {
            name: "fetch",
            ask: command(0x1c, &[7, 0, 0, 0, 10, 0, 0, 0]),
            answer: answer(
                &[vec![b"\0\0\x01x".to_vec(); 10], vec![end(deprecated, 0x42)]].concat(),
            ),
            expect: vec![("SELECT a FROM t WHERE c = ?", 0, 10, 0)],
        },
        Exchange {
            name: "data, and a statement's end: nothing is answered",
            ask: [
                command(0x18, &[7, 0, 0, 0, 0, 0, 1, 2, 3]),
                command(0x19, &[7, 0, 0, 0]),
            ]
            .concat(),
            answer: vec![],
            expect: vec![],
        },
        Exchange {
            name: "a bulk",
            ask: command(0xfa, &[7, 0, 0, 0, 128, 0, 3, 0, 0, 1, 0]),
            answer: answer(&[ok(500, 2)]),
            expect: vec![("SELECT a FROM t WHERE c = ?", 1, 0, 500)],
        },
        Exchange {
            name: "a statement that can't be prepared",
            ask: command(0x16, b"SELECT nothing FROM nowhere"),
            answer: answer(&[error("42S02")]),
            expect: vec![("SELECT nothing FROM nowhere", 1, 0, 0)],
        },
        Exchange {
            name: "another database",
            ask: command(2, b"crm"),
            answer: answer(&[ok(0, 2)]),
            expect: vec![("USE crm", 1, 0, 0)],
        },
        Exchange {
            name: "ping, statistics, columns, reset",
            ask: command(0x0e, b""),
            answer: answer(&[ok(0, 2)]),
            expect: vec![],
        },
        Exchange {
            name: "statistics",
            ask: command(9, b""),
            answer: answer(&[b"Uptime: 7  Threads: 1".to_vec()]),
            expect: vec![],
        },
        Exchange {
            name: "columns",
            ask: command(4, b"t\0"),
            answer: answer(&[column("a"), column("b"), end(deprecated, 2)]),
            expect: vec![],
        },
        Exchange {
            name: "an option",
            ask: command(0x1b, &[0, 0]),
            answer: answer(&[end(deprecated, 2)]),
            expect: vec![],
        },
        Exchange {
            name: "query attributes, none of them",
            ask: command(3, b"\0\x01SELECT z FROM t"),
            answer: answer(&of(1, 6, 2)),
            expect: vec![("SELECT z FROM t", 1, 6, 0)],
        },
        Exchange {
            name: "a text longer than what is looked at",
            ask: query(&format!("SELECT 1 /* {} */", "x".repeat(20_000))),
            answer: answer(&of(1, 1, 2)),
            expect: vec![("", 1, 1, 0)],
        },
    ]
}

fn check(simulation: &Simulation, expected: &[(&str, u64, u64, u64)], asked: usize, sent: usize) {
    let long = |text: &str| text.len() > 4000;
    let mut totals: Vec<_> = simulation
        .totals()
        .into_iter()
        .map(|(text, sums)| {
            if long(&text) {
                (String::new(), sums)
            } else {
                (text, sums)
            }
        })
        .filter(|(_, sums)| sums[..3] != [0, 0, 0])
        .map(|(text, [queries, returned, written, _])| (text, queries, returned, written))
        .collect();
    // Of the one result that is long enough to be reported on the way.
    let reported: u64 = simulation.emitted().progress.iter().map(|p| p.0).sum();
    if let Some(long) = totals
        .iter_mut()
        .find(|(text, ..)| text == "SELECT * FROM t")
    {
        long.2 += reported;
    }
    totals.sort();
    let mut wanted: Vec<(String, u64, u64, u64)> = Vec::new();
    for (text, queries, returned, written) in expected {
        match wanted.iter_mut().find(|(known, ..)| known == text) {
            Some(sum) => {
                sum.1 += queries;
                sum.2 += returned;
                sum.3 += written;
            }
            None => wanted.push(((*text).to_owned(), *queries, *returned, *written)),
        }
    }
    wanted.sort();
    assert_eq!(totals, wanted);
    assert_eq!(simulation.accounted(), (sent as u64, asked as u64));
    for (outcome, ..) in &simulation.emitted().statements {
        assert_eq!(outcome.flags & STATEMENT_ESTIMATED, 0, "{outcome:?}");
    }
}

/// Bytes that [`ready`] sends and receives.
fn begun(simulation: &Simulation) -> (usize, usize) {
    let (sent, received) = (
        simulation.connection.seen_sent,
        simulation.connection.seen_received,
    );
    (sent as usize, received as usize)
}

/// All exchanges in a row, each operation of which is cut into pieces as `cut` says.
fn converse(deprecated: bool, mut cut: impl FnMut(usize) -> usize) {
    let mut simulation = ready(if deprecated { DEPRECATES } else { 0 });
    let (mut sent, mut asked) = begun(&simulation);
    let mut expected = Vec::new();
    for exchange in exchanges(deprecated) {
        feed(&exchange.ask, &mut cut, |bytes| simulation.received(bytes));
        feed(&exchange.answer, &mut cut, |bytes| simulation.sent(bytes));
        asked += exchange.ask.len();
        sent += exchange.answer.len();
        expected.extend(exchange.expect);
        assert_eq!(
            simulation.connection.phase,
            Phase::Ready as u8,
            "{}",
            exchange.name
        );
        assert_eq!(simulation.connection.outstanding, 0, "{}", exchange.name);
    }
    simulation.closed();
    check(&simulation, &expected, asked, sent);
}

fn feed(bytes: &[u8], cut: &mut impl FnMut(usize) -> usize, mut to: impl FnMut(&[u8])) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
        to(piece);
        rest = behind;
    }
}

#[test]
fn whole() {
    for deprecated in [false, true] {
        converse(deprecated, |length| length);
    }
}

#[test]
fn byte_by_byte() {
    for deprecated in [false, true] {
        converse(deprecated, |_| 1);
    }
}

#[test]
fn as_the_servers_read_and_write() {
    for deprecated in [false, true] {
        for buffer in [5, 7, 64, 4096, 16_384] {
            let mut first = true;
            converse(deprecated, |_| {
                first = !first;
                if first { buffer } else { 4 }
            });
        }
    }
}

#[test]
fn cut_anywhere() {
    for deprecated in [false, true] {
        for exchange in exchanges(deprecated) {
            // Prepared first, for those that need it.
            let prepare = exchanges(deprecated)
                .into_iter()
                .find(|exchange| exchange.name == "prepare");
            for at in (1..exchange.ask.len().min(400)).chain([5000]) {
                let prepare = prepare.as_ref().expect("there is one");
                let mut simulation = ready(if deprecated { DEPRECATES } else { 0 });
                let (sent, asked) = begun(&simulation);
                simulation.received(&prepare.ask);
                simulation.sent(&prepare.answer);
                let at = at.min(exchange.ask.len());
                simulation.received(&exchange.ask[..at]);
                if at < exchange.ask.len() {
                    simulation.received(&exchange.ask[at..]);
                }
                let answer = &exchange.answer;
                let mut draw = draws();
                let at = if answer.is_empty() {
                    0
                } else {
                    draw(answer.len())
                };
                for piece in [&answer[..at], &answer[at..]] {
                    if !piece.is_empty() {
                        simulation.sent(piece);
                    }
                }
                simulation.closed();
                check(
                    &simulation,
                    &exchange.expect,
                    asked + prepare.ask.len() + exchange.ask.len(),
                    sent + prepare.answer.len() + answer.len(),
                );
            }
        }
    }
}

#[test]
fn answers_cut_at_every_byte() {
    for deprecated in [false, true] {
        for exchange in exchanges(deprecated) {
            if exchange.expect.is_empty() || exchange.ask[4] != 3 || exchange.answer.len() > 4000 {
                continue;
            }
            for at in 1..exchange.answer.len() {
                let mut simulation = ready(if deprecated { DEPRECATES } else { 0 });
                let (sent, asked) = begun(&simulation);
                simulation.received(&exchange.ask);
                simulation.sent(&exchange.answer[..at]);
                simulation.sent(&exchange.answer[at..]);
                simulation.closed();
                check(
                    &simulation,
                    &exchange.expect,
                    asked + exchange.ask.len(),
                    sent + exchange.answer.len(),
                );
            }
        }
    }
}

#[test]
fn errors_have_their_code() {
    let mut simulation = ready(0);
    simulation.received(&query("SELECT a / b"));
    simulation.sent(&answer(&[error("22012")]));
    let emitted = simulation.emitted();
    let (outcome, ..) = emitted.statements.last().expect("statement");
    assert_eq!(outcome.flags, STATEMENT_FAILED);
    assert_eq!(crate::sqlstate::unpack(outcome.sqlstate), Some(*b"22012"));
}

#[test]
fn rows_of_sixteen_megabytes_are_one_each() {
    for length in [0xff_fffe, 0xff_ffff, 0x100_0000, 0x1ff_fffe] {
        // With what a row of one long text begins with.
        let mut long = vec![0xfe];
        long.extend(((length - 9) as u64).to_le_bytes());
        long.resize(length, 0xff);
        if length < 0xff_ffff {
            long[0] = 0xfd;
        }
        for deprecated in [false, true] {
            let mut simulation = ready(if deprecated { DEPRECATES } else { 0 });
            let (sent, asked) = begun(&simulation);
            let ask = query("SELECT blob");
            simulation.received(&ask);
            let answer = answer(&result(
                deprecated,
                1,
                &[vec![1, b'x'], long.clone(), vec![1, b'x']],
                2,
            ));
            let mut rest = &answer[..];
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(16_384));
                simulation.sent(piece);
                rest = behind;
            }
            simulation.closed();
            let rows: u64 = simulation.emitted().progress.iter().map(|p| p.0).sum();
            let ended: i64 = simulation
                .emitted()
                .statements
                .iter()
                .map(|(outcome, ..)| outcome.rows_returned)
                .sum();
            assert_eq!(rows as i64 + ended, 3, "{length}");
            assert_eq!(
                simulation.accounted(),
                ((sent + answer.len()) as u64, (asked + ask.len()) as u64)
            );
        }
    }
}

#[test]
fn a_clients_file_is_no_command() {
    let mut simulation = ready(0);
    let (sent, asked) = begun(&simulation);
    let ask = query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t");
    let file = [
        packet(2, b"\x03SELECT secret"),
        packet(3, &vec![1; 0xff_ffff]),
        packet(5, b"\x01"),
    ]
    .concat();
    let over = packet(6, b"");
    simulation.received(&ask);
    let request = answer(&[b"\xfbx".to_vec()]);
    simulation.sent(&request);
    for piece in file.chunks(8000) {
        simulation.received(piece);
    }
    simulation.received(&over);
    let end = packet(7, &ok(3, 2));
    simulation.sent(&end);
    simulation.closed();
    check(
        &simulation,
        &[("LOAD DATA LOCAL INFILE 'x' INTO TABLE t", 1, 0, 3)],
        asked + ask.len() + file.len() + over.len(),
        sent + request.len() + end.len(),
    );
}

#[test]
fn a_command_of_sixteen_megabytes_is_one() {
    let mut text = b"INSERT INTO t VALUES ('".to_vec();
    text.resize(0x110_0000, b'x');
    text.extend(b"')");
    let ask = command(3, &text);
    let mut simulation = ready(0);
    let (sent, asked) = begun(&simulation);
    simulation.received(&ask[..4]);
    for piece in ask[4..].chunks(16_384) {
        simulation.received(piece);
    }
    let end = packet(2, &ok(1, 2));
    simulation.sent(&end);
    simulation.closed();
    check(
        &simulation,
        &[("", 1, 0, 1)],
        asked + ask.len(),
        sent + end.len(),
    );
}

#[test]
fn what_is_cut_off_is_estimated_and_says_so() {
    let mut simulation = ready(0);
    simulation.received(&query("SELECT a FROM t"));
    let answer = answer(&result(false, 1, &rows(10), 2));
    simulation.sent(&answer[..answer.len() - 30]);
    simulation.closed();
    let emitted = simulation.emitted();
    let (outcome, ..) = emitted
        .statements
        .iter()
        .find(|(outcome, ..)| outcome.queries == 1)
        .expect("statement");
    assert_eq!(outcome.flags, STATEMENT_FAILED | STATEMENT_ESTIMATED);
    assert!(outcome.rows_returned > 5);
}

#[test]
fn random_bytes_are_all_accounted_for() {
    let mut draw = draws();
    for _ in 0..3000 {
        let mut simulation = if draw(2) == 0 {
            ready(if draw(2) == 0 { DEPRECATES } else { 0 })
        } else {
            Simulation::mysql()
        };
        let (mut sent, mut received) = begun(&simulation);
        for _ in 0..draw(12) {
            let length = 1 + draw(60);
            // Small numbers, so that lengths are often plausible.
            let bytes: Vec<u8> = (0..length)
                .map(|_| match draw(3) {
                    0 => draw(256) as u8,
                    1 => draw(24) as u8,
                    _ => 0,
                })
                .collect();
            if simulation
                .connection
                .has(crate::connection::CONNECTION_CLOSED)
            {
                break;
            }
            if draw(2) == 0 {
                sent += length;
                simulation.sent(&bytes);
            } else {
                received += length;
                simulation.received(&bytes);
            }
        }
        simulation.closed();
        assert_eq!(simulation.accounted(), (sent as u64, received as u64));
        assert_eq!(simulation.emitted().closed, 1);
    }
}

/// Packets that are shorter than what they say are read on in what follows them, or in nothing: never in what was there before.
#[test]
fn short_packets_end_where_they_end() {
    let answers = [
        answer(&[vec![]]),
        answer(&[vec![0]]),
        answer(&[vec![0, 0xfe]]),
        answer(&[vec![0xff, 0x28, 4, b'#']]),
        answer(&[vec![0xfe, 0, 0, 0, 0, 0]]),
        answer(&[vec![0xfd]]),
    ];
    let requests = [
        query("SELECT 1"),
        query("us"),
        command(0x16, b"SELECT ?"),
        command(0x17, b"\x01"),
        command(0x1c, b""),
    ];
    for answer in &answers {
        for request in &requests {
            let told = [0, b'\'', 0xff].map(|garbage| {
                let mut simulation = ready(0);
                simulation.garbage(garbage);
                simulation.received(request);
                simulation.sent(answer);
                simulation.received(&query("SELECT 2"));
                simulation.closed();
                simulation.emitted()
            });
            assert_eq!(told[0], told[1], "{request:?} {answer:?}");
            assert_eq!(told[0], told[2], "{request:?} {answer:?}");
        }
    }
}

/// Which statement a number stands for is not looked up each time; it is what it was all the same.
#[test]
fn statements_that_are_executed_again_are_told_apart() {
    const LAST: u32 = u32::MAX;
    let mut simulation = ready(DEPRECATES);
    let prepare = |simulation: &mut Simulation, number: u32, text: &[u8]| {
        simulation.received(&command(0x16, text));
        let body = [&[0], &number.to_le_bytes()[..], &[0; 7]].concat();
        simulation.sent(&packet(1, &body));
    };
    let execute = |simulation: &mut Simulation, number: u32| {
        let ask = command(0x17, &[&number.to_le_bytes()[..], &[0; 5]].concat());
        // A header by itself, as servers read it, and a body.
        simulation.received(&ask[..4]);
        simulation.received(&ask[4..]);
        simulation.sent(&answer(&result(true, 1, &rows(1), 2)));
    };
    prepare(&mut simulation, 1, b"SELECT a FROM first");
    prepare(&mut simulation, 2, b"SELECT b FROM second");
    for number in [1, 1, 2, 1, LAST, 1, 2, LAST, LAST, 2, 2, 1] {
        execute(&mut simulation, number);
    }
    simulation.received(&query("SELECT c FROM third"));
    simulation.sent(&answer(&result(true, 1, &rows(1), 2)));
    execute(&mut simulation, 1);
    prepare(&mut simulation, 3, b"SELECT d FROM fourth");
    execute(&mut simulation, 1);
    execute(&mut simulation, 3);
    execute(&mut simulation, 1);
    simulation.closed();
    let queries: Vec<(String, u64)> = simulation
        .totals()
        .into_iter()
        .filter(|(text, _)| !text.is_empty())
        .map(|(text, sums)| (text, sums[0]))
        .collect();
    let expected = [
        ("SELECT a FROM first", 8),
        ("SELECT b FROM second", 7),
        ("SELECT c FROM third", 1),
        ("SELECT d FROM fourth", 1),
    ];
    assert_eq!(queries, expected.map(|(text, n)| (text.to_owned(), n)));
}
