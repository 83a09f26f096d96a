//! Pipelines, deep and broken.

use harness::{
    Options,
    raw::{self},
};

use crate::stage::{Stage, still_works};

#[test]
fn pipelines() {
    let mut stage = Stage::new(&Options::default());
    // A thousand executions, one Sync.
    stage.play("thousand", |client| {
        let mut bytes = raw::parse("s", "SELECT name FROM items WHERE id <= $1::int");
        for i in 0..1000 {
            bytes.extend(raw::bind("", "s", &[&(i % 7).to_string()]));
            bytes.extend(raw::execute("", 0));
        }
        bytes.extend(raw::sync());
        client.send(&bytes);
        let answer = client.answer();
        assert_eq!(answer.tags.len(), 1000, "completions expected | got");
        vec![answer, still_works(client)]
    });
    // The 500th fails, the rest is skipped.
    stage.play("error", |client| {
        let mut bytes = raw::parse("s", "SELECT 1 / $1::int");
        for i in 0..1000 {
            bytes.extend(raw::bind("", "s", &[if i == 499 { "0" } else { "1" }]));
            bytes.extend(raw::execute("", 0));
        }
        bytes.extend(raw::sync());
        client.send(&bytes);
        let answer = client.answer();
        assert_eq!(
            (answer.tags.len(), answer.errors.len()),
            (499, 1),
            "completions and errors expected | got"
        );
        vec![answer, still_works(client)]
    });
    // Statements in turn: more requests under way than are kept apart.
    stage.play("turns", |client| {
        let mut bytes = raw::parse("s", "SELECT id FROM items WHERE id <= 3");
        bytes.extend(raw::parse(
            "i",
            "INSERT INTO work VALUES (1, 'x'), (2, 'y')",
        ));
        bytes.extend(raw::parse(
            "u",
            "UPDATE accounts SET balance = 1 WHERE id <= 2 RETURNING id",
        ));
        for i in 0..1000 {
            bytes.extend(raw::bind("", ["s", "i", "u"][i % 3], &[]));
            bytes.extend(raw::execute("", 0));
        }
        bytes.extend(raw::sync());
        client.send(&bytes);
        vec![client.answer(), still_works(client)]
    });
    stage.statement("SELECT items", 334 + 1, 334 * 3 + 5);
    stage.statement("INSERT work", 333, 0);
    // Many Syncs, errors in some of the groups, all sent at once.
    stage.play("syncs", |client| {
        let mut bytes = Vec::new();
        for i in 0..100 {
            bytes.extend(raw::extended(
                "SELECT id FROM items WHERE id <= $1::int",
                &["4"],
            ));
            if i % 3 == 0 {
                bytes.extend(raw::extended("SELECT 1 / $1::int", &["0"]));
                bytes.extend(raw::extended("SELECT 'skipped'", &[]));
            }
            bytes.extend(raw::sync());
            if i % 5 == 0 {
                bytes.extend(raw::sync());
            }
        }
        client.send(&bytes);
        let mut answers = client.answers(120);
        assert_eq!(
            answers.iter().map(|a| a.errors.len()).sum::<usize>(),
            34,
            "errors expected | got"
        );
        answers.push(still_works(client));
        answers
    });
    // Simple queries, all sent before any is answered; some with errors, some of several statements.
    stage.play("simple", |client| {
        let mut bytes = Vec::new();
        for i in 0..300 {
            bytes.extend(raw::query(match i % 4 {
                0 => "SELECT id FROM items WHERE id <= 2",
                1 => "SELECT 1; SELECT 2; INSERT INTO work VALUES (1, 'x')",
                2 => "SELECT 1; SELECT 1/0; SELECT 2",
                _ => "UPDATE accounts SET balance = 2 WHERE id = 1 RETURNING *",
            }));
        }
        client.send(&bytes);
        let mut answers = client.answers(300);
        answers.push(still_works(client));
        answers
    });
    // A simple query in a failed extended request is discarded like the rest, up to the Sync.
    stage.play("discarded", |client| {
        client.send(
            &[
                raw::extended("SELECT 1 / $1::int", &["0"]),
                raw::query("SELECT 'discarded'"),
                raw::sync(),
                raw::query("SELECT id FROM items WHERE id <= 6"),
            ]
            .concat(),
        );
        let mut answers = client.answers(2);
        assert_eq!(answers[1].tags, ["SELECT 6"], "expected | got {answers:?}");
        answers.push(still_works(client));
        answers
    });
    // A simple query behind an extended request without Sync: both run, one ReadyForQuery.
    stage.play("mixed", |client| {
        client.send(
            &[
                raw::extended("SELECT id FROM items WHERE id <= $1::int", &["8"]),
                raw::query("SELECT id FROM items WHERE id <= 9"),
            ]
            .concat(),
        );
        vec![client.answer(), still_works(client)]
    });
    // Flush instead of Sync: answers come, the request goes on.
    stage.play("flush", |client| {
        let mut answers = Vec::new();
        for i in 1..=20 {
            client.send(
                &[
                    raw::extended(
                        "SELECT id FROM items WHERE id <= $1::int",
                        &[&i.to_string()],
                    ),
                    raw::flush(),
                ]
                .concat(),
            );
            answers.push(client.answer_until(b'C'));
        }
        client.send(&raw::sync());
        answers.push(client.answer());
        answers.push(still_works(client));
        answers
    });
    // Parse that fails, with nothing executed behind it: a failed statement.
    stage.play("refused", |client| {
        client.send(&[raw::parse("", "SELEC 1"), raw::sync()].concat());
        vec![client.answer(), still_works(client)]
    });
    // Parse, Describe and Close alone: no statement.
    stage.play("prepared_only", |client| {
        client.send(
            &[
                raw::parse("p", "SELECT id FROM items"),
                raw::bind("portal", "p", &[]),
                raw::describe("portal"),
                raw::close("portal"),
                raw::sync(),
            ]
            .concat(),
        );
        let mut answer = client.answer();
        // CloseComplete, ParseComplete, … are no completions.
        answer.kinds.retain(|kind| kind == 'C' || kind == 'E');
        assert!(
            answer.kinds.is_empty(),
            "expected nothing executed, got {answer:?}"
        );
        vec![answer, still_works(client)]
    });
    stage.finish();
}
