//! Clients of MariaDB and MySQL.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{
    Volume,
    clients::{Endpoint, tool},
    environment::workspace,
    mysql::MariaDb,
};

/// What the clients ask for: a table of 5,000 rows, and a procedure with two results.
pub const SCHEMA: &str = "
CREATE DATABASE shop; USE shop;
CREATE TABLE digits (d INT); INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
CREATE TABLE items (id INT PRIMARY KEY, name TEXT NOT NULL, payload TEXT);
INSERT INTO items SELECT i, CONCAT('item ', i), REPEAT('x', i % 300) FROM
  (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 1 AS i FROM digits a, digits b, digits c, digits d) numbers WHERE i <= 5000;
DROP TABLE digits;
DELIMITER //
CREATE PROCEDURE two_results() BEGIN SELECT id FROM items WHERE id < 4; SELECT name, id FROM items WHERE id < 11; END//
";

/// Of the clients, what asks for much besides when it connects: it keeps count of statements on `items`.
pub const TALKATIVE: [&str; 2] = ["mysql_connector.py", "Mariadb.java"];

/// In the environment of a client: it is to use TLS, and to check no certificate.
const TLS: &str = "CLIENT_TLS";

/// Runs a script of tests/clients, which takes these arguments behind the usual ones, and reads what it counted.
///
/// # Panics
/// When it fails.
pub fn script(name: &str, endpoint: &Endpoint, user: &str, more: &[&str]) -> Volume {
    run(program(name), endpoint, user, more)
}

/// The same with a password.
///
/// # Panics
/// When it fails.
pub fn script_as(
    name: &str,
    endpoint: &Endpoint,
    user: &str,
    password: &str,
    more: &[&str],
) -> Volume {
    let mut command = program(name);
    command.env("MYSQL_PWD", password);
    run(command, endpoint, user, more)
}

/// The same by TLS.
///
/// # Panics
/// When it fails.
pub fn script_by_tls(name: &str, endpoint: &Endpoint, user: &str, more: &[&str]) -> Volume {
    let mut command = program(name);
    command.env(TLS, "1");
    run(command, endpoint, user, more)
}

fn program(name: &str) -> Command {
    let mut command = if name.ends_with(".js") {
        let mut node = Command::new("node");
        node.env("NODE_PATH", tool("node/node_modules"));
        node
    } else if name.ends_with(".java") {
        let mut java = Command::new("java");
        java.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg("/usr/share/java/mariadb-java-client.jar");
        java
    } else {
        Command::new(tool("venv/bin/python"))
    };
    command.arg(workspace().join("tests/clients").join(name));
    command
}

fn run(mut command: Command, endpoint: &Endpoint, user: &str, more: &[&str]) -> Volume {
    command
        .args([&endpoint.host, &endpoint.port.to_string(), user, "shop"])
        .args(more);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: run `cargo xtask setup`"));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let counted: Value = serde_json::from_str(stdout.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{command:?}: {error}: {stdout}"));
    let number = |key: &str| counted[key].as_u64().expect("a number");
    Volume {
        queries: number("queries"),
        rows_returned: number("returned"),
        rows_written: number("written"),
        ..Volume::default()
    }
}

/// One of MariaDB's own programs.
pub fn command(program: &str, endpoint: &Endpoint, user: &str) -> Command {
    let mut command = Command::new(program);
    command.arg("--no-defaults").arg(format!("--user={user}"));
    if endpoint.host.starts_with('/') {
        command.arg(format!("--socket={}", endpoint.host));
    } else {
        command.args(["--protocol=tcp", "--host", &endpoint.host]);
        command.arg(format!("--port={}", endpoint.port));
    }
    command.stdin(Stdio::null());
    command
}

/// Lines that the client printed for these statements.
///
/// # Panics
/// When they fail.
pub fn lines(endpoint: &Endpoint, user: &str, more: &[&str], sql: &str) -> u64 {
    let output = command("mariadb", endpoint, user)
        .args(["--batch", "--skip-column-names", "--database=shop"])
        .args(more)
        .args(["-e", sql])
        .output()
        .expect("run mariadb");
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Rows that the server says it sent to a user (`--userstat=1`).
///
/// # Panics
/// When it does not say.
pub fn rows_sent(server: &MariaDb, user: &str) -> u64 {
    let sent = server.sql(&format!(
        "SELECT rows_sent FROM information_schema.user_statistics WHERE user = '{user}'"
    ));
    sent.parse().unwrap_or_else(|_| panic!("{user}: {sent:?}"))
}
