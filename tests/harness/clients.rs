//! Real clients. Each runs a defined mixed workload and prints, as JSON, what it counted itself.
//!
//! What `cargo xtask setup` installs for them (exact versions; the tests fail, naming this, when one is missing):
//!
//! - Debian packages: postgresql, postgresql-contrib, openssl, python3-venv, nodejs, npm, default-jdk-headless (11 or
//!   newer), libpostgresql-jdbc-java; for MariaDB mariadb-server, mariadb-client and
//!   libmariadb-java; for Redis redis-server and redis-tools; for Kerberos krb5-kdc, krb5-admin-server and krb5-user; for
//!   containers runc
//! - `target/tools/venv` (`python3 -m venv`): psycopg and psycopg-binary 3.3.9 (with typing_extensions 4.16.0), PyMySQL 1.2.4,
//!   mysql-connector-python 26.10.0, redis 8.1.0
//! - `target/tools/node` (`npm install --prefix`): pg@8.23.1 pg-cursor@2.22.0 pg-query-stream@4.17.0 mysql2@3.24.6 ioredis@5.11.1
//! - `target/tools/valkey`: valkey-server and valkey-tools of Debian 12's backports, unpacked
//! - `target/tools/mysql`: mysql-server-core and mysql-client-core of Debian sid, unpacked with the libraries that they need

use std::{path::PathBuf, process::Command};

use serde_json::Value;

use crate::{Volume, environment::workspace, tokio_client};

/// Where a server (or a relay in front of it) listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address, or the unix socket's directory.
    pub host: String,
    /// Port, also in the unix socket's name.
    pub port: u16,
}

/// What a client counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Statements sent that the server answered, failed ones included.
    pub queries: u64,
    /// Rows that came.
    pub returned: u64,
    /// Rows that the server said it wrote.
    pub written: u64,
    /// Of the queries: those that failed.
    pub failed: u64,
    /// Of the queries: those that `pg_stat_statements` does not keep (see `truth.rs`).
    pub untracked: u64,
    /// Of the rows returned: by `RETURNING`, also among the written ones.
    pub returning: u64,
    /// Of the rows returned: by `SHOW`, `EXPLAIN` and failed statements, which `pg_stat_statements` does not count.
    pub untagged: u64,
    /// Of the rows returned: those of all but the last execution of portals with a row limit, which
    /// `pg_stat_statements` counts from version 16 on.
    pub portal: u64,
}

impl Counted {
    /// As the sensor should see it, but for bytes.
    pub fn volume(&self) -> Volume {
        Volume {
            queries: self.queries,
            rows_returned: self.returned,
            rows_written: self.written,
            ..Volume::default()
        }
    }

    /// Calls and rows as `pg_stat_statements` of a major version should have them.
    pub fn as_server(&self, version: u32) -> (u64, u64) {
        let unseen = if version < 16 { self.portal } else { 0 };
        (
            self.queries - self.failed - self.untracked,
            self.returned + self.written - self.returning - self.untagged - unseen,
        )
    }

    fn from_json(json: &Value) -> Self {
        let number = |key: &str| json[key].as_u64().unwrap_or_default();
        Self {
            queries: number("queries"),
            returned: number("returned"),
            written: number("written"),
            failed: number("failed"),
            untracked: number("untracked"),
            returning: number("returning"),
            untagged: number("untagged"),
            portal: number("portal"),
        }
    }
}

/// The clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// psql, many ways.
    Psql,
    /// pgbench: simple, extended, prepared, pipelines.
    Pgbench,
    /// psycopg 3: sync, async, pipeline mode, server-side cursors, COPY, executemany.
    Psycopg,
    /// node-postgres: plain, prepared, cursor, query stream.
    Node,
    /// The JDBC driver: fetch size, batches, prepare threshold.
    Jdbc,
    /// tokio-postgres: pipelined, portals, COPY.
    TokioPostgres,
}

impl Client {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Psql,
        Self::Pgbench,
        Self::Psycopg,
        Self::Node,
        Self::Jdbc,
        Self::TokioPostgres,
    ];

    /// Short name, part of a role's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Psql => "psql",
            Self::Pgbench => "pgbench",
            Self::Psycopg => "psycopg",
            Self::Node => "node",
            Self::Jdbc => "jdbc",
            Self::TokioPostgres => "tokio_postgres",
        }
    }

    /// Runs its workload (see [`SCHEMA`] for what it finds there).
    ///
    /// # Panics
    /// When it is not installed or its workload fails.
    pub fn run(self, endpoint: &Endpoint, user: &str, database: &str) -> Counted {
        self.run_with(endpoint, user, database, &[], &[])
    }

    /// The same by TLS of its own, for those that libpq serves.
    ///
    /// # Panics
    /// Likewise.
    pub fn run_by_tls(self, endpoint: &Endpoint, user: &str, database: &str) -> Counted {
        self.run_with(endpoint, user, database, &[], &[("PGSSLMODE", "require")])
    }

    /// The same with further arguments and variables.
    ///
    /// # Panics
    /// Likewise.
    pub fn run_with(
        self,
        endpoint: &Endpoint,
        user: &str,
        database: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Counted {
        let script = |name: &str| workspace().join("tests/clients").join(name);
        let python = || tool("venv/bin/python");
        let mut command = match self {
            Self::TokioPostgres => return tokio_client::run(endpoint, user, database),
            Self::Psql => interpreted(python(), script("psql.py")),
            Self::Pgbench => interpreted(python(), script("pgbench.py")),
            Self::Psycopg => interpreted(python(), script("psycopg3.py")),
            Self::Node => {
                let mut command = interpreted("node".into(), script("node.js"));
                command.env("NODE_PATH", tool("node/node_modules"));
                command
            }
            Self::Jdbc => {
                let mut command = Command::new("java");
                command
                    .args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp"])
                    .arg("/usr/share/java/postgresql.jar")
                    .arg(script("Jdbc.java"));
                command
            }
        };
        command
            .args([&endpoint.host, &endpoint.port.to_string(), user, database])
            .args(more)
            .envs(variables.iter().copied())
            .env_remove("PGOPTIONS")
            .env_remove("PGAPPNAME");
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
        let last = stdout.lines().last().unwrap_or_default();
        let json = serde_json::from_str(last)
            .unwrap_or_else(|error| panic!("{command:?}: {error} in {last:?}"));
        Counted::from_json(&json)
    }
}

/// What the workloads work on, made before the sensor looks: `items` is read by all.
pub const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, payload text);
    INSERT INTO items SELECT i, 'item ' || i, repeat('x', i % 300) FROM generate_series(1, 5000) i;
    GRANT SELECT ON items TO PUBLIC;
";

/// A role with tables of its own: `work` (empty) and `accounts` (1,000 rows).
pub fn role(name: &str) -> String {
    format!(
        "CREATE ROLE {name} LOGIN;
         CREATE SCHEMA AUTHORIZATION {name};
         CREATE TABLE {name}.work (id int, name text);
         CREATE TABLE {name}.accounts (id int PRIMARY KEY, balance int NOT NULL);
         INSERT INTO {name}.accounts SELECT i, 0 FROM generate_series(1, 1000) i;
         ALTER TABLE {name}.work OWNER TO {name};
         ALTER TABLE {name}.accounts OWNER TO {name};\n"
    )
}

fn interpreted(interpreter: PathBuf, script: PathBuf) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(script);
    command
}

/// A tool that `cargo xtask setup` installs.
///
/// # Panics
/// When it is not installed.
pub fn tool(path: &str) -> PathBuf {
    let path = workspace().join("target/tools").join(path);
    assert!(
        path.exists(),
        "no {}: run `cargo xtask setup` (what it must hold: tests/harness/clients.rs)",
        path.display()
    );
    path
}
