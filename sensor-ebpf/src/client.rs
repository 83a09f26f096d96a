//! The client's end of connections to watched servers on this host: who it is.
//!
//! Its bytes are those of the server's end, to which userspace ties it: counting them twice would cost every query twice.

use sensor_ebpf::{
    bytes::opaque,
    loops::{Step, repeat},
    record::{FAMILY_UNIX, LocalClientRecord, RecordKind},
};

use crate::{
    hook::Operation,
    identity,
    maps::{CLIENTS, CREATE, Client, PORTS, SETTLED, SETTLED_LENGTH, count, raw, setting, storage},
    ring, state,
    task::{self, probe},
};

/// Not looked at yet; zero, as storage begins.
#[cfg(not(floor))]
const UNKNOWN: u32 = 0;
/// Talks to a watched server, or to another at a port that one here has: userspace finds no other end then.
const LOCAL: u32 = 1;
/// Does not.
const OTHER: u32 = 2;
/// Did not when it was looked at: its server's end may not have been seen by then. The next look decides.
#[cfg(not(floor))]
const DOUBTFUL: u32 = 3;

/// Data that a process which is no server sent, or a server on a client socket of its own.
///
/// Nearly always nothing is left to find out, and it takes a few loads to see that.
#[inline(always)]
pub fn sent(operation: &Operation) {
    let sk = operation.sk;
    let family = identity::family(sk);
    if family == 0 || !identity::is_stream(sk) {
        return;
    }
    if family != FAMILY_UNIX && !is_watched_port(identity::remote_port(sk)) {
        return;
    }
    let cookie = state::cookie(sk);
    let place = opaque(cookie as u32) & (SETTLED_LENGTH - 1);
    let Some(settled) = SETTLED.get_ptr_mut(place) else {
        return;
    };
    let process = task::tgid();
    // SAFETY: this CPU's slot.
    if cookie != 0 && unsafe { *settled } == mark(cookie, process) {
        return;
    }
    if look_at(operation, family, process) {
        // SAFETY: this CPU's slot.
        unsafe { *settled = mark(state::numbered(sk), process) };
    }
}

/// A socket in the hands of a process: descriptors are inherited and passed on.
#[inline(always)]
fn mark(cookie: u64, process: u32) -> u64 {
    cookie ^ u64::from(process) << 40
}

/// Finds out whose socket it is, and tells userspace of a local client; false when the ring was full.
#[inline(never)]
fn look_at(operation: &Operation, family: u16, process: u32) -> bool {
    let Some(client) = storage::<Client>(raw(&CLIENTS), operation.sk, CREATE) else {
        count!(stateless_bytes, operation.length as u64);
        return true;
    };
    if client.role != LOCAL && client.role != OTHER {
        client.role = if family != FAMILY_UNIX || is_servers(operation) {
            LOCAL
        } else {
            further(client.role)
        };
    }
    if client.role == LOCAL && client.announced != process {
        announce(operation, client, family, process);
    }
    client.role == OTHER || client.announced == process
}

/// What a socket is taken for of which nothing says that it talks to a watched server.
#[cfg(not(floor))]
#[inline(always)]
fn further(role: u32) -> u32 {
    if role == UNKNOWN && task::watches_foreign() {
        DOUBTFUL
    } else {
        OTHER
    }
}

/// The lowest rung knows only servers that do not speak first.
#[cfg(floor)]
#[inline(always)]
fn further(_: u32) -> u32 {
    OTHER
}

/// Does a watched server listen on this TCP port?
#[inline(always)]
pub fn is_watched_port(port: u16) -> bool {
    PORTS
        .get(u32::from(port >> 6))
        .is_some_and(|bits| bits >> (port & 63) & 1 != 0)
}

/// Is the other end of a unix socket a database server's?
#[inline(always)]
fn is_servers(operation: &Operation) -> bool {
    let peer = identity::unix_peer(operation.sk as u64);
    is_server_address(identity::unix_address(peer)) || is_known(peer)
}

/// Is it the socket of a connection that is followed? The names of other servers' sockets are anything.
#[cfg(not(floor))]
#[inline(always)]
fn is_known(peer: u64) -> bool {
    task::watches_foreign() && state::is_known(probe(peer, setting!(offsets.sk_cookie)))
}

#[cfg(floor)]
#[inline(always)]
fn is_known(_: u64) -> bool {
    false
}

/// `.s.PGSQL.`, the fixed part of the name of a PostgreSQL server's unix socket.
const SOCKET_NAME: u64 = u64::from_le_bytes(*b".s.PGSQL");

/// Is this `unix_address` one of a PostgreSQL server (`…/.s.PGSQL.<port>`)?
#[inline(always)]
fn is_server_address(address: u64) -> bool {
    if address == 0 {
        return false;
    }
    let length: u32 = probe(address, setting!(offsets.unix_address_len));
    let name = address + u64::from(setting!(offsets.unix_address_name));
    let mut search = Search {
        end: name + u64::from(length),
        begin: name + 2,
        behind: SHORTEST,
        found: false,
    };
    repeat(LONGEST - SHORTEST + 1, &mut search);
    search.found
}

/// Looks for the fixed part at each place where it can begin: behind it a dot, one to five digits of the port and
/// perhaps a NUL.
struct Search {
    begin: u64,
    end: u64,
    behind: u32,
    found: bool,
}

const SHORTEST: u32 = 10;
const LONGEST: u32 = 15;

impl Step for Search {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let at = self.end - u64::from(self.behind);
        if at < self.begin {
            return false;
        }
        self.found = probe::<u64>(at, 0) == SOCKET_NAME;
        self.behind += 1;
        !self.found
    }
}

#[inline(always)]
fn announce(operation: &Operation, client: &mut Client, family: u16, process: u32) {
    let time = ring::now();
    let sk = operation.sk;
    let cookie = state::numbered(sk);
    if ring::emit(|record: &mut LocalClientRecord| {
        record.header = ring::header(RecordKind::LocalClient, 0, 0, 0);
        record.time = time;
        record.pad = 0;
        record.cookie = cookie;
        identity::describe_client(record, sk, family, operation.length as u32);
    }) {
        client.announced = process;
    }
}
