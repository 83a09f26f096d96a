//! What a client may do to have rows that nobody sees: each is answered by a real server as it is here.

use super::{
    conversation::{
        bind, columns, complete, error, execute, message, parse, query, ready, rows, startup, sync,
    },
    simulation::Simulation,
};
use crate::{connection::Protocol, record::STATEMENT_OVERHEAD};

const NEVER: u64 = u64::MAX;

fn result(count: usize) -> Vec<u8> {
    let tag = format!("SELECT {count}");
    [columns(), rows(count), complete(&tag), ready()].concat()
}

/// Rows returned under each text.
fn returned(simulation: &Simulation) -> Vec<(String, u64)> {
    let totals = simulation.totals();
    let mut found: Vec<(String, u64)> = totals
        .into_iter()
        .filter(|(_, [_, returned, ..])| *returned > 0)
        .map(|(text, [_, returned, ..])| (text, returned))
        .collect();
    found.sort();
    found
}

fn is(found: &[(String, u64)], expected: &[(&str, u64)]) {
    let expected: Vec<(String, u64)> = expected
        .iter()
        .map(|(text, rows)| ((*text).to_owned(), *rows))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_goodbye_in_the_same_read_as_the_question() {
    let mut simulation = Simulation::ready(NEVER);
    simulation.received(&[query("SELECT a FROM t"), message(b'X', b"")].concat());
    assert_eq!(simulation.emitted().closed, 0);
    simulation.sent(&result(7));
    simulation.closed();
    is(&returned(&simulation), &[("SELECT a FROM t", 7)]);
    assert_eq!(simulation.emitted().closed, 1);
    assert_eq!(simulation.accounted(), simulation.given());
    // With nothing to answer, it is the end at once.
    let mut simulation = Simulation::ready(NEVER);
    simulation.received(&message(b'X', b""));
    assert_eq!(simulation.emitted().closed, 1);
}

#[test]
fn questions_behind_the_start_up_packet() {
    let parameters = b"user\0ann\0database\0crm\0\0";
    let mut packet = startup(parameters);
    let own = packet.len();
    packet.extend(query("SELECT a FROM t"));
    for at in 1..packet.len() {
        let mut simulation = Simulation::new(NEVER);
        simulation.received(&packet[..at]);
        simulation.received(&packet[at..]);
        simulation.sent(&[message(b'R', &[0; 4]), ready()].concat());
        simulation.sent(&result(7));
        simulation.closed();
        is(&returned(&simulation), &[("SELECT a FROM t", 7)]);
        assert_eq!(
            simulation.emitted().startups,
            [parameters.to_vec()],
            "cut at {at} of {own}"
        );
        assert_eq!(simulation.accounted(), simulation.given(), "cut at {at}");
    }
    let mut simulation = Simulation::new(NEVER);
    simulation.received(&packet);
    simulation.sent(&[message(b'R', &[0; 4]), ready(), result(7)].concat());
    is(&returned(&simulation), &[("SELECT a FROM t", 7)]);
}

#[test]
fn more_questions_than_wait_apart() {
    const ALL: usize = 2000;
    let mut simulation = Simulation::ready(NEVER);
    let asked: Vec<u8> = (0..ALL)
        .flat_map(|i| query(&format!("SELECT {i}")))
        .collect();
    simulation.received(&asked);
    for _ in 0..ALL {
        simulation.sent(&result(3));
    }
    simulation.received(&query("SELECT after"));
    simulation.sent(&result(5));
    let all: u64 = returned(&simulation).iter().map(|(_, rows)| rows).sum();
    assert_eq!(all, 3 * ALL as u64 + 5);
    assert!(returned(&simulation).contains(&("SELECT after".to_owned(), 5)));
    let (queries, failed) = (simulation.totals(), simulation.emitted());
    assert_eq!(
        queries
            .iter()
            .map(|(_, [queries, ..])| queries)
            .sum::<u64>(),
        ALL as u64 + 1
    );
    assert!(
        failed
            .statements
            .iter()
            .all(|(outcome, ..)| outcome.flags & STATEMENT_OVERHEAD == 0)
    );
}

/// The server reads on by itself where a copy ends in the same read, and answers what stands behind it.
#[test]
fn a_question_behind_a_copy() {
    for order in [["c", "S"], ["S", "c"]] {
        let end: Vec<u8> = order
            .iter()
            .flat_map(|kind| message(kind.as_bytes()[0], b""))
            .collect();
        let mut simulation = Simulation::ready(NEVER);
        simulation.received(
            &[
                parse("", "COPY mine FROM STDIN"),
                bind("", ""),
                execute("", 0),
                end,
                query("SELECT a FROM t"),
            ]
            .concat(),
        );
        let acknowledged = [message(b'1', b""), message(b'2', b"")].concat();
        simulation.sent(&[acknowledged, message(b'G', &[0, 0, 0])].concat());
        // Behind CopyDone, a Sync is answered; before it, it was passed over.
        let answered = if order[0] == "c" { ready() } else { Vec::new() };
        simulation.sent(&[complete("COPY 0"), answered, result(9)].concat());
        simulation.received(&query("SELECT after"));
        simulation.sent(&result(5));
        is(
            &returned(&simulation),
            &[("SELECT a FROM t", 9), ("SELECT after", 5)],
        );
    }
}

#[test]
fn an_error_before_anything_is_executed() {
    let mut simulation = Simulation::ready(NEVER);
    simulation.received(&[parse("", "SELEC"), message(b'H', b"")].concat());
    simulation.sent(&error());
    // Passed over by the server, up to the Sync.
    simulation.received(&[query("SELECT never"), sync()].concat());
    simulation.sent(&ready());
    for i in 1..4 {
        simulation.received(&query(&format!("SELECT {i} FROM t{i}")));
        simulation.sent(&result(i));
    }
    is(
        &returned(&simulation),
        &[
            ("SELECT 1 FROM t1", 1),
            ("SELECT 2 FROM t2", 2),
            ("SELECT 3 FROM t3", 3),
        ],
    );
}

/// A row with what looks like a response's end in it, and how many bytes end right behind that; then the rest of such a response.
fn imitation() -> (Vec<u8>, usize) {
    let mut value = vec![b'x'; 900];
    value.extend([complete("SELECT 1"), ready()].concat());
    let at = value.len();
    value.extend(message(b'N', &[0; 64]));
    let mut body = vec![0, 1];
    body.extend((value.len() as u32).to_be_bytes());
    let header = 5 + body.len();
    body.extend(value);
    let row = message(b'D', &body);
    let answer = [row, rows(40), complete("SELECT 41"), ready()].concat();
    (answer, header + at)
}

fn extended() -> Vec<u8> {
    [
        parse("", "SELECT a FROM t"),
        bind("", ""),
        execute("", 0),
        sync(),
    ]
    .concat()
}

/// A pooler hands on what it has read of the server, and a full socket takes a part of what is sent: where that ends says nothing.
#[test]
fn what_looks_like_an_end_where_a_send_ends() {
    let (answer, at) = imitation();
    for protocol in [Protocol::Pooled, Protocol::Postgres] {
        let mut simulation = Simulation::ready(NEVER);
        simulation.connection.protocol = protocol as u8;
        simulation.received(&extended());
        if protocol == Protocol::Pooled {
            simulation.sent(&answer[..at]);
        } else {
            simulation.sent_in_part(&answer, at);
        }
        simulation.sent(&answer[at..]);
        simulation.received(&query("SELECT after"));
        simulation.sent(&result(5));
        is(
            &returned(&simulation),
            &[("SELECT a FROM t", 41), ("SELECT after", 5)],
        );
    }
}
