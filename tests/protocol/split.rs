//! Messages split over any number of reads and writes.

use harness::{
    Options, Volume,
    raw::{self, Raw},
};

use crate::stage::{Stage, still_works};

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
