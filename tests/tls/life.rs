//! Servers and connections that are there before the sensor, restart, and come in numbers.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use harness::{
    Differences, Options, Sensor, Volume, clients::Client, otlp::Series, pause, wait_until,
};

use crate::{Scene, nothing_unseen, plaintext};

/// psql on one connection, asked line by line.
pub struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn start(scene: &Scene, user: &str) -> Self {
        Self::by(scene.server.command("psql"), &scene.conninfo(user))
    }

    /// By this psql, connected as that says.
    pub fn by(mut psql: Command, conninfo: &str) -> Self {
        let mut child = psql
            .args(["-X", "-At", conninfo])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run psql");
        Self {
            input: child.stdin.take().expect("piped"),
            output: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    /// Asks for so many rows and reads them.
    pub fn rows(&mut self, rows: u64) {
        writeln!(
            self.input,
            "SELECT repeat('x', 1000) FROM generate_series(1, {rows}) i;"
        )
        .expect("write to psql");
        for _ in 0..rows {
            let mut line = String::new();
            self.output.read_line(&mut line).expect("read from psql");
            assert_eq!(line.len(), 1001, "{line}");
        }
    }

    pub fn end(self) {
        let Self {
            mut child, input, ..
        } = self;
        drop(input);
        assert!(child.wait().expect("wait for psql").success());
    }
}

/// Queries and rows of all that is not known to be the superuser's.
pub fn of_others(series: &[Series]) -> (f64, f64) {
    let sum = |name: &str, direction: Option<&str>| {
        series
            .iter()
            .filter(|one| one.name == name)
            .filter(|one| {
                one.attributes
                    .get("user.name")
                    .is_none_or(|user| user != "postgres")
            })
            .filter(|one| {
                direction.is_none_or(|wanted| {
                    one.attributes
                        .get("data_access.direction")
                        .is_some_and(|is| is == wanted)
                })
            })
            .map(|one| one.value)
            .sum()
    };
    (
        sum("data_access.queries", None),
        sum("data_access.rows", Some("returned")),
    )
}

/// A connection older than the sensor makes sense from its next statement on; what was under way is counted in bytes.
#[test]
fn connections_older_than_the_sensor() {
    let Some(scene) = Scene::new(Options::default(), &["early"]) else {
        return;
    };
    let mut session = Session::start(&scene, "early");
    session.rows(10);
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    for rows in [3, 700, 20] {
        session.rows(rows);
    }
    session.end();
    let output = scene.finish(sensor);
    let series = output.metrics();
    let mut differences = Differences::default();
    differences.check("queries and rows", &(3.0, 723.0), &of_others(&series));
    nothing_unseen(&mut differences, &series);
    differences.none();
}

/// Probes follow a server that stops and starts, and one that begins to offer TLS while it runs.
#[test]
fn servers_that_come_and_go() {
    let Some(mut scene) = Scene::new(Options::default(), &["first", "second", "third"]) else {
        return;
    };
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    let mut expected = Vec::new();
    let mut ask = |scene: &Scene, user: &'static str| {
        let mut session = Session::start(scene, user);
        session.rows(30);
        session.end();
        expected.push(user);
    };
    ask(&scene, "first");
    scene.server.restart(libc::SIGINT);
    // Each time it has changed; a server that starts writes about itself in pieces.
    let server = format!(":{} ", scene.server.port);
    let found = || {
        let log = sensor.log();
        let watched = log
            .lines()
            .filter(|line| line.contains("watching PostgreSQL"));
        watched.filter(|line| line.contains(&server)).count()
    };
    wait_until("the restarted server to be found", || found() > 1);
    pause(Duration::from_secs(2));
    let before = found();
    ask(&scene, "second");
    let reload = "SELECT pg_reload_conf()";
    scene.server.sql("postgres", "ALTER SYSTEM SET ssl = off");
    scene.server.sql("postgres", reload);
    wait_until("it to offer no TLS", || found() > before);
    scene.server.sql("postgres", "ALTER SYSTEM SET ssl = on");
    scene.server.sql("postgres", reload);
    wait_until("it to offer TLS", || found() > before + 1);
    ask(&scene, "third");
    let output = scene.finish(sensor);
    let mut differences = Differences::default();
    for user in expected {
        let got = output.volume(&scene.database, user);
        differences.check(user, &(1, 30), &(got.queries, got.rows_returned));
    }
    nothing_unseen(&mut differences, &output.metrics());
    differences.none();
}

/// Forty clients, a connection each statement: each is tied to its own socket.
#[test]
fn many_connections_at_once() {
    let users = ["one", "other"];
    let Some(scene) = Scene::new(Options::default(), &users) else {
        return;
    };
    let sensor = Sensor::start(&scene.turn, &plaintext(), &[]);
    let expected: Vec<Volume> = std::thread::scope(|scope| {
        let threads: Vec<_> = users
            .iter()
            .map(|user| {
                let scene = &scene;
                scope.spawn(move || {
                    let arguments = ["20", "15", "reconnect"];
                    Client::Pgbench
                        .run_with(
                            &scene.server.ipv4(),
                            user,
                            &scene.database,
                            &arguments,
                            &[("PGSSLMODE", "require")],
                        )
                        .volume()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("pgbench"))
            .collect()
    });
    let output = scene.finish(sensor);
    let mut differences = Differences::default();
    for (user, expected) in users.iter().zip(expected) {
        let got = output.volume(&scene.database, user);
        assert!(expected.queries >= 20 * 15, "{user}: {expected:?}");
        differences.check(user, &expected, &got.rows_only());
    }
    nothing_unseen(&mut differences, &output.metrics());
    differences.none();
}
