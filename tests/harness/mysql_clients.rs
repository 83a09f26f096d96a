//! Clients of MariaDB and MySQL.

use std::process::Command;

use serde_json::Value;

use crate::{
    Volume,
    clients::{Endpoint, tool},
    environment::workspace,
    mysql::{Kind, Program, Server},
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

/// Rows of both results of [`SCHEMA`]'s procedure.
const OF_PROCEDURE: u64 = 3 + 10;

/// In the environment of a client: it is to use TLS, and to check no certificate.
const TLS: &str = "CLIENT_TLS";

/// Runs a script of tests/clients, which takes these arguments behind the usual ones, and reads what it counted. Without a password where
/// that is empty.
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

/// The same by TLS, without a password.
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

/// What the server's own client printed for these statements.
///
/// # Panics
/// When they fail.
pub fn shell(
    server: &Server,
    endpoint: &Endpoint,
    user: &str,
    more: &[&str],
    sql: &str,
) -> Vec<u8> {
    let output = server
        .client(Program::Shell, endpoint, user)
        .args(["--batch", "--skip-column-names", "--database=shop"])
        .args(more)
        .args(["-e", sql])
        .output()
        .expect("run the client: run `cargo xtask setup`");
    assert!(
        output.status.success(),
        "{sql}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Lines of it.
///
/// # Panics
/// When they fail.
pub fn lines(server: &Server, endpoint: &Endpoint, user: &str, more: &[&str], sql: &str) -> u64 {
    let printed = shell(server, endpoint, user, more, sql);
    printed.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Rows that the server says it sent to a user. Of the results of a procedure MySQL keeps running sums, which are of no use: those are
/// taken from how often it was called.
///
/// # Panics
/// When it does not say.
pub fn rows_sent(server: &Server, user: &str) -> u64 {
    let sent = server.sql(&match server.kind() {
        Kind::MariaDb => format!(
            "SELECT rows_sent FROM information_schema.user_statistics WHERE user = '{user}'"
        ),
        Kind::MySql => format!(
            "SELECT SUM(CASE WHEN EVENT_NAME LIKE 'statement/sp/%' THEN 0 \
                             WHEN EVENT_NAME = 'statement/sql/call_procedure' THEN COUNT_STAR * {OF_PROCEDURE} \
                             ELSE SUM_ROWS_SENT END) \
             FROM performance_schema.events_statements_summary_by_user_by_event_name WHERE USER = '{user}'"
        ),
    });
    sent.parse().unwrap_or_else(|_| panic!("{user}: {sent:?}"))
}
