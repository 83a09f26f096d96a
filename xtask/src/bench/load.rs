//! What the database is made to do.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, command},
    postgresql::{Server, newest_postgresql},
};

/// Database of the loads.
pub const DATABASE: &str = "bench";
/// Scale factor of pgbench: a million rows, which stay in memory.
const SCALE: &str = "10";
/// Statements of a transaction of pgbench's own mix.
const TPCB: u64 = 7;

/// A load, by how pgbench names what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Load {
    /// `pgbench -S`, simple protocol, unix socket.
    SimpleUnix,
    /// The same over TCP.
    SimpleTcp,
    /// `pgbench -S -M prepared`, unix socket.
    PreparedUnix,
    /// The same over TCP.
    PreparedTcp,
    /// pgbench's own mix of reads and writes, unix socket.
    Tpcb,
    /// `pgbench -S -C`: a connection for each query.
    Connect,
    /// A `COPY` of many rows to a client.
    Copy,
    /// `pgbench -S`, simple protocol, TLS over TCP.
    SimpleTls,
    /// The same with `-M prepared`.
    PreparedTls,
    /// `sysbench oltp_point_select` on MariaDB, unix socket.
    MariadbUnix,
    /// The same over TCP.
    MariadbTcp,
    /// `redis-benchmark -t get` on Redis, unix socket.
    RedisGet,
    /// The same over TCP.
    RedisGetTcp,
    /// `redis-benchmark -t get -P 16` on Redis, unix socket.
    RedisGetPipelined,
    /// The same over TCP.
    RedisGetPipelinedTcp,
}

impl Load {
    /// Those of a whole run: the others are asked for by name.
    pub const ALL: [Self; 7] = [
        Self::SimpleUnix,
        Self::SimpleTcp,
        Self::PreparedUnix,
        Self::PreparedTcp,
        Self::Tpcb,
        Self::Connect,
        Self::Copy,
    ];

    /// What is counted.
    pub fn unit(self) -> &'static str {
        if self == Self::Copy { "row" } else { "query" }
    }

    /// Arguments of pgbench.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::SimpleUnix | Self::SimpleTcp | Self::SimpleTls => &["--select-only"],
            Self::PreparedUnix | Self::PreparedTcp | Self::PreparedTls => {
                &["--select-only", "--protocol", "prepared"]
            }
            Self::Connect => &["--select-only", "--connect"],
            _ => &[],
        }
    }

    /// By unix socket or by TCP.
    fn is_unix(self) -> bool {
        !self.is_tls() && !matches!(self, Self::SimpleTcp | Self::PreparedTcp)
    }

    /// By TLS?
    pub fn is_tls(self) -> bool {
        matches!(self, Self::SimpleTls | Self::PreparedTls)
    }

    /// On MariaDB?
    pub fn is_mariadb(self) -> bool {
        matches!(self, Self::MariadbUnix | Self::MariadbTcp)
    }

    /// On Redis?
    pub fn is_redis(self) -> bool {
        matches!(
            self,
            Self::RedisGet
                | Self::RedisGetTcp
                | Self::RedisGetPipelined
                | Self::RedisGetPipelinedTcp
        )
    }

    /// On PostgreSQL, with whose own settings and modules the sensor is compared?
    pub fn is_postgresql(self) -> bool {
        !self.is_mariadb() && !self.is_redis()
    }

    /// The socket and what is spoken on it.
    fn way(self) -> Way {
        if self.is_tls() {
            Way::Tls
        } else if self.is_unix() {
            Way::Unix
        } else {
            Way::Tcp
        }
    }

    /// Statements of a transaction.
    fn statements(self) -> u64 {
        if self == Self::Tpcb { TPCB } else { 1 }
    }

    /// As the table shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SimpleUnix => "select, simple, unix",
            Self::SimpleTcp => "select, simple, TCP",
            Self::PreparedUnix => "select, prepared, unix",
            Self::PreparedTcp => "select, prepared, TCP",
            Self::Tpcb => "TPC-B",
            Self::Connect => "connect, select, disconnect",
            Self::Copy => "COPY out",
            Self::SimpleTls => "select, simple, TLS",
            Self::PreparedTls => "select, prepared, TLS",
            Self::MariadbUnix => "MariaDB, select, unix",
            Self::MariadbTcp => "MariaDB, select, TCP",
            Self::RedisGet => "Redis, GET, unix",
            Self::RedisGetTcp => "Redis, GET, TCP",
            Self::RedisGetPipelined => "Redis, 16 GETs, unix",
            Self::RedisGetPipelinedTcp => "Redis, 16 GETs, TCP",
        }
    }
}

/// What a load has done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// Transactions (of a `COPY`: rows) a second.
    pub rate: f64,
    /// Queries (rows).
    pub count: u64,
}

/// Makes the tables.
pub fn prepare(server: &Server) -> Result<String> {
    server
        .connect("postgres", "postgres", true)?
        .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
        .context("cannot make the database")?;
    pgbench(
        server,
        Way::Unix,
        &["--initialize", "--quiet", "--scale", SCALE],
    )?;
    Ok(format!("pgbench, scale {SCALE}"))
}

/// Runs a load for a while.
pub fn run(load: Load, server: &Server, slice: Duration, copy_rows: u64) -> Result<Done> {
    if load == Load::Copy {
        return copy(server, copy_rows);
    }
    let done = timed(server, load.way(), slice, load.arguments())?;
    Ok(Done {
        count: done.count * load.statements(),
        ..done
    })
}

/// Runs a load of transactions for a while; pgbench notes a share of them in files whose names begin with `prefix`.
pub fn logged(
    load: Load,
    server: &Server,
    length: Duration,
    sampled: f64,
    prefix: &Path,
) -> Result<Done> {
    let (sampled, prefix) = (sampled.to_string(), prefix.display().to_string());
    let mut arguments = load.arguments().to_vec();
    arguments.extend([
        "--log",
        "--sampling-rate",
        &sampled,
        "--log-prefix",
        &prefix,
    ]);
    timed(server, load.way(), length, &arguments)
}

/// Runs pgbench with these arguments for a while, both processors busy. Each transaction counts as a query.
pub fn timed(server: &Server, way: Way, slice: Duration, more: &[&str]) -> Result<Done> {
    let seconds = slice.as_secs().max(1).to_string();
    let mut arguments = vec!["--no-vacuum", "--time", &seconds];
    arguments.extend(["--client", "4", "--jobs", "2"]);
    arguments.extend(more);
    done(&pgbench(server, way, &arguments)?)
}

/// Has the server send rows to a client that drops them.
pub fn copy(server: &Server, rows: u64) -> Result<Done> {
    let began = Instant::now();
    let mut psql = command(newest_postgresql()?.join("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--output=/dev/null"])
        .arg(format!(
            "--host={}",
            server.address().socket_folder.display()
        ))
        .args([&format!("--port={}", server.port), "--username=postgres"])
        .args(["--dbname", DATABASE, "--command"])
        .arg(format!(
            "COPY (SELECT i, repeat('x', 60), i % 1000 FROM generate_series(1, {rows}) i) TO STDOUT"
        ));
    command::output(&mut psql)?;
    #[expect(clippy::cast_precision_loss, reason = "some millions of rows")]
    let rate = rows as f64 / began.elapsed().as_secs_f64();
    Ok(Done { rate, count: rows })
}

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By unix socket.
    Unix,
    /// By TCP, in clear.
    Tcp,
    /// By TLS over TCP.
    Tls,
}

fn pgbench(server: &Server, way: Way, arguments: &[&str]) -> Result<String> {
    let host = if way == Way::Unix {
        server.address().socket_folder.display().to_string()
    } else {
        "127.0.0.1".to_owned()
    };
    let mut pgbench = command(newest_postgresql()?.join("pgbench"));
    // A server that offers it is asked for it otherwise.
    pgbench.env(
        "PGSSLMODE",
        if way == Way::Tls {
            "require"
        } else {
            "disable"
        },
    );
    pgbench
        .args(["--host", &host, "--port", &server.port.to_string()])
        .args(["--username", "postgres"])
        .args(arguments)
        .arg(DATABASE);
    command::output(&mut pgbench)
}

/// What pgbench says in its last lines.
fn done(output: &str) -> Result<Done> {
    let after = |start: &str| {
        let line = output.lines().find_map(|line| line.strip_prefix(start))?;
        line.split([' ', '/']).next()
    };
    let found = after("tps = ").and_then(|rate| rate.parse().ok()).zip(
        after("number of transactions actually processed: ").and_then(|count| count.parse().ok()),
    );
    match found {
        Some((rate, count)) => Ok(Done { rate, count }),
        None => bail!("pgbench said no rate:\n{output}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pgbench() {
        let output = "number of transactions actually processed: 1234\nlatency average = 0.1 ms\n\
                      tps = 51234.5 (without initial connection time)\n";
        let expected = Done {
            rate: 51234.5,
            count: 1234,
        };
        assert_eq!(done(output).expect("a rate"), expected);
        assert!(done("nothing").is_err());
    }
}
