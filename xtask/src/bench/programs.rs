//! What the kernel counted about a process's BPF programs: how often they ran and how long.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, bail};

/// Commands of bpf(2).
const GET_FD_BY_ID: libc::c_long = 13;
const GET_INFO_BY_FD: libc::c_long = 15;
const ENABLE_STATS: libc::c_long = 32;
/// Where `struct bpf_prog_info` has the name, and how long that is at most.
const NAME: usize = 64;
const NAME_LENGTH: usize = 16;
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
        // `type` of the attributes: BPF_STATS_RUN_TIME is 0.
        let mut attributes = [0u32; 1];
        let descriptor = bpf(ENABLE_STATS, &mut attributes)
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

/// What the programs that this process holds have used so far.
pub fn of(pid: u32) -> Result<Usages> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let mut programs = BTreeMap::new();
    for entry in entries.flatten() {
        // A descriptor may be closed meanwhile.
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some((id, usage)) = parse(&text) {
            programs.insert(id, usage);
        }
    }
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

/// A program's id and usage, from what /proc says about a descriptor. (A link's has an id, but no usage.)
fn parse(text: &str) -> Option<(u32, Usage)> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    Some((
        field("prog_id:")?.parse().ok()?,
        Usage {
            nanoseconds: field("run_time_ns:")?.parse().ok()?,
            runs: field("run_cnt:")?.parse().ok()?,
        },
    ))
}

fn name(id: u32) -> Result<String> {
    let program =
        bpf(GET_FD_BY_ID, &mut [id]).with_context(|| format!("cannot open BPF program {id}"))?;
    let mut info = [0u8; NAME + NAME_LENGTH];
    let address = info.as_mut_ptr() as u64;
    // bpf_fd, info_len, info.
    let mut attributes = [
        u32::try_from(program.as_raw_fd()).context("a descriptor")?,
        u32::try_from(info.len()).context("a length")?,
        (address & u64::from(u32::MAX)) as u32,
        (address >> 32) as u32,
    ];
    call(GET_INFO_BY_FD, &mut attributes)
        .with_context(|| format!("cannot ask for the name of BPF program {id}"))?;
    let name = &info[NAME..];
    let length = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    Ok(String::from_utf8_lossy(&name[..length]).into_owned())
}

/// bpf(2) for a command that opens something.
fn bpf(command: libc::c_long, attributes: &mut [u32]) -> io::Result<OwnedFd> {
    let descriptor = call(command, attributes)?;
    // SAFETY: just opened, ours.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn call(command: libc::c_long, attributes: &mut [u32]) -> io::Result<libc::c_int> {
    // SAFETY: the attributes are valid for their length, which the kernel extends with zeros; an address in them is that
    // of a buffer which outlives the call and is as long as they say.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            size_of_val(attributes),
        )
    };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
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
