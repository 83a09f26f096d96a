//! redis-rs, by the third version of the protocol: plain, pipelined, in a transaction, and an iterator over keys.

use std::collections::BTreeMap;

use redis::{Cmd, Connection, Pipeline, Value, cmd};

use crate::{
    clients::Endpoint,
    redis::{CANARY, password},
    resp::Tally,
};

/// Runs its workload; queries and rows by command and kind of key. What the client asks for itself at the beginning of a
/// connection is not in there.
///
/// # Panics
/// When a command fails.
pub fn run(endpoint: &Endpoint, user: &str) -> Tally {
    let secret = password(user);
    let url = if endpoint.host.starts_with('/') {
        format!(
            "redis+unix://{}?user={user}&pass={secret}&protocol=resp3",
            endpoint.host
        )
    } else {
        format!(
            "redis://{user}:{secret}@{}:{}/?protocol=resp3",
            endpoint.host, endpoint.port
        )
    };
    let mut connection = redis::Client::open(url)
        .and_then(|client| client.get_connection())
        .expect("connect");
    let mut tally = BTreeMap::new();
    read(&mut connection, &mut tally);
    pipelines(&mut connection, &mut tally);
    keys(&mut connection, &mut tally);
    tally
}

fn email(index: usize) -> String {
    format!("user:{CANARY}{index}:email")
}

fn add(tally: &mut Tally, what: &str, rows: u64) {
    let entry = tally.entry(what.to_owned()).or_default();
    entry.0 += 1;
    entry.1 += rows;
}

fn leaves(value: &Value) -> u64 {
    match value {
        Value::Nil => 0,
        Value::Array(parts) | Value::Set(parts) => parts.iter().map(leaves).sum(),
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| leaves(key) + leaves(value))
            .sum(),
        _ => 1,
    }
}

fn ask(connection: &mut Connection, command: &Cmd) -> Value {
    command.query(connection).expect("a reply")
}

fn read(connection: &mut Connection, tally: &mut Tally) {
    for index in 0..250 {
        let value = ask(connection, cmd("GET").arg(email(index)));
        add(tally, "GET user:*:email", leaves(&value));
    }
    for (name, key, more) in [
        ("HGETALL", "profile", &[][..]),
        ("LRANGE", "queue", &["0", "-1"]),
        ("SMEMBERS", "tags", &[]),
        ("ZRANGE", "board", &["0", "-1", "WITHSCORES"]),
    ] {
        let value = ask(
            connection,
            cmd(name).arg(format!("{key}:{CANARY}1")).arg(more),
        );
        add(tally, &format!("{name} {key}:*"), leaves(&value));
    }
}

fn pipelines(connection: &mut Connection, tally: &mut Tally) {
    let mut pipeline = Pipeline::new();
    for index in 0..1000 {
        pipeline.cmd("GET").arg(email(index % 300));
    }
    let values: Vec<Value> = pipeline.query(connection).expect("replies");
    for value in &values {
        add(tally, "GET user:*:email", leaves(value));
    }
    let values: Vec<Value> = redis::pipe()
        .atomic()
        .cmd("GET")
        .arg(email(1))
        .cmd("HGETALL")
        .arg(format!("profile:{CANARY}1"))
        .query(connection)
        .expect("replies");
    for queued in ["MULTI", "GET user:*:email", "HGETALL profile:*"] {
        add(tally, queued, 0);
    }
    add(tally, "EXEC", values.iter().map(leaves).sum());
}

/// By pages, as its iterator does.
fn keys(connection: &mut Connection, tally: &mut Tally) {
    let mut cursor = "0".to_owned();
    loop {
        let (next, page): (String, Vec<String>) = cmd("SCAN")
            .arg(&cursor)
            .arg("COUNT")
            .arg("77")
            .query(connection)
            .expect("a page");
        add(tally, "SCAN", page.len() as u64);
        if next == "0" {
            return;
        }
        cursor = next;
    }
}
