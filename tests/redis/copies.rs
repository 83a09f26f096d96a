//! All data at once, as a replica and redis-cli take it; and TLS, of which only bytes are seen.

use harness::{
    Differences, Redis, Sensor, Turn, Volume,
    redis::{CANARY, Kind},
    relay::Relay,
    resp::Resp,
};

use crate::{CONFIGURATION, blind, fill, finish, is_followed, key, nothing_unseen, tally};

#[test]
fn copies_and_tls_are_told_by_their_bytes() {
    /// TLS' own goodbyes, which the server does not read when it has been told of the end.
    const CLOSE_NOTIFY: f64 = 64.0;
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = Redis::start_with_tls(Kind::Redis, &["--repl-diskless-sync-delay", "0"]);
    fill(&server);
    for name in ["thief", "secret", "plain"] {
        server.user(name);
    }
    let value = format!("{CANARY} value {}", "x".repeat(500_000));
    let mut plain = Resp::login(&server.unix(), "plain");
    for i in 0..4 {
        plain.command(&["SET", &format!("large:{CANARY}{i}"), &value]);
    }
    drop(plain);
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);

    // By TLS.
    let mut tls = server.ipv4();
    tls.port = server.tls_port.expect("a port");
    let relay = Relay::start(&tls);
    let output = server
        .client("cli", relay.endpoint(), "secret")
        .args(["--tls", "--insecure", "LRANGE", &key("queue"), "0", "-1"])
        .output()
        .expect("run redis-cli");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 500);
    let (sent, received) = relay.finish();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let encrypted = (sent + received) as f64;

    // A thief who copies all, and a replica.
    let copy = server.directory().join("copy.rdb");
    let relay = Relay::start(&server.ipv4());
    let output = server
        .client("cli", relay.endpoint(), "thief")
        .arg("--rdb")
        .arg(&copy)
        .output()
        .expect("run redis-cli");
    assert!(output.status.success(), "{output:?}");
    let (stolen, _) = relay.finish();
    let copied = std::fs::metadata(&copy).expect("a copy").len();
    assert!(copied > 1000 && stolen > copied);
    let replica = server.replica();
    let mut plain = Resp::login(&server.unix(), "plain");
    for i in 0..100 {
        plain.command(&["SET", &format!("work:{CANARY}{i}"), CANARY]);
    }
    plain.command(&["WAIT", "1", "5000"]);
    drop(plain);
    assert_eq!(
        replica.command(&["GET", &format!("work:{CANARY}99")]),
        CANARY
    );

    let output = finish(&[&server], sensor);
    drop(replica);
    let series = output.metrics();
    let blind = blind(&series);
    let mut differences = Differences::default();
    let said = blind.get("encrypted").copied().unwrap_or_default();
    if !(encrypted - CLOSE_NOTIFY..=encrypted).contains(&said) {
        differences.check("bytes by TLS", &encrypted, &said);
    }
    differences.check(
        "by TLS nothing else",
        &Volume::default(),
        &Volume::anywhere(&series, "secret"),
    );
    // Both took all of it.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let least = (2 * copied) as f64;
    let said = blind.get("replication").copied().unwrap_or_default();
    assert!(
        said >= least,
        "two copies of {copied} bytes left, replication is said to be {said}: {blind:?}"
    );
    // What leaves so is its who's.
    let thief = Volume::anywhere(&series, "thief");
    assert!(
        thief.bytes_sent >= copied,
        "{copied} bytes left by one user: {thief:?}, {:?}",
        tally(&series, "thief")
    );
    differences.check("rows of a copy", &0, &thief.rows_returned);
    nothing_unseen(&mut differences, &series, &["encrypted", "replication"]);
    differences.check(
        "of clients",
        &Some(&(100, 0)),
        &tally(&series, "plain").get("SET work:*"),
    );
    differences.none();
}
