//! A server with data and users, a sensor that watches it, and a receiver that keeps what the sensor tells.

use std::path::{Path, PathBuf};

use harness::{
    Options, Postgres, Sensor, Turn,
    raw::Raw,
    receivers::{Process, free_port, sink},
};
use tempfile::TempDir;

use super::spans::spans;

pub fn server() -> Postgres {
    let server = Postgres::start(&Options::default());
    server.sql(
        "postgres",
        "CREATE TABLE items AS SELECT i AS id FROM generate_series(1, 5000) i; GRANT SELECT ON items TO PUBLIC;
         CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE carl LOGIN",
    );
    server
}

/// See the module. What lives last comes last.
pub struct Scene {
    sensor: Option<Sensor>,
    _sink: Process,
    pub server: Postgres,
    file: PathBuf,
    _directory: TempDir,
    _turn: Turn,
}

impl Scene {
    /// `traces` are lines of the configuration's `[export.traces]`, and what may follow them.
    pub fn begin(traces: &str) -> Self {
        Self::begin_with("", traces)
    }

    /// The same with more tables before the sensor starts.
    pub fn begin_with(tables: &str, traces: &str) -> Self {
        let turn = Turn::take();
        let directory = tempfile::tempdir().expect("a directory");
        let server = server();
        server.sql("postgres", tables);
        let port = free_port();
        let file = directory.path().join("received.jsonl");
        let sink = sink(port, &file);
        let sensor = Sensor::start(
            &turn,
            &format!(
                "[export]\ninterval = \"1s\"\notlp_endpoint = \"http://127.0.0.1:{port}\"\notlp_protocol = \"grpc\"\n\
                 [export.traces]\n{traces}"
            ),
            &[],
        );
        Self {
            sensor: Some(sensor),
            _sink: sink,
            server,
            file,
            _directory: directory,
            _turn: turn,
        }
    }

    /// A session of a user.
    pub fn session(&self, user: &str) -> Raw {
        Raw::start(&self.server.ipv4(), user, "postgres")
    }

    /// What was received so far.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Has the span of a user's session come?
    pub fn ended(&self, user: &str) -> bool {
        let name = format!("session {user} postgres");
        spans(&self.file).iter().any(|span| span["name"] == *name)
    }

    /// Ends the sensor, which tells the rest.
    pub fn stop(&mut self) {
        self.sensor.take().expect("a sensor").stop();
    }
}
