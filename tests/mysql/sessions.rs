//! Who a connection is, and what it goes through: ways to log in, another database, another user; a server that was there before the
//! sensor, and what is said of it.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    time::Duration,
};

use harness::{
    CONFIGURATION, Sensor, Turn, Volume,
    clients::Endpoint,
    mysql::{Kind, Program, Server},
    mysql_raw::Raw,
    mysql_rs, pause, sensor_binary,
};
use serde_json::Value;

use crate::{asks, counts, finish, is_followed, lines, rows_sent, server, shell, users};

#[test]
fn users_and_databases_are_those_of_the_moment() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    for server in [Kind::MariaDb, Kind::MySql].map(server) {
        users(&server, ["first"]);
        server.sql(
            "CREATE DATABASE crm; CREATE TABLE crm.people AS SELECT id FROM shop.items WHERE id <= 77;
             CREATE USER plain; CREATE USER other; GRANT ALL ON *.* TO plain; GRANT ALL ON *.* TO other",
        );
        let older = idle(&server, "first");
        let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
        lines(
            &server,
            &server.unix(),
            "first",
            &[],
            "SELECT id FROM items WHERE id <= 5; USE crm; SELECT * FROM people; USE shop; SELECT id FROM items WHERE id <= 6",
        );
        // Other users on the same connection.
        let mut raw = Raw::login(&server.ipv4(), "plain", "shop", 0);
        assert_eq!(raw.query("SELECT id FROM items WHERE id <= 20", 0).rows, 20);
        raw.change_user("other", "crm");
        assert_eq!(raw.query("SELECT * FROM people", 0).rows, 77);
        raw.change_user("plain", "crm");
        assert_eq!(raw.query("SELECT id FROM people WHERE id <= 9", 0).rows, 9);
        raw.quit();
        drop(older);
        let output = finish(&server, sensor);
        let series = output.metrics();
        let rows = |database: &str, user: &str| Volume::of(&series, database, user).rows_returned;
        // Before each USE, MariaDB's client asks which database it is in.
        let (in_shop, in_crm) = match server.kind() {
            Kind::MariaDb => (1, 1),
            kind @ Kind::MySql => (asks(kind).rows_returned, 0),
        };
        let first = (rows("shop", "first"), rows("crm", "first"));
        assert_eq!(first, (5 + 6 + in_shop, 77 + in_crm));
        // The older connection came with its own, unseen.
        let unseen = asks(server.kind()).rows_returned;
        assert_eq!(first.0 + first.1 + unseen, rows_sent(&server, "first"));
        assert_eq!((rows("shop", "plain"), rows("crm", "plain")), (20, 9));
        assert_eq!((rows("shop", "other"), rows("crm", "other")), (0, 77));
    }
}

/// A connection that is older than the sensor.
fn idle(server: &Server, user: &str) -> std::process::Child {
    let child = server
        .client(Program::Shell, &server.unix(), user)
        .arg("--database=shop")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("run the client");
    pause(Duration::from_millis(300));
    child
}

/// MySQL's users log in by `caching_sha2_password`: in full, with the password encrypted for the server or in clear over a unix
/// socket, or briefly once the server knows it; or by another way, to which the server has them switch.
#[test]
fn every_way_to_log_in_leads_to_the_user() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = server(Kind::MySql);
    users(&server, ["full", "local", "switched"]);
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let read = |user: &str, endpoint: &Endpoint, more: &[&str], rows: u64| {
        let text = format!("SELECT id FROM items WHERE id <= {rows}");
        let found = lines(&server, endpoint, user, more, &text);
        assert_eq!(found, rows, "{user}");
    };
    // Only briefly: without the key that encrypts it, no password goes to the server.
    let brief = ["--skip-get-server-public-key"];
    let refused = |user: &str, more: &str| {
        let mut client = server.client(Program::Shell, &server.ipv4(), user);
        let output = client.args([more, "-e", "SELECT 1"]).output();
        assert!(!output.expect("run the client").status.success(), "{more}");
    };
    refused("full", brief[0]);
    read("full", &server.ipv4(), &[], 11);
    read("full", &server.ipv4(), &brief, 12);
    read("local", &server.unix(), &[], 13);
    read("local", &server.ipv4(), &brief, 14);
    let other = ["--default-auth=sha256_password"];
    read("switched", &server.ipv4(), &other, 15);
    read("switched", &server.unix(), &other, 16);
    // Who is not let in is nobody's volume.
    refused("full", "--password=wrong");
    let series = finish(&server, sensor).metrics();
    for (user, rows) in [("full", 11 + 12), ("local", 13 + 14), ("switched", 15 + 16)] {
        let own = Volume {
            queries: 2,
            rows_returned: rows,
            ..Volume::default()
        };
        let expected = own + asks(Kind::MySql) + asks(Kind::MySql);
        assert_eq!(counts(&series, user), expected, "{user}");
    }
}

/// What a client calls itself, and what the server is: in the series, and by `sensor check`.
#[test]
fn programs_and_servers_are_named() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = server(Kind::MySql);
    users(&server, ["ann"]);
    let configuration =
        format!("{CONFIGURATION}\n[principals]\nidentity = [\"user\", \"application_name\"]");
    let sensor = Sensor::start(&turn, &configuration, &[]);
    let counted = mysql_rs::run(&server.ipv4(), "ann", server.password("ann"), "shop");
    shell(&server, &server.unix(), "ann", &[], "SELECT id FROM items");
    let series = finish(&server, sensor).metrics();
    let keys = [
        "data_access.application_name",
        "db.system.name",
        "db.namespace",
        "server.port",
    ];
    let mut rows = BTreeMap::new();
    for one in &series {
        let of = |key: &str| one.attributes.get(key).map_or("", String::as_str);
        if one.name == "data_access.rows"
            && of("user.name") == "ann"
            && of("data_access.direction") == "returned"
        {
            *rows.entry(keys.map(of)).or_insert(0.0) += one.value;
        }
    }
    let port = server.port.to_string();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let expected = BTreeMap::from([
        (
            [mysql_rs::NAME, "mysql", "shop", &port],
            counted.rows_returned as f64,
        ),
        (["mysql", "mysql", "shop", &port], 5001.0),
    ]);
    assert_eq!(rows, expected);

    let version = server.sql("SELECT SUBSTRING_INDEX(VERSION(), '.', 2)");
    let check = Command::new(sensor_binary())
        .args(["check", "--json"])
        .current_dir("/")
        .output()
        .expect("run sensor check");
    let report: Value = serde_json::from_slice(&check.stdout).expect("a report");
    let servers = report["servers"].as_array().expect("servers");
    let found = servers
        .iter()
        .find(|found| found["pid"] == server.pid())
        .unwrap_or_else(|| panic!("not in {servers:#?}"));
    assert_eq!(found["system"], "mysql");
    assert_eq!(found["version"], *version);
    assert_eq!(found["port"], server.port);
    assert_eq!(
        found["name"],
        format!("mysql-{version}/data:{}", server.port)
    );
    assert_eq!(
        found["socket_directory"],
        server.socket().display().to_string()
    );
    // It offers TLS with certificates that it makes itself.
    assert_eq!(found["tls"], true);
}
