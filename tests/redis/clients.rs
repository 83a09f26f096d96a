//! What people use: each server's own clients, redis-py, ioredis, redis-rs; over unix sockets and TCP.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use harness::{
    Differences, Redis, Sensor, Turn, Volume,
    clients::Endpoint,
    otlp::Series,
    redis::{CANARY, Kind, password},
    redis_rs,
    relay::Relay,
    resp::Tally,
    workspace,
};
use serde_json::Value;

use crate::{
    CONFIGURATION, email, finish, is_followed, key, nothing_unseen, server, tallies, tally,
};

/// What clients ask for by themselves when they connect: they keep no count of it, but the server does.
const BY_THEMSELVES: [&str; 6] = ["AUTH", "HELLO", "CLIENT", "INFO", "CONFIG", "COMMAND"];

/// A program, and what it shall do.
#[derive(Clone, Copy, Debug)]
enum Client {
    Python(u8),
    Node,
    Rust,
    Cli,
    Benchmark,
}

impl Client {
    const ALL: [Self; 6] = [
        Self::Python(2),
        Self::Python(3),
        Self::Node,
        Self::Rust,
        Self::Cli,
        Self::Benchmark,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Python(2) => "python2",
            Self::Python(_) => "python3",
            Self::Node => "node",
            Self::Rust => "rust",
            Self::Cli => "cli",
            Self::Benchmark => "benchmark",
        }
    }

    /// Queries and rows that it counted by command and kind of key.
    fn run(self, server: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
        let tools = workspace().join("target/tools");
        match self {
            Self::Python(version) => script(
                &mut Command::new(tools.join("venv/bin/python")),
                "redispy.py",
                endpoint,
                &[user, &password(user), &version.to_string()],
            ),
            Self::Node => script(
                Command::new("node").env("NODE_PATH", tools.join("node/node_modules")),
                "ioredis.js",
                endpoint,
                &[user, &password(user)],
            ),
            Self::Rust => redis_rs::run(endpoint, user),
            Self::Cli => cli(server, endpoint, user),
            Self::Benchmark => benchmark(server, endpoint, user),
        }
    }
}

/// Runs a script and reads what it counted.
fn script(command: &mut Command, name: &str, endpoint: &Endpoint, more: &[&str]) -> Tally {
    let output = command
        .arg(workspace().join("tests/clients").join(name))
        .args([&endpoint.host, &endpoint.port.to_string()])
        .args(more)
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}: run `cargo xtask setup`"));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{name}: {}\n{stdout}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let counted: Value = serde_json::from_str(stdout.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{name}: {error}: {stdout}"));
    let counted = counted.as_object().expect("an object");
    let number = |value: &Value| value.as_u64().expect("a number");
    counted
        .iter()
        .map(|(what, count)| (what.clone(), (number(&count[0]), number(&count[1]))))
        .collect()
}

/// redis-cli, which prints a line an element, with commands on its standard input; and one that goes through all keys.
fn cli(server: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let mut tally = Tally::new();
    let mut add = |what: &str, queries: u64, rows: u64| {
        let entry = tally.entry(what.to_owned()).or_default();
        *entry = (entry.0 + queries, entry.1 + rows);
    };
    let mut text = String::new();
    for i in 0..50 {
        text += &format!("GET {}\n", email(i));
    }
    text += &format!(
        "LRANGE {} 0 -1\nHGETALL profile:{CANARY}3\nSMEMBERS {}\n",
        key("queue"),
        key("tags")
    );
    let mut child = server
        .client("cli", endpoint, user)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run redis-cli");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).expect("give commands");
    drop(input);
    let output = child.wait_with_output().expect("wait");
    let lines = lines(&output.stdout);
    for (what, queries, rows) in [
        ("GET user:*:email", 50, 50),
        ("LRANGE queue:*", 1, 500),
        ("HGETALL profile:*", 1, 20),
        ("SMEMBERS tags:*", 1, 50),
    ] {
        add(what, queries, rows);
    }
    assert_eq!(lines, 50 + 500 + 20 + 50);
    let scans = server.calls().get("SCAN").copied().unwrap_or_default();
    let output = server
        .client("cli", endpoint, user)
        .args(["--scan", "--pattern", &format!("user:{CANARY}*")])
        .output()
        .expect("run redis-cli");
    let scans = server.calls()["SCAN"] - scans;
    add("SCAN user:*", scans, self::lines(&output.stdout));
    tally
}

fn lines(output: &[u8]) -> u64 {
    output.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// redis-benchmark: many connections, pipelines, inline commands; counted by the server, which nobody else uses meanwhile.
fn benchmark(server: &Redis, endpoint: &Endpoint, user: &str) -> Tally {
    let (calls, hits) = (server.calls(), server.hits());
    let run = |tests: &str, more: &[&str]| {
        let output = server
            .client("benchmark", endpoint, user)
            .args(["-t", tests, "-n", "2000", "-c", "30", "-r", "300", "-q"])
            .args(more)
            .output()
            .expect("run redis-benchmark");
        assert!(output.status.success(), "{output:?}");
    };
    run("ping_inline,set,get", &[]);
    run("set,get", &["-P", "16"]);
    let hits = server.hits() - hits;
    run("lrange_100", &["-P", "4"]);
    let now = server.calls();
    let ran = |name: &str| now[name] - calls.get(name).copied().unwrap_or_default();
    assert!(ran("GET") >= 4000 && hits > 0 && hits <= ran("GET"));
    [
        ("PING", ran("PING"), 0),
        ("SET key:*", ran("SET"), 0),
        ("GET key:*", ran("GET"), hits),
        ("LPUSH *", ran("LPUSH"), 0),
        ("LRANGE *", ran("LRANGE"), 100 * ran("LRANGE")),
    ]
    .into_iter()
    .map(|(what, queries, rows)| (what.to_owned(), (queries, rows)))
    .collect()
}

#[test]
fn every_client_over_every_socket() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let servers = Kind::ALL.map(|kind| {
        // Other threads than the first read and write here, when many clients are busy.
        (
            kind,
            server(kind, &["--io-threads", "2", "--io-threads-do-reads", "yes"]),
        )
    });
    let user = |kind: Kind, client: Client, transport: &str| {
        format!("{}_{}_{transport}", kind.name(), client.name())
    };
    for (kind, server) in &servers {
        for client in Client::ALL {
            for transport in ["unix", "ipv4"] {
                server.user(&user(*kind, client, transport));
            }
        }
        server.command(&["CONFIG", "RESETSTAT"]);
    }
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let mut runs = Vec::new();
    let mut bytes = (0, 0);
    for (kind, server) in &servers {
        for client in Client::ALL {
            for transport in ["unix", "ipv4"] {
                let user = user(*kind, client, transport);
                let relay = (transport == "ipv4").then(|| Relay::start(&server.ipv4()));
                let own = server.unix();
                let endpoint = relay.as_ref().map_or(&own, Relay::endpoint);
                runs.push((client.run(server, endpoint, &user), user));
                if let Some((to_client, to_server)) = relay.map(Relay::finish) {
                    bytes = (bytes.0 + to_client, bytes.1 + to_server);
                }
            }
        }
    }
    for (_, server) in &servers {
        server.wait_until_idle();
    }
    let calls = [0, 1].map(|at| servers[at].1.calls());
    let output = finish(&[], sensor);
    let series = output.metrics();
    let mut differences = Differences::default();
    for (counted, user) in &runs {
        let mut got = tally(&series, user);
        got.retain(|what, _| !BY_THEMSELVES.contains(&what.split(' ').next().unwrap_or_default()));
        let rows: u64 = counted.values().map(|(_, rows)| rows).sum();
        eprintln!("{user}: {rows} rows");
        tallies(&mut differences, user, counted, &got);
    }
    for ((kind, server), calls) in servers.iter().zip(calls) {
        against_the_server(&mut differences, *kind, server, calls, &series);
    }
    // All that came by TCP, whoever it was.
    let mut tcp = Volume::default();
    for one in &series {
        if one
            .attributes
            .get("client.address")
            .is_some_and(|address| address == "127.0.0.1")
        {
            let own = [one.clone()];
            let user = one.attributes.get("user.name").cloned().unwrap_or_default();
            tcp += Volume::anywhere(&own, &user);
        }
    }
    differences.check(
        "bytes by TCP",
        &bytes,
        &(tcp.bytes_sent, tcp.bytes_received),
    );
    nothing_unseen(&mut differences, &series, &[]);
    differences.none();
}

/// By command, over all users: what the server says that it ran, but for what a script called and what looking itself takes.
fn against_the_server(
    differences: &mut Differences,
    kind: Kind,
    server: &Redis,
    calls: std::collections::BTreeMap<String, u64>,
    series: &[Series],
) {
    let port = server.port.to_string();
    let mut seen = std::collections::BTreeMap::new();
    for one in series {
        let attribute = |key: &str| one.attributes.get(key).map_or("", String::as_str);
        if one.name != "data_access.queries" || attribute("server.port") != port {
            continue;
        }
        differences.check("system", &"redis", &attribute("db.system.name"));
        let command = attribute("db.operation.name").split(' ').next();
        *seen
            .entry(command.unwrap_or_default().to_owned())
            .or_insert(0) += one.value as u64;
    }
    for command in seen.keys() {
        differences.check(
            &format!(
                "{}: a command that the server has not run: {command}",
                kind.name()
            ),
            &true,
            &calls.contains_key(command),
        );
    }
    for (command, calls) in calls {
        // Asked for by this test, refused without a count (CLIENT SETINFO before version 7.2), called by scripts.
        if !["INFO", "CLIENT", "STRLEN", "CONFIG"].contains(&command.as_str()) {
            differences.check(
                &format!("{}: {command}", kind.name()),
                &calls,
                &seen.get(&command).copied().unwrap_or_default(),
            );
        }
    }
}
