//! Who a connection is at the moment, and in which database: log-ins that succeed and that fail, connections older than the sensor.

use std::collections::BTreeMap;

use harness::{
    Differences, Sensor, Turn, allowed_rungs,
    otlp::Series,
    redis::{Kind, password},
    resp::{Reply, Resp},
};

use crate::{CONFIGURATION, email, finish, is_followed, key, server, tally};

/// Queries and rows of GET by user and database.
fn gets(series: &[Series]) -> BTreeMap<(String, String), (u64, u64)> {
    let mut found = BTreeMap::new();
    for one in series {
        let attribute = |key: &str| one.attributes.get(key).cloned().unwrap_or_default();
        if attribute("db.operation.name") != "GET" {
            continue;
        }
        let entry: &mut (u64, u64) = found
            .entry((attribute("user.name"), attribute("db.namespace")))
            .or_default();
        match one.name.as_str() {
            "data_access.queries" => entry.0 += one.value as u64,
            "data_access.rows" => entry.1 += one.value as u64,
            _ => {}
        }
    }
    found.retain(|_, (queries, rows)| *queries + *rows > 0);
    found
}

#[test]
fn users_and_databases_are_those_of_the_moment() {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = server(Kind::Redis, &[]);
    for name in ["ann", "bob", "carl", "dora"] {
        server.user(name);
    }
    let endpoint = server.unix();
    let mut older = Resp::login(&endpoint, "dora");
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let mut expected: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    let mut says = |user: &str, database: &str, queries: u64, rows: u64| {
        let entry = expected
            .entry((user.to_owned(), database.to_owned()))
            .or_default();
        *entry = (entry.0 + queries, entry.1 + rows);
    };
    let present = email(1);
    let get: &[&str] = &["GET", &present];
    let times = |client: &mut Resp, times: usize| {
        for _ in 0..times {
            client.command(get);
        }
    };
    let secrets = ["ann", "bob", "carl"].map(password);
    let [ann, bob, carl] = ["ann", "bob", "carl"];
    for endpoint in [endpoint, server.ipv4()] {
        let mut client = Resp::connect(&endpoint);
        times(&mut client, 2);
        says("default", "0", 2, 2);
        client.command(&["AUTH", ann, &secrets[0]]);
        times(&mut client, 3);
        says(ann, "0", 3, 3);
        // Refused, it stays who it was.
        let refused = client.command(&["AUTH", bob, "zq7x wrong"]);
        assert!(matches!(refused, Reply::Error(_)));
        times(&mut client, 5);
        says(ann, "0", 5, 5);
        client.command(&["SELECT", "3"]);
        times(&mut client, 7);
        says(ann, "3", 7, 0);
        assert!(matches!(client.command(&["SELECT", "99"]), Reply::Error(_)));
        times(&mut client, 1);
        says(ann, "3", 1, 0);
        client.command(&["HELLO", "3", "AUTH", bob, &secrets[1], "SETNAME", "desk"]);
        times(&mut client, 11);
        says(bob, "3", 11, 0);
        assert!(matches!(
            client.command(&["HELLO", "3", "AUTH", ann, "zq7x wrong"]),
            Reply::Error(_)
        ));
        client.command(&["CLIENT", "SETNAME", "other-desk"]);
        client.command(&["SELECT", "0"]);
        times(&mut client, 13);
        says(bob, "0", 13, 13);
        client.command(&["RESET"]);
        times(&mut client, 17);
        says("default", "0", 17, 17);
        // All by one write: each under whom it ran.
        let mut client = Resp::connect(&endpoint);
        client.send(&[
            get,
            &["AUTH", carl, "zq7x wrong"],
            get,
            &["AUTH", carl, &secrets[2]],
            get,
            get,
            &["SELECT", "5"],
            get,
            &["AUTH", ann, "zq7x wrong"],
            get,
            &["AUTH", bob, &secrets[1]],
            get,
            get,
        ]);
        for _ in 0..13 {
            client.reply();
        }
        says("default", "0", 2, 2);
        says(carl, "0", 2, 2);
        says(carl, "5", 2, 0);
        says(bob, "5", 2, 0);
    }
    // Known to be there, not known who it is, until it logs in again; in which database nobody knows even then.
    times(&mut older, 19);
    older.command(&["LRANGE", &key("queue"), "0", "-1"]);
    older.command(&["AUTH", ann, &secrets[0]]);
    times(&mut older, 23);
    says(ann, "", 23, 23);
    drop(older);
    let output = finish(&[&server], sensor);
    let series = output.metrics();
    let mut got = gets(&series);
    let mut differences = Differences::default();
    let before: (u64, u64) = got
        .iter()
        .filter(|((user, _), _)| user.starts_with("unknown"))
        .fold((0, 0), |sum, (_, count)| (sum.0 + count.0, sum.1 + count.1));
    got.retain(|(user, _), _| !user.starts_with("unknown"));
    // What it was in the middle of when it was first seen, nobody knows: the first may be missing.
    differences.check("older than the sensor", &(19, 19), &before);
    let unknown: u64 = series
        .iter()
        .filter_map(|one| one.attributes.get("user.name"))
        .filter(|user| user.starts_with("unknown"))
        .flat_map(|user| tally(&series, user).into_iter())
        .filter(|(what, _)| what == "LRANGE queue:*")
        .map(|(_, (_, rows))| rows)
        .max()
        .unwrap_or_default();
    differences.check("its list", &500, &unknown);
    for (who, count) in &expected {
        let got = got.remove(who).unwrap_or_default();
        differences.check(&format!("{who:?}"), count, &got);
    }
    differences.check("nobody else", &BTreeMap::new(), &got);
    differences.none();
}

/// Where there is room for one protocol only, it is said that this one is not seen.
#[test]
fn the_lowest_rung_says_that_it_sees_none() {
    let turn = Turn::take();
    if !allowed_rungs(&turn).iter().any(|rung| rung == "sys_exit") {
        return;
    }
    let server = server(Kind::Redis, &[]);
    server.user("unseen");
    let sensor = Sensor::start(
        &turn,
        &format!("[kernel]\nhooks = \"sys_exit\"\n{CONFIGURATION}"),
        &[],
    );
    for endpoint in [server.unix(), server.ipv4()] {
        Resp::login(&endpoint, "unseen").command(&["LRANGE", &key("queue"), "0", "-1"]);
    }
    let output = finish(&[&server], sensor);
    assert!(
        output.log.contains("is not seen: the hooks sys_exit"),
        "{}",
        output.log
    );
    let mut seen = output.metrics();
    seen.retain(|one| one.name == "data_access.bytes" && one.value > 0.0);
    assert!(seen.is_empty(), "{seen:#?}");
}
