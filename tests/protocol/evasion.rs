//! Ways to read that nobody sees, if bytes are taken for less than the server takes them for.

use harness::{
    Options,
    raw::{self, Raw},
};

use crate::stage::{Stage, still_works};

const ROWS: u64 = 700;

fn reads() -> Vec<u8> {
    raw::query(&format!("SELECT id, name FROM items WHERE id <= {ROWS}"))
}

/// The question and the goodbye in one go, and the question behind the start-up packet: the server answers both.
#[test]
fn at_the_ends_of_a_session() {
    let mut stage = Stage::new(&Options::default());
    for (kind, endpoint) in [("unix", stage.server.unix()), ("tcp", stage.server.ipv4())] {
        let role = format!("goodbye_{kind}");
        stage.role(&role);
        let mut client = Raw::start(&endpoint, &role, &stage.database);
        client.send(&[reads(), raw::message(b'X', b"")].concat());
        let answer = client.answer();
        assert_eq!(answer.rows, ROWS, "expected | got {answer:?}");
        let mut volume = answer.volume();
        (volume.bytes_sent, volume.bytes_received) = client.hang_up();
        stage.expect(&role, volume);

        let role = format!("at_once_{kind}");
        stage.role(&role);
        let mut client = Raw::connect(&endpoint);
        let startup = raw::startup(&[("user", &role), ("database", &stage.database)]);
        client.send(&[startup, reads(), reads()].concat());
        assert!(client.answer().kinds.ends_with('Z'), "let in");
        let mut volume = client
            .answers(2)
            .iter()
            .map(raw::Answer::volume)
            .sum::<harness::Volume>();
        assert_eq!(volume.rows_returned, 2 * ROWS);
        volume += still_works(&mut client).volume();
        (volume.bytes_sent, volume.bytes_received) = client.terminate();
        stage.expect(&role, volume);
    }
    stage.finish();
}

/// More questions in one read than wait apart, and one behind a copy that ends in the same read.
#[test]
fn in_the_crowd() {
    /// Of 14 bytes each: no more get into the server's buffer of 8 KiB.
    const QUESTIONS: usize = 580;
    let mut stage = Stage::new(&Options::default());
    stage.play("crowd", |client| {
        client.send(&raw::query("SELECT 1").repeat(QUESTIONS));
        let mut answers = client.answers(QUESTIONS);
        answers.push(still_works(client));
        answers
    });
    for (name, synced_first) in [("synced", false), ("unsynced", true)] {
        stage.play(name, |client| {
            let mut answers = vec![client.query("CREATE TEMPORARY TABLE mine (id int)")];
            let mut end = [raw::message(b'c', b""), raw::sync()];
            if synced_first {
                end.reverse();
            }
            client.send(
                &[
                    raw::parse("", "COPY mine FROM STDIN"),
                    raw::bind("", "", &[]),
                    raw::execute("", 0),
                    end.concat(),
                    reads(),
                ]
                .concat(),
            );
            // In copy mode, the server passes over a Sync.
            answers.extend(client.answers(if synced_first { 1 } else { 2 }));
            let rows: u64 = answers.iter().map(|answer| answer.rows).sum();
            assert_eq!(rows, ROWS, "expected | got {answers:?}");
            answers.push(still_works(client));
            answers
        });
    }
    stage.finish();
}

/// What follows an error in front of which nothing was executed stands under its own name.
#[test]
fn behind_an_error() {
    let mut stage = Stage::new(&Options::default());
    stage.play("behind", |client| {
        client.send(&[raw::parse("", "SELEC"), raw::flush()].concat());
        let failed = client.answer_until(b'E');
        assert_eq!(failed.errors, ["42601"], "expected | got {failed:?}");
        // Passed over.
        client.send(&[reads(), raw::sync()].concat());
        let passed = client.answer();
        assert_eq!((passed.rows, &*passed.kinds), (0, "Z"), "got {passed:?}");
        let mut answers = vec![client.query("SELECT relname FROM pg_class LIMIT 30")];
        answers.push(still_works(client));
        answers
    });
    stage.statement("SELECT pg_class", 1, 30);
    stage.statement("SELECT items", 1, 5);
    stage.finish();
}

/// A quote that begins no literal hides no code: a harmless statement and one that reads are never one.
#[test]
fn behind_a_quote() {
    let mut stage = Stage::new(&Options::default());
    let pairs = [
        (
            "/* /* */ ' */ SELECT 1 --'",
            "/* /* */ ' */ SELECT id FROM items --'",
        ),
        (
            r#"SELECT 1 AS "'" --'"#,
            r#"SELECT 1 AS "'", id FROM items --'"#,
        ),
        ("SELECT $$'$$ --'", "SELECT $$'$$, id FROM items --'"),
        ("SELECT name'a' --'", r"SELECT name'\', id FROM items --'"),
    ];
    stage.play("cloaked", |client| {
        let mut answers = Vec::new();
        for (harmless, reads) in pairs {
            answers.push(client.query(harmless));
            answers.push(client.query(reads));
            assert_eq!(
                answers.last().map(|answer| answer.rows),
                Some(5000),
                "{reads}"
            );
        }
        answers.push(still_works(client));
        answers
    });
    stage.statement(
        "SELECT items",
        pairs.len() as u64 + 1,
        pairs.len() as u64 * 5000 + 5,
    );
    stage.finish();
}
