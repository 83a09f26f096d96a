//! The client's end of connections to watched servers on this host: bytes by uid, and who it is.

use sensor_ebpf::{
    loops::{Step, repeat},
    record::{FAMILY_UNIX, LocalClientRecord, RecordKind, UserVolume},
};

use crate::{
    hook::{Direction, Operation},
    identity,
    maps::{CLIENTS, PORTS, USER_VOLUMES, count, raw},
    ring,
    surroundings::{CREATE, storage},
    task::probe,
};

/// State of a socket that may be a client's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Client {
    /// `UNKNOWN`, `LOCAL` or `OTHER`.
    pub role: u32,
    /// Its record has left.
    pub announced: u32,
}

/// Not looked at yet; zero, as storage begins.
const UNKNOWN: u32 = 0;
/// Talks to a watched server.
const LOCAL: u32 = 1;
/// Does not.
const OTHER: u32 = 2;

/// One operation with data of a process that is no server, or of a server's own client socket.
#[inline(always)]
pub fn operation(operation: &Operation, direction: Direction) {
    let sk = operation.sk;
    let family = identity::family(sk);
    if family == 0 || !identity::is_stream(sk) {
        return;
    }
    if family != FAMILY_UNIX && !is_watched_port(identity::remote_port(sk)) {
        return;
    }
    // Sockets to other services are remembered too: looking at them each time costs more than their eight bytes.
    let Some(client) = storage::<Client>(raw(&CLIENTS), sk, CREATE) else {
        count!(stateless_bytes, operation.length as u64);
        return;
    };
    if client.role == UNKNOWN {
        client.role = if is_local(operation, family) {
            LOCAL
        } else {
            OTHER
        };
    }
    if client.role == OTHER {
        return;
    }
    if client.announced == 0 {
        announce(operation, client, family);
    }
    add(direction, operation.length as u64);
}

/// Does a watched server listen on this TCP port?
#[inline(always)]
pub fn is_watched_port(port: u16) -> bool {
    PORTS
        .get(u32::from(port >> 6))
        .is_some_and(|bits| bits >> (port & 63) & 1 != 0)
}

/// Is the other end a database server's socket on this host?
#[inline(always)]
fn is_local(operation: &Operation, family: u16) -> bool {
    let sk = operation.sk;
    if family == FAMILY_UNIX {
        return is_server_address(identity::unix_address(identity::unix_peer(sk as u64)));
    }
    identity::same_host(sk, family)
}

/// `.s.PGSQL.`, the fixed part of the name of a PostgreSQL server's unix socket.
const SOCKET_NAME: u64 = u64::from_le_bytes(*b".s.PGSQL");

/// Is this `unix_address` one of a PostgreSQL server (`…/.s.PGSQL.<port>`)?
#[inline(always)]
fn is_server_address(address: u64) -> bool {
    if address == 0 {
        return false;
    }
    let length: u32 = probe(address, crate::maps::setting!(offsets.unix_address_len));
    let name = address + u64::from(crate::maps::setting!(offsets.unix_address_name));
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

#[inline(never)]
fn announce(operation: &Operation, client: &mut Client, family: u16) {
    let time = ring::now();
    let sk = operation.sk;
    if ring::emit(|record: &mut LocalClientRecord| {
        record.header = ring::header(RecordKind::LocalClient, 0, 0, 0);
        record.time = time;
        record.pad = 0;
        record.pad2 = 0;
        identity::describe_client(record, sk, family);
    }) {
        client.announced = 1;
    }
}

#[inline(always)]
fn add(direction: Direction, bytes: u64) {
    let uid = identity::uid();
    let mut slot = USER_VOLUMES.get_ptr_mut(&uid);
    if slot.is_none() {
        let _ = USER_VOLUMES.insert(&uid, &UserVolume::default(), 1);
        slot = USER_VOLUMES.get_ptr_mut(&uid);
    }
    let Some(volume) = slot else {
        count!(stateless_bytes, bytes);
        return;
    };
    // SAFETY: this CPU's slot.
    let volume = unsafe { &mut *volume };
    if direction == Direction::Sent {
        volume.bytes_sent += bytes;
    } else {
        volume.bytes_received += bytes;
    }
}
