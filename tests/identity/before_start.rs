//! Connections older than the sensor, which starts in the middle of their load.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use harness::{
    CONFIGURATION, Sensor, Turn, Volume,
    clients::Endpoint,
    pause,
    raw::{self, Raw},
    wait_until,
};

use crate::scene::{Scene, attribute, rows_by};

/// Rows that each statement reads.
const ROWS: u64 = 7;

/// A client that reads until it is stopped: by statements prepared before, or by texts.
struct Load<'a> {
    user: &'a str,
    endpoint: Endpoint,
    prepared: bool,
    /// Statements so far.
    done: AtomicU64,
}

impl Load<'_> {
    fn run(&self, stop: &AtomicBool) {
        let mut client = Raw::start(&self.endpoint, self.user, "desk");
        let text = format!("SELECT name FROM items WHERE id <= {ROWS}");
        if self.prepared {
            client.send(&[raw::parse("s", &text), raw::sync()].concat());
            client.answer();
        }
        while !stop.load(Ordering::Relaxed) {
            let answer = if self.prepared {
                client.send(&[raw::bind("", "s", &[]), raw::execute("", 0), raw::sync()].concat());
                client.answer()
            } else {
                client.query(&text)
            };
            assert_eq!(answer.rows, ROWS, "{answer:?}");
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        client.terminate();
    }
}

#[test]
fn a_sensor_that_starts_in_the_middle_of_a_load() {
    let turn = Turn::take();
    let server = Scene::server(&harness::Options::default());
    let load = |user, endpoint, prepared| Load {
        user,
        endpoint,
        prepared,
        done: AtomicU64::new(0),
    };
    let loads = [
        load("ann", server.unix(), false),
        load("bob", server.ipv4(), true),
        load("owner", server.ipv6(), false),
        // A title with this name in it says several things.
        load("odd name", server.unix(), false),
    ];
    let stop = AtomicBool::new(false);
    let counts = || {
        loads
            .each_ref()
            .map(|load| load.done.load(Ordering::Relaxed))
    };
    let (sensor, ready) = std::thread::scope(|scope| {
        for load in &loads {
            scope.spawn(|| load.run(&stop));
        }
        wait_until("clients at work", || {
            counts().iter().all(|done| *done > 100)
        });
        let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
        let ready = counts();
        wait_until("as much again", || {
            counts()
                .iter()
                .zip(ready)
                .all(|(now, ready)| *now > ready + 200)
        });
        stop.store(true, Ordering::Relaxed);
        (sensor, ready)
    });
    // Who comes later is known, whatever the name.
    let mut later = Raw::start(&server.unix(), "odd name", "desk");
    let answer = later.query("SELECT name FROM items WHERE id <= 3");
    assert_eq!(answer.rows, 3);
    later.terminate();
    server.wait_until_idle();
    pause(Duration::from_millis(300));
    let output = sensor.stop();
    let rows: BTreeMap<String, u64> = rows_by(&output, &["user.name"])
        .into_iter()
        .map(|(mut who, rows)| (who.remove(0), rows))
        .collect();
    let total = counts();
    let statements = Volume::by_statement(&output.metrics(), "desk", "bob");
    let prepared = statements
        .get("unknown statement")
        .copied()
        .unwrap_or_default();
    // All that came after it was ready, at most all there was. To the right one, to nobody else.
    let within = |who: &str, at: usize, rows: u64| {
        let range = (total[at] - ready[at] - 1) * ROWS..=total[at] * ROWS;
        assert!(
            range.contains(&rows),
            "{who}: expected {range:?}, got {rows}"
        );
    };
    within("ann", 0, rows["ann"]);
    within("owner", 2, rows["owner"]);
    within("odd name", 3, rows["unknown (since before start)"]);
    assert_eq!(rows["odd name"], 3);
    // What was prepared before has no text: its rows count, under a name that says so.
    within("bob", 1, prepared.rows_returned);
    assert!(
        prepared.bytes_sent > prepared.rows_returned * 6,
        "{prepared:?}"
    );
    let names: Vec<&str> = rows.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["ann", "odd name", "owner", "unknown (since before start)"]
    );
}

#[test]
fn a_statement_that_is_prepared_again_has_its_text() {
    let turn = Turn::take();
    let server = Scene::server(&harness::Options::default());
    let mut client = Raw::start(&server.unix(), "ann", "desk");
    let text = "SELECT name FROM items WHERE id <= 5";
    let run = [raw::bind("", "s", &[]), raw::execute("", 0), raw::sync()].concat();
    client.send(&[raw::parse("s", text), raw::sync()].concat());
    client.answer();
    let scene = Scene::with(turn, server, "");
    for _ in 0..10 {
        client.send(&run);
        assert_eq!(client.answer().rows, 5);
    }
    // DEALLOCATE, and Parse under the same name, as drivers do after an error.
    client.query("DEALLOCATE s");
    client.send(&[raw::parse("s", text), raw::sync()].concat());
    client.answer();
    for _ in 0..20 {
        client.send(&run);
        assert_eq!(client.answer().rows, 5);
    }
    client.terminate();
    let statements = Volume::by_statement(&scene.finish().metrics(), "desk", "ann");
    let rows = |summary: &str| {
        statements
            .get(summary)
            .copied()
            .unwrap_or_default()
            .rows_returned
    };
    assert_eq!(
        (rows("unknown statement"), rows("SELECT items")),
        (50, 100),
        "{statements:?}"
    );
}

/// Where the title says several things, the server's own word is taken.
#[test]
fn the_server_is_asked_who_was_there_before() {
    let turn = Turn::take();
    let server = Scene::server(&harness::Options::default());
    let mut client = Raw::start(&server.unix(), "odd name", "desk");
    client.query("SELECT 1");
    let login = format!(
        "[inventory]\npostgresql = \"host={} port={} user=postgres dbname=desk\"",
        server.unix().host,
        server.port
    );
    let scene = Scene::with(turn, server, &login);
    // Until it is known, it is nobody; each time it reads something else.
    let text = "SELECT name FROM items WHERE id <= 5";
    let known = |scene: &Scene| {
        scene
            .sensor
            .metrics()
            .iter()
            .any(|series| attribute(&series.attributes, "user.name") == "odd name")
    };
    wait_until("the user's name", || {
        client.query(text);
        pause(Duration::from_millis(200));
        known(&scene)
    });
    client.terminate();
    let rows = rows_by(&scene.finish(), &["user.name"]);
    for who in rows.keys() {
        let who = who[0].as_str();
        assert!(
            ["odd name", "unknown (since before start)"].contains(&who),
            "{rows:?}"
        );
    }
}
