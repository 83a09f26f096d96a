//! What the kernel counted about a process's BPF programs: how often they ran and how long.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd as _, OwnedFd},
    str::FromStr,
};

use anyhow::{Context as _, Result, bail};

use super::bpf;

/// Switches the same counting on for everybody, and costs the measured slices something.
const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// While it lives, the kernel counts run time: what `kernel.bpf_stats_enabled` does, but given back by the kernel itself
/// however this process ends.
#[derive(Debug)]
pub struct Counting {
    _descriptor: OwnedFd,
}

impl Counting {
    /// Begins.
    pub fn begin() -> Result<Self> {
        let descriptor = bpf::count_run_time()
            .context("cannot have the kernel count the run time of BPF programs")?;
        Ok(Self {
            _descriptor: descriptor,
        })
    }
}

/// An error when run time is counted already: throughput would be measured with it.
pub fn require_no_counting() -> Result<()> {
    if fs::read_to_string(SWITCH).is_ok_and(|text| text.trim() != "0") {
        bail!(
            "kernel.bpf_stats_enabled is on, which costs every BPF program something\n\
             do: sysctl kernel.bpf_stats_enabled=0"
        );
    }
    Ok(())
}

/// Runs and their time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds in all.
    pub nanoseconds: u64,
    /// Runs.
    pub runs: u64,
}

/// Usage by name of program, which the kernel cuts after 15 bytes; programs of the same name are summed up.
pub type Usages = BTreeMap<String, Usage>;

/// What /proc says of each of a process's descriptors.
pub fn descriptors(pid: u32) -> Result<Vec<String>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    // A descriptor may be closed meanwhile.
    Ok(entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .collect())
}

/// What the programs that this process holds have used so far.
pub fn of(pid: u32) -> Result<Usages> {
    let programs: BTreeMap<u32, Usage> = descriptors(pid)?
        .iter()
        .filter_map(|text| parse(text))
        .collect();
    if programs.is_empty() {
        bail!("process {pid} holds no BPF programs");
    }
    let mut usages = Usages::new();
    for (id, usage) in programs {
        let sum = usages.entry(name(id)?).or_default();
        sum.nanoseconds += usage.nanoseconds;
        sum.runs += usage.runs;
    }
    Ok(usages)
}

/// What was used from one reading to another.
pub fn between(before: &Usages, after: &Usages) -> Usages {
    after
        .iter()
        .map(|(name, after)| {
            let before = before.get(name).copied().unwrap_or_default();
            let usage = Usage {
                nanoseconds: after.nanoseconds.saturating_sub(before.nanoseconds),
                runs: after.runs.saturating_sub(before.runs),
            };
            (name.clone(), usage)
        })
        .collect()
}

/// Time of all programs.
pub fn nanoseconds(usages: &Usages) -> u64 {
    usages.values().map(|usage| usage.nanoseconds).sum()
}

/// A field of what /proc says about a descriptor.
pub fn field<T: FromStr>(text: &str, name: &str) -> Option<T> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .trim()
        .parse()
        .ok()
}

/// A program's id and usage, from what /proc says about a descriptor. (A link's has an id, but no usage.)
fn parse(text: &str) -> Option<(u32, Usage)> {
    Some((
        field(text, "prog_id:")?,
        Usage {
            nanoseconds: field(text, "run_time_ns:")?,
            runs: field(text, "run_cnt:")?,
        },
    ))
}

fn name(id: u32) -> Result<String> {
    bpf::program_name(bpf::program(id)?.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_proc_says() {
        let program = "pos:\t0\nprog_type:\t26\nprog_id:\t7\nrun_time_ns:\t1200\nrun_cnt:\t3\n";
        let usage = Usage {
            nanoseconds: 1200,
            runs: 3,
        };
        assert_eq!(parse(program), Some((7, usage)));
        assert_eq!(parse("link_type:\ttracing\nprog_id:\t7\n"), None);
    }

    #[test]
    fn differences() {
        let usages =
            |nanoseconds, runs| Usages::from([("a".to_owned(), Usage { nanoseconds, runs })]);
        assert_eq!(between(&usages(5, 1), &usages(12, 3)), usages(7, 2));
        assert_eq!(between(&Usages::new(), &usages(12, 3)), usages(12, 3));
        assert_eq!(nanoseconds(&usages(12, 3)), 12);
    }
}
