//! Receivers of telemetry that nobody here wrote, and what tests ask of them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{wait_until, workspace};

/// A child process that ends with the test.
#[derive(Debug)]
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A file below target/tools/venv.
///
/// # Panics
/// When it is not there.
pub fn tool(name: &str) -> PathBuf {
    there(workspace().join("target/tools/venv").join(name))
}

/// A program of Prometheus.
///
/// # Panics
/// When it is not there.
pub fn prometheus_tool(name: &str) -> PathBuf {
    there(
        workspace()
            .join("target/tools/prometheus/usr/bin")
            .join(name),
    )
}

fn there(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "no {}: run `cargo xtask setup --for test`",
        path.display()
    );
    path
}

/// A TCP port that was free a moment ago.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

/// oteltest's gRPC sink, on OpenTelemetry's own protobuf definitions: what it takes is in the file.
///
/// # Panics
/// When it does not start.
pub fn sink(port: u16, file: &Path) -> Process {
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

/// Rotel, a collector, as deploy/collector/rotel.env configures it, but for where it listens and what it hands on to.
///
/// # Panics
/// When it does not start.
pub fn rotel(grpc: u16, http: u16, to: u16) -> Process {
    let agent = fs::read_dir(tool("lib"))
        .expect("lib")
        .flatten()
        .map(|entry| entry.path().join("site-packages/rotel/rotel-agent"))
        .find(|path| path.exists())
        .expect("rotel-agent");
    let child = Command::new(agent)
        .arg("start")
        .envs(environment(&workspace().join("deploy/collector/rotel.env")))
        .env("ROTEL_OTLP_GRPC_ENDPOINT", format!("127.0.0.1:{grpc}"))
        .env("ROTEL_OTLP_HTTP_ENDPOINT", format!("127.0.0.1:{http}"))
        .env(
            "ROTEL_OTLP_EXPORTER_ENDPOINT",
            format!("http://127.0.0.1:{to}"),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start rotel");
    wait_until("rotel's port", || {
        TcpStream::connect(("127.0.0.1", grpc)).is_ok()
    });
    Process(child)
}

/// Variables of a file as systemd's `EnvironmentFile=` reads it.
fn environment(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).expect("the collector's configuration");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Prometheus with the rules of deploy/prometheus, which looks at everything each second.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    /// Where it answers.
    pub port: u16,
}

impl Prometheus {
    /// Scrapes these addresses; its files are in the directory.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(directory: &Path, targets: &[String]) -> Self {
        let port = free_port();
        let targets: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
        let settings = directory.join("prometheus.yml");
        fs::write(
            &settings,
            format!(
                "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: ['{}']\nscrape_configs:\n\
                 - job_name: data-access-sensor\n  static_configs:\n  - targets: [{}]\n",
                workspace().join("deploy/prometheus/rules.yml").display(),
                targets.join(", ")
            ),
        )
        .expect("write");
        let log = fs::File::create(directory.join("prometheus.log")).expect("create");
        let child = Command::new(prometheus_tool("prometheus"))
            .arg(format!("--config.file={}", settings.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("prometheus").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(log)
            .spawn()
            .expect("start Prometheus");
        let process = Process(child);
        wait_until("Prometheus' port", || !get(port, "/-/ready").is_empty());
        Self {
            _process: process,
            port,
        }
    }

    /// The result of an instant query: labels and value of each series.
    ///
    /// # Panics
    /// When it is no query.
    pub fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let answer = get(
            self.port,
            &format!("/api/v1/query?query={}", escaped(query)),
        );
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let result = answer.pointer("/data/result").and_then(Value::as_array);
        result
            .into_iter()
            .flatten()
            .map(|series| {
                let value = series.pointer("/value/1").and_then(Value::as_str);
                (
                    series["metric"].clone(),
                    value
                        .and_then(|value| value.parse().ok())
                        .unwrap_or(f64::NAN),
                )
            })
            .collect()
    }

    /// The value of a query that has one series, if it has.
    pub fn value(&self, query: &str) -> Option<f64> {
        self.query(query).first().map(|(_, value)| *value)
    }
}

/// Asks an embedded ClickHouse, with the tables of the collector's exporter filled from files of OTLP JSON lines: the rows of
/// each file of queries, by the queries' order.
///
/// # Panics
/// When a query fails.
pub fn clickhouse(files: &[&Path], queries: &[PathBuf]) -> Vec<Vec<Value>> {
    let output = Command::new(tool("bin/python"))
        .arg(workspace().join("tests/receivers/clickhouse.py"))
        .args(files)
        .arg("--")
        .args(queries)
        .output()
        .expect("run clickhouse.py");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The body of an answer to `GET`; empty when there is none.
pub fn get(port: u16, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return String::new();
    };
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let mut answer = String::new();
    if stream.write_all(request.as_bytes()).is_err() || stream.read_to_string(&mut answer).is_err()
    {
        return String::new();
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    // Wrong queries are answered with 400 and what is wrong.
    if head.contains(" 200 ") || head.contains(" 400 ") {
        body.to_owned()
    } else {
        String::new()
    }
}

/// Percent-encoded.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
