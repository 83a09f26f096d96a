//! What can't be seen of TLS is told, with its bytes.

use std::{fs, path::Path, process::Command};

use harness::{
    CONFIGURATION, Options, Output, Postgres, Sensor, Turn, clients::role, relay::Relay,
    sensor_binary,
};
use serde_json::Value;

use crate::{PLAINTEXT, blind_bytes, is_seen, plaintext};

/// What `sensor check` says of the server on this port.
pub fn checked(port: u16, configuration: &str) -> Value {
    let path = std::env::temp_dir().join(format!("dst-tls-{}.toml", std::process::id()));
    fs::write(&path, configuration).expect("write the configuration");
    let output = Command::new(sensor_binary())
        .args(["check", "--json", "--config"])
        .arg(&path)
        .current_dir("/")
        .output()
        .expect("run the sensor");
    fs::remove_file(path).expect("remove the configuration");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let servers = report["servers"].as_array().expect("servers");
    let found = servers.iter().find(|server| server["port"] == port);
    found.unwrap_or_else(|| panic!("{report:#}")).clone()
}

/// 5,000 rows by TLS from a server whose TLS can't be seen: all bytes are counted as encrypted, and it is said why.
fn counts_bytes(options: &Options, configuration: &str, why: &str) {
    /// Its record in TLS 1.3: header, alert, type, tag.
    const CLOSE_NOTIFY: f64 = 24.0;
    let turn = Turn::take();
    let server = Postgres::start(options);
    let database = format!("tls_{}", std::process::id());
    server.sql("postgres", &format!("CREATE DATABASE {database}"));
    server.sql(&database, &role("encrypted"));
    let report = checked(server.port, configuration);
    assert_eq!(report["tls_seen"], false, "{report:#}");
    assert!(report["not_seen"].to_string().contains(why), "{report:#}");
    let sensor = Sensor::start(&turn, &format!("{configuration}{CONFIGURATION}"), &[]);
    let relay = Relay::start(&server.ipv4());
    let output = server
        .command("psql")
        .args(["-X", "-At", "-c"])
        .arg("SELECT i, repeat('s', 100) FROM generate_series(1, 5000) i")
        .arg(format!(
            "host=127.0.0.1 port={} user=encrypted dbname={database} sslmode=require",
            relay.endpoint().port,
        ))
        .output()
        .expect("run psql");
    let rows = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(rows, 5000, "rows expected | got {output:?}");
    let (sent, received) = relay.finish();
    server.wait_until_idle();
    let output = sensor.stop();
    assert!(output.log.contains(why), "{}", output.log);
    assert_eq!(output.volume(&database, "encrypted").queries, 0);
    let blind = blind_bytes(&output.metrics(), "encrypted");
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let expected = (sent + received) as f64;
    // The client's last record, TLS' close_notify, comes when the server has gone: it is never read.
    assert!(
        (expected - CLOSE_NOTIFY..=expected).contains(&blind),
        "bytes of the encrypted connection: expected {expected} (or {CLOSE_NOTIFY} less), got {blind}"
    );
}

fn offers_tls() -> Options {
    Options {
        configuration: vec!["ssl = on".to_owned()],
        ..Options::default()
    }
}

#[test]
fn bytes_alone_where_the_configuration_wants_no_more() {
    counts_bytes(&offers_tls(), "[kernel]\ntls = \"bytes\"\n", "kernel.tls");
}

#[test]
fn bytes_alone_on_the_lowest_rung() {
    counts_bytes(
        &offers_tls(),
        "[kernel]\nhooks = \"sys_exit\"\ntls = \"plaintext\"\n",
        "the hooks sys_exit",
    );
}

/// By default: as the probe's cost on this host says.
#[test]
fn plaintext_where_probes_are_cheap() {
    let report = {
        let turn = Turn::take();
        if !is_seen(&turn) {
            return;
        }
        let server = Postgres::start(&offers_tls());
        checked(server.port, "")
    };
    if report["tls_seen"] == true {
        let turn = Turn::take();
        let server = Postgres::start(&offers_tls());
        let sensor = Sensor::start(&turn, "", &[]);
        let output = seven_rows(&server, sensor);
        let got = output.volume("template1", "postgres");
        assert_eq!((got.queries, got.rows_returned), (1, 7), "{got:?}");
    } else {
        counts_bytes(&offers_tls(), "", "a probe costs");
    }
}

/// Asks by TLS for seven rows.
fn seven_rows(server: &Postgres, sensor: Sensor) -> Output {
    let output = server
        .command("psql")
        .args(["-X", "-At", "-c", "SELECT generate_series(1, 7)"])
        .arg(format!(
            "host=127.0.0.1 port={} user=postgres dbname=template1 sslmode=require",
            server.port
        ))
        .output()
        .expect("run psql");
    assert!(output.status.success(), "{output:?}");
    server.wait_until_idle();
    sensor.stop()
}

/// The same functions in a file of another name: as if they were linked into the server.
#[test]
fn a_server_without_the_library() {
    if !is_seen(&Turn::take()) {
        return;
    }
    let folder = Folder::new();
    let hidden = folder.copy("libcrypt-and-more.so");
    counts_bytes(
        &Options {
            environment: vec![("LD_PRELOAD".to_owned(), hidden)],
            ..offers_tls()
        },
        PLAINTEXT,
        "no OpenSSL library (libssl) is in its memory",
    );
}

/// A library of another place and name is found by the server's memory.
#[test]
fn a_library_of_its_own() {
    let folder = Folder::new();
    let own = folder.copy("libssl-bank.so.3");
    let turn = Turn::take();
    if !is_seen(&turn) {
        return;
    }
    let server = Postgres::start(&Options {
        environment: vec![("LD_PRELOAD".to_owned(), own.clone())],
        ..offers_tls()
    });
    let report = checked(server.port, PLAINTEXT);
    assert_eq!(report["tls_seen"], true, "{report:#}");
    let sensor = Sensor::start(&turn, &plaintext(), &[]);
    assert!(sensor.log().contains(&own), "{}", sensor.log());
    let output = seven_rows(&server, sensor);
    let got = output.volume("template1", "postgres");
    assert_eq!((got.queries, got.rows_returned), (1, 7), "{got:?}");
}

/// A folder that servers may read.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("dst-tls-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(folder.path(), mode).expect("chmod");
        Self(folder)
    }

    /// A copy of the system's library under this name.
    fn copy(&self, name: &str) -> String {
        let server = Command::new("ldd")
            .arg(newest_postgres())
            .output()
            .expect("run ldd");
        let text = String::from_utf8_lossy(&server.stdout);
        let line = text
            .lines()
            .find(|line| line.contains("libssl"))
            .expect("a server with libssl");
        let library = line.split_whitespace().nth(2).expect("a path");
        let copy = self.0.path().join(name);
        fs::copy(library, &copy).expect("copy the library");
        copy.display().to_string()
    }
}

fn newest_postgres() -> std::path::PathBuf {
    let folder = Path::new("/usr/lib/postgresql");
    let mut found: Vec<_> = fs::read_dir(folder)
        .expect("no PostgreSQL: run `cargo xtask setup`")
        .flatten()
        .map(|entry| entry.path().join("bin/postgres"))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().expect("no PostgreSQL: run `cargo xtask setup`")
}
