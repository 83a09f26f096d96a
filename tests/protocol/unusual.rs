//! Messages that are rare, large, empty or not UTF-8.

use harness::{
    Options,
    raw::{self},
};

use crate::stage::{Stage, still_works};

#[test]
fn unusual_messages() {
    let mut stage = Stage::new(&Options::default());
    stage.play("empty", |client| {
        let mut answers = vec![
            client.query(""),
            client.query(";"),
            client.query(" ;; -- nothing"),
        ];
        client.send(&[raw::extended("", &[]), raw::sync()].concat());
        answers.push(client.answer());
        assert!(
            answers.iter().all(|a| a.kinds.contains('I')),
            "expected empty answers, got {answers:?}"
        );
        answers.push(still_works(client));
        answers
    });
    // int4pl(40, 2), and one that does not exist.
    stage.play("function_call", |client| {
        client.send(
            &[
                raw::function_call(177, &[40, 2]),
                raw::function_call(1, &[]),
            ]
            .concat(),
        );
        let mut answers = client.answers(2);
        assert_eq!(
            (answers[0].kinds.as_str(), answers[1].errors.len()),
            ("VZ", 1),
            "expected | got {answers:?}"
        );
        answers.push(still_works(client));
        answers
    });
    // Simple COPY, good, failed by the client, failed by its data; then in the extended protocol.
    stage.play("copy_in", |client| {
        let data = raw::message(b'd', b"1\tone\n2\ttwo\n");
        let done = raw::message(b'c', &[]);
        let fail = raw::message(b'f', b"changed my mind\0");
        let copy = "COPY work FROM STDIN";
        let mut answers = Vec::new();
        for end in [&done, &fail] {
            client.send(&raw::query(copy));
            let mut answer = client.answer_until(b'G');
            // Empty CopyData, and one row over two of them.
            let halves = [
                raw::message(b'd', b"3\tth"),
                raw::message(b'd', &[]),
                raw::message(b'd', b"ree\n"),
            ];
            client.send(&[&data[..], &halves.concat(), end].concat());
            let rest = client.answer();
            answer.kinds.push_str(&rest.kinds);
            answer.tags = rest.tags;
            answer.errors = rest.errors;
            answers.push(answer);
        }
        assert_eq!(answers[0].tags, ["COPY 3"], "expected | got {answers:?}");
        client.send(&raw::query(copy));
        client.answer_until(b'G');
        client.send(
            &[
                raw::message(b'd', b"no number\tx\n"),
                data.clone(),
                done.clone(),
            ]
            .concat(),
        );
        answers.push(client.answer());
        client.send(
            &[
                raw::extended(copy, &[]),
                raw::sync(),
                data,
                done,
                raw::sync(),
            ]
            .concat(),
        );
        answers.push(client.answer());
        assert_eq!(answers[3].tags, ["COPY 2"], "expected | got {answers:?}");
        // That one came with two Syncs, like libpq's and tokio-postgres': the first is ignored while COPY reads.
        answers.push(still_works(client));
        answers
    });
    stage.statement("SELECT items", 1, 5);
    stage.play("copy_out", |client| {
        let mut answers = vec![
            client.query("COPY items TO STDOUT; SELECT 1; COPY (SELECT 1 WHERE false) TO STDOUT"),
        ];
        assert_eq!(
            answers[0].tags,
            ["COPY 5000", "SELECT 1", "COPY 0"],
            "expected | got"
        );
        client.send(&[raw::extended("COPY items TO STDOUT", &[]), raw::sync()].concat());
        answers.push(client.answer());
        // Fails after 6 rows.
        answers.push(client.query("COPY (SELECT 1 / (7 - id) FROM items ORDER BY id) TO STDOUT"));
        answers.push(still_works(client));
        answers
    });
    stage.play("mebibyte", |client| {
        let mut answers = vec![
            client.query(&format!("SELECT '{}'", "m".repeat(1 << 20))),
            client.query(&format!(
                "SELECT id /* {} */ FROM items WHERE id <= 7",
                "c".repeat(1 << 20)
            )),
            client.query(&format!(
                "{}SELECT id FROM items WHERE id <= 8",
                " ".repeat(1 << 20)
            )),
        ];
        client.send(
            &[
                raw::extended("SELECT $1::text", &[&"p".repeat(1 << 20)]),
                raw::sync(),
            ]
            .concat(),
        );
        answers.push(client.answer());
        let many = "SELECT 1;".repeat(2000);
        answers.push(client.query(&many));
        assert_eq!(answers[4].tags.len(), 2000, "completions expected | got");
        answers.push(still_works(client));
        answers
    });
    stage.play("invalid_utf8", |client| {
        let mut answers = Vec::new();
        for text in [
            &b"SELECT '\xff\xfe'\0"[..],
            b"\xc3\x28\0",
            b"SELECT \xed\xa0\x80 FROM items\0",
        ] {
            client.send(&raw::message(b'Q', text));
            answers.push(client.answer());
        }
        assert!(
            answers.iter().all(|a| a.errors == ["22021"]),
            "expected 22021, got {answers:?}"
        );
        let mut bytes = b"s\xff\0SELECT 1\0\0\0".to_vec();
        client.send(&[raw::message(b'P', &bytes), raw::sync()].concat());
        answers.push(client.answer());
        bytes = b"\0s\xff\0\0\0\0\0\0\0".to_vec();
        client.send(&[raw::message(b'B', &bytes), raw::execute("", 0), raw::sync()].concat());
        answers.push(client.answer());
        answers.push(still_works(client));
        answers
    });
    // Bodies that are too short for what they should hold: protocol violations, each a failed statement at most.
    stage.play("zero_parameters", |client| {
        let mut answers = Vec::new();
        client.send(
            &[
                raw::extended("SELECT $1::text, $2::text", &["", ""]),
                raw::sync(),
            ]
            .concat(),
        );
        answers.push(client.answer());
        client.send(
            &[
                raw::extended("SELECT FROM items WHERE id <= 5", &[]),
                raw::sync(),
            ]
            .concat(),
        );
        answers.push(client.answer());
        // Rows without columns.
        answers.push(client.query("SELECT FROM items WHERE id <= 3"));
        answers.push(client.query("SELECT '' WHERE false"));
        answers.push(client.query("SELECT ''"));
        answers.push(still_works(client));
        answers
    });
    // Between and inside of answers: notices, notifications, parameter changes.
    stage.play("notices", |client| {
        let mut answers = vec![
            client.query("LISTEN c; NOTIFY c, 'SELECT 99'; SET application_name = 'SELECT 99'"),
            client.query("DO $$ BEGIN FOR i IN 1..500 LOOP RAISE NOTICE 'SELECT %', repeat('n', i); END LOOP; END $$"),
            client.query("SELECT pg_notify('c', repeat('x', 7999)), set_config('application_name', 'SELECT 7', false)"),
            client.query("SET client_min_messages = debug5; SELECT id FROM items WHERE id <= 4; RESET ALL"),
        ];
        answers.push(still_works(client));
        answers
    });
    stage.finish();
}
