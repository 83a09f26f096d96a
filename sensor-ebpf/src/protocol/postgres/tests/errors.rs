//! Why statements failed, wherever sends cut the stream.

use super::{
    conversation::{bind, columns, complete, execute, message, parse, query, ready, rows, sync},
    simulation::Simulation,
};
use crate::{record::STATEMENT_FAILED, sqlstate::unpack};

/// As PostgreSQL sends it, in the language that it was set to.
fn error(severity: &str, code: &str) -> Vec<u8> {
    let text = "relation \"C22012\" does not exist".repeat(4);
    let fields = format!(
        "S{severity}\0VERROR\0C{code}\0M{text}\0P15\0Fparse_relation.c\0L1449\0RparserOpenTable\0\0"
    );
    message(b'E', fields.as_bytes())
}

/// Text, statements and code of each that failed, and of all others the number.
fn outcomes(simulation: &Simulation) -> (Vec<(String, u32, String)>, u32) {
    let emitted = simulation.emitted();
    let mut failed = Vec::new();
    let mut others = 0;
    for (outcome, _, _) in &emitted.statements {
        if outcome.flags & STATEMENT_FAILED == 0 {
            assert_eq!(outcome.sqlstate, 0, "{outcome:?}");
            others += outcome.queries;
            continue;
        }
        let text = &emitted.texts[&outcome.fingerprint];
        let code = unpack(outcome.sqlstate).unwrap_or(*b"-----");
        failed.push((
            String::from_utf8_lossy(text).into_owned(),
            outcome.queries,
            String::from_utf8_lossy(&code).into_owned(),
        ));
    }
    (failed, others)
}

/// The answer in one send, in two at every place, in three around it, and byte by byte.
fn however_cut(ask: &[u8], answer: &[u8], check: impl Fn(&Simulation, &str)) {
    let run = |cuts: &[usize]| {
        let mut simulation = Simulation::ready(u64::MAX);
        simulation.received(ask);
        let mut from = 0;
        for to in cuts.iter().copied().chain([answer.len()]) {
            let to = to.min(answer.len());
            if to > from {
                simulation.sent(&answer[from..to]);
            }
            from = to.max(from);
        }
        simulation.wants_input();
        let (sent, _) = simulation.accounted();
        assert_eq!(sent, answer.len() as u64, "{cuts:?}");
        check(&simulation, &format!("cut at {cuts:?}"));
    };
    run(&[]);
    for cut in 1..answer.len() {
        run(&[cut]);
        run(&[cut, cut + 7]);
        run(&[cut, cut + 63]);
    }
    run(&(1..answer.len()).collect::<Vec<_>>());
}

#[test]
fn the_code_of_a_simple_querys_error_is_told() {
    for severity in ["ERROR", "FEHLER", "ОШИБКА"] {
        for rows_before in [0, 9] {
            let before = if rows_before > 0 {
                [columns(), rows(rows_before)].concat()
            } else {
                Vec::new()
            };
            let answer = [before, error(severity, "42P01"), ready()].concat();
            however_cut(
                &query("SELECT a FROM missing"),
                &answer,
                |simulation, how| {
                    let expected = ("SELECT a FROM missing".to_owned(), 1, "42P01".to_owned());
                    assert_eq!(outcomes(simulation), (vec![expected], 0), "{how}");
                },
            );
        }
    }
}

#[test]
fn each_of_a_pipeline_has_its_own() {
    // Between two syncs the server discards what follows an error.
    let ask = [
        parse("", "INSERT INTO t VALUES ($1)"),
        bind("", ""),
        execute("", 0),
        parse("", "SELECT discarded"),
        bind("", ""),
        execute("", 0),
        sync(),
        parse("", "SELECT 1 / $1"),
        bind("", ""),
        execute("", 0),
        sync(),
        parse("", "SELECT a FROM t"),
        bind("", ""),
        execute("", 0),
        sync(),
    ]
    .concat();
    let prepared = [message(b'1', b""), message(b'2', b"")].concat();
    let answer = [
        prepared.clone(),
        error("ERROR", "23505"),
        ready(),
        prepared.clone(),
        error("ERROR", "22012"),
        ready(),
        prepared,
        rows(1),
        complete("SELECT 1"),
        ready(),
    ]
    .concat();
    however_cut(&ask, &answer, |simulation, how| {
        let failed = |text: &str, code: &str| (text.to_owned(), 1, code.to_owned());
        let expected = vec![
            failed("INSERT INTO t VALUES ($1)", "23505"),
            failed("SELECT 1 / $1", "22012"),
        ];
        assert_eq!(outcomes(simulation), (expected, 1), "{how}");
    });
}

#[test]
fn equal_statements_keep_their_own_outcome() {
    let mut simulation = Simulation::ready(u64::MAX);
    let ask = |simulation: &mut Simulation, answer: &[Vec<u8>]| {
        simulation.received(&query("SELECT 1 / a FROM t WHERE k = 7"));
        simulation.sent(&[answer.concat(), ready()].concat());
    };
    let works = [columns(), rows(1), complete("SELECT 1")];
    for code in ["22012", "57014", "22012"] {
        ask(&mut simulation, &works);
        ask(&mut simulation, &works);
        ask(&mut simulation, &[error("ERROR", code)]);
    }
    let (failed, others) = outcomes(&simulation);
    let codes: Vec<&str> = failed.iter().map(|(_, _, code)| code.as_str()).collect();
    assert_eq!((codes, others), (vec!["22012", "57014", "22012"], 6));
    assert!(failed.iter().all(|(_, queries, _)| *queries == 1));
}
