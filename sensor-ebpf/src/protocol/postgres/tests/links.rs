//! Executions whose application says which trace they belong to.

use super::{
    conversation::{bind, columns, complete, execute, message, parse, query, ready, rows, sync},
    simulation::Simulation,
};

fn parent(number: u32) -> String {
    format!("00-0af7651916cd43dd8448eb211c80319c-{number:016x}-01")
}

fn commented(text: &str, number: u32) -> String {
    format!("{text} /*action='x',traceparent='{}'*/", parent(number))
}

/// Records of statements: how many, and the traceparent of their link.
fn records(simulation: &Simulation) -> Vec<(u32, Option<String>)> {
    let emitted = simulation.emitted();
    let statements = emitted.statements.iter();
    statements
        .filter(|(outcome, _, _)| outcome.queries > 0)
        .map(|(outcome, _, _)| {
            let mut links = emitted.links.iter();
            let link = links.rfind(|(number, _)| *number == outcome.link);
            (outcome.queries, link.map(|(_, parent)| parent.clone()))
        })
        .collect()
}

fn linked(number: u32) -> (u32, Option<String>) {
    (1, Some(parent(number)))
}

fn answer(simulation: &mut Simulation) {
    simulation.sent(&[columns(), rows(1), complete("SELECT 1"), ready()].concat());
}

fn prepared() -> Vec<u8> {
    [
        message(b'1', b""),
        message(b'2', b""),
        rows(1),
        complete("SELECT 1"),
    ]
    .concat()
}

#[test]
fn each_execution_has_its_own_and_is_not_put_together_with_others() {
    let mut simulation = Simulation::ready(u64::MAX);
    // More than there are numbers.
    for number in 1..=300 {
        simulation.received(&query(&commented("SELECT a FROM t", number)));
        answer(&mut simulation);
        let found = records(&simulation);
        assert_eq!(found.last(), Some(&linked(number)));
    }
    for text in [
        "SELECT a FROM t ",
        "SELECT a FROM t /* x */",
        "SELECT a FROM t /*a='b'*/",
    ] {
        simulation.received(&query(text));
        answer(&mut simulation);
    }
    let found = records(&simulation);
    assert_eq!(found.len(), 301);
    assert_eq!(found[300], (3, None), "the others are put together");
    let emitted = simulation.emitted();
    assert_eq!(emitted.texts.len(), 1, "one statement: {:?}", emitted.texts);
}

#[test]
fn a_prepared_statements_link_is_of_its_first_execution() {
    for name in ["", "named"] {
        for portal in ["", "cursor"] {
            let mut simulation = Simulation::ready(u64::MAX);
            simulation.received(
                &[
                    parse(name, &commented("SELECT a FROM t", 1)),
                    message(b'D', b"S\0"),
                    sync(),
                ]
                .concat(),
            );
            simulation.sent(&[message(b'1', b""), ready()].concat());
            for _ in 0..3 {
                simulation.received(&[bind(portal, name), execute(portal, 0), sync()].concat());
                simulation
                    .sent(&[message(b'2', b""), rows(1), complete("SELECT 1"), ready()].concat());
            }
            let of = |link: Option<u32>| {
                let found = records(&simulation);
                let of = link.map(parent);
                found
                    .iter()
                    .filter(|(_, found)| *found == of)
                    .map(|(queries, _)| *queries)
                    .sum::<u32>()
            };
            assert_eq!((of(Some(1)), of(None)), (1, 2), "{name} {portal}");
        }
    }
}

#[test]
fn each_of_a_pipeline_has_its_own() {
    let mut simulation = Simulation::ready(u64::MAX);
    let ask: Vec<u8> = (1..=5)
        .flat_map(|number| {
            [
                parse("", &commented("SELECT a FROM t", number)),
                bind("", ""),
                execute("", 0),
            ]
            .concat()
        })
        .chain(parse("", "SELECT a FROM t"))
        .chain(bind("", ""))
        .chain(execute("", 0))
        .chain(sync())
        .collect();
    simulation.received(&ask);
    let mut answers = prepared().repeat(6);
    answers.extend(ready());
    simulation.sent(&answers);
    let mut expected: Vec<_> = (1..=5).map(linked).collect();
    expected.push((1, None));
    assert_eq!(records(&simulation), expected);
}

#[test]
fn all_statements_of_a_text_share_its_link_wherever_reads_cut_it() {
    let text = commented("SELECT a FROM t; SELECT b FROM t", 7);
    let ask = query(&text);
    for cut in 1..ask.len() {
        let mut simulation = Simulation::ready(u64::MAX);
        simulation.received(&ask[..cut]);
        simulation.received(&ask[cut..]);
        simulation.sent(
            &[
                columns(),
                rows(1),
                complete("SELECT 1"),
                columns(),
                rows(1),
                complete("SELECT 1"),
                ready(),
            ]
            .concat(),
        );
        assert_eq!(records(&simulation), [linked(7), linked(7)], "{cut}");
    }
}
