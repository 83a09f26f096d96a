//! Promise: of MariaDB and of MySQL, too, queries, rows and bytes per principal equal the truth exactly.
//!
//! Truth comes from what each client counted itself, from the server's own count of rows that it sent to each user (`userstat`,
//! `performance_schema`), and from the bytes that crossed a relay.

mod blind;
mod clients;
mod evasion;
mod packets;
mod results;
mod sessions;

use std::time::Duration;

use harness::{
    Output, Sensor, Turn, Volume,
    clients::Endpoint,
    is_lowest_rung,
    mysql::{CANARY, Kind, Server},
    mysql_clients::{SCHEMA, lines, rows_sent, script_as, shell},
    otlp::{Series, blind_bytes},
    pause,
};

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

/// The sums of a user without bytes.
fn counts(series: &[Series], user: &str) -> Volume {
    Volume::anywhere(series, user).rows_only()
}
