//! Start-up, authentication, cancel, encryption asked for and refused or accepted.

use std::time::Duration;

use harness::{
    Options, Volume, pause,
    raw::{self, Raw},
    relay::Relay,
};

use crate::stage::{Stage, still_works};

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
    pause(Duration::from_millis(300));
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
