//! Kerberos: what it encrypts is counted in bytes; where it only says who it is, all is seen as ever.

use std::process::{Command, Output as Finished};

use harness::{
    CONFIGURATION, Differences, Options, Postgres, Sensor, Turn,
    clients::{SCHEMA, role},
    kerberos::{Kerberos, REALM},
    otlp::Series,
    pause,
    relay::Relay,
};

use crate::{blind_bytes, nothing_unseen};

/// A domain, and a server in it.
struct Desk {
    domain: Kerberos,
    server: Postgres,
    database: String,
    turn: Turn,
}

impl Desk {
    fn new() -> Self {
        let turn = Turn::take();
        let domain = Kerberos::start(&["ann", "bob"]);
        let login = format!("gss include_realm=0 krb_realm={REALM}");
        let server = Postgres::start(&Options {
            configuration: vec![format!(
                "krb_server_keyfile = '{}'",
                domain.keys().display()
            )],
            authentication: vec![
                format!("hostgssenc all ann,bob 127.0.0.1/32 {login}"),
                format!("hostnogssenc all ann,bob 127.0.0.1/32 {login}"),
            ],
            environment: domain.environment(),
        });
        let database = format!("gss_{}", std::process::id());
        server.sql("postgres", &format!("CREATE DATABASE {database}"));
        let sql = format!("{SCHEMA}{}{}", role("ann"), role("bob"));
        server.sql(&database, &sql);
        Self {
            domain,
            server,
            database,
            turn,
        }
    }

    /// Reads so many of the items by way of this port, and asks whether the connection is encrypted.
    fn read(&self, user: &str, mode: &str, port: u16, rows: u64) -> Finished {
        let output = Command::new("psql")
            .args(["-X", "-At", "-c"])
            .arg(format!("SELECT id FROM items WHERE id <= {rows}"))
            .args(["-c", "SELECT encrypted FROM pg_stat_gssapi WHERE pid = pg_backend_pid()"])
            .arg(format!(
                "host=localhost hostaddr=127.0.0.1 port={port} user={user} dbname={} sslmode=disable gssencmode={mode}",
                self.database
            ))
            .envs(self.domain.log_in(user))
            .output()
            .expect("run psql");
        let text = String::from_utf8_lossy(&output.stdout);
        let encrypted = if mode == "require" { "t" } else { "f" };
        assert_eq!(text.lines().last(), Some(encrypted), "{output:?}");
        assert_eq!(text.lines().count() as u64, rows + 1, "{output:?}");
        output
    }
}

fn named<'a>(series: &'a [Series], user: &str) -> Vec<&'a Series> {
    let is = |one: &&Series| one.attributes.get("user.name").is_some_and(|is| is == user);
    series.iter().filter(is).collect()
}

#[test]
fn encrypted_connections_are_counted_and_nobodys() {
    let desk = Desk::new();
    let sensor = Sensor::start(&desk.turn, CONFIGURATION, &[]);
    let relay = Relay::start(&desk.server.ipv4());
    for rows in [40, 5000] {
        desk.read("ann", "require", relay.endpoint().port, rows);
    }
    let (sent, received) = relay.finish();
    desk.server.wait_until_idle();
    pause(std::time::Duration::from_millis(300));
    let output = sensor.stop();
    let series = output.metrics();
    assert_eq!(
        named(&series, "ann").len(),
        0,
        "who it is is encrypted, too"
    );
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let expected = (sent + received) as f64;
    assert_eq!(
        blind_bytes(&series, "encrypted"),
        expected,
        "bytes on the wire"
    );
    let mut differences = Differences::default();
    for cause in ["unparsable", "missed", "fault", "opaque"] {
        let bytes = blind_bytes(&series, cause);
        differences.check(cause, &0.0, &bytes);
    }
    differences.none();
}

#[test]
fn logins_without_encryption_are_seen_as_ever() {
    let desk = Desk::new();
    let sensor = Sensor::start(&desk.turn, CONFIGURATION, &[]);
    let port = desk.server.port;
    desk.read("ann", "disable", port, 40);
    desk.read("bob", "disable", port, 300);
    desk.read("ann", "disable", port, 2);
    // Encrypted in between: it changes nothing of what is seen.
    desk.read("bob", "require", port, 1000);
    desk.server.wait_until_idle();
    pause(std::time::Duration::from_millis(300));
    let output = sensor.stop();
    let mut differences = Differences::default();
    for (user, expected) in [("ann", (4, 44)), ("bob", (2, 301))] {
        let got = output.volume(&desk.database, user);
        differences.check(user, &expected, &(got.queries, got.rows_returned));
    }
    let series = output.metrics();
    assert!(blind_bytes(&series, "encrypted") > 0.0);
    let others: Vec<Series> = series
        .into_iter()
        .filter(|one| {
            one.attributes
                .get("data_access.cause")
                .is_none_or(|is| is != "encrypted")
        })
        .collect();
    nothing_unseen(&mut differences, &others);
    differences.none();
}
