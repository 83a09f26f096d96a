//! Probes on the libraries that read clients' certificates for servers: see docs/decisions/tls.md.
//!
//! They are on a function that is called once a handshake with a certificate, and so cost nothing else; those for plaintext
//! (`tls`) may be too dear here, and these are put on all the same.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use aya::Ebpf;
use caps::Capability;

use super::{
    hooks::Family,
    tls::{self, Probed, put_on, with_right},
};
use crate::{
    config::Config,
    discover::{
        Server,
        tls::{Tls, find_certificates},
    },
};

/// Programs and the functions that they sit on, in the order in which they are put on.
const PROGRAMS: [(&str, &str); 2] = [
    ("certificate_name_ends", "X509_NAME_get_text_by_NID"),
    ("certificate_name", "X509_NAME_get_text_by_NID"),
];

/// See the module.
pub struct Probes {
    /// What it takes to put them on.
    right: Capability,
    libraries: HashMap<(u64, u64), Probed>,
    /// Servers of which it was said that they have none, and why.
    told: HashSet<(u32, String)>,
}

impl Probes {
    /// Loads the programs.
    ///
    /// # Errors
    /// When the kernel refuses them.
    pub fn load(ebpf: &mut Ebpf) -> Result<Self> {
        tls::load(ebpf, &PROGRAMS)?;
        Ok(Self {
            right: tls::right(),
            libraries: HashMap::new(),
            told: HashSet::new(),
        })
    }

    /// Has probes on the libraries of these servers and on no others.
    pub fn follow(&mut self, ebpf: &mut Ebpf, servers: &[Server]) {
        let mut kept = HashMap::new();
        let mut unseen = HashSet::new();
        for server in servers.iter().filter(|server| are_known_to(server)) {
            let library = match find_certificates(server.pid) {
                Tls::Library(library) => library,
                Tls::Hidden(why) => {
                    unseen.insert((server.pid, why));
                    continue;
                }
            };
            if kept.contains_key(&library.file) {
                continue;
            }
            if let Some(probed) = self.libraries.remove(&library.file) {
                kept.insert(library.file, probed);
                continue;
            }
            match with_right(self.right, || put_on(ebpf, &library, &PROGRAMS)) {
                Ok(probed) => {
                    log::info!(
                        "clients of PostgreSQL {} are known by their certificates: probes put on {}",
                        server.name,
                        library.shown
                    );
                    kept.insert(library.file, probed);
                }
                Err(error) => {
                    unseen.insert((server.pid, format!("{error:#}")));
                }
            }
        }
        // Those that no server has any more go with what is replaced.
        self.libraries = kept;
        for (pid, why) in unseen.difference(&self.told) {
            log::warn!(
                "PostgreSQL (pid {pid}): clients are not known by their certificates: {why}"
            );
        }
        self.told = unseen;
    }

    /// What it takes to put them on.
    pub fn right(&self) -> Capability {
        self.right
    }
}

/// Does a server offer TLS, and take clients' certificates out in the way that is watched?
pub fn are_known_to(server: &Server) -> bool {
    server.ssl && !server.system.is_foreign() && !server.pooler
}

/// Why clients of a server would not be known by their certificates; nothing when they would, or it knows of none.
pub fn refusal(config: &Config, family: Option<Family>, server: &Server) -> Option<String> {
    if !are_known_to(server) {
        return None;
    }
    if let Some(why) = tls::no_probes(config, family) {
        return Some(why);
    }
    match find_certificates(server.pid) {
        Tls::Hidden(why) => Some(why),
        Tls::Library(library) => tls::has(&library, &PROGRAMS)
            .err()
            .map(|error| format!("{error:#}")),
    }
}
