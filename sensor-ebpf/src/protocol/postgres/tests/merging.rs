//! Completions that are put together, and those that must not be.

use super::{
    conversation::{bind, columns, complete, execute, parse, query, ready, rows, sync},
    simulation::Simulation,
};
use crate::merged::MOST_ROWS;

const NEVER: u64 = u64::MAX;

fn answered(simulation: &mut Simulation, text: &str, answer: &[Vec<u8>]) {
    simulation.received(&query(text));
    let mut answer = answer.concat();
    answer.extend(ready());
    simulation.sent(&answer);
}

fn look_up(simulation: &mut Simulation, text: &str, count: usize) {
    answered(
        simulation,
        text,
        &[columns(), rows(count), complete(&format!("SELECT {count}"))],
    );
}

/// Records of statements: text, how many, rows.
fn records(simulation: &Simulation) -> Vec<(String, u32, i64)> {
    let emitted = simulation.emitted();
    emitted
        .statements
        .iter()
        .filter(|(outcome, _, _)| outcome.queries > 0)
        .map(|(outcome, _, _)| {
            let text = &emitted.texts[&outcome.fingerprint];
            (
                String::from_utf8_lossy(text).into_owned(),
                outcome.queries,
                outcome.rows_returned,
            )
        })
        .collect()
}

fn record(text: &str, queries: u32, rows: i64) -> (String, u32, i64) {
    (text.to_owned(), queries, rows)
}

#[test]
fn equal_statements_leave_as_one_record_with_all_their_bytes() {
    let mut simulation = Simulation::ready(NEVER);
    let mut bytes = (0, 0);
    for key in 1..=5 {
        let text = format!("SELECT a FROM t WHERE k = {key}");
        look_up(&mut simulation, &text, key);
        bytes.1 += query(&text).len() as u64;
        bytes.0 += [
            columns(),
            rows(key),
            complete(&format!("SELECT {key}")),
            ready(),
        ]
        .concat()
        .len() as u64;
    }
    assert_eq!(
        records(&simulation),
        [record("SELECT a FROM t WHERE k = 1", 5, 15)]
    );
    assert_eq!(simulation.accounted(), bytes);
    assert_eq!(simulation.emitted().merged, 5);
}

#[test]
fn statements_are_kept_apart_from_each_other() {
    let mut simulation = Simulation::ready(NEVER);
    // More than there are ways, so that some make room for others.
    for _ in 0..3 {
        for table in 0..9 {
            look_up(&mut simulation, &format!("SELECT a FROM t{table}x"), 2);
        }
    }
    let totals = simulation.totals();
    assert_eq!(totals.len(), 9);
    for (text, [queries, rows, ..]) in totals {
        assert_eq!((queries, rows), (3, 6), "{text}");
    }
}

#[test]
fn what_changes_the_rest_comes_behind_what_was_before() {
    let mut simulation = Simulation::ready(NEVER);
    look_up(&mut simulation, "SELECT a FROM t", 1);
    answered(&mut simulation, "SET ROLE other", &[complete("SET")]);
    look_up(&mut simulation, "SELECT a FROM t", 1);
    let order: Vec<_> = records(&simulation)
        .into_iter()
        .map(|(text, ..)| text)
        .collect();
    assert_eq!(
        order,
        ["SELECT a FROM t", "SET ROLE other", "SELECT a FROM t"]
    );
}

#[test]
fn transactions_are_put_together_until_a_set_is_seen() {
    let mut simulation = Simulation::ready(NEVER);
    let transaction = |simulation: &mut Simulation| {
        answered(simulation, "BEGIN", &[complete("BEGIN")]);
        look_up(simulation, "SELECT a FROM t", 1);
        answered(simulation, "COMMIT", &[complete("COMMIT")]);
    };
    transaction(&mut simulation);
    transaction(&mut simulation);
    // Put together all of them, whether they share a way or not.
    assert_eq!(simulation.emitted().merged, 6);
    let before = records(&simulation).len();
    answered(&mut simulation, "SET LOCAL ROLE other", &[complete("SET")]);
    transaction(&mut simulation);
    transaction(&mut simulation);
    // From the SET on, each BEGIN and COMMIT stands between what was before and behind it.
    let order: Vec<_> = records(&simulation)
        .into_iter()
        .skip(before + 1)
        .map(|(text, queries, _)| (text, queries))
        .collect();
    let expected = ["BEGIN", "SELECT a FROM t", "COMMIT"];
    assert_eq!(
        order,
        [expected, expected]
            .concat()
            .into_iter()
            .map(|text| (text.to_owned(), 1))
            .collect::<Vec<_>>()
    );
}

#[test]
fn many_rows_do_not_wait() {
    let mut simulation = Simulation::ready(NEVER);
    let each = 50;
    let mut count = 0;
    while count < MOST_ROWS {
        assert_eq!(simulation.emitted().statements.len(), 1.min(count as usize));
        look_up(&mut simulation, "SELECT a FROM t", each);
        count += each as u64;
    }
    // Left already, without a drain: what is shown beyond it would be a second record.
    look_up(&mut simulation, "SELECT a FROM t", 1);
    assert_eq!(
        records(&simulation),
        [
            record(
                "SELECT a FROM t",
                MOST_ROWS as u32 / each as u32,
                count as i64
            ),
            record("SELECT a FROM t", 1, 1)
        ]
    );
}

#[test]
fn prepared_statements_are_put_together_too() {
    let mut simulation = Simulation::ready(NEVER);
    simulation.received(&[parse("s", "SELECT a FROM t"), sync()].concat());
    simulation.sent(&[b"1\0\0\0\x04".to_vec(), ready()].concat());
    for _ in 0..4 {
        simulation.received(&[bind("", "s"), execute("", 0), sync()].concat());
        simulation.sent(
            &[
                b"2\0\0\0\x04".to_vec(),
                rows(3),
                complete("SELECT 3"),
                ready(),
            ]
            .concat(),
        );
    }
    assert_eq!(records(&simulation), [record("SELECT a FROM t", 4, 12)]);
}

#[test]
fn nothing_is_left_behind_by_a_connection_that_ends() {
    let mut simulation = Simulation::ready(NEVER);
    for table in 0..3 {
        look_up(&mut simulation, &format!("SELECT a FROM t{table}x"), 2);
    }
    simulation.closed();
    assert_eq!(simulation.connection.merged, 0);
    assert_eq!(simulation.totals().len(), 3);
    assert_eq!(simulation.emitted().closed, 1);
}
