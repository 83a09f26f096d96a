//! A server, a sensor, and what it should have counted.

use std::time::Duration;

use harness::{
    CONFIGURATION, Differences, Options, Output, Postgres, Sensor, Turn, Volume,
    clients::{SCHEMA, role},
    pause,
    raw::{Answer, Raw},
};

/// A server, a sensor, and what it should have counted when all is over.
pub struct Stage {
    pub server: Postgres,
    pub sensor: Sensor,
    pub database: String,
    pub expected: Vec<(String, Volume)>,
    /// Role, summary, queries and rows returned.
    pub statements: Vec<(String, String, u64, u64)>,
    _turn: Turn,
}

impl Stage {
    pub fn new(options: &Options) -> Self {
        let turn = Turn::take();
        let server = Postgres::start(options);
        let database = format!("protocol_{}", std::process::id());
        server.sql("postgres", &format!("CREATE DATABASE {database}"));
        server.sql(&database, SCHEMA);
        let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
        Self {
            server,
            sensor,
            database,
            expected: Vec::new(),
            statements: Vec::new(),
            _turn: turn,
        }
    }

    pub fn role(&self, name: &str) {
        self.server.sql(&self.database, &role(name));
    }

    /// Plays a client on each kind of socket, each as a role of its own. It returns what was answered; the bytes are
    /// taken from its connection.
    pub fn play(&mut self, name: &str, script: impl Fn(&mut Raw) -> Vec<Answer>) {
        for (kind, endpoint) in [("unix", self.server.unix()), ("tcp", self.server.ipv4())] {
            let role = format!("{name}_{kind}");
            self.role(&role);
            let mut client = Raw::start(&endpoint, &role, &self.database);
            let mut volume: Volume = script(&mut client).iter().map(Answer::volume).sum();
            (volume.bytes_sent, volume.bytes_received) = client.terminate();
            self.expected.push((role, volume));
        }
    }

    /// Expects this of a role.
    pub fn expect(&mut self, role: &str, volume: Volume) {
        self.expected.push((role.to_owned(), volume));
    }

    /// Expects so many queries more (or less) of what was played last than its answers tell.
    pub fn queries_besides_answers(&mut self, besides: i64) {
        let played = self.expected.len();
        for (_, volume) in &mut self.expected[played - 2..] {
            volume.queries = volume.queries.checked_add_signed(besides).expect("queries");
        }
    }

    /// Expects so many queries and rows under this summary of what was played last.
    pub fn statement(&mut self, summary: &str, queries: u64, rows: u64) {
        let played = self.expected.len();
        for (role, _) in &self.expected[played - 2..] {
            self.statements
                .push((role.clone(), summary.to_owned(), queries, rows));
        }
    }

    /// Stops the sensor and compares.
    pub fn finish(self) -> Output {
        self.finish_passed_over(0)
    }

    /// The same where programs are passed over: where the sensor has said at its start that operations go unseen on these hooks, those
    /// that it has counted may be missing, of up to so many queries each.
    pub fn finish_passed_over(self, queries: u64) -> Output {
        self.server.wait_until_idle();
        pause(Duration::from_millis(300));
        let output = self.sensor.stop();
        let mut differences = Differences::default();
        differences.allow(output.passed_over_as_said(), queries);
        for (role, expected) in &self.expected {
            let got = output.volume(&self.database, role);
            if !differences.check_volume(role, expected, &got) {
                let statements = Volume::by_statement(&output.metrics(), &self.database, role);
                differences.note(&format!("  statements {statements:?}"));
            }
        }
        for (role, summary, queries, rows) in &self.statements {
            let statements = Volume::by_statement(&output.metrics(), &self.database, role);
            let got = statements.get(summary).copied().unwrap_or_default();
            if (got.queries, got.rows_returned) != (*queries, *rows) {
                differences.note(&format!(
                    "{role}, {summary}: queries and rows\n  expected ({queries}, {rows})\n  got      ({}, {})",
                    got.queries, got.rows_returned
                ));
            }
        }
        differences.none();
        output
    }
}

/// The same connection serves an ordinary query afterwards.
pub fn still_works(client: &mut Raw) -> Answer {
    let answer = client.query("SELECT id, name FROM items WHERE id <= 5");
    assert_eq!(
        answer.tags,
        ["SELECT 5"],
        "after all of it: expected | got {answer:?}"
    );
    answer
}
