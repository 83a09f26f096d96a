//! Whether the kernel takes the processor from a task in the middle of kernel code: programs on the ends of functions may then meet
//! others of theirs on the same processor. Those on tracepoints may not before Linux 7.0, unless the kernel is one for real time.

use std::fs::read_to_string;

use super::capability::kernel_release;

/// Does the running kernel do so at any time? Where nothing tells, it is taken for one that does not, as distributions build them.
pub fn is_full() -> bool {
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    tells(
        &read("/sys/kernel/debug/sched/preempt"),
        &read("/proc/cmdline"),
        &read("/proc/version"),
    )
}

/// Does it do so in programs on tracepoints as well? Since Linux 7.0 no lock keeps them from it (`srcu_fast_notrace` instead of
/// `preempt_notrace` in `include/linux/tracepoint.h`), and nothing but the version tells.
pub fn reaches_tracepoints() -> bool {
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    tells_of_tracepoints(&read("/sys/kernel/debug/sched/preempt"), &kernel_release())
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
    use super::{tells, tells_of_tracepoints};

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
