//! What `sensor check` tells of the kernel and of servers.

use std::fs;

use harness::{Options, Postgres, Sensor, Turn};
use serde_json::Value;

use crate::{
    QUIET, json, kernel, of_server, read, row, server, server_on, stderr, stdout, watches, wrapped,
};

/// Since when the ends of functions can be attached to: arm64's kernels before that load such programs, and attach none.
const FEXIT: (u32, u32) = if cfg!(target_arch = "aarch64") {
    (6, 4)
} else {
    (5, 17)
};

/// The rung of the ladder that this kernel is expected to offer.
fn rung() -> &'static str {
    if kernel() >= (6, 3) {
        "tp_btf"
    } else if kernel() >= FEXIT {
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
        "CAP_PERFMON",
        "CAP_SYS_PTRACE",
        "CAP_DAC_READ_SEARCH",
        "bpf(2)",
        "BTF",
        "sched_process_exec",
        "sched_process_exit",
        "ring buffer",
        "socket storage",
        "lockdown",
        "memory lock",
        "pid namespace",
        "programs",
    ] {
        assert_eq!(row(&report, name)["present"], true, "{name}");
    }
    // There or not, they are said.
    for name in ["uprobes", "BPF statistics", "tracefs", "bpffs", "cgroups"] {
        assert_eq!(row(&report, name)["need"], "informative", "{name}");
    }
    for row in report["capabilities"].as_array().expect("rows") {
        for field in ["why", "found"] {
            assert_ne!(row[field], "", "{field} of {row}");
        }
        assert!(row["present"] == true || row["remedy"] != "", "{row}");
    }
    // As root all is there: what is lost is known, and is in the exit code.
    let nothing_lost = report["lost"] == Value::Array(Vec::new());
    let (verdict, code) = if nothing_lost {
        ("ready", 0)
    } else {
        ("degraded", 1)
    };
    assert_eq!(report["verdict"], verdict, "{report:#}");
    assert_eq!(finished.status.code(), Some(code), "{report:#}");
    // People get each row with what it is for, and how to get what is missing.
    let text = stdout(&wrapped(&["env"], &["check"]));
    for row in report["capabilities"].as_array().expect("rows") {
        let said = |field: &str| row[field].as_str().is_some_and(|part| text.contains(part));
        // Some of it is measured each time.
        let found = match row["name"].as_str() {
            Some("uprobes") => text.contains("one costs"),
            Some("programs") => text.contains("the kernel takes all"),
            _ => said("found"),
        };
        assert!(said("name") && found, "{row} is not in:\n{text}");
        assert!(said("why"), "{row} is not in:\n{text}");
        assert!(
            row["present"] == true || said("remedy"),
            "{row} is not in:\n{text}"
        );
    }
}

/// A system that somebody has chosen not to watch: nothing of its servers is seen, and `sensor check` says so and calls it no loss.
#[test]
fn servers_that_are_left_out_are_said_and_not_seen() {
    const ONLY: &str = "[discover]\nsystems = [\"mysql\", \"redis\"]\n";
    let turn = Turn::take();
    let server = server();
    let path = configuration(ONLY);
    let finished = wrapped(
        &["env"],
        &[
            "check",
            "--json",
            "--config",
            path.to_str().expect("a path"),
        ],
    );
    let report = json(&finished);
    let found = server_on(&report, server.port);
    assert_eq!(found["not_seen"], "[discover] systems leaves it out");
    assert_eq!(found["seen"], Value::Null);
    assert!(
        !report["lost"].to_string().contains("not seen"),
        "{report:#}"
    );

    let sensor = Sensor::start(&turn, &format!("{QUIET}{ONLY}"), &[]);
    read(&server, 30);
    server.wait_until_idle();
    let metrics = sensor.stop().metrics();
    assert_eq!(of_server(&metrics, server.port), []);
}

/// All that the kernel is asked for one by one is there, and the sensor's own programs and maps are refused all the same.
#[test]
fn programs_that_are_refused_are_known_before_the_start() {
    let _turn = Turn::take();
    let finished = wrapped(&["prlimit", "--nofile=24:24"], &["check", "--json"]);
    let report = json(&finished);
    assert_eq!(report["hooks"], rung(), "{report:#}");
    let programs = row(&report, "programs");
    assert_eq!(programs["present"], false, "{report:#}");
    let found = programs["found"].to_string();
    assert!(
        found.contains("cannot create the sensor's BPF maps")
            && found.contains("Too many open files"),
        "{found}"
    );
    assert_eq!(report["verdict"], "impossible", "{report:#}");
    assert_eq!(finished.status.code(), Some(2), "{report:#}");
}

#[test]
fn run_time_statistics_are_found_on_and_off() {
    let _turn = Turn::take();
    let path = "/proc/sys/kernel/bpf_stats_enabled";
    let before = fs::read_to_string(path).expect("kernel.bpf_stats_enabled");
    let found = ["0", "1"].map(|value| {
        fs::write(path, value).expect("set kernel.bpf_stats_enabled");
        json(&wrapped(&["env"], &["check", "--json"]))
    });
    fs::write(path, before).expect("set kernel.bpf_stats_enabled");
    for (report, on) in found.iter().zip([false, true]) {
        assert_eq!(row(report, "BPF statistics")["present"], on, "{report:#}");
    }
}

/// Before Linux 5.11 maps count as locked memory.
#[test]
fn a_small_memory_lock_matters_to_old_kernels_only() {
    let _turn = Turn::take();
    let limited = [
        "setpriv",
        "--bounding-set",
        "-sys_resource",
        "sh",
        "-c",
        "ulimit -l 64; exec \"$@\"",
        "sh",
    ];
    let finished = wrapped(&limited, &["check", "--json"]);
    let report = json(&finished);
    let charged = kernel() < (5, 11);
    assert_eq!(row(&report, "memory lock")["present"], !charged);
    assert_eq!(finished.status.code() == Some(2), charged, "{report:#}");
    assert_eq!(
        report["todo"].to_string().contains("LimitMEMLOCK=infinity"),
        charged,
        "{report:#}"
    );
}

#[test]
fn check_describes_servers_for_people_and_machines() {
    let _turn = Turn::take();
    let plain = Postgres::start(&Options::default());
    let encrypted = Postgres::start(&Options {
        configuration: vec!["ssl = on".to_owned()],
        ..Options::default()
    });
    let path = configuration("[kernel]\ntls = \"plaintext\"\n");
    let seeing = ["check", "--config", path.to_str().expect("a path")];
    let finished = wrapped(&["env"], &[&seeing[..], &["--json"]].concat());
    let report = json(&finished);
    let server = |port: u16| server_on(&report, port);
    assert_eq!(server(plain.port)["version"], plain.version().to_string());
    assert_eq!(server(plain.port)["tls"], false);
    assert_eq!(server(plain.port)["not_seen"], Value::Null);
    assert_eq!(server(encrypted.port)["tls"], true);
    // The lowest rung sees no plaintext.
    if report["hooks"] != "sys_exit" {
        assert_eq!(server(encrypted.port)["tls_seen"], true, "{report:#}");
        assert_eq!(server(encrypted.port)["not_seen"], Value::Null);
        let text = stdout(&wrapped(&["env"], &seeing));
        for part in ["TLS: offered, would be seen by probes on /", "TLS: off"] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }
    // What is lost is said, and is in the exit code.
    fs::write(&path, "[kernel]\ntls = \"bytes\"\n").expect("configuration");
    let blind = ["check", "--config", path.to_str().expect("a path")];
    let finished = wrapped(&["env"], &[&blind[..], &["--json"]].concat());
    let report = json(&finished);
    assert_eq!(finished.status.code(), Some(1), "{report:#}");
    assert_eq!(report["verdict"], "degraded");
    let lost = report["lost"].to_string();
    for part in [&encrypted.port.to_string(), "kernel.tls"] {
        assert!(lost.contains(part), "`{part}` is not in: {lost}");
    }
    let finished = wrapped(&["env"], &blind);
    let text = stdout(&finished);
    assert_eq!(finished.status.code(), Some(1), "{text}");
    for part in [
        "ready, with blind spots",
        "TLS: offered, only its bytes would be seen",
        "TLS: off",
    ] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    fs::remove_file(&path).expect("remove the configuration");
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
