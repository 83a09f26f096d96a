//! Many connections of one process, and large results.

use harness::{
    CONFIGURATION, Sensor, Turn, Volume,
    mysql::{Kind, Server},
};

use crate::{
    asks, counts, finish, is_followed, known, lines, rows_sent, script, server, server_with, users,
};

/// A thread for each connection, or a few for all, which hand connections on to each other.
#[test]
fn many_connections_of_one_process_at_once() {
    let pool = ["--thread-handling=pool-of-threads", "--thread-pool-size=2"];
    let plugin = ["--plugin-load-add=thread_pool.so", "--thread-pool-size=2"];
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let servers = [
        ("crowd", server(Kind::MariaDb)),
        ("pool", server_with(Kind::MariaDb, &pool)),
        ("mysql", server(Kind::MySql)),
        ("mysql_pool", server_with(Kind::MySql, &plugin)),
    ];
    for (at, handling) in [(1, "pool-of-threads"), (3, "loaded-dynamically")] {
        assert_eq!(servers[at].1.sql("SELECT @@thread_handling"), handling);
    }
    for (name, server) in &servers {
        users(server, [*name]);
        known(server, [*name]);
    }
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let counted = servers.each_ref().map(|(name, server)| {
        let counted = script(server, "mysql.py", &server.ipv4(), name, &["100"]);
        let more = script(server, "mysql.py", &server.unix(), name, &["50"]);
        server.wait_until_idle();
        (
            counted.rows_returned + more.rows_returned,
            counted.queries + more.queries,
        )
    });
    let series = finish(&servers[0].1, sensor).metrics();
    for ((name, server), counted) in servers.iter().zip(counted) {
        let got = counts(&series, name);
        assert_eq!((got.rows_returned, got.queries), counted, "{name}");
        assert_eq!(got.rows_returned, rows_sent(server, name), "{name}");
    }
}

#[test]
fn a_large_result_is_exact() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let servers = [Kind::MariaDb, Kind::MySql].map(server);
    for server in &servers {
        users(server, ["reader"]);
        server.sql("SET GLOBAL max_allowed_packet = 1073741824");
        let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
        let rows = read(server) + read_behind_another(server);
        let series = finish(server, sensor).metrics();
        let got = counts(&series, "reader");
        let kind = server.kind();
        let by_itself = 5 * asks(kind).rows_returned;
        assert_eq!(got.rows_returned, rows + by_itself, "{kind:?}");
        assert_eq!(got.rows_returned, rows_sent(server, "reader"), "{kind:?}");
        assert_eq!(rows, 500_007, "{kind:?}");
        let small = Volume::by_statement(&series, "shop", "reader")["SELECT"];
        assert_eq!(small.rows_returned, 1 + by_itself, "{kind:?}");
    }
}

/// One row and, by the second statement of the same text, 100,000 that are reported while they stream.
fn read_behind_another(server: &Server) -> u64 {
    let text = "SELECT 1; SELECT a.*, b.id FROM items a, items b WHERE b.id <= 20//";
    let more = ["--quick", "--delimiter=//"];
    lines(server, &server.unix(), "reader", &more, text)
}

/// 200,000 rows, and three that are longer than a packet, over each socket.
fn read(server: &Server) -> u64 {
    let mut rows = 0;
    for endpoint in [server.unix(), server.ipv4()] {
        for (more, text) in [
            (
                "--skip-reconnect",
                "SELECT a.*, b.id FROM items a, items b WHERE b.id <= 40",
            ),
            (
                "--max-allowed-packet=1G",
                "SELECT REPEAT('x', 17000000) FROM items WHERE id <= 3",
            ),
        ] {
            rows += lines(server, &endpoint, "reader", &["--quick", more], text);
        }
    }
    rows
}
