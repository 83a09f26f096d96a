//! Promise: of Redis and Valkey, too, queries, rows and bytes per principal equal the truth exactly, and no key or value leaves
//! the sensor.
//!
//! Truth comes from what each client counted itself (the rules: `harness::resp`), from the server's own counts of commands and
//! of keys that it found, and from the bytes that crossed a relay.

mod clients;
mod copies;
mod evasion;
mod replies;
mod sessions;
mod unasked;

use std::{collections::BTreeMap, time::Duration};

use harness::{
    CONFIGURATION, Differences, Output, Redis, Sensor, Turn, allowed_rungs,
    otlp::Series,
    pause,
    redis::{CANARY, Kind},
    resp::{Resp, Tally},
};

/// Is Redis followed on the hooks that are used here? What is promised otherwise, another test says.
fn is_followed(turn: &Turn) -> bool {
    let hooks = std::env::var("SENSOR_TEST_HOOKS").ok();
    hooks
        .or_else(|| allowed_rungs(turn).into_iter().next())
        .as_deref()
        != Some("sys_exit")
}

/// A server with data: 200 strings `user:*:email`, 20 hashes `profile:*` of ten fields, and a list `queue:*` of 500, a set
/// `tags:*` of 50, and a sorted set `board:*` of 40.
fn server(kind: Kind, arguments: &[&str]) -> Redis {
    let server = Redis::start(kind, arguments);
    fill(&server);
    server
}

fn fill(server: &Redis) {
    let mut client = Resp::login(&server.unix(), "keeper");
    let mut commands: Vec<Vec<String>> = Vec::new();
    for i in 0..200 {
        commands.push(vec![
            "SET".into(),
            email(i),
            format!("{CANARY}{i}@example.org"),
        ]);
    }
    let mut put = |name: &str, key: String, values: Vec<String>| {
        commands.push([vec![name.to_owned(), key], values].concat());
    };
    for i in 0..20 {
        let fields = many("field", 10).into_iter().zip(many("value", 10));
        put(
            "HSET",
            format!("profile:{CANARY}{i}"),
            fields.flat_map(|(field, value)| [field, value]).collect(),
        );
    }
    put("RPUSH", key("queue"), many("item", 500));
    put("SADD", key("tags"), many("tag", 50));
    put(
        "ZADD",
        key("board"),
        many("member", 40)
            .into_iter()
            .enumerate()
            .flat_map(|(i, member)| [format!("{i}.5"), member])
            .collect(),
    );
    for command in &commands {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        client.command(&command);
    }
}

/// Values of a kind.
fn many(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{CANARY} {what} {i}")).collect()
}

fn email(index: usize) -> String {
    format!("user:{CANARY}{index}:email")
}

/// The first of a kind.
fn key(kind: &str) -> String {
    format!("{kind}:{CANARY}1")
}

/// Stops the sensor once all clients are gone, and looks for the canary in all that it wrote.
fn finish(servers: &[&Redis], sensor: Sensor) -> Output {
    for server in servers {
        server.wait_until_idle();
    }
    pause(Duration::from_millis(300));
    let output = sensor.stop();
    output.never_says(CANARY);
    output
}

/// Queries and rows returned of a user by command and kind of key.
fn tally(series: &[Series], user: &str) -> Tally {
    let mut tally = Tally::new();
    for one in series {
        let attribute = |key: &str| one.attributes.get(key).map_or("", String::as_str);
        if attribute("user.name") != user {
            continue;
        }
        // Of a command of two words the first: `CLIENT SETNAME`.
        let operation = attribute("db.operation.name");
        let command = operation.split(' ').next().unwrap_or(operation);
        let what = format!("{command} {}", attribute("db.collection.name"));
        let entry = tally.entry(what.trim().to_owned()).or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts below 2^53"
        )]
        let value = one.value as u64;
        match one.name.as_str() {
            "data_access.queries" => entry.0 += value,
            "data_access.rows" if attribute("data_access.direction") == "returned" => {
                entry.1 += value;
            }
            _ => {}
        }
    }
    tally.retain(|_, (queries, rows)| *queries + *rows > 0);
    tally
}

/// The same by command alone.
fn by_command(tally: &Tally) -> Tally {
    let mut sums = Tally::new();
    for (what, (queries, rows)) in tally {
        let command = what.split(' ').next().unwrap_or(what);
        let sum = sums.entry(command.to_owned()).or_default();
        sum.0 += queries;
        sum.1 += rows;
    }
    sums
}

/// Bytes that could not be seen, by cause.
fn blind(series: &[Series]) -> BTreeMap<String, f64> {
    series
        .iter()
        .filter(|one| one.name == "data_access.sensor.blind_bytes" && one.value > 0.0)
        .map(|one| {
            let cause = one.attributes.get("data_access.cause");
            (cause.cloned().unwrap_or_default(), one.value)
        })
        .collect()
}

/// Line by line, those that differ only.
fn tallies(differences: &mut Differences, what: &str, expected: &Tally, got: &Tally) {
    let names: std::collections::BTreeSet<_> = expected.keys().chain(got.keys()).collect();
    for name in names {
        differences.check(
            &format!("{what}: {name} (queries, rows)"),
            &expected.get(name).copied().unwrap_or_default(),
            &got.get(name).copied().unwrap_or_default(),
        );
    }
}

/// Nothing was taken for anything but the protocol.
fn nothing_unseen(differences: &mut Differences, series: &[Series], but: &[&str]) {
    let mut blind = blind(series);
    blind.retain(|cause, _| !but.contains(&cause.as_str()));
    differences.check("bytes unseen", &BTreeMap::new(), &blind);
}
