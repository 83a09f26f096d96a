//! Principals by their numbers.

use std::{collections::HashMap, sync::Arc};

use super::{ClientAddress, Principal, PrincipalId};

/// See the module.
#[derive(Debug)]
pub struct Interner {
    principals: Vec<Arc<Principal>>,
    by_principal: HashMap<Arc<Principal>, PrincipalId>,
    max: usize,
    /// Principals beyond the bound: counted under one that says so.
    pub folded: u64,
}

impl Interner {
    /// At most `max` are kept apart.
    pub fn new(max: usize) -> Self {
        Self {
            principals: Vec::new(),
            by_principal: HashMap::new(),
            max,
            folded: 0,
        }
    }

    /// A principal by its number.
    pub fn get(&self, id: PrincipalId) -> &Arc<Principal> {
        &self.principals[id.0 as usize]
    }

    /// All so far, in the order of their numbers.
    pub fn all(&self) -> &[Arc<Principal>] {
        &self.principals
    }

    /// The number of a principal, if it has one.
    pub fn find(&self, principal: &Principal) -> Option<PrincipalId> {
        self.by_principal.get(principal).copied()
    }

    /// The number of a principal, a new one for a new principal.
    pub fn intern(&mut self, principal: Principal) -> PrincipalId {
        if let Some(id) = self.by_principal.get(&principal) {
            return *id;
        }
        if self.principals.len() >= self.max {
            self.folded += 1;
            let other = Principal {
                system: principal.system,
                server: principal.server,
                server_port: principal.server_port,
                user: Some("(other)".into()),
                client: ClientAddress::Unknown,
                ..Principal::default()
            };
            if let Some(id) = self.by_principal.get(&other) {
                return *id;
            }
            return self.add(other);
        }
        self.add(principal)
    }

    fn add(&mut self, principal: Principal) -> PrincipalId {
        let id = PrincipalId(u32::try_from(self.principals.len()).unwrap_or(u32::MAX));
        let principal = Arc::new(principal);
        self.principals.push(principal.clone());
        self.by_principal.insert(principal, id);
        id
    }
}
