//! Whether the kernel takes the processor from a program that is in the middle of an operation, and what is done about it: see
//! docs/decisions/hooks.md.

use std::fs::read_to_string;

use btf_rs::Btf;
use sensor_ebpf::program::{APART, PLACE_OF_LIBRARY, Program};

use super::{capability::kernel_release, hooks::Family, order};
use crate::config::kernel::SecondPrograms;

/// When a kernel takes the processor from a task that is in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// For whoever comes first, at any time.
    Full,
    /// Likewise where that is of real-time priority; else when the task has had it for long.
    Lazy,
    /// Where the kernel itself allows it, which it does in no program.
    Seldom,
}

impl Mode {
    /// The running kernel's. Where nothing tells, it is taken for one as distributions build them.
    fn of_kernel() -> Self {
        let read = |path: &str| read_to_string(path).unwrap_or_default();
        let modes = read("/sys/kernel/debug/sched/preempt");
        Self::told(&modes, &read("/proc/cmdline"), &read("/proc/version"))
    }

    /// By the modes of which the one in use stands in brackets (debugfs), by the kernel's command line, by its version.
    fn told(modes: &str, command_line: &str, version: &str) -> Self {
        if version.contains("PREEMPT_RT") {
            return Self::Full;
        }
        let in_use = modes
            .split_once('(')
            .and_then(|(_, rest)| rest.split_once(')'))
            .map(|(mode, _)| mode);
        let wanted = command_line
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("preempt="))
            .next_back();
        match in_use.or(wanted) {
            Some("full") => Self::Full,
            Some("lazy") => Self::Lazy,
            None if version.split_whitespace().any(|word| word == "PREEMPT") => Self::Full,
            _ => Self::Seldom,
        }
    }
}

/// Does the kernel preempt programs on tracepoints as it does other code? Since Linux 7.0 no lock keeps it from that (`srcu_fast_notrace` instead of
/// `preempt_notrace` in `include/linux/tracepoint.h`), and nothing but the version tells. From then on all kernels do, but those of small machines.
fn reaches_tracepoints(release: &str) -> bool {
    version(release) >= (7, 0)
}

/// May programs that hold the processor call functions that the verifier looks at by themselves? Those of the sensor do. (Linux 6.15; the
/// kernel functions are older.)
fn lets_hold(release: &str) -> bool {
    version(release) >= (6, 15)
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
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
    /// They hold the processor while they work, if the kernel has the functions for that.
    pub holds: bool,
    /// Those on libraries do, too: they always could be preempted.
    pub holds_in_library: bool,
    /// The kernel preempts them.
    pub preempted: bool,
    /// It does so at any time, for whoever comes first.
    pub full: bool,
    /// Of programs on a hook, that which was attached last runs first.
    pub last_runs_first: bool,
}

impl Precautions {
    /// For the hooks of this rung, on this kernel, as the configuration wants it.
    pub fn of(family: Family, wanted: SecondPrograms, btf: &Btf) -> Self {
        let mode = Mode::of_kernel();
        let release = kernel_release();
        let reached = reaches_tracepoints(&release);
        let precautions = match family {
            // On ends of system calls a second program has the working memory of the first: both hold the processor while they use it.
            Family::TpBtf | Family::SysExit => Self::where_preempted(reached, mode, wanted),
            // Kernels since Linux 7.0 know no other modes, whatever they tell.
            Family::Fexit => {
                let preempted = mode != Mode::Seldom || reached;
                Self::where_preempted(preempted, mode, wanted).at_functions(|| last_runs_first(btf))
            }
        };
        Self {
            holds: precautions.apart && lets_hold(&release),
            // Whatever the kernel's mode: it costs nothing beside the probe.
            holds_in_library: family != Family::SysExit && lets_hold(&release),
            ..precautions
        }
    }

    fn where_preempted(preempted: bool, mode: Mode, wanted: SecondPrograms) -> Self {
        let second = match wanted {
            SecondPrograms::Auto => preempted,
            SecondPrograms::Yes | SecondPrograms::Alone => true,
            SecondPrograms::No => false,
        };
        Self {
            apart: preempted || second,
            second,
            alone: wanted == SecondPrograms::Alone,
            preempted,
            full: preempted && mode == Mode::Full,
            ..Self::default()
        }
    }

    /// At the ends of functions, where the order in which programs run differs from kernel to kernel: where it is not known, there are no
    /// second.
    fn at_functions(self, last_runs_first: impl FnOnce() -> Option<bool>) -> Self {
        if !self.second {
            return self;
        }
        let order = last_runs_first();
        Self {
            second: order.is_some(),
            alone: self.alone && order.is_some(),
            last_runs_first: order == Some(true),
            ..self
        }
    }

    /// Do operations that meet on one processor go unseen?
    pub fn is_incomplete(self) -> bool {
        self.apart && !self.second || self.alone
    }

    /// A hook's first and second program, in the order in which they are to be attached.
    pub fn in_order<T>(self, first: T, second: T) -> [T; 2] {
        if self.last_runs_first {
            [second, first]
        } else {
            [first, second]
        }
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

/// As the kernel answers; nothing when it does not.
fn last_runs_first(btf: &Btf) -> Option<bool> {
    order::last_runs_first(btf)
        .inspect_err(|error| {
            log::warn!(
                "cannot find out in which order the kernel runs programs on a function, so there are no second ones: {error}"
            );
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{Mode, Precautions, SecondPrograms, lets_hold, reaches_tracepoints};

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
            let found = Precautions::where_preempted(preempted, Mode::Lazy, wanted);
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
    fn on_functions_the_kernel_tells_the_order() {
        let of = |wanted, order| {
            Precautions::where_preempted(true, Mode::Lazy, wanted).at_functions(|| order)
        };
        let last = of(SecondPrograms::Auto, Some(true));
        assert!(last.second && !last.is_incomplete());
        assert_eq!(last.in_order("first", "second"), ["second", "first"]);
        let first = of(SecondPrograms::Auto, Some(false));
        assert!(first.second && !first.is_incomplete());
        assert_eq!(first.in_order("first", "second"), ["first", "second"]);
        let unknown = of(SecondPrograms::Alone, None);
        assert!(unknown.apart && !unknown.second && !unknown.alone && unknown.is_incomplete());
        let never = Precautions::where_preempted(false, Mode::Seldom, SecondPrograms::Auto);
        let asked = never.at_functions(|| panic!("nobody wants to know"));
        assert_eq!(asked, Precautions::default());
    }

    #[test]
    fn tracepoints_are_reached_from_7_0_on() {
        for (release, reached) in [
            ("6.18.44-fc", false),
            ("6.12.117+deb13-amd64", false),
            ("7.2.13+deb14-amd64", true),
            ("7.0.0", true),
            ("10.1", true),
            ("", false),
        ] {
            assert_eq!(reaches_tracepoints(release), reached, "{release}");
        }
        assert!(lets_hold("6.18.44-fc") && lets_hold("7.2"));
        assert!(!lets_hold("6.14.0-rc3+") && !lets_hold("6.1.0-50-amd64"));
    }

    #[test]
    fn modes_are_told() {
        const DYNAMIC: &str = "Linux version 6.1.0 (…) #1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1";
        for (modes, command_line, version, mode) in [
            ("none (voluntary) full\n", "", DYNAMIC, Mode::Seldom),
            ("none voluntary (full)\n", "", DYNAMIC, Mode::Full),
            ("full (lazy)\n", "", DYNAMIC, Mode::Lazy),
            ("", "quiet preempt=full ro", DYNAMIC, Mode::Full),
            ("", "preempt=full preempt=none", DYNAMIC, Mode::Seldom),
            ("", "preempt=lazy", DYNAMIC, Mode::Lazy),
            ("", "quiet", DYNAMIC, Mode::Seldom),
            ("", "", "Linux version 6.1.0 #1 SMP PREEMPT Tue", Mode::Full),
            (
                "none (voluntary) full",
                "",
                "Linux version 6.1.0 #1 SMP PREEMPT_RT Tue",
                Mode::Full,
            ),
            ("", "", "Linux version 5.10.0 #1 SMP Debian", Mode::Seldom),
        ] {
            assert_eq!(
                Mode::told(modes, command_line, version),
                mode,
                "{modes} {command_line} {version}"
            );
        }
    }
}
