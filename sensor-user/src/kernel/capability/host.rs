//! How the host is set up: file systems, limits, namespaces.

use std::{fs, os::unix::fs::MetadataExt as _};

use btf_rs::Btf;

use super::{Capability, Need, exists};
use crate::kernel::{ask, tls, uprobe};

/// Number of the initial pid namespace, the same on every kernel (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: u64 = 0xeffffffc;

/// What is said when this process lives in another.
pub const PID_NAMESPACE: &str = "the sensor runs in a pid namespace of its own: the kernel's process numbers are the host's, and servers \
     outside are not found; run the container with the host's pid namespace (docker run --pid=host, hostPID: true)";

/// All of them.
pub fn all(btf: Option<&Btf>) -> Vec<Capability> {
    vec![
        pid_namespace(),
        uprobes(),
        statistics(),
        memory_lock(btf),
        mount(
            "tracefs",
            &[
                "/sys/kernel/tracing/events",
                "/sys/kernel/debug/tracing/events",
            ],
            "not needed: programs attach by type information and by perf events",
            "mount -t tracefs tracefs /sys/kernel/tracing",
        ),
        mount(
            "bpffs",
            &["/sys/fs/bpf/."],
            "not needed: nothing is pinned, all goes with the process",
            "mount -t bpf bpf /sys/fs/bpf",
        ),
        cgroups(),
    ]
}

/// Does this process see the host's processes, under the host's numbers?
pub fn is_initial_pid_namespace() -> bool {
    // Where it can't be read there is nothing to say against it.
    fs::metadata("/proc/self/ns/pid").map_or(true, |found| found.ino() == INITIAL_PID_NAMESPACE)
}

fn pid_namespace() -> Capability {
    let present = is_initial_pid_namespace();
    Capability {
        name: "pid namespace".to_owned(),
        present,
        need: Need::Required,
        why: "servers and clients are found by the host's process numbers",
        found: if present {
            "the host's".to_owned()
        } else {
            PID_NAMESPACE.to_owned()
        },
        remedy: "docker run --pid=host …, or hostPID: true in Kubernetes",
    }
}

fn uprobes() -> Capability {
    let present = exists(uprobe::SOURCE);
    Capability {
        name: "uprobes".to_owned(),
        present,
        need: Need::Informative,
        why: "what TLS connections say: probes on the servers' own OpenSSL",
        found: match (present, tls::cost()) {
            (true, Ok(cost)) => format!("one costs {}", tls::microseconds(cost)),
            (true, Err(_)) => "the kernel offers them as perf events".to_owned(),
            (false, _) => "the kernel offers none".to_owned(),
        },
        remedy: "use a kernel with CONFIG_UPROBE_EVENTS=y",
    }
}

fn statistics() -> Capability {
    let path = "/proc/sys/kernel/bpf_stats_enabled";
    let value = fs::read_to_string(path).unwrap_or_default();
    let present = value.trim() == "1";
    Capability {
        name: "BPF statistics".to_owned(),
        present,
        need: Need::Informative,
        why: "run time of the sensor's own programs, exported as metrics",
        found: if value.is_empty() {
            "the kernel keeps none".to_owned()
        } else {
            format!("kernel.bpf_stats_enabled = {}", value.trim())
        },
        remedy: "sysctl kernel.bpf_stats_enabled=1 (costs some nanoseconds a run)",
    }
}

/// Before Linux 5.11 maps were charged to the limit of locked memory; later they belong to the memory cgroup.
fn memory_lock(btf: Option<&Btf>) -> Capability {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: writes to a local.
    unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    // The helper came with the change.
    let charged = btf.is_some_and(|btf| !ask::has_helper(btf, "ktime_get_coarse_ns"));
    let unlimited = limit.rlim_cur == libc::RLIM_INFINITY;
    let size = if unlimited {
        "unlimited".to_owned()
    } else {
        format!("{} KiB", limit.rlim_cur >> 10)
    };
    Capability {
        name: "memory lock".to_owned(),
        present: !charged || unlimited,
        need: if charged {
            Need::Required
        } else {
            Need::Informative
        },
        why: "limits BPF maps on kernels before 5.11",
        found: if charged {
            format!("maps are charged to RLIMIT_MEMLOCK, which is {size}")
        } else {
            format!("maps are not charged to RLIMIT_MEMLOCK ({size})")
        },
        remedy: "ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
    }
}

fn mount(name: &str, places: &[&str], why: &'static str, remedy: &'static str) -> Capability {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let kind = if name == "bpffs" { "bpf" } else { name };
    let present = mounts
        .lines()
        .any(|line| line.split_whitespace().nth(2) == Some(kind))
        && places.iter().any(|place| exists(place));
    Capability {
        name: name.to_owned(),
        present,
        need: Need::Informative,
        why,
        found: if present { "mounted" } else { "not mounted" }.to_owned(),
        remedy,
    }
}

fn cgroups() -> Capability {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    Capability {
        name: "cgroups".to_owned(),
        present: true,
        need: Need::Informative,
        why: "not needed: nothing is attached to a cgroup, version 1 and 2 are alike",
        found: cgroup_version(&mounts).to_owned(),
        remedy: "",
    }
}

/// By the list of mounts.
fn cgroup_version(mounts: &str) -> &'static str {
    let has = |kind: &str| {
        mounts
            .lines()
            .any(|line| line.split_whitespace().nth(2) == Some(kind))
    };
    match (has("cgroup"), has("cgroup2")) {
        (true, true) => "version 1 and 2 (hybrid)",
        (true, false) => "version 1",
        (false, true) => "version 2",
        (false, false) => "none mounted",
    }
}

/// The kernel's lockdown mode.
pub fn lockdown() -> String {
    match fs::read_to_string("/sys/kernel/security/lockdown") {
        Ok(text) => lockdown_mode(&text).unwrap_or_else(|| text.trim().to_owned()),
        Err(_) => "not said: securityfs is not mounted".to_owned(),
    }
}

/// Of `none [integrity] confidentiality`, the one in brackets.
fn lockdown_mode(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    let (mode, _) = rest.split_once(']')?;
    Some(mode.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_versions_by_mounts() {
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n";
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert_eq!(cgroup_version(v1), "version 1");
        assert_eq!(cgroup_version(v2), "version 2");
        assert_eq!(
            cgroup_version(&format!("{v1}{v2}")),
            "version 1 and 2 (hybrid)"
        );
        assert_eq!(cgroup_version("tmpfs /tmp tmpfs rw 0 0\n"), "none mounted");
    }

    #[test]
    fn lockdown_is_in_brackets() {
        assert_eq!(
            lockdown_mode("none [integrity] confidentiality\n").as_deref(),
            Some("integrity")
        );
        assert_eq!(lockdown_mode("none"), None);
    }
}
