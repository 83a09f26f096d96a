//! What TLS connections say is seen as exactly as what others say, and what can't be seen is told.

mod blind;
mod certificates;
mod exact;
mod gssapi;
mod life;
mod mysql;

use std::time::Duration;

use harness::{
    CONFIGURATION, Differences, Options, Output, Postgres, Sensor, Turn,
    clients::{SCHEMA, role},
    is_lowest_rung,
    otlp::{Series, blind_bytes},
    pause,
};

/// All that can be seen.
const PLAINTEXT: &str = "[kernel]\ntls = \"plaintext\"\n";

fn plaintext() -> String {
    format!("{PLAINTEXT}{CONFIGURATION}")
}

/// Is what TLS connections say seen on the hooks that are used here? What is promised otherwise, another test says.
fn is_seen(turn: &Turn) -> bool {
    !is_lowest_rung(turn)
}

/// A server that offers TLS, its database, and the right to watch it.
struct Scene {
    server: Postgres,
    database: String,
    turn: Turn,
}

impl Scene {
    /// Nothing where TLS is not seen.
    fn new(options: Options, roles: &[&str]) -> Option<Self> {
        let turn = Turn::take();
        if !is_seen(&turn) {
            return None;
        }
        let mut configuration = vec!["ssl = on".to_owned()];
        configuration.extend(options.configuration);
        let server = Postgres::start(&Options {
            configuration,
            ..options
        });
        let database = format!("tls_{}", std::process::id());
        server.sql("postgres", &format!("CREATE DATABASE {database}"));
        let mut sql = SCHEMA.to_owned();
        for name in roles {
            sql.push_str(&role(name));
        }
        server.sql(&database, &sql);
        Some(Self {
            server,
            database,
            turn,
        })
    }

    /// What a client is told to connect by TLS of its own.
    fn conninfo(&self, user: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user={user} dbname={} sslmode=require",
            self.server.port, self.database
        )
    }

    /// Stops the sensor once all connections are closed.
    fn finish(&self, sensor: Sensor) -> Output {
        self.server.wait_until_idle();
        // The last backends' sockets close after they have left pg_stat_activity.
        pause(Duration::from_millis(300));
        sensor.stop()
    }
}

/// Nothing was taken for anything but the protocol.
fn nothing_unseen(differences: &mut Differences, series: &[Series]) {
    for cause in [
        "encrypted",
        "unparsable",
        "missed",
        "fault",
        "opaque",
        "unattributed",
    ] {
        let bytes = blind_bytes(series, cause);
        if bytes != 0.0 {
            differences.note(&format!("{bytes} bytes unseen: {cause}"));
        }
    }
}
