//! Promise: of MariaDB, too, queries, rows and bytes per principal equal the truth exactly.
//!
//! Truth comes from what each client counted itself, from the server's own count of rows that it sent to each user (`userstat`),
//! and from the bytes that crossed a relay.

use std::{fmt::Write, process::Stdio, time::Duration};

use harness::{
    CONFIGURATION, MariaDb, Output, Sensor, Turn, Volume,
    clients::Endpoint,
    is_lowest_rung,
    mysql_clients::{SCHEMA, TALKATIVE, command, lines, rows_sent, script},
    otlp::Series,
    pause,
    relay::Relay,
};

/// Programs and drivers.
const CLIENTS: [&str; 6] = [
    "mysql.py",
    "mysql.js",
    "mysql_connector.py",
    "Mariadb.java",
    "mariadb",
    "dump",
];
/// Is MariaDB followed on the hooks that are used here? What is promised otherwise, another test says.
fn is_followed(turn: &Turn) -> bool {
    !is_lowest_rung(turn)
}

fn server() -> MariaDb {
    server_with(&[])
}

fn server_with(arguments: &[&str]) -> MariaDb {
    let server = MariaDb::start(&[&["--userstat=1"], arguments].concat());
    server.sql(SCHEMA);
    server
}

fn user(server: &MariaDb, name: &str) {
    server.sql(&format!(
        "CREATE USER {name}; GRANT ALL ON *.* TO {name}; FLUSH USER_STATISTICS"
    ));
}

fn finish(server: &MariaDb, sensor: Sensor) -> Output {
    server.wait_until_idle();
    pause(Duration::from_millis(300));
    sensor.stop()
}

/// Where a client connects to: a socket's path or an address, and a port.
fn unix(server: &MariaDb) -> Endpoint {
    Endpoint {
        host: server.socket().display().to_string(),
        port: server.port,
    }
}

/// The sums of a user without bytes.
fn counts(series: &[Series], user: &str) -> Volume {
    Volume {
        bytes_sent: 0,
        bytes_received: 0,
        ..Volume::anywhere(series, user)
    }
}

#[test]
fn every_client_over_every_socket() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = server();
    let transports = [("unix", unix(&server)), ("ipv4", server.ipv4())];
    let name = |client: &str, transport: &str| {
        format!("{}_{transport}", client.replace('.', "_")).to_lowercase()
    };
    for client in CLIENTS {
        for (transport, _) in &transports {
            user(&server, &name(client, transport));
        }
    }
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let mut runs = Vec::new();
    for client in CLIENTS {
        for (transport, endpoint) in &transports {
            if client == "Mariadb.java" && *transport == "unix" {
                continue;
            }
            let user = name(client, transport);
            let relay = (*transport == "ipv4").then(|| Relay::start(endpoint));
            let endpoint = relay.as_ref().map_or(endpoint, Relay::endpoint);
            let mut counted = match client {
                "mariadb" => Volume {
                    queries: 5,
                    rows_returned: lines(
                        endpoint,
                        &user,
                        &[],
                        "SELECT id, name FROM items; SELECT 1; SELECT id FROM items WHERE id < 100 /* ; */; SHOW DATABASES;
                         DO 0",
                    ),
                    ..Volume::default()
                },
                "dump" => Volume::default(),
                _ => script(client, endpoint, &user, &[]),
            };
            if client == "dump" {
                let output = command("mariadb-dump", endpoint, &user)
                    .args([
                        "--skip-extended-insert",
                        "--skip-lock-tables",
                        "shop",
                        "items",
                    ])
                    .output()
                    .expect("run mariadb-dump");
                assert!(output.status.success());
                let text = String::from_utf8_lossy(&output.stdout);
                counted.rows_returned = text.matches("INSERT INTO `items`").count() as u64;
            }
            let bytes = relay.map(Relay::finish);
            runs.push((client, user, counted, bytes));
        }
    }
    let output = finish(&server, sensor);
    let series = output.metrics();
    let mut differences = String::new();
    for (client, user, counted, bytes) in runs {
        let got = counts(&series, &user);
        let sent = rows_sent(&server, &user);
        eprintln!("{user}: {got:?}, the server: {sent} rows");
        if client == "dump" {
            // It asks for much besides, which it does not count; the server does.
            let by_statement = Volume::by_statement(&series, "shop", &user);
            let table = by_statement
                .get("SELECT items")
                .copied()
                .unwrap_or_default();
            if (table.rows_returned, counted.rows_returned) != (5000, 5000) {
                writeln!(differences, "{user}: {by_statement:#?}").expect("write");
            }
        } else if TALKATIVE.contains(&client) {
            let by_statement = Volume::by_statement(&series, "shop", &user);
            let own = by_statement
                .get("SELECT items")
                .copied()
                .unwrap_or_default();
            if (own.queries, own.rows_returned) != (counted.queries, counted.rows_returned) {
                writeln!(
                    differences,
                    "{user}: counted {counted:?}, got {by_statement:#?}"
                )
                .expect("write");
            }
        } else if got != counted {
            writeln!(differences, "{user}: counted {counted:?}, got {got:?}").expect("write");
        }
        // Of what SHOW CREATE TABLE returns it keeps no count.
        if client != "dump" && sent != got.rows_returned {
            writeln!(
                differences,
                "{user}: the server sent {sent} rows, got {got:?}"
            )
            .expect("write");
        }
        if let Some((to_client, to_server)) = bytes {
            let got = Volume::anywhere(&series, &user);
            if (got.bytes_sent, got.bytes_received) != (to_client, to_server) {
                writeln!(
                    differences,
                    "{user}: {to_client} and {to_server} bytes, got {got:?}"
                )
                .expect("write");
            }
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
    let systems: Vec<_> = series
        .iter()
        .filter(|one| {
            one.attributes
                .get("user.name")
                .is_some_and(|user| user.starts_with("mysql_py"))
        })
        .filter_map(|one| one.attributes.get("db.system.name"))
        .collect();
    assert!(
        !systems.is_empty() && systems.iter().all(|system| *system == "mariadb"),
        "{systems:?}"
    );
}

/// A thread for each connection, or a few for all, which hand connections on to each other.
#[test]
fn many_connections_of_one_process_at_once() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let pool = ["--thread-handling=pool-of-threads", "--thread-pool-size=2"];
    let servers = [("crowd", server()), ("pool", server_with(&pool))];
    for (name, server) in &servers {
        user(server, name);
    }
    assert_eq!(
        servers[1].1.sql("SELECT @@thread_handling"),
        "pool-of-threads"
    );
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let counted = servers.each_ref().map(|(name, server)| {
        let counted = script("mysql.py", &server.ipv4(), name, &["100"]);
        let more = script("mysql.py", &unix(server), name, &["50"]);
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
    let server = server();
    user(&server, "reader");
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let mut rows = 0;
    for endpoint in [unix(&server), server.ipv4()] {
        rows += lines(
            &endpoint,
            "reader",
            &["--quick"],
            "SELECT a.*, b.id FROM items a, items b WHERE b.id <= 40",
        );
        // Rows that are longer than a packet.
        server.sql("SET GLOBAL max_allowed_packet = 1073741824");
        rows += lines(
            &endpoint,
            "reader",
            &["--quick", "--max-allowed-packet=1G"],
            "SELECT REPEAT('x', 17000000) FROM items WHERE id <= 3",
        );
    }
    let output = finish(&server, sensor);
    let got = counts(&output.metrics(), "reader");
    assert_eq!(got.rows_returned, rows);
    assert_eq!(got.rows_returned, rows_sent(&server, "reader"));
    assert_eq!(rows, 400_006);
}

/// Where there is room for one protocol only, it is said that this one is not seen, and nothing of it is taken for the other.
#[test]
fn the_lowest_rung_says_that_it_sees_none() {
    let turn = Turn::take();
    let server = server();
    user(&server, "unseen");
    let sensor = Sensor::start(
        &turn,
        &format!("[kernel]\nhooks = \"sys_exit\"\n{CONFIGURATION}"),
        &[],
    );
    for endpoint in [unix(&server), server.ipv4()] {
        lines(&endpoint, "unseen", &[], "SELECT id FROM items");
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

/// What a connection goes through: another database, another user; a server that was there before the sensor.
#[test]
fn users_and_databases_are_those_of_the_moment() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = server();
    for name in ["first", "second"] {
        user(&server, name);
    }
    server.sql(
        "CREATE DATABASE crm; CREATE TABLE crm.people AS SELECT id FROM shop.items WHERE id <= 77",
    );
    let older = idle(&server, "first");
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    lines(
        &unix(&server),
        "first",
        &[],
        "SELECT id FROM items WHERE id <= 5; USE crm; SELECT * FROM people; USE shop; SELECT id FROM items WHERE id <= 6",
    );
    drop(older);
    let output = finish(&server, sensor);
    let series = output.metrics();
    let rows = |database: &str, user: &str| Volume::of(&series, database, user).rows_returned;
    // Before each USE, the client asks which database it is in.
    assert_eq!((rows("shop", "first"), rows("crm", "first")), (12, 78));
}

/// A connection that is older than the sensor.
fn idle(server: &MariaDb, user: &str) -> std::process::Child {
    let child = command("mariadb", &unix(server), user)
        .arg("--database=shop")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("run mariadb");
    pause(Duration::from_millis(300));
    child
}
