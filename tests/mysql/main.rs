//! Promise: of MariaDB and of MySQL, too, queries, rows and bytes per principal equal the truth exactly.
//!
//! Truth comes from what each client counted itself, from the server's own count of rows that it sent to each user (`userstat`,
//! `performance_schema`), and from the bytes that crossed a relay.

mod blind;
mod clients;
mod packets;
mod results;
mod sessions;

use std::time::Duration;

use harness::{
    Output, Sensor, Turn, Volume,
    clients::Endpoint,
    is_lowest_rung,
    mysql::{CANARY, Kind, Program, Server},
    mysql_clients::{SCHEMA, script_as},
    otlp::Series,
    pause,
};

/// Rows of both its results.
const OF_PROCEDURE: u64 = 3 + 10;

/// Is MySQL's protocol followed on the hooks that are used here? What is promised otherwise, another test says.
fn is_followed(turn: &Turn) -> bool {
    !is_lowest_rung(turn)
}

fn server(kind: Kind) -> Server {
    server_with(kind, &[])
}

fn server_with(kind: Kind, arguments: &[&str]) -> Server {
    let counting: &[&str] = match kind {
        Kind::MariaDb => &["--userstat=1"],
        Kind::MySql => &[],
    };
    let server = Server::start(kind, &[counting, arguments].concat());
    server.sql(SCHEMA);
    server
}

/// Makes users of whom the server has counted nothing yet.
fn users<'a>(server: &Server, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        server.user(name);
    }
    forget_counts(server);
}

/// Has the server know these users' passwords, which MySQL's then does not want to see again: some clients can send none without TLS.
fn known<'a>(server: &Server, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        shell(server, &server.unix(), name, &[], "DO 0");
    }
    forget_counts(server);
}

fn forget_counts(server: &Server) {
    server.sql(match server.kind() {
        Kind::MariaDb => "FLUSH USER_STATISTICS",
        Kind::MySql => {
            "TRUNCATE performance_schema.events_statements_summary_by_user_by_event_name"
        }
    });
}

/// Rows that the server says it sent to a user. Of the results of a procedure MySQL keeps running sums, which are of no use: those are
/// taken from how often it was called.
fn rows_sent(server: &Server, user: &str) -> u64 {
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

/// What a server's own client asks for by itself when it connects: MySQL's, for the server's version, and whether it takes `$$`.
fn asks(kind: Kind) -> Volume {
    match kind {
        Kind::MariaDb => Volume::default(),
        Kind::MySql => Volume {
            queries: 2,
            rows_returned: 1,
            ..Volume::default()
        },
    }
}

/// Stops the sensor once all clients are gone. No password is in what it wrote.
fn finish(server: &Server, sensor: Sensor) -> Output {
    server.wait_until_idle();
    pause(Duration::from_millis(300));
    let output = sensor.stop();
    output.never_says(CANARY);
    output
}

/// Runs a script as a user that [`users`] made; what it counted.
fn script(server: &Server, name: &str, endpoint: &Endpoint, user: &str, more: &[&str]) -> Volume {
    let password = server.password(user).unwrap_or_default();
    script_as(name, endpoint, user, &password, more)
}

/// What the server's own client printed for these statements.
fn shell(server: &Server, endpoint: &Endpoint, user: &str, more: &[&str], sql: &str) -> Vec<u8> {
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
fn lines(server: &Server, endpoint: &Endpoint, user: &str, more: &[&str], sql: &str) -> u64 {
    let printed = shell(server, endpoint, user, more, sql);
    printed.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// The sums of a user without bytes.
fn counts(series: &[Series], user: &str) -> Volume {
    Volume::anywhere(series, user).rows_only()
}

/// Bytes that could not be seen for this cause.
fn blind_bytes(series: &[Series], cause: &str) -> f64 {
    series
        .iter()
        .filter(|one| one.name == "data_access.sensor.blind_bytes")
        .filter(|one| {
            one.attributes
                .get("data_access.cause")
                .is_some_and(|found| found == cause)
        })
        .map(|one| one.value)
        .sum()
}
