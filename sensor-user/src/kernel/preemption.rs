//! Whether the kernel takes the processor from a task in the middle of kernel code: programs on the ends of functions may then meet
//! others of theirs on the same processor. Those on tracepoints may not before Linux 7.0. What is done about it.

use std::fs::read_to_string;

use sensor_ebpf::settings::{APART, PLACE_OF_LIBRARY, Program};

use super::{capability::kernel_release, hooks::Family};
use crate::config::kernel::SecondPrograms;

/// Does the running kernel do so at any time? Where nothing tells, it is taken for one that does not, as distributions build them.
fn is_full() -> bool {
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    tells(
        &read("/sys/kernel/debug/sched/preempt"),
        &read("/proc/cmdline"),
        &read("/proc/version"),
    )
}

/// Does it do so in programs on tracepoints as well? Since Linux 7.0 no lock keeps them from it (`srcu_fast_notrace` instead of
/// `preempt_notrace` in `include/linux/tracepoint.h`), and nothing but the version tells.
fn reaches_tracepoints() -> bool {
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    tells_of_tracepoints(&read("/sys/kernel/debug/sched/preempt"), &kernel_release())
}

/// What the programs on sockets need for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Precautions {
    /// The kernel may preempt them: each has a working memory of its own.
    pub apart: bool,
    /// Each hook has a second program.
    pub second: bool,
    /// There is no first.
    pub alone: bool,
}

impl Precautions {
    /// For the hooks of this rung, on this kernel, as the configuration wants it.
    pub fn of(family: Family, wanted: SecondPrograms) -> Self {
        match family {
            Family::TpBtf => Self::for_tracepoints(reaches_tracepoints(), wanted),
            // Which of two programs on the end of a function runs first differs from kernel to kernel.
            Family::Fexit => Self {
                apart: is_full(),
                ..Self::default()
            },
            // A single program, and all of a system call's.
            Family::SysExit => Self::default(),
        }
    }

    fn for_tracepoints(preempted: bool, wanted: SecondPrograms) -> Self {
        let second = match wanted {
            SecondPrograms::Auto => preempted,
            SecondPrograms::Yes | SecondPrograms::Alone => true,
            SecondPrograms::No => false,
        };
        Self {
            apart: preempted || second,
            second,
            alone: wanted == SecondPrograms::Alone,
        }
    }

    /// May operations go unseen?
    pub fn is_incomplete(self) -> bool {
        self.apart && !self.second || self.alone
    }

    /// How many working memories that takes, with that of programs on libraries.
    pub fn places(self) -> u32 {
        match self {
            Self { second: true, .. } => 1 + APART[Program::SendsSecond as usize],
            Self { apart: true, .. } => 1 + APART[Program::Sends as usize],
            Self { .. } => 1 + PLACE_OF_LIBRARY,
        }
    }
}

/// By the modes, as [`tells`] has them, and the kernel's release. From 7.0 on, all modes but those of small machines preempt.
fn tells_of_tracepoints(modes: &str, release: &str) -> bool {
    let major = release
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    let never = modes.contains("(none)") || modes.contains("(voluntary)");
    major.is_some_and(|major: u32| major >= 7) && !never
}

/// By the modes of which the one in use stands in brackets (debugfs), by the kernel's command line, by its version.
fn tells(modes: &str, command_line: &str, version: &str) -> bool {
    if version.contains("PREEMPT_RT") {
        return true;
    }
    if modes.contains('(') {
        return modes.contains("(full)") || modes.contains("(lazy)");
    }
    let wanted = command_line
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("preempt="))
        .next_back();
    match wanted {
        Some(mode) => mode == "full" || mode == "lazy",
        None => version.split_whitespace().any(|word| word == "PREEMPT"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Precautions, SecondPrograms, tells, tells_of_tracepoints};

    #[test]
    fn second_programs_where_the_first_may_be_preempted() {
        for (preempted, wanted, apart, second, incomplete, places) in [
            (false, SecondPrograms::Auto, false, false, false, 2),
            (true, SecondPrograms::Auto, true, true, false, 5),
            (false, SecondPrograms::Yes, true, true, false, 5),
            (true, SecondPrograms::No, true, false, true, 3),
            (false, SecondPrograms::No, false, false, false, 2),
            (false, SecondPrograms::Alone, true, true, true, 5),
        ] {
            let found = Precautions::for_tracepoints(preempted, wanted);
            let told = (
                found.apart,
                found.second,
                found.is_incomplete(),
                found.places(),
            );
            assert_eq!(
                told,
                (apart, second, incomplete, places),
                "{preempted} {wanted:?}"
            );
        }
    }

    #[test]
    fn tracepoints_are_reached_from_7_0_on() {
        for (modes, release, reached) in [
            ("", "6.18.44-fc", false),
            ("full (lazy)\n", "6.12.117+deb13-amd64", false),
            ("full (lazy)\n", "7.2.13+deb14-amd64", true),
            ("", "7.0.0", true),
            ("(none) full\n", "7.0.0", false),
            ("", "", false),
        ] {
            assert_eq!(
                tells_of_tracepoints(modes, release),
                reached,
                "{modes} {release}"
            );
        }
    }

    #[test]
    fn modes_are_told() {
        const DYNAMIC: &str = "Linux version 6.1.0 (…) #1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1";
        for (modes, command_line, version, full) in [
            ("none (voluntary) full\n", "", DYNAMIC, false),
            ("none voluntary (full)\n", "", DYNAMIC, true),
            ("none voluntary full (lazy)\n", "", DYNAMIC, true),
            ("", "quiet preempt=full ro", DYNAMIC, true),
            ("", "preempt=full preempt=none", DYNAMIC, false),
            ("", "quiet", DYNAMIC, false),
            ("", "", "Linux version 6.1.0 #1 SMP PREEMPT Tue", true),
            ("", "", "Linux version 6.1.0 #1 SMP PREEMPT_RT Tue", true),
            ("", "", "Linux version 5.10.0 #1 SMP Debian", false),
        ] {
            assert_eq!(
                tells(modes, command_line, version),
                full,
                "{modes} {command_line} {version}"
            );
        }
    }
}
