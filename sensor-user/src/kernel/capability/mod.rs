//! What this kernel and host offer, and what the sensor needs of it: found out by asking and trying, not by versions.

use std::{fs, path::Path};

use aya::{maps::MapType, programs::ProgramType, sys::BpfHelper};

use super::{
    ask,
    hooks::{self, Family},
    load::{Kernel, Rehearsal},
    offsets,
    preemption::Precautions,
    privileges,
};
use crate::config::Config;

mod host;

/// How much the sensor needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It can't run without.
    Required,
    /// Something is lost without.
    Useful,
    /// Good to know.
    Informative,
}

/// One thing that is needed or useful.
#[derive(Clone, Debug)]
pub struct Capability {
    /// What.
    pub name: String,
    /// Is it there?
    pub present: bool,
    /// Can the sensor run without?
    pub need: Need,
    /// Why it matters.
    pub why: &'static str,
    /// What was found.
    pub found: String,
    /// How to get it; empty when it is there.
    pub remedy: &'static str,
}

/// Everything about a host, apart from its servers.
#[derive(Clone, Debug)]
pub struct Host {
    /// Release of the kernel.
    pub release: String,
    /// The table.
    pub capabilities: Vec<Capability>,
    /// The rung of hooks that would be used.
    pub family: Option<Family>,
    /// What would be done there about programs that are preempted.
    pub precautions: Option<Precautions>,
    /// Why there is none.
    pub refusal: Option<String>,
}

impl Host {
    /// Does it have all that is required?
    pub fn is_possible(&self) -> bool {
        self.family.is_some() && self.missing(Need::Required).next().is_none()
    }

    /// What is missing of this importance.
    pub fn missing(&self, need: Need) -> impl Iterator<Item = &Capability> {
        self.capabilities
            .iter()
            .filter(move |found| !found.present && found.need == need)
    }
}

/// Looks at all of them.
pub fn host(config: &Config) -> Host {
    let mut capabilities = privileges();
    let btf = offsets::vmlinux();
    // What stands in the way of each use of it: that it can't be read.
    let types = btf.as_ref().map_err(|error| format!("{error:#}"));
    let fields = types
        .clone()
        .and_then(|btf| offsets::read(btf).map_err(|error| format!("{error:#}")));
    capabilities.push(Capability {
        name: "BTF".to_owned(),
        present: fields.is_ok(),
        need: Need::Required,
        why: "says where the kernel keeps what the programs read",
        found: match &fields {
            Ok(_) => "the kernel's type information is readable and has all fields".to_owned(),
            Err(error) => error.clone(),
        },
        remedy: "use a kernel with CONFIG_DEBUG_INFO_BTF=y (all current distributions' kernels), and mount /sys",
    });
    if privileges::can_load() {
        capabilities.push(system_call());
    }
    let ladder = types.clone().map(hooks::ladder);
    capabilities.extend(hook_families(ladder.as_deref().unwrap_or_default()));
    let chosen = ladder.and_then(|ladder| {
        hooks::best(&ladder, config.kernel.hooks).map_err(|error| format!("{error:#}"))
    });
    let family = chosen.as_ref().ok().copied();
    let precautions = family
        .zip(types.clone().ok())
        .map(|(family, btf)| Precautions::of(family, config.kernel.second_programs, btf));
    // Without the rights to try, everything would look as if the kernel lacked it.
    if privileges::can_load() {
        if let Ok(btf) = types {
            capabilities.extend(tracepoints(btf));
        }
        capabilities.extend(features(family));
    }
    capabilities.extend(host::all(types.clone().ok()));
    let mut host = Host {
        release: kernel_release(),
        capabilities,
        family,
        precautions,
        refusal: chosen.err(),
    };
    // What is missing is said above already; the verifier would only say it in other words.
    if let (Some(family), Some(precautions), Ok(btf)) = (family, precautions, types)
        && host.is_possible()
    {
        let rehearsal = Kernel::rehearse(config, family, precautions, btf);
        host.capabilities.extend(programs(rehearsal));
    }
    host
}

/// Does the kernel take the sensor's own programs and maps, of this size? All else may be there, and the verifier of this very kernel say no.
fn programs(rehearsal: anyhow::Result<Rehearsal>) -> Vec<Capability> {
    let mut found = vec![Capability {
        name: "programs".to_owned(),
        present: rehearsal.is_ok(),
        need: Need::Required,
        why: "the verifier follows a million instructions of each program at most, and has the last word",
        found: match &rehearsal {
            Ok(rehearsal) => verified(rehearsal),
            Err(error) => format!("{error:#}"),
        },
        remedy: "try other hooks (kernel.hooks) or smaller maps (kernel.ring_bytes, kernel.max_connections), and report \
                 it with what is said here",
    }];
    if let Ok(rehearsal) = rehearsal
        && let Some(why) = rehearsal.no_tls
    {
        found.push(Capability {
            name: "programs for TLS".to_owned(),
            present: false,
            need: Need::Useful,
            why: "what TLS connections say",
            found: why,
            remedy: "report it with what is said here; kernel.tls = \"bytes\" does without",
        });
    }
    found
}

fn verified(rehearsal: &Rehearsal) -> String {
    let Rehearsal {
        programs,
        largest,
        took,
        ..
    } = rehearsal;
    let largest = largest.map_or_else(String::new, |largest| {
        format!("; the verifier followed {largest} instructions of the largest")
    });
    format!(
        "the kernel takes all {programs}, in {:.1} s{largest}",
        took.as_secs_f64()
    )
}

/// Linux capabilities of this process.
fn privileges() -> Vec<Capability> {
    privileges::WANTED
        .iter()
        .map(|wanted| {
            let present = privileges::has(wanted.capability);
            Capability {
                name: wanted.capability.to_string(),
                present,
                need: if wanted.to_load {
                    Need::Required
                } else {
                    Need::Useful
                },
                why: wanted.why,
                found: if present { "held" } else { "not held" }.to_owned(),
                remedy: "run as root (sudo sensor …), or with AmbientCapabilities= as in deploy/data-access-sensor.service",
            }
        })
        .collect()
}

/// Does bpf(2) reach the kernel? Containers' and services' filters may forbid it to whoever holds the capabilities.
fn system_call() -> Capability {
    let answer = ask::call();
    Capability {
        name: "bpf(2)".to_owned(),
        present: answer.is_ok(),
        need: Need::Required,
        why: "all that the sensor asks of the kernel goes this way",
        found: match answer {
            Ok(()) => "the kernel answers".to_owned(),
            Err(error) => format!(
                "the system call bpf(2) is forbidden, although the capabilities are held: a seccomp filter or a security module ({error})"
            ),
        },
        remedy: "allow bpf and perf_event_open in the seccomp profile of the container or the SystemCallFilter= of the unit",
    }
}

/// The rungs of the ladder. One of them is enough.
fn hook_families(ladder: &[hooks::Rung]) -> Vec<Capability> {
    let mut any = false;
    ladder
        .iter()
        .map(|rung| {
            // What a rung below misses is no loss when one above is there.
            let need = if any { Need::Informative } else { Need::Useful };
            let present = rung.refusal.is_none();
            any |= present;
            Capability {
                name: format!("hooks {}", rung.family.name()),
                present,
                need: if present { need } else { Need::Informative },
                why: "socket operations of servers and their clients; one family is enough",
                found: rung
                    .refusal
                    .clone()
                    .unwrap_or_else(|| rung.family.place().to_owned()),
                remedy: match rung.family {
                    Family::TpBtf => "boot Linux 6.3 or later",
                    Family::Fexit => "boot Linux 5.17 or later that allows BPF trampolines",
                    Family::SysExit => "boot Linux 5.10 or later with CONFIG_FTRACE_SYSCALLS=y",
                },
            }
        })
        .collect()
}

/// What all rungs need besides.
fn tracepoints(btf: &btf_rs::Btf) -> Vec<Capability> {
    [
        ("sched_process_exec", "servers that start are found at once"),
        ("sched_process_exit", "connections end with their processes"),
    ]
    .into_iter()
    .map(|(name, why)| {
        let answer = ask::tracepoint(btf, name);
        Capability {
            name: name.to_owned(),
            present: answer.is_ok(),
            need: Need::Required,
            why,
            found: answer.map_or_else(
                |error| error.to_string(),
                |()| "the kernel takes a program on this tracepoint".to_owned(),
            ),
            remedy: "boot Linux 5.5 or later with CONFIG_BPF_EVENTS=y, and run as root",
        }
    })
    .collect()
}

/// Kinds of maps, and helpers that are refused for reasons of policy.
fn features(family: Option<Family>) -> Vec<Capability> {
    let map = |name: &str, kind, need, why, remedy| {
        let answer = aya::sys::is_map_supported(kind);
        Capability {
            name: name.to_owned(),
            present: matches!(answer, Ok(true)),
            need,
            why,
            found: match answer {
                Ok(true) => "the kernel makes such maps".to_owned(),
                Ok(false) => "the kernel knows no such maps".to_owned(),
                Err(error) => format!("the kernel makes no such map: {}", error.io_error),
            },
            remedy,
        }
    };
    vec![
        map(
            "ring buffer",
            MapType::RingBuf,
            Need::Required,
            "records on their way to userspace",
            "boot Linux 5.8 or later, and run as root",
        ),
        map(
            "socket storage",
            MapType::SkStorage,
            if family == Some(Family::SysExit) {
                Need::Informative
            } else {
                Need::Required
            },
            "what is remembered of a connection; the hooks sys_exit do without",
            "boot Linux 5.11 or later, and run as root",
        ),
        lockdown(),
    ]
}

/// May programs read memory?
fn lockdown() -> Capability {
    let lockdown = host::lockdown();
    let readable = aya::sys::is_helper_supported(
        ProgramType::RawTracePoint,
        BpfHelper::BPF_FUNC_probe_read_kernel,
    );
    Capability {
        name: "lockdown".to_owned(),
        present: matches!(readable, Ok(true)),
        need: Need::Required,
        why: "programs read memory: buffers of servers, fields of sockets",
        found: match &readable {
            Ok(true) => format!("programs may read memory (lockdown is {lockdown})"),
            Ok(false) => format!("programs may not read memory (lockdown is {lockdown})"),
            Err(error) => {
                format!("can't be tried without CAP_BPF (lockdown is {lockdown}): {error}")
            }
        },
        remedy: "boot with lockdown=integrity instead of lockdown=confidentiality, which forbids it; with Secure Boot \
                 that is what distributions do",
    }
}

/// Release of the running kernel.
pub fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Why the sensor would watch nothing, or the wrong thing, whatever hooks the kernel offers; nothing when all is well.
pub fn obstacle() -> Option<String> {
    if !host::is_initial_pid_namespace() {
        return Some(host::PID_NAMESPACE.to_owned());
    }
    [system_call, lockdown]
        .into_iter()
        .map(|look| look())
        .find(|found| !found.present)
        .map(|found| format!("{}\n{}", found.found, found.remedy))
}

/// Is there a file or folder?
fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(present: bool, need: Need) -> Capability {
        Capability {
            name: "x".to_owned(),
            present,
            need,
            why: "",
            found: String::new(),
            remedy: "",
        }
    }

    fn of(capabilities: Vec<Capability>, family: Option<Family>) -> Host {
        Host {
            release: "6.1".to_owned(),
            capabilities,
            family,
            precautions: None,
            refusal: None,
        }
    }

    #[test]
    fn only_what_is_required_makes_it_impossible() {
        let useful = vec![
            capability(true, Need::Required),
            capability(false, Need::Useful),
        ];
        assert!(of(useful.clone(), Some(Family::Fexit)).is_possible());
        assert!(!of(useful, None).is_possible(), "no hooks");
        let required = vec![capability(false, Need::Required)];
        assert!(!of(required, Some(Family::TpBtf)).is_possible());
    }
}
