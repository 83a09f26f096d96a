//! What the host has not, and what of it matters.

use std::{fs, process::Command};

use harness::{Sensor, Turn};

use crate::{QUIET, among_mounts, json, row, stderr, stdout, wrapped};

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
