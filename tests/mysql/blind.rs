//! What is not seen, and that it is said.

use harness::{CONFIGURATION, Sensor, Turn, Volume, mysql::Kind};

use crate::{blind_bytes, counts, finish, is_followed, lines, server, users};

/// Where there is room for one protocol only, it is said that this one is not seen, and nothing of it is taken for the other.
#[test]
fn the_lowest_rung_says_that_it_sees_none() {
    let turn = Turn::take();
    let server = server(Kind::MariaDb);
    users(&server, ["unseen"]);
    let sensor = Sensor::start(
        &turn,
        &format!("[kernel]\nhooks = \"sys_exit\"\n{CONFIGURATION}"),
        &[],
    );
    for endpoint in [server.unix(), server.ipv4()] {
        lines(&server, &endpoint, "unseen", &[], "SELECT id FROM items");
    }
    let output = finish(&server, sensor);
    assert!(
        output.log.contains("is not seen: the hooks sys_exit"),
        "{}",
        output.log
    );
    let mut seen = output.metrics();
    seen.retain(|one| one.name == "data_access.bytes" && one.value > 0.0);
    assert!(seen.is_empty(), "{seen:#?}");
}

/// Of compressed connections bytes are counted, under their user and as a blind spot.
#[test]
fn compressed_connections_are_bytes_of_their_users() {
    const STATEMENT: &str = "SELECT id, name, payload FROM items";
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = server(Kind::MySql);
    users(&server, ["zlib", "zstd", "clear"]);
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    for (user, algorithm) in [
        ("zlib", "zlib"),
        ("zstd", "zstd"),
        ("clear", "uncompressed"),
    ] {
        for endpoint in [server.unix(), server.ipv4()] {
            let more = format!("--compression-algorithms={algorithm}");
            let found = lines(&server, &endpoint, user, &[&more], STATEMENT);
            assert_eq!(found, 5000, "{user}");
        }
    }
    let series = finish(&server, sensor).metrics();
    let clear = Volume::anywhere(&series, "clear");
    // Besides what the client asks for by itself.
    assert_eq!((clear.queries, clear.rows_returned), (2 + 4, 10_000 + 2));
    let mut compressed = 0;
    for user in ["zlib", "zstd"] {
        assert_eq!(counts(&series, user), Volume::default(), "{user}");
        let bytes = Volume::anywhere(&series, user);
        // It was compressed, and all of it was counted: the payloads hold the same letter.
        assert!(
            (20_000..clear.bytes_sent / 2).contains(&bytes.bytes_sent),
            "{user}: {bytes:?}, in clear {clear:?}"
        );
        compressed += bytes.bytes_sent + bytes.bytes_received;
    }
    let blind = blind_bytes(&series, "compressed");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let compressed = compressed as f64;
    assert!((blind - compressed).abs() < 0.5, "{blind} of {compressed}");
}
