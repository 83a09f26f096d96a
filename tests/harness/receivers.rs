//! Receivers of telemetry that nobody here wrote, and what tests ask of them.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::workspace;

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
