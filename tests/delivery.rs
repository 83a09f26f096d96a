//! Promise: between an alert and the collector nothing is lost. A collector that is away, a sensor that is killed in
//! between: every alert arrives once, and every total. And receivers that nobody here wrote understand all of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use harness::{
    Options, Postgres, Sensor, Turn, Volume,
    otlp::{self, Alert},
    raw::Raw,
    wait_until, workspace,
};
use serde_json::Value;

/// A child process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn tool(name: &str) -> PathBuf {
    let path = workspace().join("target/tools/venv").join(name);
    assert!(
        path.exists(),
        "no {}: run `cargo xtask setup --for test`",
        path.display()
    );
    path
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// oteltest's gRPC sink: what it takes is in the file.
fn sink(port: u16, file: &Path) -> Process {
    let mut child = Command::new(tool("bin/python"))
        .arg(workspace().join("tests/receivers/sink.py"))
        .arg(port.to_string())
        .arg(file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the sink");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("read");
    assert_eq!(line.trim(), "ready", "oteltest's sink");
    Process(child)
}

/// Rotel, a collector, which hands on what it takes.
fn rotel(port: u16, http: u16, to: u16) -> Process {
    let library = fs::read_dir(tool("lib"))
        .expect("lib")
        .flatten()
        .map(|entry| entry.path().join("site-packages/rotel/rotel-agent"))
        .find(|path| path.exists())
        .expect("rotel-agent");
    let child = Command::new(library)
        .args(["start", "--otlp-grpc-endpoint"])
        .arg(format!("127.0.0.1:{port}"))
        .arg("--otlp-http-endpoint")
        .arg(format!("127.0.0.1:{http}"))
        .args(["--exporter", "otlp", "--otlp-exporter-endpoint"])
        .arg(format!("http://127.0.0.1:{to}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start rotel");
    wait_until("rotel's port", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    Process(child)
}

fn configuration(queue: &Path, endpoint: &str) -> String {
    format!(
        r#"
[export]
interval = "1s"
otlp_endpoint = "{endpoint}"
otlp_protocol = "grpc"
[export.queue]
path = "{}"
[[threshold]]
name = "hundred"
measure = "rows"
window = "1m"
limit = 100
"#,
        queue.display()
    )
}

fn server(users: u32) -> Postgres {
    let server = Postgres::start(&Options::default());
    server.sql(
        "postgres",
        "CREATE TABLE items AS SELECT i AS id FROM generate_series(1, 5000) i; GRANT SELECT ON items TO PUBLIC",
    );
    for user in 0..users {
        server.sql("postgres", &format!("CREATE ROLE u{user} LOGIN"));
    }
    server
}

/// Takes 500 rows and more as a user, in two statements.
fn read(server: &Postgres, user: u32) -> Volume {
    let mut client = Raw::start(&server.ipv4(), &format!("u{user}"), "postgres");
    let mut volume = Volume::default();
    for rows in [500, user + 1] {
        let text = format!("SELECT id FROM items WHERE id <= {rows}");
        volume += client.query(&text).volume();
    }
    (volume.bytes_sent, volume.bytes_received) = client.terminate();
    volume
}

/// By user, summed over what each run of the sensor said last: rows returned, statements, bytes sent.
fn totals(file: &Path) -> BTreeMap<String, (u64, u64, u64)> {
    let mut last: HashMap<(String, String, String), (u64, u64)> = HashMap::new();
    for line in fs::read_to_string(file).expect("the file").lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let metrics = line.pointer("/resourceMetrics/0/scopeMetrics/0/metrics");
        for metric in metrics.and_then(Value::as_array).into_iter().flatten() {
            let points = metric.pointer("/sum/dataPoints").and_then(Value::as_array);
            for point in points.into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let key = (
                    text(&metric["name"]),
                    point["attributes"].to_string(),
                    text(&point["startTimeUnixNano"]),
                );
                let number = |value: &Value| text(value).parse::<u64>().unwrap_or(0);
                let now = (number(&point["timeUnixNano"]), number(&point["asInt"]));
                let before = last.entry(key).or_default();
                *before = (*before).max(now);
            }
        }
    }
    let mut totals: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
    for ((metric, attributes, _), (_, value)) in last {
        let attributes: Value = serde_json::from_str(&attributes).expect("JSON");
        let find = |key: &str| {
            let mut pairs = attributes.as_array().into_iter().flatten();
            pairs
                .find(|pair| pair["key"] == key)
                .and_then(|pair| pair["value"]["stringValue"].as_str())
                .unwrap_or_default()
                .to_owned()
        };
        let total = totals.entry(find("user.name")).or_default();
        match (metric.as_str(), find("data_access.direction").as_str()) {
            ("data_access.rows", "returned") => total.0 += value,
            ("data_access.queries", _) => total.1 += value,
            ("data_access.bytes", "sent") => total.2 += value,
            _ => {}
        }
    }
    totals
}

fn uids(alerts: &[Alert]) -> Vec<String> {
    let mut uids: Vec<String> = alerts
        .iter()
        .map(|alert| alert.attributes["log.record.uid"].clone())
        .collect();
    uids.sort();
    uids
}

#[test]
fn nothing_is_lost_when_the_collector_is_away_and_the_sensor_is_killed() {
    const EACH: u32 = 6;
    let turn = Turn::take();
    let directory = tempfile::tempdir().expect("a directory");
    let server = server(2 * EACH);
    let port = free_port();
    let configuration = configuration(
        &directory.path().join("queue.db"),
        &format!("http://127.0.0.1:{port}"),
    );
    let mut expected = BTreeMap::new();
    let mut said = Vec::new();

    // Nobody listens. Killed when all that was read has been exported, and a second for the disk has passed.
    let sensor = Sensor::start(&turn, &configuration, &[]);
    for user in 0..EACH {
        expected.insert(format!("u{user}"), read(&server, user));
    }
    server.wait_until_idle();
    wait_until("all of it in the first run's file", || {
        let done = |(user, volume): (&String, &Volume)| {
            Volume::of(&sensor.metrics(), "postgres", user) == *volume
        };
        expected.iter().all(done)
    });
    std::thread::sleep(Duration::from_secs(2));
    said.extend(sensor.alerts());
    let (status, log) = sensor.end(libc::SIGKILL);
    assert!(!status.success(), "{log}");
    assert_eq!(said.len() as u32, EACH, "alerts of the first run");

    // Another run, and then somebody listens.
    let sensor = Sensor::start(&turn, &configuration, &[]);
    assert!(
        sensor.log().contains("of an earlier run wait in"),
        "{}",
        sensor.log()
    );
    for user in EACH..2 * EACH {
        expected.insert(format!("u{user}"), read(&server, user));
    }
    server.wait_until_idle();
    let file = directory.path().join("received.jsonl");
    let _sink = sink(port, &file);
    wait_until("all alerts at the receiver", || {
        otlp::alerts(&file).len() as u32 >= 2 * EACH
    });
    let output = sensor.stop();
    said.extend(output.alerts());

    let arrived = otlp::alerts(&file);
    assert_eq!(uids(&arrived), uids(&said), "each alert, once");
    assert_eq!(
        uids(&arrived).iter().collect::<BTreeSet<_>>().len() as u32,
        2 * EACH
    );
    let totals = totals(&file);
    for (user, volume) in &expected {
        let wanted = (volume.rows_returned, volume.queries, volume.bytes_sent);
        assert_eq!(totals.get(user), Some(&wanted), "{user}");
    }
}

#[test]
fn a_collector_understands_alerts_metrics_and_traces() {
    let turn = Turn::take();
    let directory = tempfile::tempdir().expect("a directory");
    let server = server(3);
    let (port, http, behind) = (free_port(), free_port(), free_port());
    let file = directory.path().join("received.jsonl");
    let _sink = sink(behind, &file);
    let _rotel = rotel(port, http, behind);
    let sensor = Sensor::start(
        &turn,
        &configuration(
            &directory.path().join("queue.db"),
            &format!("http://127.0.0.1:{port}"),
        ),
        &[],
    );
    let expected: Vec<_> = (0..3).map(|user| read(&server, user)).collect();
    server.wait_until_idle();
    let complete = || {
        let totals = totals(&file);
        let rows = |user| totals.get(&format!("u{user}")).map_or(0, |total| total.0);
        otlp::alerts(&file).len() == 3
            && (0..3).all(|user| rows(user) == expected[user].rows_returned)
    };
    wait_until("alerts and totals behind the collector", || {
        file.exists() && complete()
    });
    let output = sensor.stop();
    let wanted = output.spans();
    wait_until("all spans behind the collector", || {
        otlp::spans(&file).len() >= wanted.len()
    });
    assert_eq!(uids(&otlp::alerts(&file)), uids(&output.alerts()));
    let names = |spans: Vec<otlp::Span>| {
        let mut names: Vec<_> = spans.into_iter().map(|span| span.name).collect();
        names.sort();
        names
    };
    names_are_registered(&file);
    let arrived = names(otlp::spans(&file));
    assert_eq!(arrived, names(wanted));
    for name in [
        "SELECT items",
        "session u1 postgres",
        "data_access.anomaly hundred",
    ] {
        assert!(
            arrived.iter().any(|one| one == name),
            "{name} in {arrived:?}"
        );
    }
}

/// Each attribute that arrived is in the published registry of the conventions, or our own.
fn names_are_registered(file: &Path) {
    let output = Command::new(tool("bin/python"))
        .arg(workspace().join("tests/receivers/names.py"))
        .output()
        .expect("run names.py");
    let known = String::from_utf8(output.stdout).expect("text");
    let known: BTreeSet<&str> = known.lines().collect();
    assert!(known.len() > 500, "the registry: {}", known.len());
    let text = fs::read_to_string(file).expect("the file");
    let mut keys = BTreeSet::new();
    for line in text.lines() {
        collect(&serde_json::from_str(line).expect("JSON"), &mut keys);
    }
    assert!(keys.len() > 30, "{keys:?}");
    for key in &keys {
        assert!(
            known.contains(key.as_str()) || key.starts_with("data_access."),
            "{key} is in no registry"
        );
    }
}

/// Keys of attributes, wherever they are.
fn collect(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| collect(one, keys)),
        Value::Object(object) => {
            if let (Some(Value::String(key)), Some(_)) = (object.get("key"), object.get("value")) {
                keys.insert(key.clone());
            }
            object.values().for_each(|one| collect(one, keys));
        }
        _ => {}
    }
}

#[test]
fn prometheus_scrapes_what_was_read() {
    let turn = Turn::take();
    let directory = tempfile::tempdir().expect("a directory");
    let server = server(1);
    let (metrics, port) = (free_port(), free_port());
    let configuration = format!(
        "[export]\ninterval = \"1s\"\n[export.prometheus]\nlisten = \"127.0.0.1:{metrics}\"\n"
    );
    let sensor = Sensor::start(&turn, &configuration, &[]);
    let expected = read(&server, 0);
    let settings = directory.path().join("prometheus.yml");
    fs::write(
        &settings,
        format!(
            "scrape_configs:\n- job_name: sensor\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['127.0.0.1:{metrics}']\n"
        ),
    )
    .expect("write");
    let program = workspace().join("target/tools/prometheus/usr/bin/prometheus");
    let log = fs::File::create(directory.path().join("log")).expect("create");
    let child = Command::new(&program)
        .arg(format!("--config.file={}", settings.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.path().join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}: run `cargo xtask setup --for test`",
                program.display()
            )
        });
    let _prometheus = Process(child);
    let rows = || {
        let query =
            "sum(data_access_rows_total{user_name=\"u0\",data_access_direction=\"returned\"})";
        let answer = get(port, &format!("/api/v1/query?query={}", escaped(query)));
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        answer
            .pointer("/data/result/0/value/1")
            .and_then(|value| value.as_str()?.parse::<u64>().ok())
    };
    wait_until("the rows in Prometheus", || {
        rows() == Some(expected.rows_returned)
    });
    // What it makes of names and help is what its own tool finds right.
    let page = get(metrics, "/metrics");
    let mut promtool = Command::new(program.with_file_name("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    std::io::Write::write_all(&mut promtool.stdin.take().expect("piped"), page.as_bytes())
        .expect("hand over");
    let output = promtool.wait_with_output().expect("promtool");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // It minds words like "gauge" that stand for units of their own; it must not mind the form.
    assert_ne!(output.status.code(), Some(1), "{said}");
    for path in ["/live", "/ready"] {
        assert!(!get(metrics, path).is_empty(), "{path}");
    }
    sensor.stop();
}

/// The body of an answer.
fn get(port: u16, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let mut answer = String::new();
    if stream.write_all(request.as_bytes()).is_err() || stream.read_to_string(&mut answer).is_err()
    {
        return String::new();
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.contains(" 200 ") {
        body.to_owned()
    } else {
        String::new()
    }
}

/// Percent-encoded.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// For a trace page: `OTLP_ENDPOINT=http://localhost:4317 cargo test --test delivery -- --ignored for_a_page`.
#[test]
#[ignore = "shows a session and an alert to a trace page that runs elsewhere"]
fn a_session_for_a_page() {
    let endpoint = std::env::var("OTLP_ENDPOINT").expect("OTLP_ENDPOINT");
    let turn = Turn::take();
    let directory = tempfile::tempdir().expect("a directory");
    let server = server(2);
    let queue = directory.path().join("queue.db");
    let sensor = Sensor::start(&turn, &configuration(&queue, &endpoint), &[]);
    let mut client = Raw::start(&server.ipv4(), "u1", "postgres");
    for rows in [1, 20, 300, 5000] {
        client.query(&format!("SELECT id FROM items WHERE id <= {rows}"));
        client.query(&format!("SELECT count(*) FROM items WHERE id > {rows}"));
        client.query("SELECT missing FROM items");
        std::thread::sleep(Duration::from_millis(300));
    }
    client.terminate();
    std::thread::sleep(Duration::from_secs(8));
    let output = sensor.stop();
    assert!(!output.alerts().is_empty() && output.spans().len() > 4);
}
