//! Promise: the sensor says before it attaches what this host can give, and holds no more rights than it uses.

use std::{
    fs,
    process::{Command, Output as Finished},
};

use harness::{Options, Postgres, Sensor, Volume, otlp::Series, raw::Raw, sensor_binary};
use serde_json::Value;

mod check;
mod rights;
mod surroundings;
mod unit;

const QUIET: &str = "[export]\ninterval = \"1s\"\n[[threshold]]\nname = \"never\"\nmeasure = \"rows\"\nwindow = \"1m\"\nlimit = 1000000000000\n";

/// A command behind others that change what it finds.
fn wrapped(wrapper: &[&str], arguments: &[&str]) -> Finished {
    Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(readable_sensor())
        .args(arguments)
        .current_dir("/")
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", wrapper[0]))
}

/// The same after shell commands in a mount namespace of its own.
fn among_mounts(commands: &str, arguments: &[&str]) -> Finished {
    let script = format!("{commands}; exec \"$@\"");
    wrapped(
        &["unshare", "--mount", "sh", "-c", &script, "sh"],
        arguments,
    )
}

/// A copy that other users can run: the build directory may be root's alone.
fn readable_sensor() -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    static COPY: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    COPY.get_or_init(|| {
        let copy = std::env::temp_dir().join(format!("dst-host-sensor-{}", std::process::id()));
        fs::copy(sensor_binary(), &copy).expect("copy the sensor");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("chmod");
        copy
    })
    .clone()
}

fn stdout(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stdout).into_owned()
}

fn stderr(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

fn json(finished: &Finished) -> Value {
    let text = stdout(finished);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error} in {text}\n{}", stderr(finished)))
}

/// A row of the table.
fn row<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["capabilities"]
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["name"] == name))
        .unwrap_or_else(|| panic!("no row `{name}` in {report:#}"))
}

/// A server in the report.
fn server_on(report: &Value, port: u16) -> &Value {
    report["servers"]
        .as_array()
        .and_then(|servers| servers.iter().find(|server| server["port"] == port))
        .unwrap_or_else(|| panic!("no server on {port} in {report:#}"))
}

/// Major and minor version of the kernel.
fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    (
        numbers.next().expect("major"),
        numbers.next().expect("minor"),
    )
}

/// Reads from a server; what the client counted.
fn read(server: &Postgres, rows: u64) -> Volume {
    let mut client = Raw::start(&server.unix(), "ann", "postgres");
    let mut volume = client
        .query(&format!("SELECT i FROM generate_series(1, {rows}) i"))
        .volume();
    (volume.bytes_sent, volume.bytes_received) = client.terminate();
    volume
}

fn of_server(metrics: &[Series], port: u16) -> Vec<Series> {
    metrics
        .iter()
        .filter(|series| series.attributes.get("server.port") == Some(&port.to_string()))
        .cloned()
        .collect()
}

fn server() -> Postgres {
    let server = Postgres::start(&Options::default());
    server.sql("postgres", "CREATE ROLE ann LOGIN");
    server
}

/// All that a sensor with few rights must still do: find a server that starts later, which is another user's, and
/// attribute what its client reads.
fn watches(sensor: Sensor, early: &Postgres) {
    let late = server();
    let expected = [(early, read(early, 30)), (&late, read(&late, 70))];
    for (server, _) in &expected {
        server.wait_until_idle();
    }
    let metrics = sensor.stop().metrics();
    for (server, expected) in expected {
        let found = of_server(&metrics, server.port);
        assert_eq!(
            Volume::of(&found, "postgres", "ann"),
            expected,
            "server on port {}",
            server.port
        );
        // The client's program and user were read from its /proc entry and its socket.
        assert!(
            found.iter().any(|series| series
                .attributes
                .get("process.user.name")
                .is_some_and(|name| name == "root")),
            "no OS user in {found:?}"
        );
    }
}
