//! Connection poolers on this host that are watched as servers are: who uses one is known at its front, so what it asks the
//! database server for, on behalf of them, is not counted again. See docs/identity.md.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Databases behind all poolers that are remembered; clients can make up names.
const DATABASES: usize = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Poolers {
    /// Where the connections of a pooler, by its process, for a database lead to.
    behind: HashMap<(u32, Arc<str>), Behind>,
    /// Connections at the front of a pooler whose conversation is not understood, and that pooler's process.
    hidden: HashMap<u64, u32>,
}

/// A database server behind a pooler.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Behind {
    /// Name and port.
    One(Arc<str>, u16),
    /// It may be any of them.
    Several,
}

impl Poolers {
    /// A connection of the pooler for this database leads to this server. True when that is news.
    pub fn leads(
        &mut self,
        pooler: u32,
        database: &Arc<str>,
        server: &Arc<str>,
        port: u16,
    ) -> bool {
        let one = Behind::One(server.clone(), port);
        let key = (pooler, database.clone());
        let is_full = self.behind.len() >= DATABASES;
        match self.behind.get_mut(&key) {
            Some(known) if *known == one || *known == Behind::Several => false,
            Some(known) => {
                *known = Behind::Several;
                true
            }
            None if !is_full => {
                self.behind.insert(key, one);
                true
            }
            None => false,
        }
    }

    /// The server that has this database of the pooler, when there is only one that may.
    pub fn server(&self, pooler: u32, database: &Arc<str>) -> Option<(Arc<str>, u16)> {
        match self.behind.get(&(pooler, database.clone()))? {
            Behind::One(server, port) => Some((server.clone(), *port)),
            Behind::Several => None,
        }
    }

    /// Is this connection at a pooler's front understood?
    pub fn understood(&mut self, connection: u64, pooler: u32, is: bool) {
        if is {
            self.hidden.remove(&connection);
        } else {
            self.hidden.insert(connection, pooler);
        }
    }

    /// Is everything that goes through this pooler seen at its front?
    pub fn is_open(&self, pooler: u32) -> bool {
        !self.hidden.values().any(|of| *of == pooler)
    }

    /// A connection ended.
    pub fn closed(&mut self, connection: u64) {
        self.hidden.remove(&connection);
    }

    /// Forgets poolers that run no more.
    pub fn retain(&mut self, running: &HashSet<u32>) {
        self.behind
            .retain(|(pooler, _), _| running.contains(pooler));
        self.hidden.retain(|_, pooler| running.contains(pooler));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_of_the_only_server_that_has_it() {
        let mut poolers = Poolers::default();
        let name = |name: &str| Arc::<str>::from(name);
        assert_eq!(poolers.server(7, &name("crm")), None);
        assert!(poolers.leads(7, &name("crm"), &name("a"), 1));
        assert!(!poolers.leads(7, &name("crm"), &name("a"), 1));
        assert_eq!(poolers.server(7, &name("crm")), Some((name("a"), 1)));
        assert_eq!(poolers.server(8, &name("crm")), None, "another pooler");
        assert!(poolers.leads(7, &name("crm"), &name("b"), 2));
        assert_eq!(poolers.server(7, &name("crm")), None, "either");
        assert!(!poolers.leads(7, &name("crm"), &name("a"), 1));
        poolers.retain(&HashSet::new());
        assert!(poolers.leads(7, &name("crm"), &name("b"), 2));
    }

    #[test]
    fn one_hidden_client_closes_the_front() {
        let mut poolers = Poolers::default();
        poolers.understood(1, 7, false);
        assert!(!poolers.is_open(7));
        assert!(poolers.is_open(8));
        poolers.understood(1, 7, true);
        assert!(poolers.is_open(7));
        poolers.understood(2, 7, false);
        poolers.closed(2);
        assert!(poolers.is_open(7));
    }
}
