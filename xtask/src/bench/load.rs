//! What the database is made to do.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, command},
    postgresql::{Server, newest_postgresql},
};

/// Database of the loads.
pub const DATABASE: &str = "bench";
/// Scale factor of pgbench: a million rows, which stay in memory.
const SCALE: &str = "10";

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
}

impl Load {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::SimpleUnix,
        Self::SimpleTcp,
        Self::PreparedUnix,
        Self::PreparedTcp,
        Self::Tpcb,
        Self::Connect,
        Self::Copy,
    ];

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
        }
    }
}

/// Makes the tables.
pub fn prepare(server: &Server) -> Result<String> {
    server
        .connect("postgres", "postgres", true)?
        .batch_execute(&format!("CREATE DATABASE {DATABASE}"))
        .context("cannot make the database")?;
    pgbench(server, true, &["--initialize", "--quiet", "--scale", SCALE])?;
    Ok(format!("pgbench, scale {SCALE}"))
}

/// Runs a load for a while and returns transactions (or rows) a second.
pub fn run(load: Load, server: &Server, slice: Duration, copy_rows: u64) -> Result<f64> {
    let seconds = slice.as_secs().max(1).to_string();
    let timed = |unix: bool, more: &[&str]| {
        let mut arguments = vec![
            "--no-vacuum",
            "--time",
            &seconds,
            "--client",
            "4",
            "--jobs",
            "2",
        ];
        arguments.extend(more);
        pgbench(server, unix, &arguments).and_then(|output| rate(&output))
    };
    match load {
        Load::SimpleUnix => timed(true, &["--select-only"]),
        Load::SimpleTcp => timed(false, &["--select-only"]),
        Load::PreparedUnix => timed(true, &["--select-only", "--protocol", "prepared"]),
        Load::PreparedTcp => timed(false, &["--select-only", "--protocol", "prepared"]),
        Load::Tpcb => timed(true, &[]),
        Load::Connect => timed(true, &["--select-only", "--connect"]),
        Load::Copy => copy(server, copy_rows),
    }
}

fn copy(server: &Server, rows: u64) -> Result<f64> {
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
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

fn pgbench(server: &Server, unix: bool, arguments: &[&str]) -> Result<String> {
    let host = if unix {
        server.address().socket_folder.display().to_string()
    } else {
        "127.0.0.1".to_owned()
    };
    let mut pgbench = command(newest_postgresql()?.join("pgbench"));
    pgbench
        .args(["--host", &host, "--port", &server.port.to_string()])
        .args(["--username", "postgres"])
        .args(arguments)
        .arg(DATABASE);
    command::output(&mut pgbench)
}

/// Transactions a second, as pgbench says in its last lines.
fn rate(output: &str) -> Result<f64> {
    let found = output.lines().find_map(|line| {
        line.strip_prefix("tps = ")?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    });
    match found {
        Some(rate) => Ok(rate),
        None => bail!("pgbench said no rate:\n{output}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_pgbench() {
        let output = "latency average = 0.1 ms\ntps = 51234.5 (without initial connection time)\n";
        assert_eq!(rate(output).expect("a rate"), 51234.5);
        assert!(rate("nothing").is_err());
    }
}
