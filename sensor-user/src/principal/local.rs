//! Clients on this host: both ends of a connection tied together, whichever is told of first.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use sensor_ebpf::record::{
    FAMILY_INET, FAMILY_INET6, FAMILY_UNIX, LocalClientRecord, OPEN_PREEXISTING, OpenRecord,
};

use super::{
    ClientAddress,
    process::{More, Process},
    startup,
};

/// Local clients remembered until their connection shows up at the server's end.
const CLIENTS: usize = 65_536;
/// Processes whose details are remembered: one that connects again and again is looked at once.
const PROCESSES: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub struct Clients {
    /// With the cookie of the socket.
    clients: HashMap<Key, (Arc<Process>, u64)>,
    in_order: VecDeque<Key>,
    /// Connections that are open, by all keys under which their client may be told of: at first it may not have been, when it was
    /// on another CPU, or the connection is older than the sensor; later another process may go on with the socket.
    open: HashMap<Key, u64>,
    /// The keys of each.
    keys: HashMap<u64, Vec<Key>>,
    processes: HashMap<(u32, u64, Arc<str>), More>,
    /// Are command lines looked at?
    command_lines: bool,
}

/// What ties a local client's end of a connection to the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Cookie of a client's socket: never another's.
    Cookie(u64),
    /// Address of its `struct sock`: another's later.
    Address(u64),
    /// TCP's number of the first byte that the client was seen to send, its port, the server's. Holds across namespaces and
    /// translated addresses. Numbers begin at random, so that no two are alike for practical purposes.
    Sequence(u32, u16, u16),
    /// Network namespace, client address and port, server address and port: both ends of loopback share a namespace.
    Tuple(u32, IpAddr, u16, IpAddr, u16),
}

impl Clients {
    /// Empty.
    pub fn new(command_lines: bool) -> Self {
        Self {
            command_lines,
            ..Self::default()
        }
    }

    /// A local process talks to a watched server: who it is, and over which connection, if that is known already.
    pub fn told(&mut self, record: &LocalClientRecord) -> Option<(u64, Arc<Process>)> {
        let keys = if record.family == FAMILY_UNIX {
            [Key::Cookie(record.cookie), Key::Address(record.socket)]
        } else {
            let (client, server) = (record.local_port, record.remote_port);
            [
                Key::Sequence(record.sequence, client, server),
                Key::Tuple(
                    record.netns,
                    address(record.family, &record.local_address)?,
                    client,
                    address(record.family, &record.remote_address)?,
                    server,
                ),
            ]
        };
        let end = record.command.iter().position(|byte| *byte == 0);
        let program = startup::clean(&record.command[..end.unwrap_or(record.command.len())]);
        let process = Arc::new(Process {
            pid: record.pid,
            began: record.began,
            uid: record.uid,
            login_uid: record.login_uid,
            audit_session: record.audit_session,
            more: self.details(record.pid, record.began, &program),
            program,
        });
        for key in keys {
            let told = (process.clone(), record.cookie);
            if self.clients.insert(key, told).is_none() {
                self.in_order.push_back(key);
                if self.in_order.len() > CLIENTS
                    && let Some(oldest) = self.in_order.pop_front()
                {
                    self.clients.remove(&oldest);
                }
            }
        }
        // By its cookie once both ends are tied: by then the numbers of the bytes have gone on.
        let cookie = Key::Cookie(record.cookie);
        let connection = self
            .connection(&cookie)
            .or_else(|| keys.iter().find_map(|key| self.connection(key)))?;
        self.tie(connection, record.cookie);
        Some((connection, process))
    }

    /// From now on the connection is found by its client's cookie.
    fn tie(&mut self, connection: u64, cookie: u64) {
        let key = Key::Cookie(cookie);
        if cookie != 0 && self.open.insert(key, connection) != Some(connection) {
            self.keys.entry(connection).or_default().push(key);
        }
    }

    fn connection(&self, key: &Key) -> Option<u64> {
        let connection = self.open.get(key)?;
        // An address leads only to who can't be found by a cookie: it may have had another socket before.
        let keys = self.keys.get(connection)?;
        let has_cookie = keys.iter().any(|key| matches!(key, Key::Cookie(_)));
        (!has_cookie || !matches!(key, Key::Address(_))).then_some(*connection)
    }

    fn details(&mut self, pid: u32, began: u64, program: &Arc<str>) -> More {
        if self.processes.len() >= PROCESSES {
            self.processes.clear();
        }
        let command_lines = self.command_lines;
        let key = (pid, began, program.clone());
        self.processes
            .entry(key)
            .or_insert_with(|| More::of(pid, began, program, command_lines))
            .clone()
    }

    /// The client's end of a connection that has been opened, if it has been told of.
    pub fn opened(&mut self, record: &OpenRecord, client: ClientAddress) -> Option<Arc<Process>> {
        let preexisting = record.header.flags & OPEN_PREEXISTING != 0;
        let mut keys = Vec::with_capacity(2);
        match client {
            ClientAddress::Unix => {
                if record.peer_cookie != 0 {
                    keys.push(Key::Cookie(record.peer_cookie));
                }
                keys.push(Key::Address(record.peer_socket));
            }
            ClientAddress::Ip(ip) => {
                let (client, server) = (record.remote_port, record.local_port);
                keys.push(Key::Sequence(record.sequence, client, server));
                // Of one that has just begun, this could be its predecessor's.
                if preexisting && let Some(own) = address(record.family, &record.local_address) {
                    keys.push(Key::Tuple(record.netns, ip, client, own, server));
                }
            }
            ClientAddress::Any | ClientAddress::Unknown => return None,
        }
        let found = keys.iter().find_map(|key| {
            let (process, cookie) = self.clients.get(key)?;
            // What lay at the same address before was another's.
            let is_it = !matches!(key, Key::Address(_)) || process.pid == record.peer_pid;
            is_it.then(|| (process.clone(), *cookie))
        });
        let connection = record.header.connection;
        for key in &keys {
            self.open.insert(*key, connection);
        }
        self.keys.insert(connection, keys);
        let (process, cookie) = found?;
        self.tie(connection, cookie);
        Some(process)
    }

    /// A connection ended. Whoever opens the next with its ports, or at its place in memory, is another.
    pub fn closed(&mut self, connection: u64) {
        for key in self.keys.remove(&connection).unwrap_or_default() {
            if self.open.get(&key) == Some(&connection) {
                self.open.remove(&key);
            }
            self.clients.remove(&key);
        }
    }

    /// Are command lines looked at?
    pub fn command_lines(&self) -> bool {
        self.command_lines
    }

    /// Keys of open connections.
    #[cfg(test)]
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

/// An address of the kernel's record; IPv4-mapped ones become IPv4.
pub fn address(family: u16, bytes: &[u8; 16]) -> Option<IpAddr> {
    match family {
        FAMILY_INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        FAMILY_INET6 => Some(IpAddr::from(Ipv6Addr::from(*bytes)).to_canonical()),
        _ => None,
    }
}
