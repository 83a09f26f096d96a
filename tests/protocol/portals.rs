//! Portals, row limits, named statements.

use harness::{
    Options,
    raw::{self},
};

use crate::stage::{Stage, still_works};

#[test]
fn portals() {
    let mut stage = Stage::new(&Options::default());
    // 100 rows by 10, each execution with its own Flush; the eleventh finds nothing.
    stage.play("unnamed", |client| {
        client.send(
            &[
                raw::parse("", "SELECT id, payload FROM items WHERE id <= 100"),
                raw::bind("", "", &[]),
            ]
            .concat(),
        );
        let mut answers = Vec::new();
        for _ in 0..10 {
            client.send(&[raw::execute("", 10), raw::flush()].concat());
            answers.push(client.answer_until(b's'));
        }
        client.send(&[raw::execute("", 10), raw::sync()].concat());
        answers.push(client.answer());
        assert_eq!(answers[10].tags, ["SELECT 0"], "expected | got {answers:?}");
        answers.push(still_works(client));
        answers
    });
    // A Sync after each execution, in a transaction so that the portal lives on; large enough to be skimmed.
    stage.play("synced", |client| {
        let mut answers = vec![client.query("BEGIN")];
        client.send(
            &[
                raw::parse(
                    "s",
                    "SELECT i, repeat('p', 200) FROM generate_series(1, 4500) i",
                ),
                raw::bind("large", "s", &[]),
                raw::sync(),
            ]
            .concat(),
        );
        client.answer();
        for _ in 0..5 {
            client.send(&[raw::execute("large", 1000), raw::sync()].concat());
            answers.push(client.answer());
        }
        assert_eq!(
            answers[5].rows, 500,
            "rows of the last execution expected | got"
        );
        answers.push(client.query("COMMIT"));
        answers.push(still_works(client));
        answers
    });
    // Two named portals in turn, pipelined.
    stage.play("turns", |client| {
        let mut bytes = [
            raw::parse("a", "SELECT id FROM items WHERE id <= 60"),
            raw::parse("b", "SELECT name, payload FROM items WHERE id <= 45"),
            raw::bind("pa", "a", &[]),
            raw::bind("pb", "b", &[]),
        ]
        .concat();
        for _ in 0..7 {
            bytes.extend(raw::execute("pa", 10));
            bytes.extend(raw::execute("pb", 7));
        }
        bytes.extend(raw::sync());
        client.send(&bytes);
        let answer = client.answer();
        assert_eq!(answer.rows, 105, "rows expected | got {answer:?}");
        vec![answer, still_works(client)]
    });
    // Given up: closed after 30 of 100 rows. No completion tells that it was a statement.
    stage.play("given_up", |client| {
        client.send(
            &[
                raw::parse("", "SELECT id FROM items WHERE id <= 100"),
                raw::bind("p", "", &[]),
                raw::execute("p", 30),
                raw::close("p"),
                raw::sync(),
            ]
            .concat(),
        );
        let answer = client.answer();
        assert_eq!(answer.rows, 30, "rows expected | got {answer:?}");
        vec![answer, still_works(client)]
    });
    stage.queries_besides_answers(1);
    // Executed again after its end: the server answers with no rows, it is no further statement.
    stage.play("again", |client| {
        client.send(
            &[
                raw::parse("", "SELECT id FROM items WHERE id <= 11"),
                raw::bind("p", "", &[]),
                raw::execute("p", 0),
                raw::execute("p", 0),
                raw::execute("p", 5),
                raw::sync(),
            ]
            .concat(),
        );
        let answer = client.answer();
        assert_eq!(
            answer.tags,
            ["SELECT 11", "SELECT 0", "SELECT 0"],
            "expected | got"
        );
        vec![answer, still_works(client)]
    });
    stage.queries_besides_answers(-2);
    // A limit on what returns rows while it writes, and an error after some rows.
    stage.play("returning", |client| {
        client.send(
            &[
                raw::parse(
                    "",
                    "UPDATE accounts SET balance = 3 WHERE id <= 25 RETURNING id",
                ),
                raw::bind("", "", &[]),
                raw::execute("", 10),
                raw::execute("", 0),
                raw::sync(),
            ]
            .concat(),
        );
        let first = client.answer();
        assert_eq!(first.rows, 25, "rows expected | got {first:?}");
        client.send(
            &[
                raw::parse("", "SELECT 10 / (15 - id) FROM items ORDER BY id"),
                raw::bind("", "", &[]),
                raw::execute("", 10),
                raw::execute("", 10),
                raw::sync(),
            ]
            .concat(),
        );
        let second = client.answer();
        assert_eq!(
            (second.rows, second.errors.len()),
            (14, 1),
            "rows and errors expected | got {second:?}"
        );
        vec![first, second, still_works(client)]
    });
    stage.finish();
}
