//! MariaDB and MySQL by TLS: as exact as in clear, by the same probes as PostgreSQL.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    time::Duration,
};

use harness::{
    CONFIGURATION, Differences, MariaDb, Options, Sensor, Turn, Volume,
    mysql::{Kind, Program, Server},
    mysql_clients::{SCHEMA, TALKATIVE, lines, rows_sent, script_as, script_by_tls, shell},
    otlp::Series,
    pause,
    relay::Relay,
};

use crate::{Scene, blind_bytes, is_seen, nothing_unseen, plaintext};

/// Makes its session be by TLS, and says by which.
const VERSION: &str = "SHOW STATUS LIKE 'Ssl_version'";

fn server(arguments: &[&str]) -> MariaDb {
    let server = MariaDb::start_with_tls(&[&["--userstat=1"], arguments].concat());
    server.sql(SCHEMA);
    server
}

/// A user who may not come in clear.
fn user(server: &MariaDb, name: &str) {
    server.sql(&format!(
        "CREATE USER {name} REQUIRE SSL; GRANT ALL ON *.* TO {name}; FLUSH USER_STATISTICS"
    ));
}

/// What a client counted, and what the sensor did.
fn compare(
    differences: &mut Differences,
    series: &[Series],
    client: &str,
    user: &str,
    counted: Volume,
) {
    if TALKATIVE.contains(&client) {
        let by_statement = Volume::by_statement(series, "shop", user);
        let own = by_statement
            .get("SELECT items")
            .copied()
            .unwrap_or_default();
        differences.check(
            &format!("{user}, its own statements"),
            &(counted.queries, counted.rows_returned),
            &(own.queries, own.rows_returned),
        );
    } else {
        let got = Volume::anywhere(series, user).rows_only();
        differences.check(user, &counted, &got);
    }
}

/// Length of the packet with which the server begins, in clear.
fn greeting(server: &MariaDb) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
    let mut header = [0; 4];
    stream.read_exact(&mut header).expect("a greeting");
    u64::from(header[0]) + 256 * u64::from(header[1]) + 4
}

#[test]
fn every_client_is_seen_as_exactly_as_in_clear() {
    const CLIENTS: [&str; 5] = [
        "mysql.py",
        "mysql.js",
        "mysql_connector.py",
        "Mariadb.java",
        "mariadb",
    ];
    let turn = Turn::take();
    if !is_seen(&turn) {
        return;
    }
    let server = server(&[]);
    let transports = [("unix", server.unix()), ("ipv4", server.ipv4())];
    let name = |client: &str, transport: &str| {
        format!("{}_{transport}", client.replace('.', "_")).to_lowercase()
    };
    for client in CLIENTS {
        for (transport, _) in &transports {
            user(&server, &name(client, transport));
        }
    }
    // As long as the other names of this client, which stand in its answer to the greeting.
    server.sql("CREATE USER mysql_clear__; GRANT ALL ON *.* TO mysql_clear__");
    let sensor = Sensor::start(&turn, &plaintext(), &[]);
    let mut runs = Vec::new();
    for client in CLIENTS {
        for (transport, endpoint) in &transports {
            // By these, unix sockets are always in clear, or not known.
            if TALKATIVE.contains(&client) && *transport == "unix" {
                continue;
            }
            let user = name(client, transport);
            let counted = if client == "mariadb" {
                let sql = "SELECT id, name FROM items; SELECT 1; SHOW DATABASES";
                Volume {
                    queries: 3,
                    rows_returned: lines(&server, endpoint, &user, &["--ssl"], sql),
                    ..Volume::default()
                }
            } else {
                script_by_tls(client, endpoint, &user, &[])
            };
            runs.push((client, user, counted));
        }
    }
    script_as("mysql.py", &server.ipv4(), "mysql_clear__", "", &[]);
    server.wait_until_idle();
    pause(Duration::from_millis(300));
    let series = sensor.stop().metrics();
    let mut differences = Differences::default();
    for (client, user, counted) in runs {
        let got = Volume::anywhere(&series, &user);
        eprintln!("{user}: {got:?}");
        compare(&mut differences, &series, client, &user, counted);
        differences.check(
            &format!("{user}, rows: the server | sensor"),
            &rows_sent(&server, &user),
            &got.rows_returned,
        );
    }
    // The same statements weigh the same, but for the greeting, which is in clear and part of the negotiation.
    let clear = Volume::anywhere(&series, "mysql_clear__");
    let greeting = greeting(&server);
    for (transport, _) in &transports {
        let user = name("mysql.py", transport);
        let got = Volume::anywhere(&series, &user);
        differences.check(
            &format!("{user}, bytes: in clear | by TLS"),
            &(clear.bytes_sent - greeting, clear.bytes_received),
            &(got.bytes_sent, got.bytes_received),
        );
    }
    nothing_unseen(&mut differences, &series);
    differences.none();
}

/// MySQL's own server does as MariaDB, with a library of its own in a root of its own.
#[test]
fn mysqls_own_server() {
    let turn = Turn::take();
    if !is_seen(&turn) {
        return;
    }
    let server = Server::start_with_tls(Kind::MySql, &[]);
    server.sql(SCHEMA);
    let runs = [
        ("mysql.py", "py_unix", server.unix()),
        ("mysql.py", "py_ipv4", server.ipv4()),
        ("mysql.js", "js_unix", server.unix()),
        ("mysql.js", "js_ipv4", server.ipv4()),
        ("mysql_connector.py", "connector", server.ipv4()),
    ];
    for (_, user, _) in &runs {
        server.sql(&format!(
            "CREATE USER {user} REQUIRE SSL; GRANT ALL ON *.* TO {user}"
        ));
    }
    let sensor = Sensor::start(&turn, &plaintext(), &[]);
    let counted = runs
        .each_ref()
        .map(|(client, user, endpoint)| script_by_tls(client, endpoint, user, &[]));
    server.wait_until_idle();
    pause(Duration::from_millis(300));
    let output = sensor.stop();
    let series = output.metrics();
    let mut differences = Differences::default();
    for ((client, user, _), counted) in runs.iter().zip(counted) {
        let got = Volume::anywhere(&series, user);
        eprintln!("{user}: {got:?}");
        compare(&mut differences, &series, client, user, counted);
    }
    nothing_unseen(&mut differences, &series);
    differences.explain(|| output.log.clone());
    differences.none();
}

/// Rows of 17 MB, 200,000 short ones, by both versions of the protocol; threads that hand connections on.
#[test]
fn large_results_and_many_connections() {
    let turn = Turn::take();
    if !is_seen(&turn) {
        return;
    }
    let versions = ["TLSv1.2", "TLSv1.3"];
    let servers = versions.map(|version| {
        let version = format!("--tls-version={version}");
        let server = server(&[
            "--thread-handling=pool-of-threads",
            "--thread-pool-size=2",
            "--max-allowed-packet=1G",
            &version,
        ]);
        user(&server, "reader");
        user(&server, "crowd");
        server
    });
    let sensor = Sensor::start(&turn, &plaintext(), &[]);
    let mut differences = Differences::default();
    let counted: Vec<(u64, Volume)> = servers
        .iter()
        .zip(versions)
        .map(|(server, version)| {
            let printed = shell(server, &server.ipv4(), "reader", &["--ssl"], VERSION);
            let text = String::from_utf8_lossy(&printed).into_owned();
            differences.check("version", &true, &text.contains(version));
            let options = ["--ssl", "--quick", "--max-allowed-packet=1G"];
            let rows = lines(
                server,
                &server.ipv4(),
                "reader",
                &options,
                "SELECT a.*, b.id FROM items a, items b WHERE b.id <= 40;
                 SELECT REPEAT('x', 17000000) FROM items WHERE id <= 3",
            );
            let crowd = script_by_tls("mysql.py", &server.ipv4(), "crowd", &["60"]);
            server.wait_until_idle();
            (rows + 1, crowd)
        })
        .collect();
    pause(Duration::from_millis(300));
    let series = sensor.stop().metrics();
    let rows: u64 = counted.iter().map(|(rows, _)| rows).sum();
    let crowd: Volume = counted.iter().map(|(_, crowd)| *crowd).sum();
    let got = Volume::anywhere(&series, "reader");
    differences.check(
        "reader",
        &(6, rows, 2 * 200_004),
        &(got.queries, got.rows_returned, got.rows_returned),
    );
    let got = Volume::anywhere(&series, "crowd");
    differences.check(
        "crowd",
        &(crowd.queries, crowd.rows_returned),
        &(got.queries, got.rows_returned),
    );
    nothing_unseen(&mut differences, &series);
    differences.none();
}

/// One that is older than the sensor is seen from its next command on, under nobody's name; a server that starts later has probes.
#[test]
fn older_connections_and_younger_servers() {
    let turn = Turn::take();
    if !is_seen(&turn) {
        return;
    }
    let mut server = server(&[]);
    user(&server, "older");
    let mut older = Session::start(&server, "older");
    older.ask("SELECT id FROM items WHERE id <= 5;");
    let sensor = Sensor::start(&turn, &plaintext(), &[]);
    older.ask("SELECT id FROM items WHERE id <= 20; SELECT id FROM items WHERE id <= 30;");
    older.end();
    let younger = self::server(&[]);
    user(&younger, "younger");
    sensor.wait_log(&format!(":{}", younger.port));
    pause(Duration::from_millis(300));
    let mut session = Session::start(&younger, "younger");
    session.ask("SELECT id FROM items WHERE id <= 40;");
    session.end();
    // Killed in the middle of a connection, and another in its place.
    let mut session = Session::start(&younger, "younger");
    session.ask("SELECT id FROM items WHERE id <= 50;");
    server.stop(libc::SIGKILL);
    session.ask("SELECT id FROM items WHERE id <= 60;");
    session.end();
    younger.wait_until_idle();
    pause(Duration::from_millis(300));
    let output = sensor.stop();
    let series = output.metrics();
    let mut differences = Differences::default();
    let got = Volume::anywhere(&series, "older");
    differences.check("older, by name", &Volume::default(), &got);
    let got = Volume::anywhere(&series, "unknown (since before start)");
    differences.check("older", &(3, 51), &(got.queries, got.rows_returned));
    let got = Volume::anywhere(&series, "younger");
    differences.check("younger", &(6, 153), &(got.queries, got.rows_returned));
    differences.explain(|| output.log.clone());
    differences.none();
}

/// Both have the same library in their memory.
#[test]
fn beside_a_postgresql() {
    let Some(scene) = Scene::new(Options::default(), &["ann"]) else {
        return;
    };
    let mariadb = server(&[]);
    user(&mariadb, "bob");
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    for _ in 0..2 {
        let output = scene
            .server
            .command("psql")
            .args(["-X", "-At", "-c", "SELECT id FROM items WHERE id <= 40"])
            .arg(scene.conninfo("ann"))
            .output()
            .expect("run psql");
        assert!(output.status.success(), "{output:?}");
        lines(
            &mariadb,
            &mariadb.ipv4(),
            "bob",
            &["--ssl"],
            "SELECT id FROM items WHERE id <= 70",
        );
    }
    mariadb.wait_until_idle();
    let output = scene.finish(sensor);
    let series = output.metrics();
    let mut differences = Differences::default();
    for (user, expected) in [("ann", (2, 80)), ("bob", (2, 140))] {
        let got = Volume::anywhere(&series, user);
        differences.check(user, &expected, &(got.queries, got.rows_returned));
    }
    nothing_unseen(&mut differences, &series);
    differences.explain(|| output.log.clone());
    differences.none();
}

#[test]
fn bytes_alone_where_the_configuration_wants_no_more() {
    /// TLS' own goodbyes, which the server does not read when it has been told of the end.
    const CLOSE_NOTIFY: f64 = 64.0;
    let turn = Turn::take();
    if !is_seen(&turn) {
        return;
    }
    let server = server(&[]);
    user(&server, "bob");
    let configuration = format!("[kernel]\ntls = \"bytes\"\n{CONFIGURATION}");
    let sensor = Sensor::start(&turn, &configuration, &[]);
    let relay = Relay::start(&server.ipv4());
    for _ in 0..2 {
        let sql = format!("SELECT seq, REPEAT('s', 100) FROM seq_1_to_3000; {VERSION}");
        assert_eq!(
            lines(&server, relay.endpoint(), "bob", &["--ssl"], &sql),
            3001
        );
    }
    let (sent, received) = relay.finish();
    server.wait_until_idle();
    let output = sensor.stop();
    let said = "offers TLS: of its TLS connections only bytes are counted: kernel.tls";
    assert!(output.log.contains(said), "{}", output.log);
    let series = output.metrics();
    let mut differences = Differences::default();
    let bob = Volume::anywhere(&series, "bob");
    differences.check("bob", &Volume::default(), &bob);
    differences.none();
    let blind = blind_bytes(&series, "encrypted");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let expected = (sent + received) as f64;
    assert!(
        (expected - CLOSE_NOTIFY..=expected).contains(&blind),
        "bytes of the encrypted connections: expected {expected}, got {blind}"
    );
}

/// A client that is asked again and again.
struct Session {
    client: Child,
}

impl Session {
    fn start(server: &MariaDb, user: &str) -> Self {
        let client = server
            .client(Program::Shell, &server.ipv4(), user)
            .args(["--ssl", "--batch", "--unbuffered", "--skip-reconnect"])
            .args(["--skip-column-names", "--database=shop"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run mariadb");
        Self { client }
    }

    /// Waits for the answers, too.
    fn ask(&mut self, sql: &str) {
        const MARK: &str = "answered\n";
        let input = self.client.stdin.as_mut().expect("piped");
        writeln!(input, "{sql} SELECT 'answered' FROM DUAL;").expect("write to mariadb");
        let output = self.client.stdout.as_mut().expect("piped");
        let mut text = String::new();
        while !text.ends_with(MARK) {
            let mut byte = [0];
            let read = output.read(&mut byte).expect("read from mariadb");
            assert_eq!(read, 1, "{sql}: the client ended: {text}");
            text.push(char::from(byte[0]));
        }
    }

    fn end(mut self) {
        drop(self.client.stdin.take());
        let status = self.client.wait().expect("wait for mariadb");
        assert!(status.success(), "{status}");
    }
}
