//! Keys of statements in every way that they reach the server.

use super::{
    conversation::{bind, columns, complete, execute, message, parse, query, ready, rows, sync},
    simulation::Simulation,
};
use crate::picked::{KEYS_FIRST, KEYS_KEY, Plan};

/// Runs a statement, then says what its key is.
fn learnt(text: &str, plan: Plan) -> Simulation {
    let mut simulation = Simulation::ready(u64::MAX);
    simulation.received(&query(text));
    let answer = [columns(), rows(1), complete("SELECT 1"), ready()].concat();
    simulation.sent(&answer);
    let emitted = simulation.emitted();
    let fingerprint = *emitted.texts.keys().next().expect("one text");
    assert!(emitted.picks.is_empty(), "nothing leaves without a plan");
    simulation.plan(fingerprint, plan);
    simulation
}

const FIRST: Plan = Plan {
    group: 0,
    param: 0,
    ..Plan::EMPTY
};

#[test]
fn simple_and_prepared_statements_pick_the_same_record() {
    let mut simulation = learnt("SELECT a FROM t WHERE id = 1", FIRST);
    simulation.received(&query("SELECT a FROM t WHERE id = 77"));
    simulation.sent(&[columns(), rows(1), complete("SELECT 1"), ready()].concat());
    // The literal of a statement that is parsed apart; the parameter of another one is not bound at all.
    let mut prepared = parse("s", "SELECT a FROM t WHERE id = 77");
    prepared.extend(parse("p", "SELECT a FROM t WHERE id = $1"));
    prepared.extend(bind("", "s"));
    prepared.extend(execute("", 0));
    prepared.extend(sync());
    simulation.received(&prepared);
    let picks = simulation.emitted().picks;
    assert_eq!(picks.len(), 2, "{picks:?}");
    assert_eq!(picks[0], picks[1]);
    assert_eq!(picks[0].1.flags, KEYS_FIRST | KEYS_KEY);
}

#[test]
fn a_split_message_is_read_whole() {
    let mut simulation = learnt("SELECT a FROM t WHERE id = 1", FIRST);
    simulation.received(&query("SELECT a FROM t WHERE id = 5"));
    simulation.sent(&[columns(), rows(1), complete("SELECT 1"), ready()].concat());
    let whole = simulation.emitted().picks[0].1;
    let message = query("SELECT a FROM t WHERE id = 5");
    for at in 1..message.len() {
        simulation.received(&message[..at]);
        simulation.received(&message[at..]);
        simulation.sent(&[columns(), rows(1), complete("SELECT 1"), ready()].concat());
        let picks = simulation.emitted().picks;
        assert_eq!((picks.len(), picks[at].1), (at + 1, whole), "split at {at}");
    }
}

/// A server refuses such a `Bind`: what it seems to pick must at least hang on nothing that lies behind it.
#[test]
fn formats_that_are_none_are_not_looked_for() {
    let formats = |count: u16, parameters: u16| {
        let mut body = b"\0\0".to_vec();
        body.extend(count.to_be_bytes());
        body.extend(parameters.to_be_bytes());
        for _ in 0..parameters {
            body.extend(b"\0\0\0\x0277");
        }
        message(b'B', &body)
    };
    let last = Plan {
        param: 19,
        ..Plan::EMPTY
    };
    // More of them than the message is long, and fewer than parameters.
    for (count, parameters) in [(u16::MAX, 20), (0x3000, 0), (2, 20)] {
        let picks = [0, 1, 0xff].map(|garbage| {
            let mut simulation = Simulation::ready(u64::MAX);
            simulation.plan_for_all(last);
            simulation.garbage(garbage);
            simulation.received(&parse("", "SELECT a FROM t WHERE id = $1"));
            simulation.received(&formats(count, parameters));
            simulation.emitted().picks
        });
        assert_eq!(picks[0], picks[1], "{count} formats");
        assert_eq!(picks[0], picks[2], "{count} formats");
    }
}
