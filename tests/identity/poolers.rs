//! Behind a pooler on this host: who uses it, not who it is at the server.

use std::{collections::BTreeMap, process::Command, thread, time::Duration};

use harness::{
    Options, Output, Postgres, Turn,
    clients::{Client, SCHEMA, role},
    otlp::Series,
    pause,
    pgbouncer::PgBouncer,
};

use crate::scene::{As, Scene, attribute, psql, rows_by};

const KEYS: [&str; 5] = [
    "data_access.server",
    "user.name",
    "process.user.name",
    "client.address",
    "data_access.pooler",
];
/// Debian's `nobody`, `games` and `man`.
const PEOPLE: [(u32, &str); 3] = [(65534, "nobody"), (5, "games"), (6, "man")];
const USERS: [&str; 3] = ["ann", "bob", "owner"];

/// psql that reads so many rows a few times, so that connections take turns.
fn again_and_again(host: &str, port: u16, user: &str, rows: u64) -> Command {
    let mut command = psql(host, port, user, rows);
    for _ in 1..TIMES {
        let once = psql(host, port, user, rows);
        command.args(
            once.get_args()
                .skip_while(|argument| *argument != "--command"),
        );
    }
    command
}

const TIMES: u64 = 20;

/// All people by all users, at the same time, over unix sockets and TCP; rows by who they are.
fn everybody_reads(pooler: &PgBouncer, server: &str) -> BTreeMap<Vec<String>, u64> {
    let mut expected = BTreeMap::new();
    thread::scope(|scope| {
        let mut rows = 10;
        for endpoint in pooler.endpoints() {
            for (uid, person) in PEOPLE {
                for user in USERS {
                    rows += 7;
                    let client = As {
                        uid,
                        login_uid: None,
                        cgroup: None,
                    };
                    let command = again_and_again(&endpoint.host, endpoint.port, user, rows);
                    scope.spawn(move || client.run(command));
                    let address = if endpoint.host.starts_with('/') {
                        "local"
                    } else {
                        "127.0.0.1"
                    };
                    let who = [server, user, person, address, ""].map(str::to_owned);
                    expected.insert(who.to_vec(), rows * TIMES);
                }
            }
        }
    });
    expected
}

/// The name under which the sensor shows a server.
fn name_of(server: &Postgres) -> String {
    format!("{}/data:{}", server.version(), server.port)
}

fn finish(scene: Scene, pooler: PgBouncer) -> Output {
    drop(pooler);
    scene.finish()
}

fn with_pool_user(turn: Turn, more: &str) -> Scene {
    let server = Scene::server(&Options::default());
    server.sql("desk", "CREATE ROLE pool LOGIN");
    Scene::with(turn, server, more)
}

#[test]
fn rows_are_of_who_uses_the_pooler() {
    for mode in ["session", "transaction", "statement"] {
        let scene = with_pool_user(Turn::take(), "");
        // Fewer connections to the server than clients: each serves many, and clients wait for one.
        let more = format!("pool_mode = {mode}\ndefault_pool_size = 2");
        let pooler = PgBouncer::start(&scene.server, "user=pool", &USERS, &more);
        let expected = everybody_reads(&pooler, &name_of(&scene.server));
        let output = finish(scene, pooler);
        assert_eq!(rows_by(&output, &KEYS), expected, "{mode}");
        let pooled = sum(&output.metrics(), "data_access.sensor.pooled_rows");
        assert_eq!(pooled, expected.values().sum::<u64>(), "{mode}");
    }
}

/// A metric's sum.
fn sum(series: &[Series], name: &str) -> u64 {
    let of = series.iter().filter(|one| one.name == name);
    of.map(|one| one.value as u64).sum()
}

#[test]
fn a_pooler_that_is_older_than_the_sensor() {
    let turn = Turn::take();
    let server = Scene::server(&Options::default());
    server.sql("desk", "CREATE ROLE pool LOGIN");
    let pooler = PgBouncer::start(&server, "user=pool", &USERS, "pool_mode = transaction");
    // It has connections to the server, and has had clients.
    let (uid, _) = PEOPLE[0];
    let early = As {
        uid,
        login_uid: None,
        cgroup: None,
    };
    let [unix, _] = pooler.endpoints();
    early.run(psql(&unix.host, unix.port, "ann", 5));
    let scene = Scene::with(turn, server, "");
    let expected = everybody_reads(&pooler, &name_of(&scene.server));
    assert_eq!(rows_by(&finish(scene, pooler), &KEYS), expected);
}

/// All that clients count themselves.
#[test]
fn exact_by_real_clients() {
    let scene = Scene::new("");
    scene.server.sql("postgres", "CREATE DATABASE crm");
    scene.server.sql("crm", SCHEMA);
    // Each writes tables of its own.
    let clients: Vec<(Client, String)> = [Client::Psql, Client::Psycopg]
        .into_iter()
        .flat_map(|client| ["unix", "tcp"].map(|way| (client, format!("{}_{way}", client.name()))))
        .collect();
    let names: Vec<&str> = clients.iter().map(|(_, name)| name.as_str()).collect();
    for name in &names {
        scene.server.sql("crm", &role(name));
    }
    let pooler = PgBouncer::start(
        &scene.server,
        "",
        &names,
        "pool_mode = session\nignore_startup_parameters = extra_float_digits",
    );
    let endpoints = pooler.endpoints();
    let counted: Vec<_> = clients
        .iter()
        .zip(endpoints.iter().cycle())
        .map(|((client, name), endpoint)| (name, client.run(endpoint, name, "crm")))
        .collect();
    let output = finish(scene, pooler);
    for (name, expected) in counted {
        let got = output.volume("crm", name);
        assert_eq!(
            (got.queries, got.rows_returned, got.rows_written),
            (expected.queries, expected.returned, expected.written),
            "{name}: {got:?}"
        );
    }
}

/// What clients say to the pooler can't be read: then it is the pooler who reads, and that is said.
#[test]
fn behind_a_pooler_with_tls() {
    let turn = Turn::take();
    let server = Scene::server(&Options {
        configuration: vec!["ssl = on".to_owned()],
        ..Options::default()
    });
    server.sql("desk", "CREATE ROLE pool LOGIN");
    let scene = Scene::with(turn, server, "");
    let data = scene.server.data();
    let more = format!(
        "client_tls_sslmode = require\nclient_tls_key_file = {0}/server.key\nclient_tls_cert_file = {0}/server.crt",
        data.display()
    );
    let pooler = PgBouncer::start(&scene.server, "user=pool", &USERS, &more);
    let [_, tcp] = pooler.endpoints();
    let (uid, _) = PEOPLE[0];
    let client = As {
        uid,
        login_uid: None,
        cgroup: None,
    };
    client.run(psql(&tcp.host, tcp.port, "ann", 30));
    let name = name_of(&scene.server);
    pause(Duration::from_millis(300));
    let output = finish(scene, pooler);
    let who = [&name, "pool", "postgres", "local", "pgbouncer"].map(str::to_owned);
    assert_eq!(
        rows_by(&output, &KEYS),
        BTreeMap::from([(who.to_vec(), 30)])
    );
    let series = output.metrics();
    let encrypted = series.iter().find(|one| {
        one.name == "data_access.sensor.blind_bytes"
            && attribute(&one.attributes, "data_access.cause") == "encrypted"
    });
    assert!(encrypted.is_some_and(|one| one.value > 0.0));
}

/// Whoever runs a pooler of his own does not hide what he reads by it.
#[test]
fn a_pooler_of_somebodys_own() {
    let scene = with_pool_user(Turn::take(), "");
    let pooler = PgBouncer::start_as("nobody", &scene.server, "user=pool", &USERS, "");
    let [unix, _] = pooler.endpoints();
    let (uid, _) = PEOPLE[0];
    let client = As {
        uid,
        login_uid: None,
        cgroup: None,
    };
    client.run(psql(&unix.host, unix.port, "ann", 30));
    let name = name_of(&scene.server);
    let output = finish(scene, pooler);
    let who = [&name, "pool", "nobody", "local", "pgbouncer"].map(str::to_owned);
    let rows = rows_by(&output, &KEYS);
    assert_eq!(rows.get(who.as_slice()), Some(&30), "{rows:?}");
}
