//! Probes on the TLS libraries of servers: put on and taken off as servers come and go. See docs/decisions/tls.md.

use std::collections::{HashMap, HashSet};

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

use super::{hooks::Family, privileges};
use crate::{
    config::{Config, kernel},
    discover::{
        Server,
        tls::{Library, Tls},
    },
};

/// Where the kernel offers uprobes as perf events.
pub const UPROBES: &str = "/sys/bus/event_source/devices/uprobe";

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
    if config.kernel.tls == kernel::Tls::Bytes {
        return Some("kernel.tls = \"bytes\"".to_owned());
    }
    if family == Some(Family::SysExit) {
        return Some("the hooks sys_exit tie no plaintext to its socket".to_owned());
    }
    if !std::path::Path::new(UPROBES).exists() {
        return Some(format!("this kernel has no uprobes ({UPROBES})"));
    }
    let right = right();
    (!privileges::has(right)).then(|| {
        format!("probes on libraries take {right} on this kernel, and this process lacks it")
    })
}

/// What putting probes on libraries takes: CAP_SYS_ADMIN on kernels that trust nobody else to name the place of an instruction
/// (Linux 6.16, and older ones that were given the change).
pub fn right() -> Capability {
    let held = caps::has_cap(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).unwrap_or(false);
    if held && caps::drop(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).is_err() {
        return Capability::CAP_SYS_ADMIN;
    }
    let refused = ask_for_nothing().raw_os_error() == Some(libc::EACCES);
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

/// Asks for a probe in no file: who may not have any is told so first.
fn ask_for_nothing() -> std::io::Error {
    let kind = std::fs::read_to_string(format!("{UPROBES}/type"))
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    // struct perf_event_attr, its first version: type, size, and of the rest only zeros.
    let mut attributes = [0u32; 16];
    attributes[0] = kind;
    attributes[1] = 64;
    // SAFETY: the attributes are as long as they say.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attributes.as_mut_ptr(),
            -1,
            0,
            -1,
            0,
        )
    };
    let error = std::io::Error::last_os_error();
    debug_assert!(result < 0, "a probe in no file");
    error
}

/// Sizes of the maps, by name.
pub fn map_sizes(wanted: bool, slots: u32) -> [(&'static str, u32); 4] {
    let size = |entries| if wanted { entries } else { NONE };
    [
        ("CALLS", size(slots)),
        ("TIES", size(slots)),
        ("TLS_QUEUES", size(PLACES)),
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
struct Probed {
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
        for (name, _) in PROGRAMS {
            let Some(Program::UProbe(program)) = ebpf.program_mut(name) else {
                bail!("the embedded BPF object has no uprobe {name}: build error");
            };
            program
                .load()
                .with_context(|| format!("the kernel refused the BPF program {name}"))?;
        }
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
            match probe(ebpf, library, self.right) {
                Ok(probed) => {
                    log::info!(
                        "probes put on {} for PostgreSQL {}",
                        library.shown,
                        server.name
                    );
                    self.libraries.insert(library.file, probed);
                }
                Err(error) => log::error!(
                    "PostgreSQL {}: of TLS connections only bytes are counted: {error:#}",
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

fn probe(ebpf: &mut Ebpf, library: &Library, right: Capability) -> Result<Probed> {
    // Held, but in effect for this moment only.
    let asleep = !caps::has_cap(None, CapSet::Effective, right).unwrap_or(false);
    if asleep {
        caps::raise(None, CapSet::Effective, right).with_context(|| format!("{right}"))?;
    }
    let probed = put_on(ebpf, library);
    if asleep {
        caps::drop(None, CapSet::Effective, right).with_context(|| format!("{right}"))?;
    }
    probed
}

fn put_on(ebpf: &mut Ebpf, library: &Library) -> Result<Probed> {
    let mut probed = Probed {
        links: Vec::new(),
        shown: library.shown.clone(),
    };
    for (name, function) in PROGRAMS {
        let Some(Program::UProbe(program)) = ebpf.program_mut(name) else {
            bail!("the embedded BPF object has no uprobe {name}: build error");
        };
        let link = program
            .attach(function, &library.path, UProbeScope::AllProcesses)
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
    let bytes =
        std::fs::read(&library.path).with_context(|| format!("cannot read {}", library.shown))?;
    for (_, function) in PROGRAMS {
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
