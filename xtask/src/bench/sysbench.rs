//! What MariaDB is made to do.

use std::{process::Command, time::Duration};

use anyhow::{Result, bail};

use super::load::{DATABASE, Done, Load};
use crate::{
    command::{self, command},
    mariadb::Server,
};

/// As many rows as pgbench's table has with its scale: they stay in memory.
const ROWS: &str = "1000000";

/// Makes the table.
pub fn prepare(server: &Server) -> Result<String> {
    server.sql(&format!("CREATE DATABASE {DATABASE}"))?;
    command::output(sysbench(server, true).arg("prepare"))?;
    Ok(format!("sysbench, {ROWS} rows"))
}

/// Runs a load for a while, both processors busy.
pub fn run(load: Load, server: &Server, slice: Duration) -> Result<Done> {
    let mut run = sysbench(server, load == Load::MariadbUnix);
    run.args(["--threads=4", "--db-ps-mode=disable"])
        .arg(format!("--time={}", slice.as_secs().max(1)))
        .arg("run");
    done(&command::output(&mut run)?)
}

fn sysbench(server: &Server, unix: bool) -> Command {
    let mut sysbench = command("sysbench");
    sysbench.args(["oltp_point_select", "--db-driver=mysql"]);
    sysbench.args(["--mysql-user=root", &format!("--mysql-db={DATABASE}")]);
    sysbench.args(["--tables=1", &format!("--table-size={ROWS}")]);
    if unix {
        sysbench.arg(format!("--mysql-socket={}", server.socket().display()));
    } else {
        sysbench.arg("--mysql-host=127.0.0.1");
        sysbench.arg(format!("--mysql-port={}", server.port));
    }
    sysbench
}

/// Of `queries: COUNT (RATE per sec.)`, both.
fn done(output: &str) -> Result<Done> {
    let found = output
        .lines()
        .find_map(|line| line.trim().strip_prefix("queries:"))
        .and_then(|rest| {
            let (count, rate) = rest.split_once('(')?;
            let rate = rate.split(' ').next()?;
            Some((rate.parse().ok()?, count.trim().parse().ok()?))
        });
    match found {
        Some((rate, count)) => Ok(Done { rate, count }),
        None => bail!("sysbench said no rate:\n{output}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sysbench() {
        let output = "    transactions:                        12345  (6171.11 per sec.)\n    \
                      queries:                             12345  (6171.25 per sec.)\n";
        let expected = Done {
            rate: 6171.25,
            count: 12_345,
        };
        assert_eq!(done(output).expect("a rate"), expected);
        assert!(done("nothing").is_err());
    }
}
