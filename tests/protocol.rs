//! Promise: whatever a client sends and however it sends it, the sensor counts it exactly, or says that it can't and
//! stays right about everybody else.
//!
//! The client builds every message by hand (`harness/raw.rs`) and counts what comes back.

use std::{
    fmt::Write,
    fs,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{
    Options, Output, Postgres, Sensor, Turn, Volume,
    clients::{Endpoint, SCHEMA, role},
    raw::{self, Answer, Raw},
    relay::Relay,
};

/// Exports often, keeps every series apart, alerts on nothing.
const CONFIGURATION: &str = r#"
[export]
interval = "1s"
max_series = 50000
statement_series = 10000
[[threshold]]
name = "never"
measure = "rows"
window = "1m"
limit = 1000000000000
"#;

/// A server, a sensor, and what it should have counted when all is over.
struct Stage {
    server: Postgres,
    sensor: Sensor,
    database: String,
    expected: Vec<(String, Volume)>,
    /// Role, summary, queries and rows returned.
    statements: Vec<(String, String, u64, u64)>,
    _turn: Turn,
}

impl Stage {
    fn new(options: &Options) -> Self {
        let turn = Turn::take();
        let server = Postgres::start(options);
        let database = format!("protocol_{}", std::process::id());
        server.sql("postgres", &format!("CREATE DATABASE {database}"));
        server.sql(&database, SCHEMA);
        let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
        Self {
            server,
            sensor,
            database,
            expected: Vec::new(),
            statements: Vec::new(),
            _turn: turn,
        }
    }

    fn role(&self, name: &str) {
        self.server.sql(&self.database, &role(name));
    }

    /// Plays a client on each kind of socket, each as a role of its own. It returns what was answered; the bytes are
    /// taken from its connection.
    fn play(&mut self, name: &str, script: impl Fn(&mut Raw) -> Vec<Answer>) {
        for (kind, endpoint) in [("unix", self.server.unix()), ("tcp", self.server.ipv4())] {
            let role = format!("{name}_{kind}");
            self.role(&role);
            let mut client = Raw::start(&endpoint, &role, &self.database);
            let mut volume: Volume = script(&mut client).iter().map(Answer::volume).sum();
            (volume.bytes_sent, volume.bytes_received) = client.terminate();
            self.expected.push((role, volume));
        }
    }

    /// Expects this of a role.
    fn expect(&mut self, role: &str, volume: Volume) {
        self.expected.push((role.to_owned(), volume));
    }

    /// Expects so many queries more (or less) of what was played last than its answers tell.
    fn queries_besides_answers(&mut self, besides: i64) {
        let played = self.expected.len();
        for (_, volume) in &mut self.expected[played - 2..] {
            volume.queries = volume.queries.checked_add_signed(besides).expect("queries");
        }
    }

    /// Expects so many queries and rows under this summary of what was played last.
    fn statement(&mut self, summary: &str, queries: u64, rows: u64) {
        let played = self.expected.len();
        for (role, _) in &self.expected[played - 2..] {
            self.statements
                .push((role.clone(), summary.to_owned(), queries, rows));
        }
    }

    /// Stops the sensor and compares.
    fn finish(self) -> Output {
        self.server.wait_until_idle();
        thread::sleep(Duration::from_millis(300));
        let output = self.sensor.stop();
        let mut differences = String::new();
        for (role, expected) in &self.expected {
            let got = output.volume(&self.database, role);
            if got != *expected {
                writeln!(
                    differences,
                    "{role}:\n  expected {expected:?}\n  got      {got:?}"
                )
                .expect("write");
                let statements = Volume::by_statement(&output.metrics(), &self.database, role);
                writeln!(differences, "  statements {statements:?}").expect("write");
            }
        }
        for (role, summary, queries, rows) in &self.statements {
            let statements = Volume::by_statement(&output.metrics(), &self.database, role);
            let got = statements.get(summary).copied().unwrap_or_default();
            if (got.queries, got.rows_returned) != (*queries, *rows) {
                writeln!(
                    differences,
                    "{role}, {summary}: queries and rows\n  expected ({queries}, {rows})\n  got      ({}, {})",
                    got.queries, got.rows_returned
                )
                .expect("write");
            }
        }
        assert!(differences.is_empty(), "\n{differences}");
        output
    }
}

/// The same connection serves an ordinary query afterwards.
fn still_works(client: &mut Raw) -> Answer {
    let answer = client.query("SELECT id, name FROM items WHERE id <= 5");
    assert_eq!(
        answer.tags,
        ["SELECT 5"],
        "after all of it: expected | got {answer:?}"
    );
    answer
}

#[test]
fn messages_split_over_many_reads() {
    let mut stage = Stage::new(&Options::default());
    let requests = [
        raw::query("SELECT id, name FROM items WHERE id <= 12"),
        raw::extended("SELECT name FROM items WHERE id <= $1::int", &["20"]),
        raw::sync(),
        raw::parse("named", "SELECT payload FROM items WHERE id <= $1::int"),
        raw::bind("portal", "named", &["9"]),
        raw::execute("portal", 0),
        raw::sync(),
        raw::query("INSERT INTO work SELECT 1, 'one' UNION ALL SELECT 2, 'two'"),
        raw::query("SELECT 1; SELECT 2"),
    ]
    .concat();
    for (name, sizes) in [
        ("bytewise", &[1][..]),
        ("odd", &[3, 7, 2, 5, 11]),
        ("headers", &[4, 1, 6]),
        ("halves", &[61, 53]),
        ("whole", &[usize::MAX]),
    ] {
        stage.play(name, |client| {
            client.send_in_pieces(&requests, sizes);
            let mut answers = client.answers(5);
            answers.push(still_works(client));
            answers
        });
    }
    // The start-up packet, too.
    stage.role("startup");
    let mut client = Raw::connect(&stage.server.ipv4());
    let parameters = [("user", "startup"), ("database", stage.database.as_str())];
    client.send_in_pieces(&raw::startup(&parameters), &[1]);
    client.answer();
    let mut volume = still_works(&mut client).volume();
    (volume.bytes_sent, volume.bytes_received) = client.terminate();
    stage.expect("startup", volume);
    let split = ["bytewise", "odd", "headers", "halves", "whole"];
    let database = stage.database.clone();
    let output = stage.finish();
    // Split or whole, the fingerprints are the same.
    let shapes = |name: &str| {
        let mut shapes = Volume::by_statement(&output.metrics(), &database, &format!("{name}_tcp"));
        shapes
            .values_mut()
            .for_each(|volume| *volume = volume.rows_only());
        shapes
    };
    let whole = shapes("whole");
    for name in split {
        assert_eq!(
            whole,
            shapes(name),
            "statements sent whole (left) | {name} (right)"
        );
    }
}

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

#[test]
fn start_up() {
    const SSL: u32 = 80_877_103;
    const GSS: u32 = 80_877_104;
    let mut stage = Stage::new(&Options {
        authentication: vec![
            "host all scram 127.0.0.1/32 scram-sha-256".to_owned(),
            "host all md5 127.0.0.1/32 md5".to_owned(),
            "host all clear 127.0.0.1/32 password".to_owned(),
            "host all refused 127.0.0.1/32 reject".to_owned(),
        ],
        ..Options::default()
    });
    let endpoint = stage.server.ipv4();
    let database = stage.database.clone();
    // Encryption asked for and refused, then the start-up in several forms.
    let filler = |count: usize| -> Vec<(String, String)> {
        (0..count)
            .map(|_| ("_pq_.x".to_owned(), String::new()))
            .collect()
    };
    // (Over TCP a server that was built with GSSAPI accepts its encryption; over unix sockets never.)
    let unix = stage.server.unix();
    for (role, requests, before, after) in [
        ("ssl", &[SSL][..], 0, 0),
        ("gss_ssl", &[GSS, SSL], 0, 0),
        ("thousand_parameters", &[], 0, 1000),
        ("name_comes_last", &[], 1000, 0),
    ] {
        stage.role(role);
        let mut client = Raw::connect(if requests.contains(&GSS) {
            &unix
        } else {
            &endpoint
        });
        for code in requests {
            client.send(&raw::request(*code));
            assert_eq!(
                char::from(client.byte()),
                'N',
                "answer to request {code}: expected | got"
            );
        }
        let (before, after) = (filler(before), filler(after));
        let own = [
            ("user".to_owned(), role.to_owned()),
            ("database".to_owned(), database.clone()),
        ];
        let parameters: Vec<(&str, &str)> = before
            .iter()
            .chain(&own)
            .chain(&after)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        client.send(&raw::startup(&parameters));
        let answer = client.answer();
        assert!(
            answer.errors.is_empty(),
            "{role}: expected a start, got {answer:?}"
        );
        let mut volume = still_works(&mut client).volume();
        (volume.bytes_sent, volume.bytes_received) = client.terminate();
        stage.expect(role, volume);
    }
    // Passwords, in a client that can.
    stage.role("scram");
    stage.role("md5");
    stage.role("clear");
    stage.server.sql(
        "postgres",
        "SET password_encryption = 'md5'; ALTER ROLE md5 PASSWORD 'secret';
         SET password_encryption = 'scram-sha-256'; ALTER ROLE scram PASSWORD 'secret'; ALTER ROLE clear PASSWORD 'secret'",
    );
    for role in ["scram", "md5", "clear"] {
        let relay = Relay::start(&endpoint);
        let output = stage
            .server
            .command("psql")
            .args([
                "-X",
                "-At",
                "-h",
                "127.0.0.1",
                "-U",
                role,
                "-d",
                &database,
                "-c",
                "SELECT id FROM items WHERE id <= 9",
            ])
            .args(["-p", &relay.endpoint().port.to_string()])
            .env("PGPASSWORD", "secret")
            .output()
            .expect("run psql");
        let rows = output.stdout.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(rows, 9, "rows expected | got {output:?}");
        let (bytes_sent, bytes_received) = relay.finish();
        stage.expect(
            role,
            Volume {
                queries: 1,
                rows_returned: 9,
                rows_written: 0,
                bytes_sent,
                bytes_received,
            },
        );
    }
    // Refused: by pg_hba.conf, for lack of a role, of a database. Nothing to count but the bytes.
    stage.role("refused");
    for (role, database) in [
        ("refused", database.as_str()),
        ("nobody", &database),
        ("ssl", "nowhere"),
    ] {
        let mut client = Raw::connect(&endpoint);
        client.send(&raw::startup(&[("user", role), ("database", database)]));
        let answer = client.answer();
        assert_eq!(answer.errors.len(), 1, "expected a refusal, got {answer:?}");
        client.hang_up();
    }
    // A cancelled statement: its request comes over a connection of its own.
    stage.role("cancelled");
    let mut client = Raw::connect(&endpoint);
    client.send(&raw::startup(&[
        ("user", "cancelled"),
        ("database", &database),
    ]));
    let mut key = Vec::new();
    while let Some(message) = client.message() {
        match message.kind {
            b'K' => key = message.body,
            b'Z' => break,
            _ => {}
        }
    }
    client.send(&raw::query("SELECT 1; SELECT pg_sleep(60)"));
    thread::sleep(Duration::from_millis(300));
    let number = |at: usize| u32::from_be_bytes(key[at..at + 4].try_into().expect("four bytes"));
    let mut cancel = Raw::connect(&endpoint);
    cancel.send(&raw::cancel(number(0), number(4)));
    cancel.hang_up();
    let answer = client.answer();
    assert_eq!(answer.errors, ["57014"], "expected | got {answer:?}");
    let mut volume = answer.volume() + still_works(&mut client).volume();
    (volume.bytes_sent, volume.bytes_received) = client.terminate();
    stage.expect("cancelled", volume);
    stage.finish();
}

#[test]
fn replication() {
    let stage = Stage::new(&Options {
        configuration: vec!["wal_level = logical".to_owned()],
        ..Options::default()
    });
    let roles = ["walsender", "backup", "stream"];
    for role in roles {
        stage.role(role);
        stage
            .server
            .sql("postgres", &format!("ALTER ROLE {role} REPLICATION"));
    }
    // The commands of a walsender that are statements like others, and SQL on the same connection.
    let mut client = Raw::connect(&stage.server.ipv4());
    let database = stage.database.as_str();
    client.send(&raw::startup(&[
        ("user", "walsender"),
        ("database", database),
        ("replication", "database"),
    ]));
    client.answer();
    let answers = [
        client.query("IDENTIFY_SYSTEM"),
        client.query("SHOW wal_segment_size"),
        client.query("SELECT id FROM items WHERE id <= 33"),
    ];
    let mut expected: Volume = answers.iter().map(Answer::volume).sum();
    assert_eq!(
        expected.rows_returned, 35,
        "rows expected | got {answers:?}"
    );
    (expected.bytes_sent, expected.bytes_received) = client.terminate();
    // A physical backup, by pg_basebackup with a second connection for the log.
    let relay = Relay::start(&stage.server.ipv4());
    let port = relay.endpoint().port.to_string();
    let connection = ["-h", "127.0.0.1", "-p", &port];
    let target = stage.server.directory().join("backup");
    let output = stage
        .server
        .command("pg_basebackup")
        .args(connection)
        .args([
            "-U",
            "backup",
            "--checkpoint=fast",
            "--wal-method=stream",
            "-D",
        ])
        .arg(&target)
        .output()
        .expect("run pg_basebackup");
    assert!(output.status.success(), "pg_basebackup: {output:?}");
    let backup = relay.finish();
    // The log, by pg_receivewal, while something is written.
    let relay = Relay::start(&stage.server.ipv4());
    let port = relay.endpoint().port.to_string();
    let target = stage.server.directory().join("wal");
    let mut receiver = stage.server.command("pg_receivewal");
    fs::create_dir(&target).expect("create a directory");
    std::os::unix::fs::chown(&target, Some(owner(stage.server.directory())), None).expect("chown");
    let mut receiver = receiver
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "stream",
            "--no-loop",
            "--synchronous",
            "-D",
        ])
        .arg(&target)
        .stderr(Stdio::null())
        .spawn()
        .expect("run pg_receivewal");
    thread::sleep(Duration::from_millis(500));
    stage.server.sql(
        &stage.database,
        "CREATE TABLE filler AS SELECT i FROM generate_series(1, 200000) i",
    );
    thread::sleep(Duration::from_millis(500));
    // SAFETY: our own child, not yet waited for.
    unsafe {
        libc::kill(
            libc::pid_t::try_from(receiver.id()).expect("a pid"),
            libc::SIGINT,
        )
    };
    receiver.wait().expect("wait for pg_receivewal");
    let stream = relay.finish();
    let output = stage.finish();
    let metrics = output.metrics();
    let got = Volume::anywhere(&metrics, "walsender");
    assert_eq!(expected, got, "walsender: client (left) | sensor (right)");
    for (role, (bytes_sent, bytes_received)) in [("backup", backup), ("stream", stream)] {
        let got = Volume::anywhere(&metrics, role);
        let expected = Volume {
            bytes_sent,
            bytes_received,
            ..Volume::default()
        };
        assert!(
            expected.bytes_sent > 1_000_000,
            "{role}: expected megabytes, got {expected:?}"
        );
        // The relay counts what the client wrote. A walsender that is done may end without reading the last of it:
        // the five bytes of a Terminate.
        let unread = expected.bytes_received - got.bytes_received;
        assert!(
            unread == 0 || unread == 5,
            "{role}: relay {expected:?} | sensor {:?}",
            got.bytes_only()
        );
        assert_eq!(
            Volume {
                bytes_received: got.bytes_received,
                ..expected
            },
            got.bytes_only(),
            "{role}: relay (left) | sensor (right)"
        );
        // What a walsender's commands answer (system, timeline, tablespaces), not the files' blocks.
        assert!(
            got.rows_returned < 20,
            "{role}: expected a few rows, got {got:?}"
        );
    }
}

fn owner(path: &std::path::Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).expect("metadata"))
}

/// Rows whose last bytes are those of a response's end, and which end where the server's buffer of 8 KiB does.
#[test]
fn data_that_imitates_the_end_of_a_response() {
    const ROWS: usize = 4000;
    const BUFFER: usize = 8192;
    /// `DataRow` header: type, length, number of columns, length of the column.
    const HEADER: usize = 1 + 4 + 2 + 4;
    let mut stage = Stage::new(&Options::default());
    let ends = [
        ("completion", b"C\0\0\0\x0dSELECT 3\0Z\0\0\0\x05I".to_vec()),
        ("ready", b"Z\0\0\0\x05I".to_vec()),
        ("suspended", b"s\0\0\0\x04Z\0\0\0\x05T".to_vec()),
        ("error", b"E\0\0\0\x0bC57014\0\0Z\0\0\0\x05E".to_vec()),
        (
            "insert",
            b"C\0\0\0\x12INSERT 0 99999\0Z\0\0\0\x05I".to_vec(),
        ),
    ];
    for (name, end) in &ends {
        let hex: String = end.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("write");
            hex
        });
        // ParseComplete and BindComplete come first: the first row is shorter by them, then each fills one buffer.
        let body = |size: usize| size - HEADER - end.len();
        let sql = format!(
            "SELECT convert_to(repeat('x', CASE i WHEN 1 THEN {} ELSE {} END), 'UTF8') || '\\x{hex}'::bytea
             FROM generate_series(1, {ROWS}) i",
            body(BUFFER - 10),
            body(BUFFER),
        );
        stage.play(name, |client| {
            client.send(
                &[
                    raw::parse("", &sql),
                    raw::bind_binary("", ""),
                    raw::execute("", 0),
                    raw::sync(),
                ]
                .concat(),
            );
            let answer = client.answer();
            assert_eq!(answer.tags, [format!("SELECT {ROWS}")], "expected | got");
            assert_eq!(answer.rows, ROWS as u64, "rows expected | got");
            // Slowly read and pipelined behind each other: sends may be cut short anywhere.
            let again = [
                raw::parse("", &sql),
                raw::bind_binary("", ""),
                raw::execute("", 0),
                raw::sync(),
            ]
            .concat();
            client.send(&again.repeat(3));
            let mut answers = vec![answer];
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(30));
                answers.push(client.answer());
            }
            answers.push(still_works(client));
            answers
        });
    }
    stage.finish();
}

/// Results whose messages begin a few bytes before the server's buffer of 8 KiB ends, so that their headers come in two
/// sends; short results, and those of which only the end is looked at.
#[test]
fn headers_split_between_sends() {
    const BUFFER: usize = 8192;
    let mut stage = Stage::new(&Options::default());
    for split in [1, 2, 3, 4, 5, 9] {
        for rows in [5, 40] {
            // RowDescription of a column `v` takes 27 bytes, a DataRow 11 and its value.
            let first = BUFFER - 27 - 11 - split;
            let sql = format!(
                "SELECT repeat('x', CASE i WHEN 1 THEN {first} ELSE {} END) AS v FROM generate_series(1, {rows}) i",
                BUFFER - 11,
            );
            stage.play(&format!("split_{split}_{rows}"), |client| {
                let answer = client.query(&sql);
                assert_eq!(answer.rows, rows, "rows expected | got {answer:?}");
                // An error, and statements that follow in the same message.
                let several = client.query(&format!("{sql}; SELECT 1; {sql}"));
                vec![answer, several, still_works(client)]
            });
        }
    }
    stage.finish();
}

/// The server ends sessions by itself: idle ones, and in the middle of a statement.
#[test]
fn sessions_that_the_server_terminates() {
    let mut stage = Stage::new(&Options::default());
    for (kind, endpoint) in [("unix", stage.server.unix()), ("tcp", stage.server.ipv4())] {
        // Idle, after a query and after a message that nobody has answered yet.
        for (name, unanswered) in [
            ("idle", Vec::new()),
            ("unanswered", raw::parse("", "SELECT 1")),
        ] {
            let role = format!("{name}_{kind}");
            stage.role(&role);
            let mut client = Raw::start(&endpoint, &role, &stage.database);
            let mut volume = still_works(&mut client).volume();
            client.send(&unanswered);
            thread::sleep(Duration::from_millis(50));
            terminate(&stage, &role);
            let last = client.answer();
            assert_eq!(last.errors, ["57P01"], "expected | got {last:?}");
            (volume.bytes_sent, volume.bytes_received) = client.hang_up();
            stage.expect(&role, volume);
        }
        // Asleep in a statement of two: the first returned its rows.
        let role = format!("asleep_{kind}");
        stage.role(&role);
        let mut client = Raw::start(&endpoint, &role, &stage.database);
        client.send(&raw::query(
            "SELECT id FROM items WHERE id <= 20; SELECT pg_sleep(60)",
        ));
        thread::sleep(Duration::from_millis(100));
        terminate(&stage, &role);
        let last = client.answer();
        assert_eq!(last.errors, ["57P01"], "expected | got {last:?}");
        let mut volume = last.volume();
        (volume.bytes_sent, volume.bytes_received) = client.hang_up();
        stage.expect(&role, volume);
    }
    stage.finish();
}

fn terminate(stage: &Stage, role: &str) {
    let sql =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    let done = stage.server.sql("postgres", &sql);
    assert_eq!(done, "t", "pg_terminate_backend of {role}: expected | got");
}

/// A statement that fails after many rows, or whose client dies: no completion says how many they were. Bytes are exact;
/// rows are exact when they are counted one by one, and an estimate otherwise.
#[test]
fn results_without_an_end() {
    /// Rows of this much more or less than the truth, in a hundredth.
    const TOLERANCE: u64 = 2;
    let stage = Stage::new(&Options::default());
    let mut cases = Vec::new();
    for (kind, endpoint) in [("unix", stage.server.unix()), ("tcp", stage.server.ipv4())] {
        for (size, wanted, width) in [
            ("few", 100_u64, 200),
            ("many", 300_000, 200),
            ("narrow", 300_000, 1),
            ("wide", 3000, 20_000),
            ("giant", 30, 1_000_000),
        ] {
            // DataRow: type, length, columns, length, value.
            let row = width + 11;
            let role = format!("dies_{size}_{kind}");
            stage.role(&role);
            let mut client = Raw::start(&endpoint, &role, &stage.database);
            let total = 2_000_000.min(4_000_000_000 / width);
            let sql = format!("SELECT repeat('d', {width}) FROM generate_series(1, {total})");
            client.send(&raw::query(&sql));
            let mut rows = 0;
            while rows < wanted
                && client
                    .message()
                    .is_some_and(|message| message.kind == b'D' || message.kind == b'T')
            {
                rows += 1;
            }
            let received = client.received;
            drop(client);
            // How much the server had sent by then, only the sensor knows.
            cases.push((role, row, None, received));

            let role = format!("fails_{size}_{kind}");
            stage.role(&role);
            let mut client = Raw::start(&endpoint, &role, &stage.database);
            let fails = wanted + 1;
            let sql = format!(
                "SELECT repeat('f', {width} + i / {fails} * (1 / ({fails} - i))) FROM generate_series(1, 20000000) i"
            );
            let answer = client.query(&sql);
            assert_eq!(
                (answer.rows, answer.errors.len()),
                (wanted, 1),
                "rows and errors expected | got {answer:?}"
            );
            let (sent, _) = client.terminate();
            cases.push((role, row, Some(wanted), sent));
        }
    }
    let database = stage.database.clone();
    let output = stage.finish();
    let metrics = output.metrics();
    let mut differences = String::new();
    for (role, row, rows, bytes) in cases {
        let got = Volume::of(&metrics, &database, &role);
        let bytes_hold = if rows.is_some() {
            got.bytes_sent == bytes
        } else {
            got.bytes_sent >= bytes
        };
        let rows = rows.unwrap_or(got.bytes_sent / row);
        let (low, high) = (
            rows * (100 - TOLERANCE) / 100,
            rows * (100 + TOLERANCE) / 100 + 2,
        );
        if got.queries != 1 || !bytes_hold || !(low..=high).contains(&got.rows_returned) {
            writeln!(
                differences,
                "{role}:\n  expected 1 query, {low}..={high} rows, {bytes} bytes sent (at least, when it dies)\n  got      {got:?}"
            )
            .expect("write");
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

/// Encrypted connections: bytes are counted, rows can't be, and that shows as a blind spot.
#[test]
fn encrypted_connections() {
    /// Its record in TLS 1.3: header, alert, type, tag.
    const CLOSE_NOTIFY: f64 = 24.0;
    let stage = Stage::new(&Options {
        configuration: vec!["ssl = on".to_owned()],
        ..Options::default()
    });
    stage.role("encrypted");
    let relay = Relay::start(&stage.server.ipv4());
    let output = stage
        .server
        .command("psql")
        .args([
            "-X",
            "-At",
            "-c",
            "SELECT i, repeat('s', 100) FROM generate_series(1, 5000) i",
        ])
        .arg(format!(
            "host=127.0.0.1 port={} user=encrypted dbname={} sslmode=require",
            relay.endpoint().port,
            stage.database
        ))
        .output()
        .expect("run psql");
    let rows = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(rows, 5000, "rows expected | got {output:?}");
    let (sent, received) = relay.finish();
    let output = stage.finish();
    let blind: f64 = output
        .metrics()
        .iter()
        .filter(|series| {
            series.attributes.values().any(|value| value == "encrypted")
                && series.name.contains("byte")
        })
        .map(|series| series.value)
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let expected = (sent + received) as f64;
    // The client's last record, TLS' close_notify, comes when the server has gone: it is never read.
    assert!(
        (expected - CLOSE_NOTIFY..=expected).contains(&blind),
        "bytes of the encrypted connection: expected {expected} (or {CLOSE_NOTIFY} less), got {blind}"
    );
}

/// Clients at work while the server restarts: what they had answered is counted, what was under way at most adds to it.
#[test]
fn server_that_restarts_under_its_clients() {
    const CLIENTS: u64 = 6;
    let mut stage = Stage::new(&Options::default());
    stage.role("restarted");
    stage.role("after");
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        let (done, answered) = at_work(&mut stage, signal, CLIENTS);
        assert!(
            done.queries > 100,
            "expected the clients to get something done, got {done:?}"
        );
        eprintln!("signal {signal}: {done:?} in {answered} connections");
    }
    // The new server is watched like the old one.
    let mut client = Raw::start(&stage.server.ipv4(), "after", &stage.database);
    let mut volume = still_works(&mut client).volume();
    (volume.bytes_sent, volume.bytes_received) = client.terminate();
    stage.expect("after", volume);
    stage.finish();
}

/// Clients query and reconnect until the server has restarted.
fn at_work(stage: &mut Stage, signal: libc::c_int, clients: u64) -> (Volume, u64) {
    let stop = AtomicBool::new(false);
    let endpoints = [stage.server.unix(), stage.server.ipv4()];
    let before = total(stage);
    let (server, database) = (&mut stage.server, &stage.database);
    let results: Vec<(Volume, u64)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|n| {
                let (endpoint, stop) = (&endpoints[(n % 2) as usize], &stop);
                scope.spawn(move || work(endpoint, database, stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(700));
        server.restart(signal);
        thread::sleep(Duration::from_millis(700));
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client"))
            .collect()
    });
    let done: Volume = results.iter().map(|(volume, _)| *volume).sum();
    let cut: u64 = results.iter().map(|(_, cut)| cut).sum();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let got = total(stage);
        let queries = got.queries - before.queries;
        let rows = got.rows_returned - before.rows_returned;
        let queries_hold = (done.queries..=done.queries + cut).contains(&queries);
        let rows_hold = (done.rows_returned..=done.rows_returned + cut * 50).contains(&rows);
        if queries_hold && rows_hold {
            return (done, cut);
        }
        assert!(
            Instant::now() < deadline,
            "signal {signal}: expected {done:?} and at most {cut} queries of 50 rows more, got {queries} queries, {rows} rows"
        );
        thread::sleep(Duration::from_millis(300));
    }
}

fn total(stage: &Stage) -> Volume {
    Volume::of(&stage.sensor.metrics(), &stage.database, "restarted")
}

/// What was answered whole, and how many connections were cut with a query under way.
fn work(endpoint: &Endpoint, database: &str, stop: &AtomicBool) -> (Volume, u64) {
    let mut volume = Volume::default();
    let mut cut = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(mut client) = Raw::try_start(endpoint, "restarted", database) else {
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        loop {
            if stop.load(Ordering::Relaxed) {
                client.terminate();
                break;
            }
            if client
                .try_send(&raw::query("SELECT id FROM items WHERE id <= 50"))
                .is_err()
            {
                cut += 1;
                break;
            }
            let answer = client.answer();
            if answer.kinds.ends_with('Z') {
                volume += answer.volume();
            } else {
                cut += 1;
                break;
            }
        }
    }
    (volume, cut)
}

/// Bytes that are no PostgreSQL, before and after start-up; the sensor and everybody else are unharmed.
#[test]
fn garbage_truncated_and_hostile_bytes() {
    let mut stage = Stage::new(&Options::default());
    let endpoints = [
        stage.server.unix(),
        stage.server.ipv4(),
        stage.server.ipv6(),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |length: usize| -> Vec<u8> {
        (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect()
    };
    let packet = raw::startup(&[("user", "bad"), ("database", &stage.database)]);
    let mut early: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0],
        vec![0; 4],
        vec![0; 8],
        vec![0xff; 8],
        vec![0, 0, 0, 8, 0, 3, 0, 0],
        vec![0, 0, 0, 9, 0, 3, 0, 0, 0],
        vec![0, 0, 0, 9, 0, 2, 0, 0, 0],
        vec![0, 0, 0x27, 0x10, 0, 3, 0, 0],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        raw::request(80_877_103),
        raw::cancel(1, 2)[..12].to_vec(),
        [
            raw::request(80_877_103),
            raw::request(80_877_103),
            raw::request(80_877_104),
        ]
        .concat(),
        raw::query("SELECT 1"),
        vec![b'x'; 100_000],
    ];
    early.extend(
        (1..packet.len())
            .step_by(3)
            .map(|length| packet[..length].to_vec()),
    );
    for length in [1, 5, 8, 13, 64, 1000, 5000, 20_000] {
        early.push(random(length));
    }
    for (n, bytes) in early.iter().enumerate() {
        let mut client = Raw::connect(&endpoints[n % 3]);
        client.try_send(bytes).ok();
        client.hang_up();
    }
    // After start-up. The server reads what is small at once, so that every byte is counted.
    let mut late: Vec<Vec<u8>> = vec![
        vec![1],
        vec![0; 5],
        vec![0xff; 100],
        b"Q\0\0\0\0".to_vec(),
        b"Q\0\0\0\x03".to_vec(),
        b"Q\0\0\0\x04".to_vec(),
        b"Q\0\0\0\x05x".to_vec(),
        b"Q\xff\xff\xff\xff".to_vec(),
        b"Q\x7f\xff\xff\xff".to_vec(),
        b"Q\x3f\xff\xff\xffSELECT".to_vec(),
        b"S\0\0\0\x05x".to_vec(),
        b"P\0\0\0\x04B\0\0\0\x04E\0\0\0\x04S\0\0\0\x04".to_vec(),
        b"P\0\0\0\x05\0B\0\0\0\x05\0E\0\0\0\x05\0D\0\0\0\x05PC\0\0\0\x04S\0\0\0\x04".to_vec(),
        b"B\0\0\0\x0e\0\0\xff\xff\xff\xff\xff\xff\xff\xffS\0\0\0\x04".to_vec(),
        b"F\0\0\0\x04S\0\0\0\x04".to_vec(),
        b"d\0\0\0\x04c\0\0\0\x04f\0\0\0\x04".to_vec(),
        b"p\0\0\0\x04".to_vec(),
        raw::startup(&[("user", "bad")]),
        raw::query("SELECT id FROM items WHERE id <= 5")[..20].to_vec(),
        raw::execute("none", 0)[..7].to_vec(),
        [raw::query("SELECT 1"), b"\0garbage".to_vec()].concat(),
        [b"X\0\0\0\x04".to_vec(), b"after the end".to_vec()].concat(),
    ];
    for length in [1, 6, 40, 500, 4000] {
        late.push(random(length));
    }
    let mut cases = Vec::new();
    for (n, bytes) in late.iter().enumerate() {
        let role = format!("bad_{n}");
        stage.role(&role);
        let mut client = Raw::start(&endpoints[n % 3], &role, &stage.database);
        client.send(bytes);
        // Time to be read as one; then the end.
        thread::sleep(Duration::from_millis(20));
        let (bytes_sent, bytes_received) = client.hang_up();
        let volume = Volume {
            bytes_sent,
            bytes_received,
            ..Volume::default()
        };
        cases.push((role, bytes, volume));
    }
    stage.play("good", |client| vec![still_works(client)]);
    let database = stage.database.clone();
    let output = stage.finish();
    let metrics = output.metrics();
    let mut differences = String::new();
    let mut rows = 0;
    for (role, bytes, expected) in &cases {
        let got = Volume::of(&metrics, &database, role);
        rows += got.rows_returned;
        if got.bytes_only() != *expected || got.queries > 1 {
            let bytes = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
            writeln!(
                differences,
                "{role} {bytes:?}, bytes:\n  expected {expected:?}\n  got      {got:?}"
            )
            .expect("write");
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    // Of all that, `SELECT 1` is the one statement that returned a row.
    assert_eq!(rows, 1, "rows expected | got");
}
