//! Results and sessions that end in any way, or do not, and data that looks like an end.

use std::{fmt::Write, time::Duration};

use harness::{
    Options, Volume, fewer, pause,
    raw::{self, Raw},
};

use crate::stage::{Stage, still_works};

/// Rows whose last bytes are those of a response's end, and which end where the server's buffer of 8 KiB does.
#[test]
fn data_that_imitates_the_end_of_a_response() {
    const BUFFER: usize = 8192;
    /// `DataRow` header: type, length, number of columns, length of the column.
    const HEADER: usize = 1 + 4 + 2 + 4;
    let rows = fewer(4000);
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
             FROM generate_series(1, {rows}) i",
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
            assert_eq!(answer.tags, [format!("SELECT {rows}")], "expected | got");
            assert_eq!(answer.rows, rows as u64, "rows expected | got");
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
                pause(Duration::from_millis(30));
                answers.push(client.answer());
            }
            answers.push(still_works(client));
            answers
        });
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
            pause(Duration::from_millis(50));
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
        pause(Duration::from_millis(100));
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
            ("few", 100, 200),
            ("many", fewer(300_000) as u64, 200),
            ("narrow", fewer(300_000) as u64, 1),
            ("wide", fewer(3000) as u64, 20_000),
            ("giant", 30, 1_000_000),
        ] {
            // DataRow: type, length, columns, length, value.
            let row = width + 11;
            let role = format!("dies_{size}_{kind}");
            stage.role(&role);
            let mut client = Raw::start(&endpoint, &role, &stage.database);
            let total = 2_000_000.min(4_000_000_000 / width);
            // In a subquery, numbers are made as they are asked for; as a table, all of them come first.
            let sql = format!(
                "SELECT repeat('d', {width}) FROM (SELECT generate_series(1, {total})) numbers"
            );
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
                "SELECT repeat('f', {width} + i / {fails} * (1 / ({fails} - i)))
                 FROM (SELECT generate_series(1, 20000000) i) numbers"
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
