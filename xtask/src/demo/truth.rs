//! The server's own count against the sensor's.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::postgresql::Server;
use crate::progress::thousands;

/// Of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Rows returned and written.
    pub rows: u64,
    /// Statements.
    pub queries: u64,
}

/// By database user.
pub type Counts = BTreeMap<String, Count>;

/// Who makes the tables, and reads what the server counts; on Redis also who has not logged in yet.
const ADMINISTRATORS: [&str; 3] = ["postgres", "root", "default"];

/// All but the demo's own administrator, who makes the tables and reads the server's count.
const SERVER: &str = "
    SELECT r.rolname::text, sum(s.rows)::bigint, sum(s.calls)::bigint
    FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
    WHERE s.toplevel AND r.rolname <> 'postgres'
    GROUP BY r.rolname";

/// What the server counted.
pub fn server(server: &Server) -> Result<Counts> {
    let mut admin = server.connect("postgres", "postgres", true)?;
    let rows = admin
        .query(SERVER, &[])
        .context("cannot read pg_stat_statements")?;
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    Ok(rows
        .iter()
        .map(|row| {
            let count = Count {
                rows: number(row.get(1)),
                queries: number(row.get(2)),
            };
            (row.get(0), count)
        })
        .collect())
}

/// Makes the server count anew.
pub fn reset(server: &Server) -> Result<()> {
    let mut admin = server.connect("postgres", "postgres", true)?;
    admin
        .batch_execute("SELECT pg_stat_statements_reset()")
        .context("cannot reset pg_stat_statements")
}

/// What the sensor counted: the last value of each series in its OpenTelemetry file.
pub fn sensor(otlp: &Path) -> Result<Counts> {
    let text =
        fs::read_to_string(otlp).with_context(|| format!("cannot read {}", otlp.display()))?;
    let mut series = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let message: Value = serde_json::from_str(line)
            .with_context(|| format!("{}:{}: no JSON", otlp.display(), index + 1))?;
        collect(&message, &mut series);
    }
    let mut counts = Counts::new();
    for ((metric, attributes), value) in series {
        let Some(user) = attributes.get("user.name") else {
            continue;
        };
        let count = counts.entry(user.clone()).or_default();
        if metric == "data_access.rows" {
            count.rows += value;
        } else {
            count.queries += value;
        }
    }
    Ok(counts)
}

type Series = BTreeMap<(String, BTreeMap<String, String>), u64>;

fn collect(message: &Value, series: &mut Series) {
    for resource in list(&message["resourceMetrics"]) {
        for scope in list(&resource["scopeMetrics"]) {
            for metric in list(&scope["metrics"]) {
                let name = metric["name"].as_str().unwrap_or_default();
                if name != "data_access.rows" && name != "data_access.queries" {
                    continue;
                }
                for point in list(&metric["sum"]["dataPoints"]) {
                    let attributes = list(&point["attributes"])
                        .iter()
                        .map(|attribute| (text(&attribute["key"]), text(&attribute["value"])))
                        .collect();
                    let value = text(&point["asInt"]).parse().unwrap_or(0);
                    series.insert((name.to_owned(), attributes), value);
                }
            }
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A string or number, or the one value of an attribute.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(object) => object.values().next().map(text).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// Both counts side by side, and whether they agree.
pub fn compare(server: &Counts, sensor: &Counts) -> (String, bool) {
    let mut users: Vec<&String> = server.keys().chain(sensor.keys()).collect();
    users.sort();
    users.dedup();
    users.retain(|user| !ADMINISTRATORS.contains(&user.as_str()));
    let mut lines = vec![format!(
        "{:<18} {:>13} {:>13} {:>15} {:>15}",
        "user", "server rows", "sensor rows", "server queries", "sensor queries"
    )];
    let mut agree = !server.is_empty();
    for user in users {
        let said = server.get(user).copied().unwrap_or_default();
        let seen = sensor.get(user).copied().unwrap_or_default();
        agree &= said == seen;
        lines.push(format!(
            "{user:<18} {:>13} {:>13} {:>15} {:>15}  {}",
            thousands(said.rows),
            thousands(seen.rows),
            thousands(said.queries),
            thousands(seen.queries),
            if said == seen { "✓" } else { "✗" }
        ));
    }
    (lines.join("\n"), agree)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(user: &str, rows: u64) -> Value {
        serde_json::json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [
            {"name": "data_access.rows", "sum": {"dataPoints": [
                {"attributes": [{"key": "user.name", "value": {"stringValue": user}},
                                {"key": "data_access.direction", "value": {"stringValue": "returned"}}],
                 "asInt": rows.to_string()},
                {"attributes": [{"key": "user.name", "value": {"stringValue": user}},
                                {"key": "data_access.direction", "value": {"stringValue": "written"}}],
                 "asInt": 1}]}},
            {"name": "data_access.sensor.memory", "gauge": {"dataPoints": [{"asInt": "7"}]}}]}]}]})
    }

    #[test]
    fn the_last_value_of_each_series_counts() {
        let mut series = Series::new();
        collect(&message("agent07", 5), &mut series);
        collect(&message("agent07", 9), &mut series);
        assert_eq!(series.values().sum::<u64>(), 10);
    }

    #[test]
    fn differences_are_marked() {
        let one = Count {
            rows: 1,
            queries: 1,
        };
        let server = Counts::from([("a".to_owned(), one), ("b".to_owned(), one)]);
        let mut sensor = server.clone();
        sensor.insert("postgres".to_owned(), one);
        assert!(compare(&server, &sensor).1);
        sensor.remove("b");
        let (table, agree) = compare(&server, &sensor);
        assert!(!agree);
        assert!(
            table
                .lines()
                .any(|line| line.starts_with("b ") && line.ends_with('✗')),
            "{table}"
        );
        assert!(
            !compare(&Counts::new(), &Counts::new()).1,
            "nothing seen is no agreement"
        );
    }
}
