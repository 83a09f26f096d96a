//! Somebody's own history: what would have been said about it. There is no truth to compare with.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    path::Path,
};

use anyhow::{Context as _, Result, anyhow};

use super::{
    alert::{Alert, Names},
    baseline::{self, Baselines},
    calendar,
    metrics::Rate,
    record::{Host, Operation, Record},
    scenario::Scenario,
    sensor::Sensor,
};

/// A file of events, as the baselines see it.
#[derive(Debug)]
struct History {
    names: Vec<String>,
    principal_days: u64,
    alerts: Vec<Vec<Alert>>,
}

/// Runs everything over a file; the report is markdown. The sensor's alerts stay in a file beside it.
pub fn evaluate(sensor: &Sensor, events: &Path, scenario: &Scenario) -> Result<String> {
    let history = read(events)?;
    let names: HashMap<String, u32> = history.names.iter().cloned().zip(0..).collect();
    let replay = sensor.start("own", Some(events), None)?;
    let found = replay.finish(&Names::of_accounts(names), Ok(()))?;
    let days = history.principal_days as f64;
    let mut text = format!(
        "## {}\n\n{} events of {} principals, {} principal-days. All alerts are counted: what of them is false, only you know.\n\n\
         | detector | alerts | in 1,000 principal-days |\n| --- | --- | --- |\n",
        events.display(),
        found.stats.events,
        found.stats.principals,
        history.principal_days,
    );
    let mut line = |name: &str, count: usize| {
        let rate = Rate::new(count as u64, days);
        let _ = writeln!(
            text,
            "| {name} | {count} | {:.3} [{:.3} {:.3}] |",
            rate.rate, rate.low, rate.high
        );
    };
    line("sensor", found.alerts.len());
    let shown = found.alerts.iter().filter(|alert| alert.budgeted).count();
    let budget = scenario.evaluation.alerts_per_day;
    line(&format!("sensor, budget of {budget} a day"), shown);
    let mut lanes: BTreeMap<&str, usize> = BTreeMap::new();
    for alert in &found.alerts {
        *lanes.entry(&alert.lane).or_default() += 1;
    }
    for (lane, count) in lanes {
        line(&format!("– lane {lane}"), count);
    }
    for (point, alerts) in baseline::points().iter().zip(&history.alerts) {
        line(&point.name, alerts.len());
    }
    let _ = writeln!(text, "\nAlerts: {}", sensor.alerts("own").display());
    Ok(text)
}

/// Reads what the baselines need. Columns and their form are checked by `sensor replay` itself.
fn read(path: &Path) -> Result<History> {
    let mut reader = ::csv::Reader::from_path(path)
        .with_context(|| format!("cannot open the events file {}", path.display()))?;
    let header = reader.headers()?.clone();
    let column = |name: &str| header.iter().position(|column| column.trim() == name);
    let needed = |name: &str| {
        column(name).ok_or_else(|| {
            anyhow!(
                "{}: column `{name}` is missing\ndo: write a header row; docs/detection.md has the columns",
                path.display()
            )
        })
    };
    let (time, principal, rows) = (needed("time")?, needed("principal")?, needed("rows")?);
    let (queries, statement_rows) = (column("queries"), column("statement_rows"));
    let mut index: HashMap<String, u32> = HashMap::new();
    let mut names = Vec::new();
    let mut baselines = Baselines::new();
    let mut days = HashSet::new();
    let mut line = ::csv::StringRecord::new();
    while reader.read_record(&mut line)? {
        let place = || {
            format!(
                "{}, line {}",
                path.display(),
                line.position().map_or(0, ::csv::Position::line)
            )
        };
        let text = |at: usize| line.get(at).unwrap_or_default().trim();
        let number = |at: Option<usize>| -> Result<Option<u64>> {
            match at.map(text) {
                None | Some("") => Ok(None),
                Some(text) => text.parse().map(Some).with_context(place),
            }
        };
        let time = milliseconds(text(time)).ok_or_else(|| {
            anyhow!(
                "{}: `{}` is neither RFC 3339 nor seconds since 1970",
                place(),
                text(time)
            )
        })?;
        let name = text(principal);
        let account = match index.get(name) {
            Some(account) => *account,
            None => {
                let account = names.len() as u32;
                names.push(name.to_owned());
                index.insert(name.to_owned(), account);
                account
            }
        };
        let rows = number(Some(rows))?.unwrap_or(0);
        let queries = number(queries)?.unwrap_or(1);
        days.insert((account, calendar::day(time)));
        baselines.observe(&Record {
            time,
            account,
            host: Host(0),
            table: 0,
            operation: Operation::Select,
            fingerprint: 0,
            statement_rows: number(statement_rows)?.unwrap_or(rows / queries.max(1)),
            rows,
            bytes: 0,
            queries,
            keys: 0..0,
            ascending: false,
            attack: 0,
        });
    }
    Ok(History {
        names,
        principal_days: days.len() as u64,
        alerts: baselines.finish(),
    })
}

fn milliseconds(text: &str) -> Option<u64> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Some((seconds * 1000.0).round() as u64),
        Ok(_) => None,
        Err(_) => calendar::rfc3339(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_in_any_order_of_columns() {
        let path = std::env::temp_dir().join(format!("xtask-eval-{}.csv", std::process::id()));
        std::fs::write(
            &path,
            "rows,principal,time\n12000,ann,2024-01-03T12:00:00Z\n1,bob,1704283201.5\n",
        )
        .expect("written");
        let history = read(&path).expect("read");
        assert_eq!(history.names, ["ann", "bob"]);
        assert_eq!(history.principal_days, 2);
        let last = history.alerts.last().expect("a plain threshold");
        assert_eq!(
            (last.len(), last[0].accounts.as_slice()),
            (1, [0].as_slice())
        );
        std::fs::write(&path, "rows,principal\n1,ann\n").expect("written");
        let error = read(&path).expect_err("no time").to_string();
        assert!(error.contains("`time` is missing"), "{error}");
        std::fs::remove_file(&path).expect("clean up");
    }
}
