//! Promise: whoever takes too much is named within two seconds, while it still happens, with all that is known; literals
//! are told to nobody; and data that leaves by the server's own hands does not leave unseen.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use harness::{
    Options, Postgres, Sensor, Turn, Volume, assert_within,
    login::run_as,
    otlp::{Alert, Attributes},
    pause,
    raw::{self, Raw},
    wait_until,
};

/// A support desk. `owner` may do anything, `ann` reads.
const SCHEMA: &str = "
    CREATE ROLE ann LOGIN; CREATE ROLE owner LOGIN SUPERUSER;
    CREATE TABLE customers (id int PRIMARY KEY, name text, email text);
    INSERT INTO customers SELECT i, 'name ' || i, 'c' || i || '@example.com' FROM generate_series(1, 20000) i;
    CREATE TABLE tickets AS SELECT i AS id, i % 1000 AS customer FROM generate_series(1, 3000) i;
    CREATE VIEW open_tickets AS SELECT * FROM tickets WHERE id > 100;
    GRANT SELECT ON customers, tickets, open_tickets TO PUBLIC;
    ANALYZE;
";

struct Desk {
    server: Postgres,
    sensor: Sensor,
    _turn: Turn,
}

impl Desk {
    fn open(thresholds: &str) -> Self {
        let turn = Turn::take();
        let server = Postgres::start(&Options::default());
        server.sql("postgres", "CREATE DATABASE desk");
        server.sql("desk", SCHEMA);
        let configuration = format!(
            "[export]\ninterval = \"1s\"\nmax_series = 50000\nstatement_series = 10000\n{thresholds}"
        );
        let sensor = Sensor::start(&turn, &configuration, &[]);
        Self {
            server,
            sensor,
            _turn: turn,
        }
    }

    /// psql as an OS user and a login user.
    fn psql(&self, user: &str, uid: u32, login_uid: Option<u32>, host: &str, sql: &str) {
        let mut command = Command::new("psql");
        command
            .args([
                "--no-psqlrc",
                "--quiet",
                "--output=/dev/null",
                "--host",
                host,
            ])
            .args(["--port", &self.server.port.to_string()])
            .args(["--username", user, "--dbname", "desk", "--command", sql]);
        run_as(&mut command, uid, login_uid);
    }

    fn wait_alert(&self, threshold: &str) -> Alert {
        let mut found = None;
        wait_until(&format!("an alert of `{threshold}`"), || {
            found = self.sensor.alerts().into_iter().find(|alert| {
                attribute(&alert.attributes, "data_access.threshold.name") == threshold
            });
            found.is_some()
        });
        found.expect("found")
    }
}

fn attribute<'a>(attributes: &'a Attributes, key: &str) -> &'a str {
    attributes.get(key).map_or("", String::as_str)
}

fn threshold(name: &str, measure: &str, limit: &str, more: &str) -> String {
    format!("[[threshold]]\nname = \"{name}\"\nmeasure = \"{measure}\"\n{limit}\n{more}\n")
}

#[test]
fn a_dump_is_flagged_while_it_streams_with_all_that_is_known() {
    let desk = Desk::open(&format!(
        "[tables]\n\"desk.public.customers\" = 20000\n{}",
        threshold(
            "dump",
            "rows",
            "limit = 5000",
            "window = \"10m\"\nseverity = \"critical\""
        )
    ));
    let mut client = Raw::start(&desk.server.ipv4(), "ann", "desk");
    // 6,000 rows at once, then the server sleeps in the middle of the statement.
    let sent = Instant::now();
    client.send(&raw::query(
        "SELECT id, name, email FROM customers WHERE id <= 6000 AND email <> 'canary-one@example.com'
         UNION ALL SELECT 0, 'x', (SELECT pg_sleep(6)::text)",
    ));
    desk.sensor.wait_log("ALERT CRITICAL dump");
    let after = sent.elapsed();
    assert_within("the alert", after, Duration::from_secs(2));
    client.answer();
    assert!(
        sent.elapsed() > Duration::from_secs(5),
        "the statement was over before its alert"
    );
    client.terminate();
    let alert = desk.wait_alert("dump");
    let output = {
        desk.server.wait_until_idle();
        desk.sensor.stop()
    };
    assert_eq!(alert.event, "data_access.anomaly");
    for (key, expected) in [
        ("db.system.name", "postgresql"),
        ("db.namespace", "desk"),
        ("user.name", "ann"),
        ("client.address", "127.0.0.1"),
        ("process.user.name", "root"),
        ("process.user.id", "0"),
        ("server.port", &desk.server.port.to_string()),
        ("data_access.threshold.name", "dump"),
        ("data_access.measure", "rows"),
        ("data_access.limit", "5000"),
        ("data_access.window", "600"),
    ] {
        assert_eq!(
            attribute(&alert.attributes, key),
            expected,
            "{key} in {alert:?}"
        );
    }
    let observed: u64 = attribute(&alert.attributes, "data_access.observed")
        .parse()
        .expect("a number");
    // Rows that still stream are an estimate by the first ones' length, and later ids are longer.
    assert!((5000..=6600).contains(&observed), "observed {observed}");
    let share: f64 = attribute(&alert.attributes, "data_access.table.share")
        .parse()
        .expect("a share");
    assert!(
        (share - observed as f64 / 20000.0).abs() < 0.01,
        "share {share}"
    );
    assert!(!attribute(&alert.attributes, "data_access.since").is_empty());
    assert!(!attribute(&alert.attributes, "data_access.completeness").is_empty());
    assert!(!attribute(&alert.attributes, "client.port").is_empty());
    // The statement stands in the trace that the alert links to, without its literals.
    let spans: Vec<_> = output
        .spans()
        .into_iter()
        .filter(|span| span.trace == alert.trace)
        .collect();
    let text = spans
        .iter()
        .map(|span| attribute(&span.attributes, "db.query.text"))
        .find(|text| text.contains("customers"))
        .unwrap_or_else(|| panic!("no statement on customers in {spans:?}"));
    assert!(!text.contains("6000") && !text.contains("canary"), "{text}");
}

#[test]
fn thresholds_measure_what_they_say_and_exceptions_expire() {
    let desk = Desk::open(&[
        threshold("bytes", "bytes", "limit = \"50KiB\"", "window = \"1m\"\nuser = \"by_bytes\""),
        threshold("queries", "queries", "limit = 20", "window = \"1m\"\nuser = \"by_queries\""),
        threshold("one", "rows", "limit = 300", "per = \"statement\"\nuser = \"by_statement\""),
        threshold("share", "rows", "share = 0.01", "window = \"1m\"\nuser = \"by_share\"\ntable = \"customers\""),
        threshold("elsewhere", "rows", "limit = 10", "window = \"1m\"\ntable = \"tickets\"\nuser = \"by_*\""),
        threshold(
            "excepted",
            "rows",
            "limit = 10",
            "window = \"1m\"\nuser = [\"agreed\", \"lapsed\"]\n[[threshold.exception]]\nuser = \"agreed\"\nreason = \"migration\"\nuntil = 2099-01-01\n\
             [[threshold.exception]]\nuser = \"lapsed\"\nreason = \"migration\"\nuntil = 2020-01-01",
        ),
        "[tables]\n\"desk.public.customers\" = 20000\n".to_owned(),
    ].concat());
    for role in [
        "by_bytes",
        "by_queries",
        "by_statement",
        "by_share",
        "agreed",
        "lapsed",
    ] {
        desk.server
            .sql("desk", &format!("CREATE ROLE {role} LOGIN"));
    }
    let play = |user: &str, statements: &[&str]| {
        let mut client = Raw::start(&desk.server.unix(), user, "desk");
        for statement in statements {
            client.query(statement);
        }
        client.terminate();
    };
    play("by_bytes", &["SELECT repeat('x', 60000)"]);
    play("by_queries", &["SELECT 1"; 21]);
    // Each below the limit, then one above.
    play(
        "by_statement",
        &["SELECT * FROM customers WHERE id <= 200"; 5],
    );
    pause(Duration::from_millis(200));
    let silent = |name: &str| !desk.sensor.log().contains(&format!(" {name}: "));
    assert!(
        silent("one"),
        "small statements do not add up:\n{}",
        desk.sensor.log()
    );
    play("by_statement", &["SELECT * FROM customers WHERE id <= 400"]);
    play("by_share", &["SELECT * FROM customers WHERE id <= 250"]);
    play("agreed", &["SELECT * FROM customers WHERE id <= 50"]);
    play("lapsed", &["SELECT * FROM customers WHERE id <= 50"]);
    for name in ["bytes", "queries", "one", "share", "excepted"] {
        desk.wait_alert(name);
    }
    desk.server.wait_until_idle();
    let mut raised: Vec<(String, String)> = desk
        .sensor
        .stop()
        .alerts()
        .iter()
        .map(|alert| {
            (
                attribute(&alert.attributes, "data_access.threshold.name").to_owned(),
                attribute(&alert.attributes, "user.name").to_owned(),
            )
        })
        .collect();
    raised.sort();
    let expected = [
        ("bytes", "by_bytes"),
        ("excepted", "lapsed"),
        ("one", "by_statement"),
        ("queries", "by_queries"),
        ("share", "by_share"),
    ];
    assert_eq!(
        raised,
        expected.map(|(name, user)| (name.to_owned(), user.to_owned()))
    );
}

#[test]
fn a_local_client_is_known_by_its_os_user_and_login() {
    let desk = Desk::open(&threshold(
        "any",
        "rows",
        "limit = 10",
        "window = \"1m\"\nuser = \"ann\"",
    ));
    // nobody, logged in as the user of Debian's `games`.
    let (uid, login_uid) = (65534, 5);
    for host in [desk.server.unix().host.as_str(), "127.0.0.1", "::1"] {
        desk.psql(
            "ann",
            uid,
            Some(login_uid),
            host,
            "SELECT * FROM customers LIMIT 400",
        );
    }
    let alert = desk.wait_alert("any");
    for (key, expected) in [
        ("process.user.id", "65534"),
        ("process.user.name", "nobody"),
        ("data_access.login_user.id", "5"),
        ("data_access.login_user.name", "games"),
        ("process.executable.name", "psql"),
    ] {
        assert_eq!(
            attribute(&alert.attributes, key),
            expected,
            "{key} in {alert:?}"
        );
    }
    desk.server.wait_until_idle();
    let metrics = desk.sensor.stop().metrics();
    let of_user = |direction: &str| -> f64 {
        metrics
            .iter()
            .filter(|series| {
                series.name == "data_access.user.bytes"
                    && attribute(&series.attributes, "process.user.name") == "nobody"
                    && attribute(&series.attributes, "data_access.direction") == direction
            })
            .map(|series| series.value)
            .sum()
    };
    let at_the_server = Volume::of(&metrics, "desk", "ann");
    assert!(at_the_server.bytes_sent > 3 * 400 * 20, "{at_the_server:?}");
    assert_eq!(
        (of_user("sent") as u64, of_user("received") as u64),
        (at_the_server.bytes_received, at_the_server.bytes_sent)
    );
}

#[test]
fn data_that_leaves_by_the_servers_own_hands_is_seen_with_its_destination() {
    let desk = Desk::open(&threshold(
        "left",
        "rows",
        "limit = 1",
        "per = \"statement\"\nuser = \"owner\"",
    ));
    let directory = desk.server.directory().to_owned();
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let port = desk.server.port;
    desk.server.sql(
        "desk",
        "CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw",
    );
    let mut client = Raw::start(&desk.server.unix(), "owner", "desk");
    let mut rows = 0;
    for (statement, copied) in [
        (format!("COPY customers TO '{}'", path("copy.out")), 20000),
        (format!("COPY customers TO '{}'", path("other.out")), 20000),
        (
            format!(
                "COPY (SELECT * FROM tickets) TO PROGRAM 'cat > {}'",
                path("program.out")
            ),
            3000,
        ),
        ("SELECT lo_from_bytea(4711, 'secret')".to_owned(), 0),
        (
            format!("SELECT lo_export(4711, '{}')", path("large.out")),
            0,
        ),
        (
            format!("SELECT length(pg_read_file('{}'))", path("copy.out")),
            0,
        ),
        (
            format!(
                "SELECT * FROM dblink('host=127.0.0.1 port={port} dbname=desk user=ann password=canary-password', 'SELECT id FROM tickets') AS t(id int)"
            ),
            0,
        ),
    ] {
        let answer = client.query(&statement);
        assert!(answer.errors.is_empty(), "{statement}: {answer:?}");
        rows += answer.volume().rows_returned + copied;
        // A drain later the kernel side knows that the destination is in a literal.
        pause(Duration::from_millis(200));
    }
    let (_, _) = client.terminate();
    desk.server.wait_until_idle();
    pause(Duration::from_millis(300));
    let output = desk.sensor.stop();
    assert_eq!(output.volume("desk", "owner").rows_returned, rows);
    // What dblink fetched was read by its own connection, as its user, and counted there, too.
    assert_eq!(output.volume("desk", "ann").rows_returned, 3000);
    let mut told: Vec<(String, u64)> = output
        .metrics()
        .iter()
        .filter(|series| {
            series.name == "data_access.egress.queries"
                && attribute(&series.attributes, "user.name") == "owner"
        })
        .map(|series| {
            (
                attribute(&series.attributes, "data_access.egress").to_owned(),
                series.value as u64,
            )
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            (format!("copy_to_file {}", path("copy.out")), 1),
            (format!("copy_to_file {}", path("other.out")), 1),
            ("copy_to_program cat".to_owned(), 1),
            (format!("large_object_export {}", path("large.out")), 1),
            ("remote_server 127.0.0.1".to_owned(), 1),
            (format!("server_file_read {}", path("copy.out")), 1),
        ]
    );
    // The alerts on the large ones say it, too.
    let alerts = output.alerts();
    assert!(
        alerts
            .iter()
            .any(|alert| attribute(&alert.attributes, "data_access.egress")
                .contains(&format!("copy_to_file {}", path("copy.out")))),
        "{alerts:?}"
    );
    assert!(!output.log.contains("canary-password"));
}

#[test]
fn cursors_and_views_count_under_their_tables() {
    let desk = Desk::open(&threshold(
        "never",
        "rows",
        "limit = 1000000000",
        "window = \"1m\"",
    ));
    let mut client = Raw::start(&desk.server.unix(), "ann", "desk");
    for statement in [
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT * FROM customers ORDER BY id",
        "FETCH 100 FROM c",
        "FETCH FORWARD 50 FROM c",
        "MOVE 10 FROM c",
        "FETCH ALL FROM c",
        "CLOSE c",
        "COMMIT",
        "SELECT * FROM open_tickets",
        "WITH t AS (SELECT * FROM tickets WHERE id <= 7) SELECT customers.id FROM customers JOIN t ON t.customer = customers.id",
    ] {
        let answer = client.query(statement);
        assert!(answer.errors.is_empty(), "{statement}: {answer:?}");
    }
    client.terminate();
    desk.server.wait_until_idle();
    pause(Duration::from_millis(300));
    let metrics = desk.sensor.stop().metrics();
    let rows = |table: &str| -> f64 {
        metrics
            .iter()
            .filter(|series| {
                series.name == "data_access.rows"
                    && attribute(&series.attributes, "user.name") == "ann"
                    && attribute(&series.attributes, "db.collection.name") == table
            })
            .map(|series| series.value)
            .sum()
    };
    assert_eq!(rows("customers"), 20000.0 - 10.0, "through the cursor");
    assert_eq!(rows("open_tickets"), 2900.0, "a view by its name");
    assert_eq!(
        rows("customers,tickets") + rows("tickets,customers"),
        7.0,
        "a join with a CTE"
    );
}
