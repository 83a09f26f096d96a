//! Promise: the sensor's queries, rows and bytes per principal equal the truth exactly.
//!
//! Truth comes from three sides that know nothing of each other: what each client counted itself, what the server
//! counted (`pg_stat_statements`; how it maps: `harness/truth.rs`), and the bytes that crossed a relay.

use std::{
    thread,
    time::{Duration, Instant},
};

use harness::{
    CONFIGURATION, Differences, Options, Postgres, Sensor, Turn, Volume, allowed_rungs,
    clients::{Client, Counted, Endpoint, SCHEMA, role},
    fewer, pause,
    raw::{self, Raw},
    relay::Relay,
    slowness, statements,
};

/// A database with [`SCHEMA`] and these roles. Its name is of this process: other servers' databases on the machine
/// are watched, too.
fn database(server: &Postgres, roles: &[&str]) -> String {
    let name = format!("exact_{}", std::process::id());
    server.sql("postgres", &format!("CREATE DATABASE {name}"));
    let mut sql = SCHEMA.to_owned();
    for name in roles {
        sql.push_str(&role(name));
    }
    sql.push_str("ANALYZE;");
    server.sql(&name, &sql);
    server.sql("postgres", "SELECT pg_stat_statements_reset()");
    name
}

/// Stops the sensor once all connections are closed.
fn finish(server: &Postgres, sensor: Sensor) -> harness::Output {
    server.wait_until_idle();
    // The last backends' sockets close after they have left pg_stat_activity.
    pause(Duration::from_millis(300));
    sensor.stop()
}

/// One client on one kind of socket.
struct Run {
    client: Client,
    role: String,
    counted: Counted,
    to_client: u64,
    to_server: u64,
}

#[test]
fn every_client_over_every_socket() {
    every_client(&Turn::take(), CONFIGURATION);
}

/// The same records come out on every rung of the ladder of hooks that this kernel allows, when it is made to use it.
#[test]
fn every_client_on_each_lower_rung() {
    let turn = Turn::take();
    let rungs = allowed_rungs(&turn);
    assert_eq!(
        rungs.last().map(String::as_str),
        Some("sys_exit"),
        "the lowest rung is there on every kernel"
    );
    // The first is what the other tests run on.
    for rung in &rungs[1..] {
        eprintln!("hooks {rung}");
        every_client(
            &turn,
            &format!("[kernel]\nhooks = \"{rung}\"\n{CONFIGURATION}"),
        );
    }
}

/// The same records come out where the kernel keeps every operation from the first of a hook's programs: the second sees to them.
#[test]
fn every_client_when_the_first_programs_see_nothing() {
    let turn = Turn::take();
    let best = &allowed_rungs(&turn)[0];
    if best == "sys_exit" {
        eprintln!("the hooks of this kernel have no second programs");
        return;
    }
    every_client(
        &turn,
        &format!("[kernel]\nhooks = \"{best}\"\nsecond_programs = \"alone\"\n{CONFIGURATION}"),
    );
}

fn every_client(turn: &Turn, configuration: &str) {
    let server = Postgres::start(&Options::default());
    let transports = [
        ("unix", server.unix()),
        ("ipv4", server.ipv4()),
        ("ipv6", server.ipv6()),
    ];
    let plan: Vec<(Client, String, &Endpoint)> = transports
        .iter()
        .flat_map(|(name, endpoint)| {
            Client::ALL.map(|client| (client, format!("{}_{name}", client.name()), endpoint))
        })
        // The JDBC driver has no unix sockets.
        .filter(|(client, _, endpoint)| *client != Client::Jdbc || !endpoint.is_unix())
        .collect();
    let roles: Vec<&str> = plan.iter().map(|(_, role, _)| role.as_str()).collect();
    let database = database(&server, &roles);
    let sensor = Sensor::start(turn, configuration, &[]);

    // Three at a time.
    let mut runs = Vec::new();
    for batch in plan.chunks(3) {
        let batch: Vec<Run> = thread::scope(|scope| {
            let threads: Vec<_> = batch
                .iter()
                .map(|(client, role, endpoint)| {
                    let database = &database;
                    scope.spawn(move || {
                        let relay = Relay::start(endpoint);
                        let counted = client.run(relay.endpoint(), role, database);
                        let (to_client, to_server) = relay.finish();
                        Run {
                            client: *client,
                            role: role.clone(),
                            counted,
                            to_client,
                            to_server,
                        }
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a client"))
                .collect()
        });
        runs.extend(batch);
    }

    let output = finish(&server, sensor);
    let series = output.metrics();
    let version = server.version();
    let mut differences = Differences::default();
    differences.allow(output.passed_over_as_said(), 1);
    for run in &runs {
        let role = &run.role;
        let got = Volume::of(&series, &database, role);
        let expected = Volume {
            bytes_sent: run.to_client,
            bytes_received: run.to_server,
            ..run.counted.volume()
        };
        eprintln!("{role}: {got:?}");
        assert!(run.counted.queries > 0, "{:?} counted nothing", run.client);
        differences.check_volume(
            &format!("{role}, client and relay | sensor"),
            &expected,
            &got,
        );
        let by_server = statements(&server, &database, role);
        differences.check(
            &format!(
                "{role}, (calls, rows): client | server {:#?}",
                by_server.by_text
            ),
            &run.counted.as_server(version),
            &(by_server.calls, by_server.rows),
        );
        let by_statement = Volume::by_statement(&series, &database, role)
            .into_values()
            .sum();
        differences.check_volume(
            &format!("{role}, sum over statements"),
            &expected,
            &by_statement,
        );
    }
    differences.none();
}

/// Statements, and what each counts under its summary.
#[test]
fn every_statement_under_its_own_fingerprint() {
    // Text, times, rows returned and written each time, the sensor's summary.
    const SET: [(&str, u64, u64, u64, &str); 8] = [
        (
            "SELECT id, name FROM items WHERE id <= {n}",
            20,
            11,
            0,
            "SELECT items",
        ),
        (
            "SELECT i.id FROM items i JOIN accounts a USING (id) WHERE id <= 7",
            9,
            7,
            0,
            "SELECT items accounts",
        ),
        (
            "INSERT INTO work VALUES ({n}, 'x'), ({n}, 'y')",
            15,
            0,
            2,
            "INSERT work",
        ),
        (
            "UPDATE accounts SET balance = balance + {n} WHERE id <= 5",
            6,
            0,
            5,
            "UPDATE accounts",
        ),
        (
            "DELETE FROM accounts WHERE id = 90{n}",
            5,
            0,
            1,
            "DELETE accounts",
        ),
        (
            "SELECT max(balance) FROM accounts",
            4,
            1,
            0,
            "SELECT accounts",
        ),
        (
            "WITH w AS (SELECT * FROM work) SELECT count(*) FROM w",
            3,
            1,
            0,
            "SELECT work",
        ),
        ("SHOW work_mem", 2, 1, 0, "SHOW"),
    ];
    let turn = Turn::take();
    let server = Postgres::start(&Options::default());
    let database = database(&server, &["shapes"]);
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let mut client = Raw::start(&server.ipv4(), "shapes", &database);
    let mut rows = Vec::new();
    for (sql, times, returned, _, _) in SET {
        let mut bytes = (0, 0);
        for n in 0..times {
            let text = sql.replace(
                "{n}",
                &(if sql.contains("<= {n}") { 11 } else { n }).to_string(),
            );
            let before = (client.received, client.sent);
            // Simple and extended by turns: one shape either way.
            let answer = if n % 2 == 0 {
                client.query(&text)
            } else {
                client.send(
                    &[
                        raw::parse("", &text),
                        raw::bind("", "", &[]),
                        raw::execute("", 0),
                        raw::sync(),
                    ]
                    .concat(),
                );
                client.answer()
            };
            assert!(answer.errors.is_empty(), "{text}: {answer:?}");
            assert_eq!(answer.rows, returned, "{text}: rows expected | got");
            bytes.0 += client.received - before.0;
            bytes.1 += client.sent - before.1;
        }
        rows.push(bytes);
    }
    client.terminate();
    let output = finish(&server, sensor);
    let by_statement = Volume::by_statement(&output.metrics(), &database, "shapes");
    let by_server = statements(&server, &database, "shapes");
    let mut differences = Differences::default();
    for ((sql, times, returned, written, summary), (sent, received)) in SET.into_iter().zip(rows) {
        let expected = Volume {
            queries: times,
            rows_returned: times * returned,
            rows_written: times * written,
            bytes_sent: sent,
            bytes_received: received,
        };
        let got = by_statement.get(summary).copied().unwrap_or_default();
        differences.check(
            &format!("{summary} ({sql}), client | sensor"),
            &expected,
            &got,
        );
        // Up to the first literal, the server's normalised text is the same.
        let literal = |c: char| c == '{' || c == '\'' || c.is_ascii_digit();
        let prefix = sql.split(literal).next().unwrap_or_default();
        let calls: u64 = by_server
            .by_text
            .iter()
            .filter(|(text, _)| text.starts_with(prefix))
            .map(|(_, (calls, _))| calls)
            .sum();
        differences.check(
            &format!("{summary}, calls: sensor | server"),
            &got.queries,
            &calls,
        );
    }
    differences.explain(|| format!("all statements: {by_statement:#?}"));
    differences.none();
}

#[test]
fn a_hundred_connections_at_once() {
    const CONNECTIONS: usize = 100;
    let turn = Turn::take();
    let server = Postgres::start(&Options::default());
    let database = database(&server, &["hundred", "bench"]);
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let endpoints = [server.unix(), server.ipv4(), server.ipv6()];
    let barrier = std::sync::Barrier::new(CONNECTIONS);
    let each = fewer(40);
    let volumes: Vec<Volume> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|n| {
                let (endpoint, database, barrier) = (&endpoints[n % 3], &database, &barrier);
                scope.spawn(move || {
                    let mut client = Raw::start(endpoint, "hundred", database);
                    // All are connected before any asks.
                    barrier.wait();
                    let mut volume = Volume::default();
                    for i in 0..each {
                        let answer = client.query(&format!(
                            "SELECT id, payload FROM items WHERE id <= {}",
                            n * 10 + i
                        ));
                        volume.queries += 1;
                        volume.rows_returned += answer.rows;
                    }
                    (volume.bytes_sent, volume.bytes_received) = client.terminate();
                    volume
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client"))
            .collect()
    });
    let expected = volumes.into_iter().sum();
    let transactions = fewer(50).to_string();
    let bench = pgbench(&server.ipv4(), "bench", &database, &["100", &transactions]);
    let output = finish(&server, sensor);
    let mut differences = Differences::default();
    // What a kernel that preempts programs keeps from all of them in such a crowd is lost, and is said to be; nothing is made up.
    differences.allow(output.passed_over(), 1);
    for (what, expected, got) in [
        (
            "100 connections, clients | sensor",
            expected,
            output.volume(&database, "hundred"),
        ),
        (
            "pgbench -c 100, client | sensor",
            bench,
            output.volume(&database, "bench").rows_only(),
        ),
    ] {
        differences.check_volume(what, &expected, &got);
    }
    differences.none();
}

#[test]
fn connections_opened_and_closed_all_the_time() {
    let turn = Turn::take();
    let server = Postgres::start(&Options::default());
    let database = database(&server, &["short", "bench"]);
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let (expected, rate) = open_and_close(&server, &database);
    // What is held is that the counts are exact; how fast a machine forks backends is its own affair.
    eprintln!("asked for {RATE} connections a second, got {rate}");
    let bench = pgbench(
        &server.unix(),
        "bench",
        &database,
        &["8", &fewer(250).to_string(), "reconnect"],
    );
    let output = finish(&server, sensor);
    let mut differences = Differences::default();
    differences.check(
        "short connections, clients | sensor",
        &expected,
        &output.volume(&database, "short"),
    );
    differences.check(
        "pgbench -C, client | sensor",
        &bench,
        &output.volume(&database, "bench").rows_only(),
    );
    differences.none();
}

/// Connections a second that are asked for.
const RATE: u32 = 500;

/// Opens and closes connections at [`RATE`], one query each; what they did, and the rate reached.
fn open_and_close(server: &Postgres, database: &str) -> (Volume, u32) {
    const ALL: usize = 3000;
    const THREADS: u32 = 16;
    let all = u32::try_from(fewer(ALL)).expect("a few thousand");
    let endpoints = [server.unix(), server.ipv4(), server.ipv6()];
    let start = Instant::now();
    let volumes: Vec<Volume> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|worker| {
                let endpoints = &endpoints;
                scope.spawn(move || {
                    let mut volume = Volume::default();
                    for n in (worker..all).step_by(THREADS as usize) {
                        let due = start + Duration::from_secs(1) * n / RATE;
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        let endpoint = &endpoints[(n % 3) as usize];
                        let mut client = Raw::start(endpoint, "short", database);
                        let answer = client.query("SELECT name FROM items WHERE id <= 3");
                        let (sent, received) = client.terminate();
                        volume += Volume {
                            queries: 1,
                            rows_returned: answer.rows,
                            rows_written: 0,
                            bytes_sent: sent,
                            bytes_received: received,
                        };
                    }
                    volume
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a client"))
            .collect()
    });
    let milliseconds = u32::try_from(start.elapsed().as_millis()).unwrap_or(u32::MAX);
    let rate = all * 1000 / milliseconds.max(1);
    (volumes.into_iter().sum(), rate)
}

fn pgbench(endpoint: &Endpoint, user: &str, database: &str, arguments: &[&str]) -> Volume {
    Client::Pgbench
        .run_with(endpoint, user, database, arguments, &[])
        .volume()
}

#[test]
fn a_gigabyte_in_one_statement() {
    let turn = Turn::take();
    let server = Postgres::start(&Options::default());
    let database = database(&server, &["giant"]);
    // Where things are known to be slow, 35 megabytes: still more than sockets, ring and captured beginnings hold.
    let share = if slowness() > 1 { 30 } else { 1 };
    let rows = 3_000_000 / share;
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let mut expected = Volume::default();
    for endpoint in [server.unix(), server.ipv4()] {
        let mut client = Raw::start(&endpoint, "giant", &database);
        let answer = client.query(&format!(
            "SELECT i, repeat('g', 330) FROM generate_series(1, {rows}) i"
        ));
        assert_eq!(
            answer.tags,
            [format!("SELECT {rows}")],
            "tag expected | got"
        );
        // The connection is still understood afterwards.
        let after = client.query("SELECT id FROM items WHERE id <= 10");
        let (sent, received) = client.terminate();
        expected += Volume {
            queries: 2,
            rows_returned: answer.rows + after.rows,
            rows_written: 0,
            bytes_sent: sent,
            bytes_received: received,
        };
    }
    let output = finish(&server, sensor);
    assert!(
        expected.bytes_sent > 2_000_000_000 / share,
        "expected 2 GB / {share}, got {}",
        expected.bytes_sent
    );
    assert_eq!(
        expected,
        output.volume(&database, "giant"),
        "client (left) | sensor (right)"
    );
}
