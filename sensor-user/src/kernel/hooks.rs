//! The ladder of hooks: families of programs that see the same socket operations, the best first.

use anyhow::{Result, bail};
use btf_rs::Btf;

use super::{ask, preemption::Precautions, privileges};
use crate::config::kernel::Hooks;

/// A rung of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Tracepoints `sock_recv_length` and `sock_send_length` (Linux 6.3).
    TpBtf,
    /// The ends of the functions by which TCP and unix sockets read and write (Linux 5.17, where trampolines are
    /// allowed).
    Fexit,
    /// The end of every system call (Linux 5.10), by other programs that do with less.
    SysExit,
}

/// Helper functions that the programs of the upper rungs call, and that not every kernel in use has.
const HELPERS: [(&str, &str); 4] = [
    ("get_current_task_btf", "5.11"),
    ("get_socket_cookie", "5.12"),
    ("task_pt_regs", "5.15"),
    ("loop", "5.17"),
];

/// Those of the lowest.
const HELPERS_OF_FLOOR: [(&str, &str); 3] = [
    ("probe_read_user", "5.5"),
    ("jiffies64", "5.5"),
    ("ringbuf_reserve", "5.8"),
];

/// A rung and what the kernel says of it.
#[derive(Clone, Debug)]
pub struct Rung {
    /// Which.
    pub family: Family,
    /// Why it can't be used; nothing when it can.
    pub refusal: Option<String>,
}

/// Why a server of another database than PostgreSQL is not watched.
pub const NO_FOREIGN: &str = "the hooks sys_exit have room for PostgreSQL's protocol alone";

impl Family {
    /// All, the best first.
    pub const LADDER: [Self; 3] = [Self::TpBtf, Self::Fexit, Self::SysExit];

    /// As the configuration calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Fexit => "fexit",
            Self::SysExit => "sys_exit",
        }
    }

    /// Where its programs sit.
    pub fn place(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf on sock_recv_length and sock_send_length",
            Self::Fexit => {
                "fexit on tcp_recvmsg, unix_stream_recvmsg, tcp_sendmsg and unix_stream_sendmsg"
            }
            Self::SysExit => "raw tracepoint sys_exit: the end of every system call",
        }
    }

    /// Its programs, each named for what it hooks, and beside it the second there (see [`Precautions`]); attached in this order: reads
    /// before writes, so that no answer is seen without its request.
    pub fn programs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::TpBtf => &[
                ("sock_recv_length", "sock_recv_length_second"),
                ("sock_send_length", "sock_send_length_second"),
            ],
            Self::Fexit => &[
                ("tcp_recvmsg", "tcp_recvmsg_second"),
                ("unix_stream_recvmsg", "unix_stream_recvmsg_second"),
                ("tcp_sendmsg", "tcp_sendmsg_second"),
                ("unix_stream_sendmsg", "unix_stream_sendmsg_second"),
            ],
            Self::SysExit => &[("sys_exit", "sys_exit_second")],
        }
    }

    /// What is lost with it, compared with the best; nothing when nothing is.
    pub fn lost(self, precautions: Precautions) -> Option<String> {
        let by_floor = (self == Self::SysExit).then_some(
            "every system call of the host takes some nanoseconds longer; bytes that a server moves by sendfile, \
             splice or io_uring are not counted as opaque, but not at all",
        );
        let by_preemption = if precautions.is_incomplete() {
            Some(
                "as this kernel may take the processor from these programs, operations that meet on one processor are not seen \
                 (data_access.sensor.bpf.misses); leave kernel.second_programs at \"auto\"",
            )
        } else if precautions.full {
            Some(
                "as this kernel preempts at any time (preempt=full), operations that meet on a crowded processor may go unseen now \
                 and then (data_access.sensor.bpf.misses); boot with preempt=lazy or, before Linux 7.0, preempt=voluntary",
            )
        } else {
            (self == Self::SysExit && precautions.preempted).then_some(
                "as this kernel may take the processor from a program at the end of any system call (Linux 7.0 and later), operations \
                 that meet on a crowded processor may go unseen now and then (data_access.sensor.bpf.misses); use the hooks tp_btf",
            )
        };
        let lost: Vec<&str> = [by_floor, by_preemption].into_iter().flatten().collect();
        (!lost.is_empty()).then(|| lost.join("; "))
    }

    /// Are connections of other databases than PostgreSQL followed there? The lowest rung's programs have no room for a second
    /// protocol.
    pub fn knows_foreign(self) -> bool {
        self != Self::SysExit
    }

    /// Asks the kernel whether it takes them. What it says begins with "this kernel has no …" where it came too early, and
    /// with "the kernel refuses …" where it forbids what it has.
    fn refusal(self, btf: &Btf) -> Option<String> {
        if let Some(lacks) = lacks(btf, self) {
            return Some(lacks);
        }
        self.programs().iter().find_map(|(name, _)| {
            let answer = match self {
                Self::TpBtf | Self::SysExit => ask::tracepoint(btf, name),
                Self::Fexit => ask::function_exit(btf, name),
            };
            answer.err().map(|error| match error.kind() {
                std::io::ErrorKind::NotFound => error.to_string(),
                _ => format!("the kernel refuses a program on {name}: {error}"),
            })
        })
    }
}

/// What the programs of a rung need and the kernel has not, whatever the hooks.
fn lacks(btf: &Btf, family: Family) -> Option<String> {
    if !privileges::can_load() {
        return Some("the kernel can't be asked without CAP_BPF and CAP_PERFMON".to_owned());
    }
    let helpers = match family {
        Family::TpBtf | Family::Fexit => &HELPERS[..],
        Family::SysExit => &HELPERS_OF_FLOOR,
    };
    for (name, since) in helpers {
        if !ask::has_helper(btf, name) {
            return Some(format!(
                "this kernel has no BPF helper bpf_{name}, which came with Linux {since}"
            ));
        }
    }
    if family == Family::SysExit {
        return None;
    }
    ask::fetch_atomics().err().map(|error| {
        format!("this kernel has no BPF atomics that return a value, which came with Linux 5.12: {error}")
    })
}

/// What the kernel says of each rung.
pub fn ladder(btf: &Btf) -> Vec<Rung> {
    Family::LADDER
        .into_iter()
        .map(|family| Rung {
            family,
            refusal: family.refusal(btf),
        })
        .collect()
}

/// The rung to use: the best that the kernel takes, or the one that the configuration wants.
///
/// # Errors
/// When there is none; says why.
pub fn choose(btf: &Btf, wanted: Hooks) -> Result<Family> {
    best(&ladder(btf), wanted)
}

/// See [`choose`].
///
/// # Errors
/// Likewise.
pub fn best(ladder: &[Rung], wanted: Hooks) -> Result<Family> {
    let allowed = |rung: &&Rung| match wanted {
        Hooks::Auto => true,
        Hooks::TpBtf => rung.family == Family::TpBtf,
        Hooks::Fexit => rung.family == Family::Fexit,
        Hooks::SysExit => rung.family == Family::SysExit,
    };
    let mut refusals = Vec::new();
    for rung in ladder.iter().filter(allowed) {
        match &rung.refusal {
            None => return Ok(rung.family),
            Some(why) => refusals.push(format!("{}: {why}", rung.family.name())),
        }
    }
    let hint = if !privileges::can_load() {
        "run as root"
    } else if wanted == Hooks::Auto {
        "boot Linux 5.10 or later; `sensor check` says what each hook needs"
    } else {
        "leave `kernel.hooks` at \"auto\"; `sensor check` says which hooks this host has"
    };
    bail!(
        "this kernel ({}) offers no hooks that the sensor can use: {}\n{hint}",
        super::capability::kernel_release(),
        refusals.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::{super::offsets, *};

    fn rungs(refusals: [Option<&str>; 3]) -> Vec<Rung> {
        Family::LADDER
            .into_iter()
            .zip(refusals)
            .map(|(family, refusal)| Rung {
                family,
                refusal: refusal.map(str::to_owned),
            })
            .collect()
    }

    #[test]
    fn the_best_rung_that_the_kernel_takes() {
        let all = rungs([None, None, None]);
        assert_eq!(best(&all, Hooks::Auto).expect("a rung"), Family::TpBtf);
        assert_eq!(best(&all, Hooks::Fexit).expect("a rung"), Family::Fexit);
        assert_eq!(best(&all, Hooks::SysExit).expect("a rung"), Family::SysExit);
        let old = rungs([Some("too old"), None, None]);
        assert_eq!(best(&old, Hooks::Auto).expect("a rung"), Family::Fexit);
        let oldest = rungs([Some("too old"), Some("too old"), None]);
        assert_eq!(best(&oldest, Hooks::Auto).expect("a rung"), Family::SysExit);
    }

    #[test]
    fn no_rung_says_why_for_each() {
        let none = rungs([Some("too old"), Some("forbidden"), Some("absent")]);
        let error = best(&none, Hooks::Auto).expect_err("none").to_string();
        assert!(
            error.contains("tp_btf: too old")
                && error.contains("fexit: forbidden")
                && error.contains("sys_exit: absent"),
            "{error}"
        );
        let error = best(&rungs([Some("too old"), None, None]), Hooks::TpBtf)
            .expect_err("not the wanted one")
            .to_string();
        assert!(
            error.contains("kernel.hooks") && !error.contains("fexit"),
            "{error}"
        );
    }

    #[test]
    fn what_goes_unseen_is_said() {
        let held = Precautions {
            apart: true,
            second: true,
            preempted: true,
            ..Precautions::default()
        };
        let never = Precautions::default();
        let without = Precautions {
            second: false,
            ..held
        };
        let full = Precautions { full: true, ..held };
        for (family, precautions, says) in [
            (Family::TpBtf, never, None),
            (Family::TpBtf, held, None),
            (Family::Fexit, held, None),
            (Family::Fexit, without, Some("kernel.second_programs")),
            (Family::TpBtf, full, Some("preempt=full")),
            (Family::SysExit, never, Some("sendfile")),
            (Family::SysExit, held, Some("use the hooks tp_btf")),
        ] {
            let lost = family.lost(precautions);
            let misses = lost
                .as_ref()
                .is_some_and(|lost| lost.contains("data_access.sensor.bpf.misses"));
            assert_eq!(
                misses,
                says.is_some() && precautions != never,
                "{family:?} {lost:?}"
            );
            assert_eq!(lost.is_some(), says.is_some(), "{family:?} {lost:?}");
            assert!(lost.unwrap_or_default().contains(says.unwrap_or_default()));
        }
    }

    #[test]
    fn this_kernel_is_asked() {
        let btf = offsets::vmlinux().expect("BTF of the running kernel");
        assert!(ask::has_helper(&btf, "get_current_task_btf"));
        assert!(!ask::has_helper(&btf, "make_coffee"));
        let missing = ask::tracepoint(&btf, "no_such_tracepoint").expect_err("not there");
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    }
}
