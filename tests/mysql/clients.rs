//! What people use: each server's own clients, and drivers of several languages; over unix sockets and TCP.

use std::collections::BTreeMap;

use harness::{
    CONFIGURATION, Differences, Sensor, Turn, Volume,
    clients::Endpoint,
    mysql::{Kind, Program, Server},
    mysql_rs,
    otlp::Series,
    relay::Relay,
};

use crate::{asks, counts, finish, is_followed, known, lines, rows_sent, script, server, users};

/// Programs and drivers.
const CLIENTS: [Client; 7] = [
    Client::Script("mysql.py"),
    Client::Script("mysql.js"),
    Client::Script("mysql_connector.py"),
    Client::Script("Mariadb.java"),
    Client::Rust,
    Client::Shell,
    Client::Dump,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// A file in `tests/clients`.
    Script(&'static str),
    /// mysql_async.
    Rust,
    /// The server's own.
    Shell,
    /// The server's own.
    Dump,
}

impl Client {
    /// A user's name.
    fn user(self, transport: &str) -> String {
        let name = match self {
            Self::Script(name) => name.replace('.', "_").to_lowercase(),
            Self::Rust => "mysql_rs".to_owned(),
            Self::Shell => "shell".to_owned(),
            Self::Dump => "dump".to_owned(),
        };
        format!("{name}_{transport}")
    }

    fn is_for(self, kind: Kind, transport: &str) -> bool {
        self != Self::Script("Mariadb.java") || kind == Kind::MariaDb && transport != "unix"
    }

    /// It asks for much besides when it connects, and keeps count of statements on `items`.
    fn is_talkative(self) -> bool {
        matches!(
            self,
            Self::Script("mysql_connector.py" | "Mariadb.java") | Self::Dump
        )
    }

    /// Without TLS it can't send a password to a server that does not know it yet.
    fn needs_known_password(self) -> bool {
        matches!(self, Self::Script("mysql.py" | "mysql_connector.py"))
    }

    /// What it counted.
    fn run(self, server: &Server, endpoint: &Endpoint, user: &str) -> Volume {
        match self {
            Self::Script(name) => script(server, name, endpoint, user, &[]),
            Self::Rust => mysql_rs::run(endpoint, user, server.password(user), "shop"),
            Self::Shell => {
                let text = "SELECT id, name FROM items; SELECT 1; SELECT id FROM items WHERE id < 100 /* ; */; SHOW DATABASES; DO 0";
                let own = Volume {
                    queries: 5,
                    rows_returned: lines(server, endpoint, user, &[], text),
                    ..Volume::default()
                };
                own + asks(server.kind())
            }
            Self::Dump => dump(server, endpoint, user),
        }
    }
}

/// The rows of the table that it wrote down, by one query.
fn dump(server: &Server, endpoint: &Endpoint, user: &str) -> Volume {
    let output = server
        .client(Program::Dump, endpoint, user)
        .args(["--skip-extended-insert", "--skip-lock-tables"])
        .args(["shop", "items"])
        .output()
        .expect("run the client: run `cargo xtask setup`");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    Volume {
        queries: 1,
        rows_returned: text.matches("INSERT INTO `items`").count() as u64,
        ..Volume::default()
    }
}

#[test]
fn every_client_of_mariadb_over_every_socket() {
    every_client(Kind::MariaDb);
}

/// By `caching_sha2_password`: with a password that the server knows already, and with one that is encrypted for it.
#[test]
fn every_client_of_mysql_over_every_socket() {
    every_client(Kind::MySql);
}

fn every_client(kind: Kind) {
    let turn = Turn::take();
    if !is_followed(&turn) {
        return;
    }
    let server = server(kind);
    let transports = [("unix", server.unix()), ("ipv4", server.ipv4())];
    let mut runs = Vec::new();
    for client in CLIENTS {
        for (transport, endpoint) in &transports {
            if client.is_for(kind, transport) {
                runs.push((client, client.user(transport), endpoint));
            }
        }
    }
    users(&server, runs.iter().map(|(_, user, _)| &**user));
    let quiet = runs.iter().filter(|(client, _, endpoint)| {
        client.needs_known_password() && kind == Kind::MySql && !endpoint.host.starts_with('/')
    });
    known(&server, quiet.map(|(_, user, _)| &**user));
    let sensor = Sensor::start(&turn, CONFIGURATION, &[]);
    let counted: Vec<_> = runs
        .iter()
        .map(|(client, user, endpoint)| {
            let relay = (!endpoint.host.starts_with('/')).then(|| Relay::start(endpoint));
            let endpoint = relay.as_ref().map_or(*endpoint, Relay::endpoint);
            let counted = client.run(&server, endpoint, user);
            (counted, relay.map(Relay::finish))
        })
        .collect();
    let series = finish(&server, sensor).metrics();
    let mut differences = Differences::default();
    for ((client, user, _), (counted, bytes)) in runs.iter().zip(counted) {
        let got = counts(&series, user);
        eprintln!("{user}: {got:?}");
        if client.is_talkative() {
            let table = on_items(&series, user);
            differences.check(
                user,
                &counted,
                &Volume {
                    rows_written: 0,
                    ..table
                },
            );
        } else {
            differences.check(user, &counted, &got);
        }
        // Of what SHOW CREATE TABLE returns, neither keeps count.
        if *client != Client::Dump {
            let sent = rows_sent(&server, user);
            let what = format!("{user}: rows, by the server's count");
            differences.check(&what, &sent, &got.rows_returned);
        }
        if let Some(bytes) = bytes {
            let got = Volume::anywhere(&series, user);
            let what = format!("{user}: bytes to the client and to the server");
            differences.check(&what, &bytes, &(got.bytes_sent, got.bytes_received));
        }
    }
    differences.none();
    let systems: BTreeMap<_, _> = series
        .iter()
        .filter(|one| {
            one.attributes
                .get("user.name")
                .is_some_and(|user| user.starts_with("mysql_py"))
        })
        .filter_map(|one| Some((one.attributes.get("db.system.name")?.as_str(), ())))
        .collect();
    assert_eq!(systems, BTreeMap::from([(kind.name(), ())]));
}

/// What a user read of the table.
fn on_items(series: &[Series], user: &str) -> Volume {
    let by_statement = Volume::by_statement(series, "shop", user);
    by_statement
        .get("SELECT items")
        .copied()
        .unwrap_or_default()
        .rows_only()
}
