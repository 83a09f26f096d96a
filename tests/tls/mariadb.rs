//! Of MariaDB's TLS only bytes are seen, although PostgreSQL's is and both have the same library in their memory.

use std::process::Command;

use harness::{Differences, MariaDb, Options, Sensor, Volume, relay::Relay};

use crate::{Scene, blind, plaintext};

#[test]
fn bytes_alone_beside_a_postgresql_whose_plaintext_is_seen() {
    /// TLS' own goodbyes, which the server does not read when it has been told of the end.
    const CLOSE_NOTIFY: f64 = 64.0;
    let scene = Scene::new(Options::default(), &["ann"]);
    let mariadb = MariaDb::start_with_tls(&[]);
    mariadb.sql("CREATE DATABASE d; CREATE USER bob REQUIRE SSL; GRANT ALL ON d.* TO bob");
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    let relay = Relay::start(&mariadb.ipv4());
    let port = relay.endpoint().port.to_string();
    for _ in 0..2 {
        let output = scene
            .server
            .command("psql")
            .args(["-X", "-At", "-c", "SELECT id FROM items WHERE id <= 40"])
            .arg(scene.conninfo("ann"))
            .output()
            .expect("run psql");
        assert!(output.status.success(), "{output:?}");
        let output = Command::new("mariadb")
            .args(["--no-defaults", "--batch", "--skip-column-names"])
            .args(["--user=bob", "--protocol=tcp", "--host=127.0.0.1", "--ssl"])
            .args(["--port", &port, "--database=d", "-e"])
            .arg("SELECT seq, REPEAT('s', 100) FROM seq_1_to_3000; SHOW STATUS LIKE 'Ssl_version'")
            .output()
            .expect("run mariadb");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text.lines().count(), 3001, "{output:?}");
        assert!(text.contains("TLSv1"), "{text}");
    }
    let (sent, received) = relay.finish();
    mariadb.wait_until_idle();
    let output = scene.finish(sensor);
    let said = "offers TLS: of its TLS connections only bytes are counted: plaintext is taken from PostgreSQL";
    assert!(output.log.contains(said), "{}", output.log);
    let series = output.metrics();
    let mut differences = Differences::default();
    let ann = output.volume(&scene.database, "ann");
    differences.check("ann", &(2, 80), &(ann.queries, ann.rows_returned));
    let bob = Volume::anywhere(&series, "bob");
    differences.check("bob", &Volume::default(), &bob);
    differences.none();
    let blind = blind(&series, "encrypted");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let expected = (sent + received) as f64;
    assert!(
        (expected - CLOSE_NOTIFY..=expected).contains(&blind),
        "bytes of the encrypted connections: expected {expected}, got {blind}"
    );
}
