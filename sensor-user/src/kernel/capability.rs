//! What this kernel and host offer, and what the sensor needs of it.

use std::{fs, path::Path};

use super::offsets;

/// One thing that is needed or useful.
#[derive(Clone, Debug)]
pub struct Capability {
    /// What.
    pub name: &'static str,
    /// Is it there?
    pub present: bool,
    /// Can the sensor run without?
    pub required: bool,
    /// Why it matters, or what was found.
    pub detail: String,
    /// How to get it.
    pub remedy: &'static str,
}

/// `CAP_BPF`.
const CAP_BPF: u32 = 39;
/// `CAP_PERFMON`.
const CAP_PERFMON: u32 = 38;
/// `CAP_SYS_ADMIN`.
const CAP_SYS_ADMIN: u32 = 21;

/// Looks at all of them.
pub fn capabilities() -> Vec<Capability> {
    let release = kernel_release();
    let mut found = vec![Capability {
        name: "privileges",
        present: is_privileged(),
        required: true,
        detail: "loading BPF programs takes CAP_BPF and CAP_PERFMON, reading other users' /proc entries root".to_owned(),
        remedy: "run as root (sudo sensor …)",
    }];
    found.push(match offsets::read() {
        Ok(_) => Capability {
            name: "BTF",
            present: true,
            required: true,
            detail: format!("type information of kernel {release} is readable and has all fields"),
            remedy: "",
        },
        Err(error) => Capability {
            name: "BTF",
            present: false,
            required: true,
            detail: error.to_string(),
            remedy: "use a kernel with CONFIG_DEBUG_INFO_BTF=y (all current distributions' kernels)",
        },
    });
    for (name, why) in [
        ("sock_recv_length", "requests of clients"),
        ("sock_send_length", "answers of servers"),
        ("sched_process_exec", "servers that start"),
        ("sched_process_exit", "servers and connections that end"),
    ] {
        found.push(Capability {
            name,
            present: has_tracepoint(name),
            required: true,
            detail: format!("tracepoint for {why}, in kernel {release}"),
            remedy: "run Linux 6.3 or later",
        });
    }
    let lockdown = lockdown();
    found.push(Capability {
        name: "lockdown",
        present: lockdown != "confidentiality",
        required: true,
        detail: format!("kernel lockdown is `{lockdown}`"),
        remedy: "lockdown=confidentiality forbids reading memory with BPF: boot with lockdown=integrity",
    });
    found.push(Capability {
        name: "statistics",
        present: fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled")
            .is_ok_and(|text| text.trim() == "1"),
        required: false,
        detail:
            "run time of the sensor's own programs is measured only with kernel.bpf_stats_enabled=1"
                .to_owned(),
        remedy: "sysctl kernel.bpf_stats_enabled=1 (costs a few nanoseconds a run)",
    });
    found
}

/// Release of the running kernel.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Does the process hold what loading programs takes?
pub fn is_privileged() -> bool {
    let effective = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("CapEff:"))?;
            u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok()
        })
        .unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 != 0;
    has(CAP_SYS_ADMIN) || has(CAP_BPF) && has(CAP_PERFMON)
}

/// Does the kernel's type information know the tracepoint?
fn has_tracepoint(name: &str) -> bool {
    btf_rs::Btf::from_file(offsets::VMLINUX).is_ok_and(|btf| {
        btf.resolve_types_by_name(&format!("btf_trace_{name}"))
            .is_ok()
    })
}

/// The kernel's lockdown mode; `none` where it can't be read.
fn lockdown() -> String {
    fs::read_to_string(Path::new("/sys/kernel/security/lockdown"))
        .ok()
        .and_then(|text| {
            let start = text.find('[')? + 1;
            let end = text.find(']')?;
            Some(text.get(start..end)?.to_owned())
        })
        .unwrap_or_else(|| "unknown (securityfs is not mounted)".to_owned())
}
