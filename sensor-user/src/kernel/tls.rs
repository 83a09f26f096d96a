//! Probes on the TLS libraries of servers: put on and taken off as servers come and go. See docs/decisions/tls.md.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf,
    maps::{self, MapData},
    programs::{
        Program,
        uprobe::{UProbeLink, UProbeScope},
    },
};

use caps::{CapSet, Capability};

use super::{hooks::Family, privileges, uprobe};
use crate::{
    config::{Config, kernel},
    discover::{
        Server,
        tls::{Library, Tls},
    },
};

/// Programs and the functions that they sit on, in the order in which they are put on: reads come last, because a read ties a
/// connection to its plaintext, and from then on nothing else of it is counted.
const PROGRAMS: [(&str, &str); 4] = [
    ("ssl_free", "SSL_free"),
    ("ssl_write", "SSL_write"),
    ("ssl_read_ends", "SSL_read"),
    ("ssl_read", "SSL_read"),
];

/// Places for requests of pipelines and for split messages on TLS connections.
const PLACES: u32 = 512;

/// Entries of a map that is not used.
const NONE: u32 = 64;

/// Why the plaintext of TLS connections is not seen, whatever the server; nothing when it is.
pub fn refusal(config: &Config, family: Option<Family>) -> Option<String> {
    no_probes(config, family).or_else(|| {
        (config.kernel.tls == kernel::Tls::Auto)
            .then(too_dear)
            .flatten()
    })
}

/// Why no probes at all are put on servers' libraries, not even on functions that are rarely called; nothing when they are.
pub fn no_probes(config: &Config, family: Option<Family>) -> Option<String> {
    if config.kernel.tls == kernel::Tls::Bytes {
        return Some("kernel.tls = \"bytes\"".to_owned());
    }
    if family == Some(Family::SysExit) {
        return Some("the hooks sys_exit tie no plaintext to its socket".to_owned());
    }
    if !std::path::Path::new(uprobe::SOURCE).exists() {
        return Some(format!("this kernel has no uprobes ({})", uprobe::SOURCE));
    }
    let right = right();
    if !privileges::has(right) {
        return Some(format!(
            "probes on libraries take {right} on this kernel, and this process lacks it"
        ));
    }
    None
}

/// What a probe may cost at most for `"auto"` to put any on.
const DEAR: Duration = Duration::from_micros(2);

/// Why `"auto"` leaves probes away here.
fn too_dear() -> Option<String> {
    match cost() {
        Ok(cost) if cost <= DEAR => None,
        Ok(cost) => Some(format!(
            "kernel.tls = \"auto\": a probe costs {} here, and more than {} is too much; \"plaintext\" has them put on all the same",
            microseconds(cost),
            microseconds(DEAR)
        )),
        Err(error) => Some(format!(
            "kernel.tls = \"auto\": what a probe costs here can't be measured: {error}"
        )),
    }
}

/// What a probe costs on this host, measured once.
///
/// # Errors
/// When it can't be measured: why.
pub fn cost() -> Result<Duration, &'static str> {
    static COST: LazyLock<Result<Duration, String>> = LazyLock::new(|| {
        with_right(right(), || Ok(uprobe::cost()?)).map_err(|error| format!("{error:#}"))
    });
    COST.as_ref().copied().map_err(String::as_str)
}

/// As people read it.
pub fn microseconds(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

/// What putting probes on libraries takes: CAP_SYS_ADMIN on kernels that trust nobody else to name the place of an instruction
/// (Linux 6.16, and older ones that were given the change).
pub fn right() -> Capability {
    let held = caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).unwrap_or(false);
    if held && caps::drop(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).is_err() {
        return Capability::CAP_SYS_ADMIN;
    }
    // In no file: who may not have any is told so first.
    let refused =
        uprobe::count(None, 0).is_err_and(|error| error.raw_os_error() == Some(libc::EACCES));
    if held {
        // What was taken away a moment ago is permitted.
        let _ = caps::raise(None, CapSet::Effective, Capability::CAP_SYS_ADMIN);
    }
    if refused && privileges::has(Capability::CAP_PERFMON) {
        Capability::CAP_SYS_ADMIN
    } else {
        Capability::CAP_PERFMON
    }
}

/// Sizes of the maps, by name.
pub fn map_sizes(wanted: bool, slots: u32) -> [(&'static str, u32); 5] {
    let size = |entries| if wanted { entries } else { NONE };
    [
        ("CALLS", size(slots)),
        ("TIES", size(slots)),
        ("TLS_QUEUES", size(PLACES)),
        ("TLS_RESTS", size(PLACES)),
        ("TLS_PARTIALS", size(PLACES)),
    ]
}

/// See the module.
pub struct Probes {
    /// Tells the kernel side which servers have them.
    probed: maps::HashMap<MapData, u32, u32>,
    /// What it takes to put them on.
    right: Capability,
    servers: HashSet<u32>,
    libraries: HashMap<(u64, u64), Probed>,
}

/// A library with its probes, which go when this is dropped: those put on last first.
pub(super) struct Probed {
    links: Vec<UProbeLink>,
    shown: String,
}

impl Drop for Probed {
    fn drop(&mut self) {
        while self.links.pop().is_some() {}
    }
}

impl Probes {
    /// Loads the programs.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn load(ebpf: &mut Ebpf) -> Result<Self> {
        load(ebpf, &PROGRAMS)?;
        let probed = ebpf
            .take_map("PROBED")
            .context("the embedded BPF object has no map PROBED: build error")?;
        Ok(Self {
            probed: maps::HashMap::try_from(probed)?,
            right: right(),
            servers: HashSet::new(),
            libraries: HashMap::new(),
        })
    }

    /// Has probes on the libraries of these servers and on no others.
    pub fn follow(&mut self, ebpf: &mut Ebpf, servers: &[Server]) {
        let wanted: Vec<(&Server, &Library)> = servers
            .iter()
            .filter(|server| server.ssl)
            .filter_map(|server| match &server.tls {
                Tls::Library(library) => Some((server, library)),
                Tls::Hidden(_) => None,
            })
            .collect();
        for (server, library) in &wanted {
            if self.libraries.contains_key(&library.file) {
                continue;
            }
            match with_right(self.right, || put_on(ebpf, library, &PROGRAMS)) {
                Ok(probed) => {
                    log::info!(
                        "probes put on {} for {} {}",
                        library.shown,
                        server.system.title(),
                        server.name
                    );
                    self.libraries.insert(library.file, probed);
                }
                Err(error) => log::error!(
                    "{} {}: of TLS connections only bytes are counted: {error:#}",
                    server.system.title(),
                    server.name
                ),
            }
        }
        let pids: HashSet<u32> = wanted
            .iter()
            .filter(|(_, library)| self.libraries.contains_key(&library.file))
            .map(|(server, _)| server.pid)
            .collect();
        for gone in self.servers.difference(&pids) {
            // Gone already when the kernel has none.
            let _ = self.probed.remove(gone);
        }
        // Last: what is said to be seen must be.
        for pid in &pids {
            if let Err(error) = self.probed.insert(*pid, 1, 0) {
                log::error!("cannot tell the kernel side that a server has probes: {error}");
            }
        }
        self.servers = pids;
        self.libraries.retain(|file, probed| {
            let stays = wanted.iter().any(|(_, library)| library.file == *file);
            if !stays {
                log::info!("probes taken off {}", probed.shown);
            }
            stays
        });
    }

    /// What it takes to put them on.
    pub fn right(&self) -> Capability {
        self.right
    }

    /// Does this server have them?
    pub fn has(&self, server: &Server) -> bool {
        self.servers.contains(&server.pid)
    }
}

/// Loads programs, by their names.
pub(super) fn load(ebpf: &mut Ebpf, programs: &[(&str, &str)]) -> Result<()> {
    for (name, _) in programs {
        let Some(Program::UProbe(program)) = ebpf.program_mut(name) else {
            bail!("the embedded BPF object has no uprobe {name}: build error");
        };
        program
            .load()
            .with_context(|| format!("the kernel refused the BPF program {name}"))?;
    }
    Ok(())
}

/// Does something that takes a right: held, but in effect for this moment only.
pub(super) fn with_right<T>(right: Capability, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let asleep = !caps::has_cap(None, CapSet::Effective, right).unwrap_or(false);
    if asleep {
        caps::raise(None, CapSet::Effective, right).with_context(|| format!("{right}"))?;
    }
    let done = act();
    if asleep {
        caps::drop(None, CapSet::Effective, right).with_context(|| format!("{right}"))?;
    }
    done
}

/// Puts programs, by their names, on functions of a library.
pub(super) fn put_on(
    ebpf: &mut Ebpf,
    library: &Library,
    programs: &[(&str, &str)],
) -> Result<Probed> {
    let mut probed = Probed {
        links: Vec::new(),
        shown: library.shown.clone(),
    };
    for (name, function) in programs {
        let Some(Program::UProbe(program)) = ebpf.program_mut(name) else {
            bail!("the embedded BPF object has no uprobe {name}: build error");
        };
        let link = program
            .attach(*function, &library.path, UProbeScope::AllProcesses)
            .and_then(|id| program.take_link(id))
            .with_context(|| format!("no probe could be put on {function} of {}", library.shown))?;
        probed.links.push(link);
    }
    Ok(probed)
}

/// Has this library the functions that the probes sit on?
///
/// # Errors
/// When it has not, or can't be read.
pub fn has_functions(library: &Library) -> Result<()> {
    has(library, &PROGRAMS)
}

/// Has it those that these programs sit on?
pub(super) fn has(library: &Library, programs: &[(&str, &str)]) -> Result<()> {
    let bytes =
        std::fs::read(&library.path).with_context(|| format!("cannot read {}", library.shown))?;
    for (_, function) in programs {
        // Among the names of its symbols.
        let name = format!("\0{function}\0");
        if !bytes
            .windows(name.len())
            .any(|window| window == name.as_bytes())
        {
            bail!("{} has no function {function}", library.shown);
        }
    }
    Ok(())
}
