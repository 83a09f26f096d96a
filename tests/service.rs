//! Promise: the unit file as it is shipped starts a sensor that watches, confined as it says.
//!
//! Needs systemd as the first process, and writes to /usr and /etc: run in a virtual machine, by
//! `cargo xtask vm --append xtask.init=systemd -- service --include-ignored`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use harness::{Options, Postgres, Turn, Volume, otlp, raw::Raw, sensor_binary, wait_until, workspace};

const UNIT: &str = "sensor.service";
/// Where the unit file has the sensor write.
const STATE: &str = "/var/lib/data-access-sensor";

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}",
        String::from_utf8_lossy(&output.stderr),
        journal()
    );
    output
}

/// What the unit had to say.
fn journal() -> String {
    let output = Command::new("systemctl")
        .args(["status", "--full", "--lines=50", UNIT])
        .output();
    let status = output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    let log = fs::read_to_string(format!("{STATE}/log")).unwrap_or_default();
    format!("{status}\n{log}")
}

fn property(name: &str) -> String {
    let output = run("systemctl", &["show", "--value", "--property", name, UNIT]);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Puts everything where the unit file expects it.
fn install() {
    fs::copy(sensor_binary(), "/usr/bin/sensor").expect("copy the sensor");
    fs::set_permissions("/usr/bin/sensor", fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::create_dir_all("/etc/data-access-sensor").expect("make a folder");
    fs::write(
        "/etc/data-access-sensor/sensor.toml",
        format!("[export]\ninterval = \"1s\"\notlp_file = \"{STATE}/otlp.jsonl\"\n"),
    )
    .expect("write the configuration");
    run(
        "useradd",
        &["--system", "--no-create-home", "data-access-sensor"],
    );
    let unit = workspace().join("deploy").join(UNIT);
    fs::copy(&unit, Path::new("/etc/systemd/system").join(UNIT)).expect("copy the unit file");
    // No journal runs here.
    let more = Path::new("/etc/systemd/system").join(format!("{UNIT}.d"));
    fs::create_dir_all(&more).expect("make a folder");
    fs::write(
        more.join("log.conf"),
        format!("[Service]\nStandardError=append:{STATE}/log\n"),
    )
    .expect("write a drop-in");
    run("systemctl", &["daemon-reload"]);
}

#[test]
#[ignore = "needs systemd as the first process: cargo xtask vm --append xtask.init=systemd"]
fn the_unit_file_starts_a_confined_sensor_that_watches() {
    let _turn = Turn::take();
    assert!(
        Path::new("/run/systemd/system").exists(),
        "systemd is not the first process"
    );
    let server = Postgres::start(&Options::default());
    server.sql("postgres", "CREATE ROLE ann LOGIN");
    install();
    run("systemctl", &["start", UNIT]);
    let log = || fs::read_to_string(format!("{STATE}/log")).unwrap_or_default();
    wait_until("a sensor that is ready", || {
        assert_ne!(property("ActiveState"), "failed", "{}", journal());
        log().contains("sensor ready")
    });
    let pid = property("MainPID");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name}")).trim().to_owned()
    };
    assert_ne!(field("Uid:").split_whitespace().next(), Some("0"));
    assert_eq!(field("NoNewPrivs:"), "1");
    // A filter of system calls is in force.
    assert_eq!(field("Seccomp:"), "2");
    // CAP_BPF, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH at the most.
    let held = u64::from_str_radix(&field("CapEff:"), 16).expect("hexadecimal");
    assert_eq!(held & !(1 << 39 | 1 << 19 | 1 << 2), 0, "{held:x}");

    let mut client = Raw::start(&server.unix(), "ann", "postgres");
    let mut counted = client
        .query("SELECT i FROM generate_series(1, 60) i")
        .volume();
    (counted.bytes_sent, counted.bytes_received) = client.terminate();
    server.wait_until_idle();
    // Its last export comes with its end, which must be a clean one.
    run("systemctl", &["stop", UNIT]);
    assert_eq!(property("Result"), "success", "{}", journal());
    let metrics = otlp::metrics(&Path::new(STATE).join("otlp.jsonl"));
    assert_eq!(
        Volume::of(&metrics, "postgres", "ann"),
        counted,
        "{}",
        journal()
    );
    assert!(!log().contains("Operation not permitted"), "{}", log());
    assert!(Path::new(STATE).join("history.db").exists());
}
