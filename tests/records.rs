//! Promise: a record that is read twice is one record, however a client asks for it, and what is not picked by a key counts by
//! its rows; no key leaves the kernel.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use harness::{
    Options, Postgres, Sensor, Turn,
    raw::{Raw, extended, sync},
    sensor_binary, wait_until, workspace,
};
use serde_json::Value;

const SCHEMA: &str = "
    CREATE ROLE ann LOGIN;
    CREATE TABLE customers (id int PRIMARY KEY, email text UNIQUE, name text, agent int);
    INSERT INTO customers SELECT i, 'canary-' || i || '@example.com', 'name ' || i, i % 7 FROM generate_series(1, 5000) i;
    CREATE TABLE orders AS SELECT i AS id, i % 100 AS customer FROM generate_series(1, 1000) i;
    GRANT SELECT, UPDATE ON customers, orders TO PUBLIC; ANALYZE;
";

/// Clients of one user, which read customers by their numbers.
struct Desk {
    server: Postgres,
    turn: Turn,
}

impl Desk {
    fn open() -> Self {
        let turn = Turn::take();
        let server = Postgres::start(&Options::default());
        server.sql("postgres", "CREATE DATABASE desk");
        server.sql("desk", SCHEMA);
        Self { server, turn }
    }

    fn sensor(&self, history: &Path, more: &str) -> Sensor {
        let configuration = format!(
            "[export]\ninterval = \"1s\"\n[[threshold]]\nname = \"never\"\nwindow = \"1m\"\nlimit = 1000000000\n\
             [history]\npath = \"{}\"\n{more}",
            history.display()
        );
        Sensor::start(&self.turn, &configuration, &[])
    }

    /// Runs a client program as the user, with this on its standard input.
    fn run(&self, mut command: Command, input: &str) {
        let endpoint = self.server.ipv4();
        let mut child = command
            .env("PGHOST", &endpoint.host)
            .env("PGPORT", endpoint.port.to_string())
            .env("PGUSER", "ann")
            .env("PGDATABASE", "desk")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("run a client");
        child
            .stdin
            .take()
            .expect("piped")
            .write_all(input.as_bytes())
            .expect("write");
        let output = child.wait_with_output().expect("run a client");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn psql(&self, statements: &[String]) {
        let mut command = self.server.command("psql");
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
        let input: String = statements
            .iter()
            .map(|statement| format!("{statement};\n"))
            .collect();
        self.run(command, &input);
    }

    fn pgbench(&self, mode: &str, from: u32, to: u32, times: u32) {
        let script = self.server.directory().join(format!("look-up-{mode}.sql"));
        fs::write(
            &script,
            format!("\\set id random({from}, {to})\nSELECT name FROM customers WHERE id = :id;\n"),
        )
        .expect("write");
        let mut command = self.server.command("pgbench");
        command
            .args(["-n", "-M", mode, "-c", "2", "-t", &times.to_string(), "-f"])
            .arg(&script);
        self.run(command, "");
    }

    fn extended(&self, sql: &str, parameters: &[&[&str]]) {
        let mut client = Raw::start(&self.server.ipv4(), "ann", "desk");
        for parameters in parameters {
            client.send(&[extended(sql, parameters), sync()].concat());
            client.answer();
        }
        client.terminate();
    }

    /// psycopg with parameters: on the server's side, so that they are bound, the numbers in binary.
    fn psycopg(&self, from: u32, to: u32) {
        let program = format!(
            "import psycopg\n\
             with psycopg.connect('') as c:\n\
             \x20 for i in range({from}, {to} + 1):\n\
             \x20   c.execute('SELECT name FROM customers WHERE id = %b', (i,)).fetchall()\n\
             \x20   c.execute('SELECT name FROM customers WHERE id = %t', (i,)).fetchall()\n"
        );
        let mut command = Command::new(workspace().join("target/tools/venv/bin/python"));
        command.arg("-");
        self.run(command, &program);
    }

    /// Each statement once, and time for the sensor to learn where its keys stand.
    fn warm_up(&self) {
        self.psql(&[
            "SELECT name FROM customers WHERE id = 1".to_owned(),
            "SELECT name, agent FROM customers WHERE id IN (1)".to_owned(),
            "SELECT name FROM customers WHERE email = 'canary-1@example.com'".to_owned(),
            "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer WHERE c.id = 1"
                .to_owned(),
        ]);
        self.extended("SELECT name FROM customers WHERE id = $1", &[&["1"]]);
        thread::sleep(Duration::from_millis(500));
    }
}

/// Distinct records, rows whose keys are not known, and all rows, as the history has them.
fn reading(history: &Path) -> [u64; 3] {
    let output = Command::new(sensor_binary())
        .args([
            "history",
            "who",
            "--table",
            "customers",
            "--user",
            "ann",
            "--json",
            "--database",
        ])
        .arg(history)
        .output()
        .expect("run the sensor");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut sums = [0; 3];
    for line in answer.lines() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        for (sum, key) in sums
            .iter_mut()
            .zip(["records", "rows_without_keys", "rows_read"])
        {
            *sum += value[key].as_u64().unwrap_or(0);
        }
    }
    sums
}

#[test]
fn a_record_is_one_however_and_however_often_it_is_read() {
    let desk = Desk::open();
    let directory = tempfile::Builder::new()
        .prefix("dst-records-")
        .tempdir_in("/tmp")
        .expect("directory");
    let history = directory.path().join("history.db");
    let sensor = desk.sensor(
        &history,
        "[detection.keys]\ncustomers = [\"id\", \"email\"]\n",
    );
    desk.warm_up();
    wait_until("the warm-up in the history", || reading(&history)[2] == 14);
    // The first sight of each statement counts by its rows.
    let before = reading(&history)[2];

    let look_ups = |ids: std::ops::RangeInclusive<u32>| -> Vec<String> {
        ids.map(|id| format!("SELECT name FROM customers WHERE id = {id}"))
            .collect()
    };
    desk.psql(&look_ups(1..=30));
    let quoted: Vec<String> = (1..=30)
        .map(|id| format!("SELECT name FROM customers WHERE id = '{id}'"))
        .collect();
    desk.psql(&quoted);
    let texts: Vec<String> = (1..=30).map(|id: u32| id.to_string()).collect();
    let parameters: Vec<[&str; 1]> = texts.iter().map(|text| [text.as_str()]).collect();
    let parameters: Vec<&[&str]> = parameters.iter().map(<[&str; 1]>::as_slice).collect();
    desk.extended("SELECT name FROM customers WHERE id = $1", &parameters);
    desk.psycopg(1, 30);
    for mode in ["simple", "extended", "prepared"] {
        desk.pgbench(mode, 1, 30, 100);
    }
    let ids: Vec<String> = (21..=40).map(|id: u32| id.to_string()).collect();
    desk.psql(&[format!(
        "SELECT name, agent FROM customers WHERE id IN ({})",
        ids.join(", ")
    )]);
    let rows = 30 + 30 + 30 + 60 + 600 + 20;
    desk.server.wait_until_idle();
    wait_until("the look-ups in the history", || {
        reading(&history)[2] == before + rows
    });
    assert_eq!(reading(&history)[0], 40);

    // What no key picks counts by its rows; another kind of key is another record.
    desk.psql(&[
        "SELECT name FROM customers WHERE id <= 100".to_owned(),
        "SELECT name FROM customers WHERE email = 'canary-77@example.com'".to_owned(),
        // A customer with ten orders.
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer WHERE c.id = 50"
            .to_owned(),
        // Nobody.
        "SELECT name FROM customers WHERE id = 999999".to_owned(),
    ]);
    let rows = rows + 100 + 1 + 10;
    wait_until("the rest in the history", || {
        reading(&history)[2] == before + rows
    });
    let [records, unknown, _] = reading(&history);
    assert_eq!(records, 42);
    assert!(unknown >= 100, "{unknown}");
    wait_until("the metric", || {
        let metrics = sensor.metrics();
        let of_ann: Vec<f64> = metrics
            .iter()
            .filter(|series| {
                series.name == "data_access.records"
                    && series
                        .attributes
                        .get("user.name")
                        .is_some_and(|user| user == "ann")
                    && series
                        .attributes
                        .get("db.collection.name")
                        .is_some_and(|table| table == "customers")
            })
            .map(|series| series.value)
            .collect();
        of_ann.contains(&41.0)
    });
    let lost: f64 = sensor
        .metrics()
        .iter()
        .filter(|series| series.name == "data_access.sensor.lost_keys")
        .map(|series| series.value)
        .sum();
    assert_eq!(lost, 0.0);

    // Known again after a kill, with keys that the server's own catalogue tells.
    let log = sensor.log();
    sensor.end(libc::SIGKILL);
    let endpoint = desk.server.ipv4();
    let sensor = desk.sensor(
        &history,
        &format!(
            "[inventory]\npostgresql = \"host={} port={} user=postgres dbname=postgres\"\ninterval = \"1s\"\n",
            endpoint.host, endpoint.port
        ),
    );
    thread::sleep(Duration::from_secs(3));
    desk.warm_up();
    desk.psql(&look_ups(1..=40));
    wait_until("the look-ups after the restart", || {
        reading(&history)[2] >= before + rows + 14 + 40
    });
    assert_eq!(reading(&history)[0], 42, "after the restart");

    // No key is anywhere: neither in what is kept nor in what is exported or logged.
    desk.server.wait_until_idle();
    let mut all = vec![log.into_bytes(), sensor.log().into_bytes()];
    all.push(fs::read(sensor.otlp_file()).expect("read"));
    sensor.stop();
    for entry in fs::read_dir(directory.path()).expect("list") {
        all.push(fs::read(entry.expect("entry").path()).expect("read"));
    }
    for bytes in all {
        assert!(
            !bytes.windows(7).any(|part| part == b"canary-"),
            "a key's value left the kernel"
        );
    }
}
