//! The least that the sensor can be started with, and what it keeps.

use std::fs;

use harness::{Sensor, Turn, Volume, wait_until};

use crate::{QUIET, json, kernel, of_server, read, row, server, stderr, watches, wrapped};

/// What a running sensor may hold once its programs are attached, but for `CAP_BPF` on kernels before 5.19.
const KEPT: [u32; 2] = [CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE];
/// One of these sleeps, for probes on libraries.
const ASLEEP: [u32; 2] = [CAP_PERFMON, CAP_SYS_ADMIN];
const CAP_DAC_READ_SEARCH: u32 = 2;
const CAP_SYS_PTRACE: u32 = 19;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;

/// The least that a sensor can be started with.
pub const LEAST: &str = "+bpf,+perfmon,+sys_ptrace,+dac_read_search";

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

/// In effect, no thread holds more than what is kept after the start.
fn holds_no_more(pid: u32) {
    let threads = held(pid, "CapEff:");
    assert!(
        threads.iter().all(|thread| thread & !mask() == 0),
        "{threads:x?}"
    );
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

#[test]
fn roots_rights_are_given_up_after_the_start() {
    let turn = Turn::take();
    let early = server();
    let configuration = format!("[kernel]\ntls = \"plaintext\"\n{QUIET}");
    let sensor = Sensor::start(&turn, &configuration, &[]);
    let pid = sensor.pid();
    holds_no_more(pid);
    for field in ["CapPrm:", "CapBnd:"] {
        for thread in held(pid, field) {
            let besides = thread & !mask();
            assert!(
                besides == 0 || ASLEEP.iter().any(|one| besides == 1 << one),
                "{field} {thread:x}, expected {:x} and one that sleeps",
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
    holds_no_more(pid);
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
    holds_no_more(pid);
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
