//! What a detector said, and whom about.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use anyhow::{Context as _, Result, anyhow};
use serde::Deserialize;

use super::{calendar, csv::host_name, record::Host, world::World};

/// An alert of any detector.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Milliseconds since 1970.
    pub time: u64,
    pub lane: String,
    pub accounts: Vec<u32>,
    /// Client host, for alerts about a host.
    pub host: Option<Host>,
    /// About several accounts together.
    pub group: bool,
    /// Within the alert budget.
    pub budgeted: bool,
    /// One in so many by chance, as the detector says; infinite for limits.
    pub odds: f64,
}

/// A line of the sensor's output: the part that is read here.
#[derive(Debug, Deserialize)]
struct Line {
    time: String,
    lane: String,
    principal: Option<String>,
    host: Option<String>,
    #[serde(default)]
    principals: Vec<String>,
    #[serde(default)]
    odds: f64,
    budgeted: bool,
}

/// Names of accounts and hosts.
#[derive(Debug, Default)]
pub struct Names {
    accounts: HashMap<String, u32>,
    hosts: HashMap<String, Host>,
}

impl Names {
    /// Of a simulated world; of its hosts only the thieves'.
    pub fn new(world: &World) -> Self {
        Self {
            accounts: world
                .accounts
                .iter()
                .zip(0..)
                .map(|(account, at)| (account.name.clone(), at))
                .collect(),
            hosts: world
                .attacks
                .iter()
                .flat_map(|attack| &attack.hosts)
                .map(|host| (host_name(*host), *host))
                .collect(),
        }
    }

    /// Of accounts by their index.
    pub fn of_accounts(accounts: HashMap<String, u32>) -> Self {
        Self {
            accounts,
            hosts: HashMap::new(),
        }
    }

    fn read(&self, line: Line) -> Result<Alert> {
        let time =
            calendar::rfc3339(&line.time).ok_or_else(|| anyhow!("`{}` is no time", line.time))?;
        let known = |name: &String| self.accounts.get(name).copied();
        let group = line.principal.is_none();
        Ok(Alert {
            time,
            accounts: line
                .principal
                .iter()
                .chain(&line.principals)
                .filter_map(known)
                .collect(),
            host: line
                .host
                .filter(|_| group)
                .and_then(|host| self.hosts.get(&host).copied()),
            group,
            budgeted: line.budgeted,
            odds: if line.odds > 0.0 {
                line.odds
            } else {
                f64::INFINITY
            },
            lane: line.lane,
        })
    }
}

/// Reads the sensor's alerts, one a line.
pub fn read(path: &Path, names: &Names) -> Result<Vec<Alert>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut alerts = Vec::new();
    for (line, number) in BufReader::new(file).lines().zip(1..) {
        let problem = || format!("{}, line {number}", path.display());
        let line: Line =
            serde_json::from_str(&line.with_context(problem)?).with_context(problem)?;
        alerts.push(names.read(line).with_context(problem)?);
    }
    Ok(alerts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_whom_they_are_about() {
        let names = Names {
            accounts: HashMap::from([("ann".to_owned(), 3), ("bob".to_owned(), 4)]),
            hosts: HashMap::from([("10.0.0.9".to_owned(), Host(9))]),
        };
        let read = |text: &str| {
            names
                .read(serde_json::from_str(text).expect("valid"))
                .expect("read")
        };
        let alert = read(
            r#"{"time":"2024-01-20T00:00:00.000Z","lane":"drift","lanes":["drift"],"principal":"ann","odds":17247,"budgeted":true,"host":"10.0.0.9"}"#,
        );
        assert_eq!(
            (alert.accounts, alert.host, alert.group),
            (vec![3], None, false)
        );
        let alert = read(
            r#"{"time":"2024-01-20T00:00:00.000Z","lane":"group","host":"10.0.0.9","principals":["bob","eve"],"odds":0,"budgeted":false}"#,
        );
        assert_eq!((alert.accounts, alert.host), (vec![4], Some(Host(9))));
        assert!(alert.group && !alert.budgeted && alert.odds.is_infinite());
    }
}
