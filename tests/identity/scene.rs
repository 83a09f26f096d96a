//! A server with a few users, a sensor, and rows by whatever the sensor says of their reader.

use std::{
    collections::BTreeMap, fs, os::unix::process::CommandExt, process::Command, time::Duration,
};

use harness::{
    CONFIGURATION, Options, Output, Postgres, Sensor, Turn,
    login::run_as,
    otlp::{Attributes, Series},
    pause,
    raw::Raw,
};

/// A database `desk` of `items`, and users. `ann` is a member of `boss`, of `x` and of `"Two Words"`.
const SCHEMA: &str = r#"
    CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE owner LOGIN SUPERUSER; CREATE ROLE "odd name" LOGIN;
    CREATE ROLE boss; CREATE ROLE x; CREATE ROLE "Two Words";
    GRANT boss, x, "Two Words" TO ann;
    CREATE TABLE items AS SELECT i AS id, 'item ' || i AS name FROM generate_series(1, 2000) i;
    GRANT SELECT ON items TO PUBLIC;
"#;

/// See the module.
pub struct Scene {
    pub server: Postgres,
    pub sensor: Sensor,
    pub turn: Turn,
}

impl Scene {
    /// With more of a configuration.
    pub fn new(more: &str) -> Self {
        let turn = Turn::take();
        let server = Self::server(&Options::default());
        Self::with(turn, server, more)
    }

    pub fn server(options: &Options) -> Postgres {
        let server = Postgres::start(options);
        server.sql("postgres", "CREATE DATABASE desk");
        server.sql("desk", SCHEMA);
        server
    }

    pub fn with(turn: Turn, server: Postgres, more: &str) -> Self {
        let sensor = Sensor::start(&turn, &format!("{CONFIGURATION}\n{more}"), &[]);
        Self {
            server,
            sensor,
            turn,
        }
    }

    /// Stops the sensor.
    pub fn finish(self) -> Output {
        self.server.wait_until_idle();
        pause(Duration::from_millis(300));
        self.sensor.stop()
    }
}

/// Rows returned of `items`, by these attributes of who read them; an absent one is empty.
pub fn rows_by(output: &Output, keys: &[&str]) -> BTreeMap<Vec<String>, u64> {
    let mut rows = BTreeMap::new();
    for one in &output.metrics() {
        if one.name == "data_access.rows"
            && attribute(&one.attributes, "db.collection.name") == "items"
            && attribute(&one.attributes, "data_access.direction") == "returned"
        {
            let who = keys.iter().map(|key| named(one, key)).collect();
            *rows.entry(who).or_insert(0) += one.value as u64;
        }
    }
    rows
}

/// An attribute; the only one of a list.
fn named(series: &Series, key: &str) -> String {
    let text = attribute(&series.attributes, key);
    match text.split_once("stringValue\":\"") {
        Some((_, list)) => list.split("\"}").next().unwrap_or_default().to_owned(),
        None => text.to_owned(),
    }
}

pub fn attribute<'a>(attributes: &'a Attributes, key: &str) -> &'a str {
    attributes.get(key).map_or("", String::as_str)
}

/// A statement that returns so many rows of `items`, each with the name under which it ran.
pub fn who_reads(rows: u64) -> String {
    format!("SELECT current_user FROM items WHERE id <= {rows}")
}

/// Reads up to so many `ReadyForQuery`, and counts rows by the text of their only column.
pub fn rows_by_text(client: &mut Raw, answers: usize, rows: &mut BTreeMap<String, u64>) {
    let mut left = answers;
    while left > 0 {
        let message = client.message().expect("the connection goes on");
        match message.kind {
            b'Z' => left -= 1,
            b'D' => {
                let text = String::from_utf8_lossy(&message.body[6..]).into_owned();
                *rows.entry(text).or_insert(0) += 1;
            }
            _ => {}
        }
    }
}

/// A program as an OS user and a login user, in a control group.
pub struct As<'a> {
    pub uid: u32,
    pub login_uid: Option<u32>,
    pub cgroup: Option<&'a str>,
}

impl As<'_> {
    /// Runs a command as that, to its end.
    pub fn run(&self, mut command: Command) {
        if let Some(cgroup) = self.cgroup {
            let processes = format!("{cgroup}/cgroup.procs");
            // SAFETY: between fork and exec of a process whose other threads hold no lock that this needs: a file.
            unsafe { command.pre_exec(move || fs::write(&processes, "0")) };
        }
        run_as(&mut command, self.uid, self.login_uid);
    }
}

/// psql that reads so many rows of `items`.
pub fn psql(host: &str, port: u16, user: &str, rows: u64) -> Command {
    let mut command = Command::new("psql");
    command
        .args(["--no-psqlrc", "--quiet", "--output=/dev/null"])
        .args(["--host", host, "--port", &port.to_string()])
        .args(["--username", user, "--dbname", "desk", "--command"])
        .arg(who_reads(rows));
    command
}
