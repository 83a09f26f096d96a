//! Promise: the sensor says before it attaches what this host can give, and holds no more rights than it uses.

use std::{
    fs,
    process::{Command, Output as Finished},
};

use harness::{
    Options, Postgres, Sensor, Turn, Volume, otlp::Series, raw::Raw, sensor_binary, wait_until,
};
use serde_json::Value;

const QUIET: &str = "[export]\ninterval = \"1s\"\n[[threshold]]\nname = \"never\"\nmeasure = \"rows\"\nwindow = \"1m\"\nlimit = 1000000000000\n";

/// What a running sensor may hold once its programs are attached, but for `CAP_BPF` on kernels before 5.19.
const KEPT: [u32; 2] = [CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE];
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_BPF: u32 = 39;

/// The least that a sensor can be started with.
const LEAST: &str = "+bpf,+perfmon,+sys_ptrace,+dac_read_search";

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

/// The rung of the ladder that this kernel is expected to offer.
fn rung() -> &'static str {
    if kernel() >= (6, 3) {
        "tp_btf"
    } else if kernel() >= (5, 17) {
        "fexit"
    } else {
        "sys_exit"
    }
}

/// How a rung that is not there says why: this kernel came too early for it, or it forbids it all the same (a cloud's
/// hardened kernel may refuse trampolines). Those that it came too early for are the only ones that it may "have no" of.
fn absence(rung: &str) -> &'static str {
    let since = match rung {
        "tp_btf" => (6, 3),
        "fexit" => (5, 17),
        _ => (5, 10),
    };
    if kernel() < since {
        "this kernel has no"
    } else {
        "the kernel refuses"
    }
}

#[test]
fn check_knows_this_kernels_rung() {
    let _turn = Turn::take();
    let finished = wrapped(&["env"], &["check", "--json"]);
    let report = json(&finished);
    assert_eq!(report["hooks"], rung(), "{report:#}");
    // What the lowest rung costs and does not see is said.
    let lost = report["lost"].to_string();
    assert_eq!(
        lost.contains("every system call"),
        rung() == "sys_exit",
        "{lost}"
    );
    // The lowest is there everywhere; the others are there or say why not.
    assert_eq!(
        row(&report, "hooks sys_exit")["present"],
        true,
        "{report:#}"
    );
    for name in ["tp_btf", "fexit"] {
        let row = row(&report, &format!("hooks {name}"));
        let found = row["found"].to_string();
        assert!(
            row["present"] == true || found.contains(absence(name)),
            "expected `{}` in {row}",
            absence(name)
        );
    }
    for name in [
        "CAP_BPF",
        "BTF",
        "ring buffer",
        "socket storage",
        "pid namespace",
    ] {
        assert_eq!(row(&report, name)["present"], true, "{name}");
    }
    for row in report["capabilities"].as_array().expect("rows") {
        for field in ["why", "found"] {
            assert_ne!(row[field], "", "{field} of {row}");
        }
        assert!(row["present"] == true || row["remedy"] != "", "{row}");
    }
}

#[test]
fn check_describes_servers_for_people_and_machines() {
    let _turn = Turn::take();
    let plain = Postgres::start(&Options::default());
    let encrypted = Postgres::start(&Options {
        configuration: vec!["ssl = on".to_owned()],
        ..Options::default()
    });
    let finished = wrapped(&["env"], &["check", "--json"]);
    let report = json(&finished);
    let server = |port: u16| {
        report["servers"]
            .as_array()
            .and_then(|servers| servers.iter().find(|server| server["port"] == port))
            .unwrap_or_else(|| panic!("no server on {port} in {report:#}"))
    };
    assert_eq!(server(plain.port)["version"], plain.version().to_string());
    assert_eq!(server(plain.port)["tls"], false);
    assert_eq!(server(plain.port)["not_seen"], Value::Null);
    assert_eq!(server(encrypted.port)["tls"], true);
    assert!(
        server(encrypted.port)["not_seen"]
            .to_string()
            .contains("TLS")
    );
    // What is lost is said, and is in the exit code.
    assert_eq!(finished.status.code(), Some(1), "{report:#}");
    assert_eq!(report["verdict"], "degraded");
    assert!(
        report["lost"]
            .to_string()
            .contains(&encrypted.port.to_string())
    );
    let finished = wrapped(&["env"], &["check"]);
    let text = stdout(&finished);
    assert_eq!(finished.status.code(), Some(1), "{text}");
    for part in ["ready, with blind spots", "TLS: offered", "TLS: off"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

/// A file with this configuration; the test's to delete.
fn configuration(text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("dst-host-{}.toml", std::process::id()));
    fs::write(&path, text).expect("write the configuration");
    path
}

/// Forced by configuration, whatever `SENSOR_TEST_HOOKS` says.
#[test]
fn each_rung_is_there_or_says_why_not() {
    let turn = Turn::take();
    let report = json(&wrapped(&["env"], &["check", "--json"]));
    for name in ["tp_btf", "fexit", "sys_exit"] {
        let section = format!("[kernel]\nhooks = \"{name}\"\n");
        let path = configuration(&section);
        let path = path.to_str().expect("a path");
        let checked = json(&wrapped(&["env"], &["check", "--json", "--config", path]));
        if row(&report, &format!("hooks {name}"))["present"] == true {
            assert_eq!(checked["hooks"], name, "{checked:#}");
            let early = server();
            let configuration = format!("{section}{QUIET}");
            let sensor = Sensor::start(&turn, &configuration, &[]);
            sensor.wait_log("attached: ");
            watches(sensor, &early);
            continue;
        }
        assert_eq!(checked["hooks"], Value::Null, "{checked:#}");
        assert_eq!(checked["verdict"], "impossible");
        let finished = wrapped(&["env"], &["run", "--config", path]);
        let log = stderr(&finished);
        assert_eq!(finished.status.code(), Some(1), "{log}");
        for part in ["offers no hooks", name, absence(name), "kernel.hooks"] {
            assert!(log.contains(part), "`{part}` is not in: {log}");
        }
    }
}

#[test]
fn without_btf_it_says_what_to_do() {
    let _turn = Turn::take();
    let hide = "mount -t tmpfs none /sys/kernel/btf";
    let finished = among_mounts(hide, &["check", "--json"]);
    let report = json(&finished);
    assert_eq!(finished.status.code(), Some(2), "{report:#}");
    assert!(
        report["todo"]
            .to_string()
            .contains("CONFIG_DEBUG_INFO_BTF=y"),
        "{report:#}"
    );
    let finished = among_mounts(hide, &["run"]);
    assert_eq!(finished.status.code(), Some(1));
    let log = stderr(&finished);
    assert!(
        log.contains("/sys/kernel/btf/vmlinux") && log.contains("CONFIG_DEBUG_INFO_BTF"),
        "{log}"
    );
}

#[test]
fn tracefs_and_bpffs_are_not_needed() {
    let turn = Turn::take();
    let unmounted = "umount -a -t tracefs,debugfs,bpf";
    let finished = among_mounts(unmounted, &["check", "--json"]);
    let without = json(&finished);
    assert_eq!(row(&without, "tracefs")["present"], false);
    assert_eq!(row(&without, "bpffs")["present"], false);
    let mounted = "mount -t tracefs none /sys/kernel/tracing && mount -t bpf none /sys/fs/bpf";
    let with = json(&among_mounts(mounted, &["check", "--json"]));
    assert_eq!(row(&with, "tracefs")["present"], true, "{with:#}");
    assert_eq!(row(&with, "bpffs")["present"], true, "{with:#}");
    assert_eq!(with["verdict"], without["verdict"]);
    assert_eq!(with["hooks"], without["hooks"]);
    // The tests' own host may have them mounted: without them it attaches all the same.
    let mut command = vec!["unshare", "--mount", "sh", "-c"];
    let script = format!("{unmounted}; exec \"$@\"");
    command.extend([script.as_str(), "sh"]);
    let sensor = Sensor::start_wrapped(&turn, &command, QUIET, &[]);
    sensor.stop();
}

#[test]
fn cgroups_of_either_version_will_do() {
    let _turn = Turn::take();
    let plain = json(&wrapped(&["env"], &["check", "--json"]));
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
    let found = row(&plain, "cgroups")["found"].to_string();
    for (kind, version) in [(" cgroup ", "1"), (" cgroup2 ", "2")] {
        assert_eq!(found.contains(version), mounts.contains(kind), "{found}");
    }
    for (commands, found) in [
        ("umount -a -t cgroup,cgroup2", "none mounted"),
        (
            "umount -a -t cgroup,cgroup2; mkdir -p /tmp/dst-cgroup; mount -t cgroup2 none /tmp/dst-cgroup",
            "version 2",
        ),
        (
            "umount -a -t cgroup,cgroup2; mkdir -p /tmp/dst-cgroup; mount -t cgroup -o none,name=dst none /tmp/dst-cgroup",
            "version 1",
        ),
    ] {
        let report = json(&among_mounts(commands, &["check", "--json"]));
        assert_eq!(row(&report, "cgroups")["found"], found);
        assert_eq!(report["verdict"], plain["verdict"], "{found}");
    }
}

#[test]
fn in_a_pid_namespace_of_its_own_it_refuses() {
    let _turn = Turn::take();
    let unshare = ["unshare", "--pid", "--fork", "--mount-proc"];
    let finished = wrapped(&unshare, &["check"]);
    assert_eq!(finished.status.code(), Some(2), "{}", stdout(&finished));
    assert!(
        stdout(&finished).contains("--pid=host"),
        "{}",
        stdout(&finished)
    );
    let finished = wrapped(&unshare, &["run"]);
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        stderr(&finished).contains("--pid=host"),
        "{}",
        stderr(&finished)
    );
}

/// Holds on whatever kernel it runs: `cargo xtask vm --append lockdown=confidentiality` boots one that forbids it.
#[test]
fn lockdown_is_found_out() {
    let _turn = Turn::take();
    let mount = "mount -t securityfs none /sys/kernel/security 2>/dev/null";
    let mode = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg(format!("{mount}; cat /sys/kernel/security/lockdown"))
        .output()
        .expect("unshare");
    let confidential = stdout(&mode).contains("[confidentiality]");
    let asked = fs::read_to_string("/proc/cmdline").expect("the kernel's command line");
    assert!(
        confidential || !asked.contains("lockdown=confidentiality"),
        "this kernel was asked for lockdown and has none: {}",
        stderr(&mode)
    );
    let finished = among_mounts(mount, &["check", "--json"]);
    let report = json(&finished);
    assert_eq!(
        row(&report, "lockdown")["present"],
        !confidential,
        "{report:#}"
    );
    if confidential {
        assert_eq!(finished.status.code(), Some(2), "{report:#}");
        assert!(
            report["todo"].to_string().contains("lockdown=integrity"),
            "{report:#}"
        );
        let finished = among_mounts(mount, &["run"]);
        let log = stderr(&finished);
        assert_eq!(finished.status.code(), Some(1), "{log}");
        assert!(
            log.contains("lockdown is confidentiality") && log.contains("lockdown=integrity"),
            "{log}"
        );
    }
}

#[test]
fn missing_capabilities_are_named() {
    let _turn = Turn::take();
    for (capability, name, required) in [
        ("-bpf,-sys_admin", "CAP_BPF", true),
        ("-perfmon,-sys_admin", "CAP_PERFMON", true),
        ("-sys_ptrace", "CAP_SYS_PTRACE", false),
        ("-dac_read_search", "CAP_DAC_READ_SEARCH", false),
    ] {
        let finished = wrapped(
            &["setpriv", "--bounding-set", capability],
            &["check", "--json"],
        );
        let report = json(&finished);
        assert_eq!(row(&report, name)["present"], false, "{name}");
        let expected = if required { 2 } else { 1 };
        assert_eq!(finished.status.code(), Some(expected), "{name}: {report:#}");
        let said = if required {
            &report["todo"]
        } else {
            &report["lost"]
        };
        assert!(said.to_string().contains(name), "{name}: {report:#}");
        // What can't be tried is not called missing.
        assert!(
            !required || !said.to_string().contains("boot"),
            "{name}: {report:#}"
        );
    }
}

/// Capabilities of every thread of a process, by a field of its status.
fn held(pid: u32, field: &str) -> Vec<u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("tasks");
    tasks
        .flatten()
        .map(|task| {
            let status = fs::read_to_string(task.path().join("status")).expect("status");
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            u64::from_str_radix(line.expect("field").trim(), 16).expect("hexadecimal")
        })
        .collect()
}

fn mask() -> u64 {
    let bpf = if kernel() < (5, 19) { 1 << CAP_BPF } else { 0 };
    KEPT.iter()
        .fold(bpf, |mask, capability| mask | 1 << capability)
}

fn start_user(pid: u32) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.expect("Uid")
        .split_whitespace()
        .next()
        .expect("real uid")
        .to_owned()
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

#[test]
fn roots_rights_are_given_up_after_the_start() {
    let turn = Turn::take();
    let early = server();
    let sensor = Sensor::start(&turn, QUIET, &[]);
    let pid = sensor.pid();
    for field in ["CapEff:", "CapPrm:", "CapBnd:"] {
        for thread in held(pid, field) {
            assert_eq!(
                thread & !mask(),
                0,
                "{field} {thread:x}, expected {:x}",
                mask()
            );
        }
    }
    for field in ["CapAmb:", "CapInh:"] {
        assert!(
            held(pid, field).iter().all(|thread| *thread == 0),
            "{field}"
        );
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    watches(sensor, &early);
}

#[test]
fn root_itself_can_be_given_up() {
    let turn = Turn::take();
    let early = server();
    // It makes its files as that user.
    let sensor = Sensor::start_wrapped(
        &turn,
        &["sh", "-c", "chown nobody . && exec \"$@\"", "sh"],
        QUIET,
        &["--user", "nobody"],
    );
    let pid = sensor.pid();
    assert_ne!(start_user(pid), "0");
    assert!(
        held(pid, "CapEff:")
            .iter()
            .all(|thread| thread & !mask() == 0)
    );
    watches(sensor, &early);
}

/// As the unit file starts it: never root, with four capabilities and none to gain.
#[test]
fn four_capabilities_are_enough_to_start_with() {
    let turn = Turn::take();
    let early = server();
    let set = format!(
        "ulimit -l unlimited; cp \"$1\" sensor && shift && chmod 755 sensor && chown nobody . && exec setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps {LEAST} --ambient-caps {LEAST} \
         --bounding-set -all,{LEAST} --no-new-privs ./sensor \"$@\""
    );
    let sensor = Sensor::start_wrapped(&turn, &["sh", "-c", &set, "sh"], QUIET, &[]);
    let pid = sensor.pid();
    wait_until("the sensor itself, not the shell", || {
        start_user(pid) != "0"
    });
    assert!(
        held(pid, "CapEff:")
            .iter()
            .all(|thread| thread & !mask() == 0)
    );
    watches(sensor, &early);
}

/// With one capability less it says which one, and what of it.
#[test]
fn three_capabilities_are_not_enough() {
    let turn = Turn::take();
    let server = server();
    let all = ["bpf", "perfmon", "sys_ptrace", "dac_read_search"];
    for less in all {
        let set: String = all
            .iter()
            .filter(|one| **one != less)
            .map(|one| format!(",+{one}"))
            .collect();
        let set = set.trim_start_matches(',');
        let bounding = format!("-all,{set}");
        let user = [
            "setpriv",
            "--reuid",
            "nobody",
            "--regid",
            "nogroup",
            "--clear-groups",
            "--inh-caps",
            set,
            "--ambient-caps",
            set,
            "--bounding-set",
            &bounding,
        ];
        let name = format!("CAP_{}", less.to_ascii_uppercase());
        let checked = wrapped(&user, &["check", "--json"]);
        let report = json(&checked);
        assert_eq!(row(&report, &name)["present"], false, "{report:#}");
        if matches!(less, "bpf" | "perfmon") {
            assert_eq!(checked.status.code(), Some(2), "{report:#}");
            let finished = wrapped(&user, &["run"]);
            let log = stderr(&finished);
            assert_eq!(finished.status.code(), Some(1), "{log}");
            assert!(log.contains(&format!("lacks {name}")), "{log}");
            continue;
        }
        // It runs, and says that it can't look at servers of others; without the name of the server's folder, or what is
        // in it, there is nothing to tell its port by.
        assert_eq!(checked.status.code(), Some(1), "{report:#}");
        assert!(report["lost"].to_string().contains(&name), "{report:#}");
        let script = "ulimit -l unlimited; cp \"$1\" sensor && shift && chmod 755 sensor && chown nobody . && \
                      chmod 700 . && set -- ./sensor \"$@\" && exec ";
        let script = format!("{script}{} \"$@\"", user.join(" "));
        let sensor = Sensor::start_wrapped(&turn, &["sh", "-c", &script, "sh"], QUIET, &[]);
        sensor.wait_log(&format!("lacks {name}"));
        let counted = read(&server, 40);
        server.wait_until_idle();
        let found = Volume::of(
            &of_server(&sensor.stop().metrics(), server.port),
            "postgres",
            "ann",
        );
        assert_ne!(
            found, counted,
            "without {name} it found the server all the same"
        );
    }
}
