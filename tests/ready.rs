//! Promise: what is in deploy/ works as it lies there: rules, dashboard, queries, collectors.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{
    Options, Postgres, Sensor, Turn,
    raw::Raw,
    receivers::{Prometheus, clickhouse, free_port, prometheus_tool, tool},
    wait_until, workspace,
};
use serde_json::Value;

fn deployed(path: &str) -> PathBuf {
    workspace().join("deploy").join(path)
}

/// Runs a program that must succeed, and returns what it said.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("run");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn the_rules_tell_what_they_should_and_nothing_else() {
    let promtool = prometheus_tool("promtool");
    run(Command::new(&promtool)
        .args(["check", "rules", "--lint=all", "--lint-fatal"])
        .arg(deployed("prometheus/rules.yml")));
    let said = run(Command::new(&promtool)
        .args(["test", "rules", "rules_test.yml", "rules_days_test.yml"])
        .current_dir(deployed("prometheus")));
    assert_eq!(said.matches("SUCCESS").count(), 2, "{said}");
    // No rule is without a test, and none without a word on what to do.
    let rules = fs::read_to_string(deployed("prometheus/rules.yml")).expect("rules");
    let tests = ["rules_test.yml", "rules_days_test.yml"]
        .map(|file| fs::read_to_string(deployed("prometheus").join(file)).expect("tests"))
        .concat();
    let runbook = fs::read_to_string(workspace().join("docs/runbook.md")).expect("the runbook");
    let names: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(
            tests.contains(&format!("alertname: {name}\n")),
            "no test of {name}"
        );
        assert!(
            runbook.contains(&format!("\n### {name}\n")),
            "{name} is not in docs/runbook.md"
        );
    }
}

#[test]
fn the_collectors_configuration_is_whole() {
    run(Command::new(tool("bin/python"))
        .arg(workspace().join("tests/receivers/collector.py"))
        .arg(deployed("collector/collector.yaml")));
}

/// A server on which something of everything has happened.
fn busy(directory: &Path) -> (Turn, Postgres, Sensor, u16) {
    let turn = Turn::take();
    let server = Postgres::start(&Options::default());
    server.sql(
        "postgres",
        "CREATE ROLE ann LOGIN; CREATE TABLE customers (id int PRIMARY KEY, name text);
         INSERT INTO customers SELECT i, 'name ' || i FROM generate_series(1, 3000) i; GRANT ALL ON customers TO PUBLIC; ANALYZE",
    );
    let port = free_port();
    let configuration = format!(
        "[export]\ninterval = \"1s\"\n[export.prometheus]\nlisten = \"127.0.0.1:{port}\"\n[export.records]\ninterval = \"1s\"\n\
         [detection.keys]\ncustomers = [\"id\"]\n[[threshold]]\nname = \"hundred\"\nwindow = \"10m\"\nlimit = 100\n\
         [history]\npath = \"{}\"\n",
        directory.join("history.db").display()
    );
    let sensor = Sensor::start(&turn, &configuration, &[]);
    let mut client = Raw::start(&server.ipv4(), "ann", "postgres");
    wait_until("distinct records", || {
        client.query("SELECT name FROM customers WHERE id IN (1, 2, 3)");
        let metrics = sensor.metrics();
        metrics
            .iter()
            .any(|series| series.name == "data_access.records")
    });
    assert_eq!(client.query("SELECT * FROM customers").rows, 3000);
    client.query("SELECT missing FROM customers");
    client.query("UPDATE customers SET name = 'x' WHERE id = 1");
    client.terminate();
    server.sql("postgres", "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'");
    server.wait_until_idle();
    (turn, server, sensor, port)
}

/// A query as Grafana sends it.
fn sent(expression: &str) -> String {
    [
        ("$__rate_interval", "1m"),
        ("$__interval", "15s"),
        ("$__range", "5m"),
        ("$instance", ".*"),
        ("$user", ".*"),
    ]
    .iter()
    .fold(expression.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

/// Values of a key, wherever they are.
fn values<'a>(of: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match of {
        Value::Array(list) => list.iter().for_each(|one| values(one, key, found)),
        Value::Object(object) => {
            found.extend(object.get(key).and_then(Value::as_str));
            object.values().for_each(|one| values(one, key, found));
        }
        _ => {}
    }
}

#[test]
fn dashboard_and_queries_show_what_happened() {
    let directory = tempfile::tempdir().expect("a directory");
    let (_turn, server, sensor, port) = busy(directory.path());
    let prometheus = Prometheus::start(directory.path(), &[format!("127.0.0.1:{port}")]);
    let text = fs::read_to_string(deployed("grafana/data-access.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut expressions = Vec::new();
    values(&dashboard["panels"], "expr", &mut expressions);
    assert!(expressions.len() > 25, "{}", expressions.len());
    // Rates are of what goes on.
    let mut client = Raw::start(&server.ipv4(), "ann", "postgres");
    for expression in expressions {
        let query = sent(expression);
        assert!(!query.contains('$'), "{query}");
        wait_until(&format!("data of {query}"), || {
            client.query("SELECT name FROM customers WHERE id IN (1, 2, 3)");
            let series = prometheus.query(&query);
            series.iter().any(|(_, value)| value.is_finite())
        });
    }
    client.terminate();
    // Annotations need a change that Prometheus has seen happen: only that the query is one.
    let mut annotations = Vec::new();
    values(&dashboard["annotations"], "expr", &mut annotations);
    for expression in annotations {
        prometheus.query(&sent(expression));
    }
    // What variables are filled with.
    let mut variables = Vec::new();
    values(&dashboard["templating"], "definition", &mut variables);
    for variable in variables {
        let inner = variable
            .strip_prefix("label_values(")
            .and_then(|inner| inner.strip_suffix(')'));
        let (metric, label) = inner
            .and_then(|inner| inner.split_once(", "))
            .expect("a list");
        let found = prometheus.query(&format!("count by ({label}) ({metric})"));
        assert!(
            found.iter().any(|(labels, _)| labels[label].is_string()),
            "{variable}"
        );
    }
    let read =
        "sum(data_access:rows:increase10m{user_name=\"ann\", data_access_direction=\"returned\"})";
    assert!(prometheus.value(read).is_some_and(|rows| rows >= 3000.0));

    let output = sensor.stop();
    let mut queries: Vec<PathBuf> = fs::read_dir(deployed("clickhouse"))
        .expect("queries")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    queries.sort();
    let answers = clickhouse(&[output.otlp_file()], &queries);
    let of = |name: &str| -> &[Value] {
        let at = queries.iter().position(|query| query.ends_with(name));
        &answers[at.unwrap_or_else(|| panic!("no {name}"))]
    };
    // Reads on one host are no fleet's; all others have something to show.
    for (query, rows) in queries.iter().zip(&answers) {
        assert_eq!(
            rows.is_empty(),
            query.ends_with("fleet.sql"),
            "{}: {rows:?}",
            query.display()
        );
    }
    let ann = of("who_read.sql")
        .iter()
        .find(|row| row["user"] == "ann")
        .expect("ann");
    let rows = output.volume("postgres", "ann").rows_returned;
    assert_eq!(ann["rows_read"].as_f64(), Some(rows as f64), "{ann}");
    assert_eq!(of("distinct_records.sql")[0]["records"], 3);
    assert_eq!(of("distinct_records.sql")[0]["exact"], 1);
    let told: BTreeSet<String> = output
        .alerts()
        .iter()
        .map(|alert| alert.attributes["log.record.uid"].clone())
        .collect();
    let found: BTreeSet<String> = of("alerts.sql")
        .iter()
        .map(|row| row["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(found, told);
    assert!(
        !of("alert_statements.sql")[0]["statement"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
    );
    assert_eq!(of("days.sql")[0]["user"], "ann");
    assert!(
        of("statements.sql")
            .iter()
            .any(|row| row["summary"] == "SELECT customers")
    );
    assert!(of("blind.sql").iter().any(|row| row["cause"] == "(parsed)"));
}
