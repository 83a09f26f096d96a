//! Linux capabilities of this process: which are needed for what, and how the others are given up.

use std::fs;

use anyhow::{Context as _, Result, bail};
use caps::{CapSet, Capability};

/// A capability that the sensor uses.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Which.
    pub capability: Capability,
    /// Is it needed to load and attach, and given up then?
    pub to_load: bool,
    /// What for.
    pub why: &'static str,
}

/// All that are used. docs/operations.md says how that was found out; tests/host.rs holds it.
pub const WANTED: [Wanted; 4] = [
    Wanted {
        capability: Capability::CAP_BPF,
        to_load: true,
        why: "make maps and load programs",
    },
    Wanted {
        capability: Capability::CAP_PERFMON,
        to_load: true,
        why: "programs that trace and read memory",
    },
    Wanted {
        capability: Capability::CAP_SYS_PTRACE,
        to_load: false,
        why: "find servers of other users: /proc/PID/cwd and /proc/PID/root",
    },
    Wanted {
        capability: Capability::CAP_DAC_READ_SEARCH,
        to_load: false,
        why: "read postmaster.pid and postgresql.conf, which only their owner may",
    },
];

/// Before Linux 5.8 there was no CAP_BPF of its own for this; root has it.
const EVERYTHING: Capability = Capability::CAP_SYS_ADMIN;

/// Before Linux 5.11 maps and programs are charged to the limit of locked memory, which is small where nobody has raised it, and to
/// the user: what another sensor or agent of root's holds counts, so that even the smallest program is refused. First of all, therefore.
pub fn unlock_memory() {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // Refused without CAP_SYS_RESOURCE, which is not kept for it: then the unit has to raise it, as `sensor check` says.
    // SAFETY: only reads the limit.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// Does this process hold it, or what stands for it?
pub fn has(capability: Capability) -> bool {
    let holds = |one| caps::has_cap(None, CapSet::Effective, one).unwrap_or(false);
    let by_root = matches!(capability, Capability::CAP_BPF | Capability::CAP_PERFMON);
    holds(capability) || by_root && holds(EVERYTHING)
}

/// Does the process hold what loading programs takes?
pub fn can_load() -> bool {
    WANTED
        .iter()
        .filter(|wanted| wanted.to_load)
        .all(|wanted| has(wanted.capability))
}

/// Names of wanted capabilities that this process lacks: those that it needs to load programs, or the others.
pub fn lacking(to_load: bool) -> Vec<String> {
    WANTED
        .iter()
        .filter(|wanted| wanted.to_load == to_load && !has(wanted.capability))
        .map(|wanted| wanted.capability.to_string())
        .collect()
}

/// Gives up all capabilities but those that are used after the programs are attached, for good: they are taken from the
/// bounding set as well, where that is allowed, and programs that are executed get none. With a user, becomes that user.
///
/// What probes on libraries of servers that start later take stays, but sleeps: see `tls`.
///
/// To be called while this process has one thread: capabilities belong to threads.
///
/// # Errors
/// When there is no such user, or the kernel refuses.
pub fn drop_all_but_needed(user: Option<&str>, asleep: Option<Capability>) -> Result<()> {
    let user = user.map(account).transpose()?;
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        bail!("capabilities can't be given up for {threads} threads at once");
    }
    let keep: caps::CapsHashSet = WANTED
        .iter()
        .filter(|wanted| !wanted.to_load || keeps_bpf() && wanted.capability == Capability::CAP_BPF)
        .map(|wanted| wanted.capability)
        .filter(|one| caps::has_cap(None, CapSet::Permitted, *one).unwrap_or(false))
        .collect();
    let permitted: caps::CapsHashSet = keep.iter().copied().chain(asleep).collect();
    // Without CAP_SETPCAP the bounding set stays; it matters to programs that are executed only, and there are none.
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        for one in caps::all() {
            if !permitted.contains(&one)
                && caps::has_cap(None, CapSet::Bounding, one).unwrap_or(false)
            {
                caps::drop(None, CapSet::Bounding, one)
                    .with_context(|| format!("cannot take {one} from the bounding set"))?;
            }
        }
    }
    if let Some(user) = user {
        become_user(&user)?;
    }
    caps::clear(None, CapSet::Ambient).context("cannot clear the ambient capabilities")?;
    caps::clear(None, CapSet::Inheritable).context("cannot clear the inheritable capabilities")?;
    caps::set(None, CapSet::Effective, &keep).context("cannot give up capabilities")?;
    caps::set(None, CapSet::Permitted, &permitted).context("cannot give up capabilities")?;
    // SAFETY: sets a flag of this process.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(std::io::Error::last_os_error()).context("cannot forbid new privileges");
    }
    let mut names: Vec<String> = permitted.iter().map(ToString::to_string).collect();
    names.sort();
    log::info!(
        "privileges given up, all but {}",
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(" ")
        }
    );
    Ok(())
}

/// Before Linux 5.19, `kernel.unprivileged_bpf_disabled` shuts even open maps to processes without CAP_BPF.
fn keeps_bpf() -> bool {
    // The helper came with the change.
    super::offsets::vmlinux().map_or(true, |btf| !super::ask::has_helper(&btf, "dynptr_from_mem"))
}

fn account(name: &str) -> Result<nix::unistd::User> {
    nix::unistd::User::from_name(name)
        .with_context(|| format!("cannot look up the user {name}"))?
        .with_context(|| {
            format!(
                "there is no user {name}: make one with `useradd --system --no-create-home {name}`"
            )
        })
}

fn become_user(user: &nix::unistd::User) -> Result<()> {
    let failed = || format!("cannot become the user {}", user.name);
    // Otherwise they go with root.
    caps::securebits::set_keepcaps(true).with_context(failed)?;
    nix::unistd::setgroups(&[user.gid]).with_context(failed)?;
    nix::unistd::setgid(user.gid).with_context(failed)?;
    nix::unistd::setuid(user.uid).with_context(failed)?;
    caps::securebits::set_keepcaps(false).with_context(failed)
}
