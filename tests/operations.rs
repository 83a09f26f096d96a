//! Promise: the sensor starts, stops and fails as whoever runs it at 3 a.m. expects, and says what, where and what to do.

use std::{
    io::{Read, Write as _},
    net::TcpListener,
    os::unix::process::CommandExt as _,
    process::{Command, Output as Finished},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use harness::{Options, Postgres, Sensor, Turn, Volume, otlp, raw::Raw, sensor_binary, wait_until};

/// Exports often, alerts on nothing.
const QUIET: &str = r#"
[export]
interval = "1s"
[[threshold]]
name = "never"
measure = "rows"
window = "1m"
limit = 1000000000000
"#;

/// Alerts on a hundred rows.
const ALARMED: &str = r#"
[export]
interval = "1s"
[[threshold]]
name = "hundred"
measure = "rows"
window = "1m"
limit = 100
"#;

fn server() -> Postgres {
    let server = Postgres::start(&Options::default());
    server.sql(
        "postgres",
        "CREATE TABLE items AS SELECT i AS id FROM generate_series(1, 5000) i; GRANT SELECT ON items TO PUBLIC;
         CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN",
    );
    server
}

/// Queries of so many rows as a user over TCP; returns what was seen from the client's side.
fn read(server: &Postgres, user: &str, queries: u64, rows: u64) -> Volume {
    let text = format!("SELECT id FROM items WHERE id <= {rows}");
    ask(server, user, (0..queries).map(|_| text.clone()))
}

fn ask(server: &Postgres, user: &str, texts: impl Iterator<Item = String>) -> Volume {
    ask_as(Raw::start(&server.ipv4(), user, "postgres"), texts)
}

fn ask_as(mut client: Raw, texts: impl Iterator<Item = String>) -> Volume {
    let mut volume = Volume::default();
    for text in texts {
        volume += client.query(&text).volume();
    }
    (volume.bytes_sent, volume.bytes_received) = client.terminate();
    volume
}

fn run(arguments: &[&str], uid: u32) -> Finished {
    let mut command = Command::new(readable_copy());
    command.args(arguments).current_dir("/");
    if uid != 0 {
        command.uid(uid).gid(uid);
    }
    command.output().expect("run the sensor")
}

/// A copy that other users can run: the build directory may be root's alone.
fn readable_copy() -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let copy = std::env::temp_dir().join(format!("dst-sensor-{}", std::process::id()));
    if !copy.exists() {
        let making = copy.with_extension(format!("{:?}", thread::current().id()));
        std::fs::copy(sensor_binary(), &making).expect("copy the sensor");
        std::fs::set_permissions(&making, std::fs::Permissions::from_mode(0o755)).expect("chmod");
        std::fs::rename(&making, &copy).expect("rename");
    }
    copy
}

fn stderr(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

#[test]
fn a_second_sensor_is_refused_and_the_first_goes_on() {
    let turn = Turn::take();
    let server = server();
    let first = Sensor::start(&turn, QUIET, &[]);
    let before = read(&server, "ann", 3, 10);
    let (status, log) = Sensor::spawn(&turn, QUIET, &[]).wait_exit();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains("another sensor is already running on this host: stop it first (process ")
            && log.contains(", user 0, program sensor)"),
        "{log}"
    );
    let after = read(&server, "ann", 4, 10);
    server.wait_until_idle();
    let output = first.stop();
    assert_eq!(output.volume("postgres", "ann"), before + after);
}

#[test]
fn without_root_it_says_what_it_lacks() {
    let _turn = Turn::take();
    let nobody = 65534;
    let finished = run(&["run"], nobody);
    assert_eq!(finished.status.code(), Some(1));
    let log = stderr(&finished);
    assert!(
        log.contains("CAP_BPF") && log.contains("sudo sensor run"),
        "{log}"
    );
    let finished = run(&["check"], nobody);
    assert_eq!(finished.status.code(), Some(2));
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    assert!(text.contains("NO   CAP_BPF"), "{text}");
    assert!(text.contains("run as root"), "{text}");
    assert!(text.contains("cannot run here"), "{text}");
}

#[test]
fn usage_and_configuration_errors_exit_2_before_anything_attaches() {
    let turn = Turn::take();
    for arguments in [&["runn"][..], &["run", "--no-such-option"], &["config"]] {
        let finished = run(arguments, 0);
        assert_eq!(finished.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&finished).contains("Usage"), "{}", stderr(&finished));
    }
    let (status, log) = Sensor::spawn(
        &turn,
        "[export]\ninterval = \"1s\"\n[[threshold]]\nname = \"x\"\nmeasure = \"rowz\"\nwindow = \"1m\"\nlimit = 1\n",
        &[],
    )
    .wait_exit();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("sensor.toml:5:11"), "{log}");
    assert!(log.contains("rows"), "no hint in: {log}");
    assert!(!log.contains("sensor ready"), "{log}");
    let finished = run(&["run", "--config", "/nonexistent.toml"], 0);
    assert_ne!(finished.status.code(), Some(0));
    assert!(
        stderr(&finished).contains("/nonexistent.toml"),
        "{}",
        stderr(&finished)
    );
    let finished = run(&["run", "--otlp-endpoint", "localhost:4317"], 0);
    assert_eq!(finished.status.code(), Some(2));
    assert!(
        stderr(&finished).contains("http://localhost:4317"),
        "{}",
        stderr(&finished)
    );
}

#[test]
fn a_changed_configuration_takes_effect_and_a_wrong_one_does_not() {
    let turn = Turn::take();
    let server = server();
    let sensor = Sensor::start(&turn, QUIET, &[]);
    read(&server, "ann", 1, 500);
    sensor.reconfigure(&ALARMED.replace("limit = 100", "limit = \"many\""));
    sensor.wait_log("the changed configuration is wrong, the old one stays in force");
    assert!(sensor.log().contains("sensor.toml:8:9"), "{}", sensor.log());
    read(&server, "ann", 1, 500);
    assert_eq!(sensor.alerts(), [], "none under the old configuration");
    sensor.reconfigure(&ALARMED.replace("\"1s\"", "\"2s\""));
    sensor.wait_log("configuration read again");
    sensor.wait_log("[export] has changed: that takes effect with the next start");
    read(&server, "bob", 1, 500);
    wait_until("an alert under the new configuration", || {
        !sensor.alerts().is_empty()
    });
    let alerts = sensor.stop().alerts();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0].attributes["user.name"], "bob");
}

#[test]
fn several_clusters_and_one_that_starts_later() {
    let turn = Turn::take();
    let early = server();
    let sensor = Sensor::start(&turn, QUIET, &[]);
    let mut late = server();
    let expected = [
        (early.port, read(&early, "ann", 5, 7)),
        (late.port, {
            let before = read(&late, "ann", 2, 9);
            late.restart(libc::SIGINT);
            before + read(&late, "ann", 1, 11)
        }),
    ];
    early.wait_until_idle();
    late.wait_until_idle();
    let metrics = sensor.stop().metrics();
    for (port, expected) in expected {
        let of_server: Vec<_> = metrics
            .iter()
            .filter(|series| series.attributes.get("server.port") == Some(&port.to_string()))
            .cloned()
            .collect();
        assert_eq!(
            Volume::of(&of_server, "postgres", "ann"),
            expected,
            "server on port {port}"
        );
    }
}

#[test]
fn check_says_what_would_be_watched() {
    let _turn = Turn::take();
    let plain = Postgres::start(&Options::default());
    let finished = run(&["check"], 0);
    let text = String::from_utf8_lossy(&finished.stdout).into_owned();
    for part in [
        "yes  CAP_BPF",
        "yes  BTF",
        "hooks that would be used: ",
        &format!("PostgreSQL {}", plain.version()),
        &format!("TCP port {}", plain.port),
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

#[test]
fn signals_end_it_with_everything_flushed() {
    let turn = Turn::take();
    let server = server();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // Longer than the test: only the flush at the end exports.
        let sensor = Sensor::start(&turn, &QUIET.replace("1s", "1h"), &[]);
        let file = sensor.otlp_file();
        let copy = std::env::temp_dir().join(format!("dst-flushed-{}", std::process::id()));
        let expected = read(&server, "ann", 3, 10);
        server.wait_until_idle();
        // The file goes with the sensor's directory: keep a second link to it.
        std::fs::remove_file(&copy).ok();
        std::fs::hard_link(&file, &copy).expect("link the OTLP file");
        let (status, log) = sensor.end(signal);
        assert_eq!(status.code(), Some(0), "signal {signal}: {log}");
        let got = Volume::of(&otlp::metrics(&copy), "postgres", "ann");
        std::fs::remove_file(&copy).expect("remove");
        assert_eq!(got, expected, "signal {signal}");
    }
}

#[test]
fn a_ring_that_is_too_small_loses_detail_but_no_volume() {
    let turn = Turn::take();
    let server = server();
    let configuration =
        format!("[kernel]\nring_bytes = \"4KiB\"\ndrain_interval = \"1s\"\n{QUIET}");
    let sensor = Sensor::start(&turn, &configuration, &[]);
    let clients: Vec<Volume> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let client = Raw::start(&server.ipv4(), "ann", "postgres");
                scope.spawn(move || {
                    // Who it is has left: a start that finds the ring full leaves its volume without a name.
                    thread::sleep(Duration::from_millis(1500));
                    // Many statements in turn: of one, the kernel would make a record a drain.
                    let text = |n| format!("SELECT id AS c{}x FROM items WHERE id <= 3", n % 64);
                    ask_as(client, (0..1500).map(text))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("client"))
            .collect()
    });
    server.wait_until_idle();
    thread::sleep(Duration::from_millis(1500));
    let output = sensor.stop();
    let lost: f64 = output
        .metrics()
        .iter()
        .filter(|series| series.name == "data_access.sensor.lost_detail")
        .map(|series| series.value)
        .sum();
    assert!(lost > 100.0, "expected a full ring, lost detail is {lost}");
    assert_eq!(
        Volume::anywhere(&output.metrics(), "ann"),
        clients.into_iter().sum::<Volume>()
    );
}

#[test]
fn alerts_wait_for_an_endpoint_that_is_down() {
    let turn = Turn::take();
    let server = server();
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let configuration = ALARMED.replace("[export]", "[export]\notlp_protocol = \"http/protobuf\"");
    let endpoint = format!("http://127.0.0.1:{port}");
    let arguments = ["--otlp-endpoint", endpoint.as_str()];

    // Down to the end: it says what was not delivered, and where it stands.
    let forgetful = format!("{configuration}\n[export.queue]\npersistent = false\n");
    let sensor = Sensor::start(&turn, &forgetful, &arguments);
    read(&server, "ann", 1, 500);
    sensor.wait_log(" hundred: ");
    let (status, log) = sensor.end(libc::SIGINT);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("1 alerts could not be delivered"), "{log}");

    // Up again in time: the alert arrives, once.
    let sensor = Sensor::start(&turn, &configuration, &arguments);
    let expected = read(&server, "bob", 1, 500);
    sensor.wait_log(" hundred: ");
    thread::sleep(Duration::from_millis(1500));
    let arrived = receiver(port);
    wait_until("the alert at the receiver", || {
        arrived.load(Ordering::Relaxed) > 0
    });
    server.wait_until_idle();
    let output = sensor.stop();
    assert_eq!(arrived.load(Ordering::Relaxed), 1, "alerts that arrived");
    assert_eq!(output.volume("postgres", "bob"), expected);
}

/// A receiver of OTLP over HTTP that counts the alerts it is sent.
fn receiver(port: u16) -> Arc<AtomicUsize> {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("bind the receiver");
    let alerts = Arc::new(AtomicUsize::new(0));
    let count = alerts.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let count = count.clone();
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let mut buffer = [0; 65536];
                loop {
                    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                        match stream.read(&mut buffer) {
                            Ok(0) | Err(_) => return,
                            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                        }
                        continue;
                    };
                    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
                    let length: usize = head
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length:"))
                        .and_then(|length| length.trim().parse().ok())
                        .unwrap_or(0);
                    while bytes.len() < end + 4 + length {
                        match stream.read(&mut buffer) {
                            Ok(0) | Err(_) => return,
                            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                        }
                    }
                    let body = &bytes[end + 4..end + 4 + length];
                    let event = b"data_access.anomaly";
                    if head.starts_with("post /v1/logs")
                        && body.windows(event.len()).any(|window| window == event)
                    {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    bytes.drain(..end + 4 + length);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    alerts
}
