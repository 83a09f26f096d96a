//! Loads the programs and attaches them.

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Btf, Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Array, HashMap, MapData, PerCpuArray, ProgramArray, RingBuf},
    programs::{Program, ProgramFd, RawTracePoint},
};
use sensor_ebpf::{
    connection::Protocol,
    merged::WAYS,
    picked::integer,
    program::{APART, SHARED, number},
    record::{KernelCounters, OverflowKey, OverflowVolume},
    settings::{LISTED, Settings},
};

use super::{
    certificates,
    functions::Linked,
    hooks::{self, Family},
    offsets,
    plans::Plans,
    pod::Plain,
    preemption::Precautions,
    settings, test_run, tls,
};
use crate::{
    config::{Config, discover::System},
    discover::{self, Server},
    principal::DbSystem,
};

/// The objects that `build.rs` has compiled, inside the binary.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sensor-bpf"));
/// That of the lowest rung.
static FLOOR: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sensor-bpf-floor"));

/// Programs on tracepoints of processes, whatever the rung. They are attached before those on sockets.
const PROCESSES: [&str; 2] = ["sched_process_exec", "sched_process_exit"];

/// The second on the end of processes; see [`Precautions`].
const EXIT: Named = ("sched_process_exit_second", "sched_process_exit");

/// The program that hands on what was put together; run from here, attached nowhere.
const DRAIN: &str = "drain";

/// Protocols with programs of their own behind each of those on sockets, who speaks them, and how the names of the programs end.
const PARTS: [(Protocol, System, &str); 2] = [
    (Protocol::MySql, System::MySql, "mysql"),
    (Protocol::Redis, System::Redis, "redis"),
];

/// The number whose hash stands for the secret.
const SECRET_LABEL: u64 = u64::from_be_bytes(*b"\xffsecret?");

/// The attached programs and their maps. Dropping it detaches.
pub struct Kernel {
    /// Records.
    pub ring: RingBuf<MapData>,
    /// Volumes without detail.
    pub overflow: HashMap<MapData, Plain<OverflowKey>, Plain<OverflowVolume>>,
    /// Known fingerprints.
    pub seen: HashMap<MapData, u64, u64>,
    /// Watched TCP ports.
    pub ports: Array<MapData, u64>,
    /// Sockets that are older than the sensor; the lowest rung has no use for them.
    older: Option<HashMap<MapData, u32, u32>>,
    /// Which literals of a statement are keys.
    pub plans: Plans,
    /// Stands for the secret of the hashes of records: equal where that is equal, and tells nothing of it.
    pub records_secret: u64,
    /// What the kernel side could not do.
    pub counters: PerCpuArray<MapData, Plain<KernelCounters>>,
    /// There where completions are put together.
    drain: Option<ProgramFd>,
    /// The rung of the ladder that is used.
    pub family: Family,
    /// What is done about programs that are preempted.
    pub precautions: Precautions,
    /// Probes on libraries for TLS, or why there are none.
    tls: Result<tls::Probes, String>,
    /// Those for clients' certificates, where probes are put on libraries at all.
    certificates: Option<certificates::Probes>,
    ebpf: Ebpf,
}

/// What the kernel says of the programs before any is attached.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// How many there are.
    pub programs: usize,
    /// Instructions that the verifier followed of that which took most, of a million at most; nothing before Linux 5.16.
    pub largest: Option<u64>,
    /// How long all of it took.
    pub took: Duration,
    /// Why the kernel refused the programs for TLS; nothing where it took them, or was not asked to.
    pub no_tls: Option<String>,
}

/// Run time statistics of one program.
#[derive(Clone, Debug)]
pub struct ProgramStatistics {
    /// Its name.
    pub name: &'static str,
    /// Nanoseconds; counts only while `kernel.bpf_stats_enabled` is on.
    pub run_time: u64,
    /// Runs, likewise.
    pub runs: u64,
    /// Runs that the kernel skipped because the program was already running on that CPU.
    pub misses: u64,
    /// A second program sees to these.
    pub has_second: bool,
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub fn monotonic_time() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to a local; the clock exists since Linux 2.6.39.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

impl Kernel {
    /// Loads and verifies the programs; nothing runs yet.
    ///
    /// # Errors
    /// When the kernel refuses: missing privileges, BTF, hooks, or the verifier says no.
    pub fn load(config: &Config) -> Result<Self> {
        let types = offsets::vmlinux()?;
        let family = hooks::choose(&types, config.kernel.hooks)?;
        let precautions = Precautions::of(family, config.kernel.second_programs, &types);
        let mut settings = settings::settings(config, family, &types)?;
        settings.record_keys = settings::record_keys(config)?;
        let no_tls = tls::refusal(config, Some(family));
        Self::verified(config, (family, precautions), &types, settings, no_tls)
            .context("cannot load the kernel programs (`sensor check` says what this host lacks)")
    }

    /// Has the kernel verify the programs as [`Kernel::load`] does, and lets go of them: what it says of them, for
    /// [`super::capability`]. Nothing runs, and no secret is made.
    ///
    /// # Errors
    /// As with [`Kernel::load`].
    pub fn rehearse(
        config: &Config,
        family: Family,
        precautions: Precautions,
        types: &btf_rs::Btf,
    ) -> Result<Rehearsal> {
        let began = Instant::now();
        let settings = settings::settings(config, family, types)?;
        let no_tls = tls::refusal(config, Some(family));
        let wants_tls = no_tls.is_none();
        let kernel = Self::verified(config, (family, precautions), types, settings, no_tls)?;
        let took = began.elapsed();
        let verified: Vec<Option<u64>> = kernel
            .ebpf
            .programs()
            .filter_map(|(_, program)| program.fd().ok())
            .map(|fd| fdinfo(fd, "verified_insns:"))
            .collect();
        Ok(Rehearsal {
            programs: verified.len(),
            largest: verified.into_iter().flatten().max(),
            took,
            no_tls: kernel.tls.err().filter(|_| wants_tls),
        })
    }

    /// `types`: the kernel's type information. `no_tls`: why no programs for TLS are wanted; nothing when they are.
    fn verified(
        config: &Config,
        (family, precautions): (Family, Precautions),
        types: &btf_rs::Btf,
        mut settings: Settings,
        no_tls: Option<String>,
    ) -> Result<Self> {
        settings.tls = u64::from(no_tls.is_none());
        settings.doubled = u64::from(precautions.second);
        // Where programs are preempted, they hold the processor, if the kernel lets them.
        let any = precautions.holds || precautions.holds_in_library && no_tls.is_none();
        let linked = any.then(|| Linked::new(object(family), types)).flatten();
        settings.holds = u64::from(linked.is_some() && precautions.holds);
        settings.holds_in_library = u64::from(linked.is_some() && precautions.holds_in_library);
        settings.places = if precautions.apart { APART } else { SHARED };
        // SAFETY: `Settings` is `repr(C)`, made of integers without padding (asserted where it is defined).
        let bytes = unsafe {
            std::slice::from_raw_parts((&raw const settings).cast::<u8>(), size_of::<Settings>())
        };
        let ring_bytes = u32::try_from(config.kernel.ring_bytes).unwrap_or(4 << 20);
        let mut loader = EbpfLoader::new();
        for (map, entries) in tls::map_sizes(no_tls.is_none(), settings.slot_mask + 1) {
            loader.map_max_entries(map, entries);
        }
        if family != Family::SysExit {
            for map in ["SCRATCH", "TEXTS", "LEFT"] {
                loader.map_max_entries(map, precautions.places());
            }
        }
        let marks = if precautions.second {
            settings.slot_mask + 1
        } else {
            1
        };
        let mut ebpf = loader
            .override_global("SETTINGS", bytes, true)
            .map_max_entries("RING", ring_bytes)
            .map_max_entries("SLOTS", settings.slot_mask + 1)
            .map_max_entries("BACKENDS", settings.slot_mask + 1)
            .map_max_entries("MERGED", (settings.slot_mask + 1) * WAYS)
            .map_max_entries("DIRTY", settings.slot_mask / 64 + 1)
            .map_max_entries("MARKS", marks)
            .verifier_log_level(VerifierLogLevel::STATS)
            .load(linked.as_ref().map_or(object(family), Linked::bytes))
            .context("cannot create the sensor's BPF maps")?;
        let btf = Btf::from_sys_fs().context("cannot read the kernel's type information")?;
        // Those of other rungs stay unloaded: the kernel may refuse them.
        for (name, hook) in programs(family, precautions) {
            load(&mut ebpf, name, hook, &btf)?;
        }
        if family.knows_foreign() {
            for (name, hook) in on_sockets(family, precautions) {
                load_parts(&mut ebpf, name, hook, &btf, config)?;
            }
        }
        let drain = match ebpf.program_mut(DRAIN) {
            None => None,
            Some(program) => {
                let drain: &mut RawTracePoint = program.try_into()?;
                drain
                    .load()
                    .with_context(|| format!("the kernel refused the BPF program {DRAIN}"))?;
                Some(drain.fd()?.try_clone()?)
            }
        };
        let certificates = tls::no_probes(config, Some(family))
            .is_none()
            .then(|| certificates::Probes::load(&mut ebpf))
            .and_then(|loaded| {
                loaded
                    .inspect_err(|error| {
                        log::warn!("clients are not known by their certificates: {error:#}");
                    })
                    .ok()
            });
        let tls = match no_tls {
            Some(why) => Err(why),
            // Without it all else is seen as before.
            None => tls::Probes::load(&mut ebpf).map_err(|error| format!("{error:#}")),
        };
        Ok(Self {
            drain,
            tls,
            certificates,
            ring: RingBuf::try_from(take(&mut ebpf, "RING")?)?,
            overflow: HashMap::try_from(take(&mut ebpf, "OVERFLOW")?)?,
            seen: HashMap::try_from(take(&mut ebpf, "SEEN")?)?,
            ports: Array::try_from(take(&mut ebpf, "PORTS")?)?,
            older: ebpf.take_map("OLDER").map(HashMap::try_from).transpose()?,
            plans: Plans::new(Array::try_from(take(&mut ebpf, "PLANS")?)?),
            records_secret: integer(settings.record_keys, SECRET_LABEL),
            counters: PerCpuArray::try_from(take(&mut ebpf, "COUNTERS")?)?,
            family,
            precautions,
            ebpf,
        })
    }

    /// Attaches the programs: from here on everything is seen.
    ///
    /// # Errors
    /// When a hook can't be attached.
    pub fn attach(&mut self) -> Result<()> {
        self.attach_each(programs(self.family, self.precautions))
    }

    /// Attaches all but the programs on sockets.
    ///
    /// # Errors
    /// When a hook can't be attached.
    pub fn attach_to_processes(&mut self) -> Result<()> {
        self.attach_each(on_processes(self.precautions))
    }

    fn attach_each(&mut self, named: impl Iterator<Item = Named>) -> Result<()> {
        for (name, hook) in named {
            match program(&mut self.ebpf, name)? {
                Program::BtfTracePoint(program) => program.attach().map(drop),
                Program::FExit(program) => program.attach().map(drop),
                Program::RawTracePoint(program) => program.attach(hook).map(drop),
                _ => Ok(()),
            }
            .with_context(|| format!("cannot attach {name} to {hook}"))?;
        }
        Ok(())
    }

    /// Tells sockets that servers have now from those that will come: where nothing that is said on one tells, it is how a
    /// connection is known to be seen from its beginning.
    ///
    /// # Errors
    /// When they can't be listed: then connections over unix sockets count as older than the sensor.
    pub fn list_sockets(&mut self, servers: &[Server]) -> Result<()> {
        let Some(older) = &mut self.older else {
            return Ok(());
        };
        for server in servers
            .iter()
            .filter(|server| server.system == DbSystem::Redis)
        {
            let sockets = discover::listening::inodes(server.pid).with_context(|| {
                format!(
                    "cannot list the sockets of {} (/proc/{}/fd)",
                    server.name, server.pid
                )
            })?;
            for inode in sockets {
                older
                    .insert(inode, 1, 0)
                    .context("cannot note the sockets that are there")?;
            }
        }
        older
            .insert(LISTED, 1, 0)
            .context("cannot note the sockets that are there")
    }

    /// Has probes on the TLS libraries of these servers, and on no others.
    pub fn follow_tls(&mut self, servers: &[Server]) {
        if let Ok(probes) = &mut self.tls {
            probes.follow(&mut self.ebpf, servers);
        }
        if let Some(probes) = &mut self.certificates {
            probes.follow(&mut self.ebpf, servers);
        }
    }

    /// What putting probes on the libraries of servers takes, now and later.
    pub fn right_to_probe(&self) -> Option<caps::Capability> {
        let plaintext = self.tls.as_ref().ok().map(tls::Probes::right);
        let certificates = self.certificates.as_ref();
        plaintext.or_else(|| certificates.map(certificates::Probes::right))
    }

    /// Why the plaintext of TLS connections to a server is not seen; nothing when it is.
    pub fn tls_refusal<'a>(&'a self, server: &'a Server) -> Option<&'a str> {
        match (&self.tls, &server.tls) {
            // Whatever is switched on.
            (_, discover::tls::Tls::Hidden(why)) if server.system.is_foreign() => Some(why),
            (Err(why), _) | (Ok(_), discover::tls::Tls::Hidden(why)) => Some(why),
            (Ok(probes), _) if probes.has(server) => None,
            (Ok(_), _) => Some("its library takes no probes"),
        }
    }

    /// Has completions that were put together handed on: they are in the ring when this returns.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn hand_on(&self) -> Result<()> {
        let Some(drain) = &self.drain else {
            return Ok(());
        };
        test_run::run(drain.as_fd()).context("cannot run the BPF program drain")
    }

    /// Run time of each program, from the kernel's `fdinfo` of it.
    pub fn statistics(&self) -> Vec<ProgramStatistics> {
        let all = || programs(self.family, self.precautions);
        let has_second =
            |name, hook| name == hook && all().any(|(other, on)| on == hook && other != name);
        all()
            .filter_map(|(name, hook)| {
                let fd = self.ebpf.program(name)?.fd().ok()?;
                let field = |key: &str| fdinfo(fd, key).unwrap_or(0);
                Some(ProgramStatistics {
                    name,
                    run_time: field("run_time_ns:"),
                    runs: field("run_cnt:"),
                    misses: field("recursion_misses:"),
                    has_second: has_second(name, hook),
                })
            })
            .collect()
    }
}

/// A number that the kernel tells of a program; nothing where it knows no such number.
fn fdinfo(program: &ProgramFd, key: &str) -> Option<u64> {
    let fd = program.as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    info.lines()
        .find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// Loads a program that sits on `hook`; it is named otherwise when another jumps to it.
fn load(ebpf: &mut Ebpf, name: &str, hook: &str, btf: &Btf) -> Result<()> {
    match program(ebpf, name)? {
        Program::BtfTracePoint(program) => program.load(hook, btf),
        Program::FExit(program) => program.load(hook, btf),
        Program::RawTracePoint(program) => program.load(),
        other => bail!(
            "the embedded BPF object has a program {name} of type {:?}: build error",
            other.prog_type()
        ),
    }
    .with_context(|| format!("the kernel refused the BPF program {name}"))
}

/// Loads the programs to which one on `hook` jumps, and tells it where they are. Those for servers that are not watched stay unloaded.
fn load_parts(
    ebpf: &mut Ebpf,
    program_of: &str,
    hook: &str,
    btf: &Btf,
    config: &Config,
) -> Result<()> {
    for (protocol, _, suffix) in PARTS
        .into_iter()
        .filter(|(_, system, _)| config.discover.watches(*system))
    {
        let name = format!("{program_of}_{suffix}");
        load(ebpf, &name, hook, btf)?;
        let part = program(ebpf, &name)?.fd()?.try_clone()?;
        // It stays in `ebpf`: the kernel empties such a map when nobody has it open any more.
        let map = hook.to_uppercase();
        let map = ebpf
            .map_mut(&map)
            .ok_or_else(|| anyhow!("the embedded BPF object has no map {map}: build error"))?;
        ProgramArray::try_from(map)?
            .set(number(protocol, program_of != hook), &part, 0)
            .with_context(|| format!("cannot tell the BPF program {program_of} where {name} is"))?;
    }
    Ok(())
}

/// The object with a rung's programs.
pub(super) fn object(family: Family) -> &'static [u8] {
    match family {
        Family::TpBtf | Family::Fexit => OBJECT,
        Family::SysExit => FLOOR,
    }
}

/// A program, and what it sits on. Those that have the name of their hook are the first there.
type Named = (&'static str, &'static str);

/// All programs of a rung, in the order in which they are attached, which has the first of a hook run before the second.
fn programs(family: Family, precautions: Precautions) -> impl Iterator<Item = Named> {
    on_processes(precautions).chain(on_sockets(family, precautions))
}

fn on_processes(precautions: Precautions) -> impl Iterator<Item = Named> {
    let first = PROCESSES.into_iter().map(|name| (name, name));
    first.chain(precautions.second.then_some(EXIT))
}

fn on_sockets(family: Family, precautions: Precautions) -> impl Iterator<Item = Named> {
    family.programs().iter().flat_map(move |(hook, second)| {
        let first = (!precautions.alone).then_some((*hook, *hook));
        let second = precautions.second.then_some((*second, *hook));
        precautions.in_order(first, second).into_iter().flatten()
    })
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    ebpf.program_mut(name)
        .ok_or_else(|| anyhow!("the embedded BPF object has no program {name}: build error"))
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name)
        .ok_or_else(|| anyhow!("the embedded BPF object has no map {name}: build error"))
}
