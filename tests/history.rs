//! Promise: who read what is remembered over kills and restarts, with nothing but shapes of statements; budgets hold over them;
//! and a full disk costs history, never the sensor.

use std::{
    ffi::CString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use harness::{Options, Postgres, Sensor, Turn, raw::Raw, sensor_binary, statements, wait_until};
use serde_json::Value;
use tempfile::TempDir;

const SCHEMA: &str = "
    CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN;
    CREATE TABLE customers (id int PRIMARY KEY, name text);
    INSERT INTO customers SELECT i, 'name ' || i FROM generate_series(1, 5000) i;
    CREATE TABLE tickets AS SELECT i AS id, i % 100 AS customer FROM generate_series(1, 1000) i;
    GRANT SELECT, INSERT ON customers, tickets TO PUBLIC; ANALYZE;
";

/// A server, and a place for history that outlives the sensor.
struct Desk {
    server: Postgres,
    directory: TempDir,
    turn: Turn,
}

impl Desk {
    fn open() -> Self {
        let turn = Turn::take();
        let server = Postgres::start(&Options::default());
        server.sql("postgres", "CREATE DATABASE desk");
        server.sql("desk", SCHEMA);
        server.sql("postgres", "SELECT pg_stat_statements_reset()");
        Self {
            server,
            directory: tempfile::Builder::new()
                .prefix("dst-history-")
                .tempdir_in("/tmp")
                .expect("directory"),
            turn,
        }
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("history.db")
    }

    fn sensor(&self, thresholds: &str) -> Sensor {
        self.sensor_at(&self.database(), thresholds)
    }

    fn sensor_at(&self, path: &Path, thresholds: &str) -> Sensor {
        let configuration = format!(
            "[export]\ninterval = \"1s\"\n[history]\npath = \"{}\"\n{thresholds}",
            path.display()
        );
        Sensor::start(&self.turn, &configuration, &[])
    }

    /// So many customers in one statement, as a user.
    fn read(&self, user: &str, rows: u64) {
        let mut client = Raw::start(&self.server.ipv4(), user, "desk");
        client.query(&format!(
            "SELECT id, name FROM customers WHERE id <= {rows} AND name <> 'canary-literal'"
        ));
        client.terminate();
    }

    /// A verb on the history; standard output.
    fn ask(&self, arguments: &[&str]) -> String {
        ask(&self.database(), arguments)
    }

    /// Rows that a user read of the customers, as the history has it.
    fn rows(&self, user: &str) -> u64 {
        rows(&self.database(), user)
    }
}

fn ask(database: &Path, arguments: &[&str]) -> String {
    let output = Command::new(sensor_binary())
        .args(arguments)
        .arg("--database")
        .arg(database)
        .output()
        .expect("run the sensor");
    assert!(
        output.status.success(),
        "sensor {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn rows(database: &Path, user: &str) -> u64 {
    let answer = ask(
        database,
        &[
            "history",
            "who",
            "--table",
            "customers",
            "--user",
            user,
            "--json",
        ],
    );
    answer
        .lines()
        .map(|line| number(&serde_json::from_str(line).expect("JSON"), "rows_read"))
        .sum()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key} in {value}"))
}

fn limit(name: &str, rows: u64, window: &str) -> String {
    format!(
        "[[threshold]]\nname = \"{name}\"\nwindow = \"{window}\"\nlimit = {rows}\nuser = [\"ann\", \"bob\"]\n"
    )
}

/// Which alerts a sensor's log tells of, by user.
fn told(sensor: &Sensor, threshold: &str) -> Vec<String> {
    sensor
        .log()
        .lines()
        .filter_map(|line| line.split(&format!(" {threshold}: ")).nth(1))
        .filter_map(|rest| rest.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_history_equals_the_servers_own_count_and_says_who() {
    let desk = Desk::open();
    let sensor = desk.sensor(&limit("never", 1_000_000_000, "1h"));
    for (user, rows, times) in [("ann", 700, 3), ("bob", 1, 40)] {
        for _ in 0..times {
            desk.read(user, rows);
        }
    }
    let mut client = Raw::start(&desk.server.unix(), "ann", "desk");
    for statement in [
        "SELECT t.id, c.name FROM tickets t JOIN public.customers c ON c.id = t.customer WHERE t.id < 50",
        "INSERT INTO tickets SELECT 5000 + i, 1 FROM generate_series(1, 30) i",
        "SELECT count(*) FROM tickets",
    ] {
        client.query(statement);
    }
    client.terminate();
    desk.server.wait_until_idle();
    thread::sleep(Duration::from_millis(300));
    let output = sensor.stop();
    for user in ["ann", "bob"] {
        let by_server = statements(&desk.server, "desk", user);
        let by_sensor = output.volume("desk", user);
        let answer = desk.ask(&["history", "who", "--db", "desk", "--user", user, "--json"]);
        let reading: Value = serde_json::from_str(answer.trim()).expect("one line of JSON");
        let sum = number(&reading, "rows_read") + number(&reading, "rows_written");
        assert_eq!(
            (sum, number(&reading, "queries")),
            (by_server.rows, by_server.calls),
            "{user}: {answer}"
        );
        assert_eq!(number(&reading, "bytes_sent"), by_sensor.bytes_sent);
        assert_eq!(number(&reading, "rows_written"), by_sensor.rows_written);
    }
    let asked = Instant::now();
    let answer = desk.ask(&["history", "who", "--table", "customers", "--since", "1h"]);
    assert!(asked.elapsed() < Duration::from_secs(5));
    let lines: Vec<&str> = answer.lines().collect();
    let ann = lines
        .iter()
        .position(|line| line.starts_with("ann "))
        .expect("ann");
    let bob = lines
        .iter()
        .position(|line| line.starts_with("bob "))
        .expect("bob");
    assert!(ann < bob, "who read most comes first:\n{answer}");
    // The join names the customers, too; the count of tickets does not.
    assert!(
        lines[ann].contains(" 2149 ") && lines[ann].contains("127.0.0.1 local"),
        "{answer}"
    );
    assert!(lines[bob].contains(" 40 "), "{answer}");
    assert!(
        answer.contains("2100   SELECT id, name FROM customers WHERE id <= ? AND name <> ?"),
        "{answer}"
    );
    for entry in fs::read_dir(desk.directory.path()).expect("list") {
        let path = entry.expect("entry").path();
        let bytes = fs::read(&path).expect("read");
        assert!(
            !bytes.windows(14).any(|part| part == b"canary-literal"),
            "a literal is in {}",
            path.display()
        );
    }
}

#[test]
fn a_budget_of_thirty_days_survives_kills() {
    let desk = Desk::open();
    let rule = limit("budget", 1_000, "30d");
    let mut read = 0;
    for kill in 0..6u64 {
        let sensor = desk.sensor(&rule);
        desk.read("ann", 150);
        read += 150;
        wait_until("the rows in the history", || desk.rows("ann") == read);
        assert!(told(&sensor, "budget").is_empty(), "{}", sensor.log());
        // In the middle of somebody else's reading, at a different moment each time.
        let before = desk.rows("bob");
        let times: Vec<Instant> = (0..5 * kill)
            .map(|_| {
                desk.read("bob", 1);
                thread::sleep(Duration::from_millis(100));
                Instant::now()
            })
            .collect();
        let killed = Instant::now();
        sensor.end(libc::SIGKILL);
        assert_eq!(desk.rows("ann"), read, "after kill {kill}");
        let kept = usize::try_from(desk.rows("bob") - before).expect("few");
        let lost = times.get(kept).map(|oldest| killed - *oldest);
        println!(
            "kill {kill}: {kept} of {} kept, the oldest lost {lost:?} old",
            times.len()
        );
        // A second; more, because the machine may be busy.
        assert!(
            lost.is_none_or(|age| age < Duration::from_secs(5)),
            "after kill {kill}: what was read {lost:?} before is lost"
        );
    }
    let sensor = desk.sensor(&rule);
    desk.read("ann", 90);
    thread::sleep(Duration::from_millis(500));
    assert!(
        told(&sensor, "budget").is_empty(),
        "990 are within the budget"
    );
    desk.read("ann", 20);
    sensor.wait_log("budget: ann accessed 1010 rows in 30 days");
    read += 110;
    wait_until("the rows in the history", || desk.rows("ann") == read);
    sensor.end(libc::SIGKILL);
    // What was told is not told again.
    let sensor = desk.sensor(&rule);
    desk.read("ann", 5);
    wait_until("the rows in the history", || desk.rows("ann") == read + 5);
    assert!(told(&sensor, "budget").is_empty(), "{}", sensor.log());
    let bob = desk.rows("bob");
    desk.server.wait_until_idle();
    sensor.stop();
    // Nothing is there twice.
    assert!(bob <= 75, "{bob}");
}

#[test]
fn what_is_acknowledged_is_silent_and_the_past_can_be_judged_anew() {
    let desk = Desk::open();
    let rule = limit("bulk", 100, "1m") + "rearm = \"1ms\"\n";
    let sensor = desk.sensor(&rule);
    desk.read("ann", 200);
    sensor.wait_log("bulk: ann accessed");
    let id = {
        let mut id = None;
        wait_until("the alert in the history", || {
            id = desk
                .ask(&["alerts", "list", "--open"])
                .lines()
                .find(|line| line.contains(" ann "))
                .and_then(|line| line.split_whitespace().find(|word| word.len() == 26))
                .map(str::to_owned);
            id.is_some()
        });
        id.expect("found")
    };
    let told_before = told(&sensor, "bulk").len();
    let said = desk.ask(&[
        "alerts",
        "acknowledge",
        &id,
        "--expected-until",
        "2099-01-01",
        "--reason",
        "migration",
    ]);
    assert!(
        said.contains("expected until 2099-01-01") && said.contains("about ann"),
        "{said}"
    );
    // Picked up without a restart.
    thread::sleep(Duration::from_millis(2_500));
    desk.read("ann", 300);
    desk.read("bob", 300);
    sensor.wait_log("bulk: bob accessed");
    assert_eq!(
        told(&sensor, "bulk").len(),
        told_before + 1,
        "{}",
        sensor.log()
    );
    wait_until("the suppressed alert in the metrics", || {
        sensor.metrics().iter().any(|series| {
            series.name == "data_access.sensor.alerts.suppressed" && series.value >= 1.0
        })
    });
    wait_until("the rows in the history", || desk.rows("bob") == 300);
    // It holds over a restart as well.
    sensor.end(libc::SIGKILL);
    let sensor = desk.sensor(&rule);
    desk.read("ann", 400);
    sensor.wait_log("is silent: it was acknowledged");
    assert!(
        told(&sensor, "bulk").iter().all(|user| user != "ann"),
        "{}",
        sensor.log()
    );
    wait_until("the rows in the history", || desk.rows("ann") == 900);
    desk.server.wait_until_idle();
    sensor.stop();

    let explained = desk.ask(&["alerts", "explain", &id]);
    assert!(
        explained.contains("expected until 2099-01-01") && explained.contains("migration"),
        "{explained}"
    );
    assert!(
        explained.contains("SELECT id, name FROM customers WHERE id <= ?"),
        "{explained}"
    );
    assert!(
        desk.ask(&["alerts", "list"])
            .contains("silent by acknowledgement")
    );

    // Other limits over the same time: only ann, who read 900 in all, crosses this one.
    let changed = desk.directory.path().join("changed.toml");
    fs::write(&changed, limit("budget", 600, "1h")).expect("write");
    let replayed = desk.ask(&[
        "replay",
        "--from",
        "1h",
        "--config",
        &changed.to_string_lossy(),
        "--json",
    ]);
    let lines: Vec<Value> = replayed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let would: Vec<&Value> = lines
        .iter()
        .filter(|line| line["would_fire"] == true)
        .collect();
    assert_eq!(would.len(), 1, "{replayed}");
    assert_eq!(
        (&would[0]["user"], &would[0]["rule"]),
        (&"ann".into(), &"budget".into())
    );
    assert_eq!(would[0]["did_fire"], false);
    let did = lines.iter().filter(|line| line["did_fire"] == true).count();
    assert!(did >= 4, "{replayed}");
    // The same settings over the same time find the same people.
    let same = desk.directory.path().join("same.toml");
    fs::write(&same, &rule).expect("write");
    let replayed = desk.ask(&[
        "replay",
        "--from",
        "1h",
        "--config",
        &same.to_string_lossy(),
    ]);
    assert!(
        replayed
            .lines()
            .any(|line| line.contains(" yes   yes   bulk             bob")),
        "{replayed}"
    );
    let tuned = desk.ask(&["tune", "--window", "1h", "--alerts-per-day", "0.5"]);
    assert!(
        tuned.contains("limit = 1000") && tuned.contains("alerts a day"),
        "{tuned}"
    );
}

/// A small file system of its own; gone when dropped.
struct Small {
    directory: TempDir,
}

impl Small {
    fn mount(bytes: u64) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("dst-small-")
            .tempdir_in("/tmp")
            .expect("directory");
        let target = CString::new(directory.path().to_string_lossy().as_bytes()).expect("no NUL");
        let options = CString::new(format!("size={bytes}")).expect("no NUL");
        // SAFETY: all are texts that end with NUL.
        let result = unsafe {
            libc::mount(
                c"tmpfs".as_ptr(),
                target.as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                options.as_ptr().cast(),
            )
        };
        assert_eq!(result, 0, "mount: {}", std::io::Error::last_os_error());
        Self { directory }
    }

    fn fill(&self) -> PathBuf {
        let path = self.directory.path().join("filler");
        let mut file = fs::File::create(&path).expect("create");
        while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let target =
            CString::new(self.directory.path().to_string_lossy().as_bytes()).expect("no NUL");
        // SAFETY: the text ends with NUL.
        unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_full_disk_costs_history_for_a_while_and_the_sensor_nothing() {
    let desk = Desk::open();
    let small = Small::mount(3 << 20);
    let database = small.directory.path().join("history.db");
    let sensor = desk.sensor_at(&database, &limit("bulk", 2_000, "1h"));
    let mut truth = 0;
    let mut read = |rows: u64| {
        desk.read("ann", rows);
        truth += rows;
    };
    read(100);
    wait_until("the rows in the history", || rows(&database, "ann") == 100);
    let filler = small.fill();
    // Each second writes a little more of the log, until there is no room for it.
    let deadline = Instant::now() + Duration::from_secs(40);
    while !sensor.log().contains("ALERT CRITICAL history") {
        assert!(
            Instant::now() < deadline,
            "history goes on, on a full disk:\n{}",
            sensor.log()
        );
        read(1);
        thread::sleep(Duration::from_millis(200));
    }
    let stopped = || {
        let metrics = sensor.metrics();
        let series = metrics
            .iter()
            .find(|series| series.name == "data_access.sensor.history.stopped");
        series.is_some_and(|series| series.value > 0.0)
    };
    wait_until("the metric that history has stopped", stopped);
    // The sensor watches, alerts and exports as before.
    read(2_500);
    sensor.wait_log("bulk: ann accessed");
    fs::remove_file(filler).expect("remove");
    sensor.wait_log("is written again; nothing was lost");
    wait_until("the metric that history goes on", || !stopped());
    read(7);
    desk.server.wait_until_idle();
    thread::sleep(Duration::from_millis(300));
    let output = sensor.stop();
    assert_eq!(output.volume("desk", "ann").rows_returned, truth);
    assert_eq!(rows(&database, "ann"), truth);
}
