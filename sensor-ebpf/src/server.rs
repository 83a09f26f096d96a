//! The server's end of its connections: adopt, parse, close.

use core::ffi::c_void;

#[cfg(not(floor))]
use sensor_ebpf::protocol::{mysql, redis};
use sensor_ebpf::{
    connection::{
        CONNECTION_ANNOUNCED, CONNECTION_CLOSED, CONNECTION_PREEXISTING, Connection, Phase,
        Protocol,
    },
    errno::{AGAIN, is_again},
    program::is_second,
    protocol::{Outcome, is_parsed, outcome, postgres},
    record::{
        ExitRecord, FAMILY_UNIX, OPEN_PREEXISTING, OpenRecord, RecordKind, STATEMENT_ESTIMATED,
        STATEMENT_FAILED, STATEMENT_OVERHEAD,
    },
};

use crate::{
    client, doubled,
    home::{Home as _, Socket},
    hook::{Direction, Operation, registers},
    identity,
    maps::{BACKENDS, Backend, CREATE, IGNORED, SCRATCH, count, raw, storage},
    merge, ring, state,
    surroundings::KernelSurroundings,
    task,
};
#[cfg(not(floor))]
use crate::{handover, maps::setting, tls};

/// In the place of a protocol: the operation goes on in no other program.
pub const DONE: u8 = 0;

/// One operation of a server process on any of its sockets; in which protocol's program it goes on ([`handover`]). `PROGRAM`: that
/// which runs, a `program::Program`.
#[inline(always)]
pub fn operation<const PROGRAM: usize>(operation: &Operation, direction: Direction) -> u8 {
    let connection = match state::find(operation.sk) {
        Some(connection) => Some(connection),
        None if operation.length <= 0 => return DONE,
        None if is_ignored(operation.sk) => {
            #[cfg(not(floor))]
            if setting!(tls) != 0 {
                tls::foreign();
            }
            None
        }
        None => adopt(operation, direction, PROGRAM),
    };
    let Some(connection) = connection else {
        // A server's own client socket (dblink, postgres_fdw, a standby, a pooler): it may talk to a watched server.
        if direction == Direction::Sent && !is_second(PROGRAM) {
            client::sent(operation);
        }
        return DONE;
    };
    if !is_second(PROGRAM) {
        doubled::mark(connection.slot, direction);
    }
    if connection.has(CONNECTION_CLOSED) {
        return DONE;
    }
    #[cfg(not(floor))]
    if setting!(tls) != 0 && tls::takes(operation, direction, connection) {
        return DONE;
    }
    if operation.length <= 0 {
        without_data::<PROGRAM>(operation, direction, connection);
        return DONE;
    }
    with_data::<PROGRAM>(operation, direction, connection)
}

#[inline(always)]
fn with_data<const PROGRAM: usize>(
    operation: &Operation,
    direction: Direction,
    connection: &mut Connection,
) -> u8 {
    let length = operation.length as u32;
    let Some(buffer) = registers::buffer() else {
        count!(opaque_bytes, u64::from(length));
        return DONE;
    };
    #[cfg(floor)]
    crate::floor::serve(connection, &buffer);
    if !connection.has(CONNECTION_ANNOUNCED) {
        announce(operation.sk, connection);
    }
    #[cfg(floor)]
    crate::floor::go_on(direction);
    #[cfg(not(floor))]
    {
        if Protocol::is_foreign(connection.protocol) {
            return handover::leave::<PROGRAM>(connection, &buffer, length);
        }
        let Some(scratch) = SCRATCH.get_ptr_mut(Socket::<PROGRAM>::place()) else {
            return DONE;
        };
        let mut surroundings = KernelSurroundings {
            home: Socket::<PROGRAM>(operation.sk),
            buffer,
            scratch,
        };
        if direction == Direction::Received {
            postgres::received(&mut surroundings, connection, length);
        } else {
            postgres::sent(&mut surroundings, connection, length);
        }
    }
    DONE
}

/// A failed or empty read or write.
#[inline(always)]
fn without_data<const PROGRAM: usize>(
    operation: &Operation,
    direction: Direction,
    connection: &mut Connection,
) {
    if operation.length == AGAIN && (direction == Direction::Sent || connection.follow == 0) {
        return;
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(Socket::<PROGRAM>::place()) else {
        return;
    };
    let mut surroundings = KernelSurroundings {
        home: Socket::<PROGRAM>(operation.sk),
        buffer: registers::Buffer {
            address: 0,
            vectors: 0,
        },
        scratch,
    };
    #[cfg(floor)]
    crate::floor::serve(connection, &surroundings.buffer);
    if operation.length == AGAIN {
        postgres::wants_input(&mut surroundings, connection);
    } else if !is_again(operation.length) {
        // End of file, or the peer is gone; of others' protocols, there is no response whose end is looked for now.
        postgres::closed(&mut surroundings, connection);
    }
}

/// First sight of a server process's socket: is it a client's connection?
#[inline(never)]
fn adopt<'a>(
    operation: &Operation,
    direction: Direction,
    program: usize,
) -> Option<&'a mut Connection> {
    let sk = operation.sk;
    let family = identity::family(sk);
    if family == 0 {
        return None;
    }
    let protocol = task::protocol();
    let begins = match protocol {
        Protocol::Postgres | Protocol::Pooled | Protocol::Redis => Direction::Received,
        Protocol::MySql => Direction::Sent,
    };
    let older = identity::is_older_than_sensor()
        && (direction != begins || !is_beginning(operation, family, protocol));
    if !is_client_connection(sk, family, direction == begins, older)
        || protocol == Protocol::Redis && is_of_cluster(sk, family)
    {
        ignore(sk);
        return None;
    }
    let Some((connection, slot)) = state::create(sk) else {
        // The second program finds what the first has found.
        if !is_second(program) {
            count!(stateless_bytes, operation.length as u64);
        }
        return None;
    };
    connection.protocol = protocol as u8;
    if protocol == Protocol::Postgres {
        let backend = Backend {
            id: connection.id,
            slot: u64::from(slot),
        };
        let _ = BACKENDS.insert(&task::tgid(), &backend, 0);
    }
    if older {
        connection.set(CONNECTION_PREEXISTING);
        connection.phase = Phase::Blind as u8;
    }
    if family != FAMILY_UNIX {
        let (sent, received) = identity::tcp_counts(sk);
        let length = operation.length as u32;
        let (out, into) = if direction == Direction::Sent {
            (length, 0)
        } else {
            (0, length)
        };
        connection.base_sent = sent.wrapping_sub(out);
        connection.base_received = received.wrapping_sub(into);
    }
    Some(connection)
}

/// Does the socket carry a client's connection, and not one that the server itself made (replication, dblink,
/// syslog)? In PostgreSQL's protocol and Redis' the client speaks first, in MySQL's the server: `begins` says that it is so.
#[inline(always)]
fn is_client_connection(sk: *mut c_void, family: u16, begins: bool, older: bool) -> bool {
    if !identity::is_stream(sk) || !identity::is_in_scope(sk) {
        return false;
    }
    if family == FAMILY_UNIX {
        // An accepted socket shares its listener's address; one that connected has none.
        return identity::unix_address(sk as u64) != 0;
    }
    if older {
        return client::is_watched_port(identity::local_port(sk));
    }
    begins
}

/// Does a connection begin with this operation, by what it says: a server's greeting, or a client's start-up packet? Then it is new,
/// however old the process that serves it: servers of many threads, and poolers, are older than most of their connections. Redis'
/// protocol has no beginning: there, it is when nothing has been sent yet, or when the socket came after the sensor. PostgreSQL's server
/// has a process for each connection: what looks like a beginning in an older one is data.
#[inline(always)]
fn is_beginning(operation: &Operation, family: u16, protocol: Protocol) -> bool {
    #[cfg(not(floor))]
    if protocol == Protocol::Redis {
        return if family == FAMILY_UNIX {
            identity::is_younger_unix(operation.sk)
        } else {
            identity::tcp_has_sent_nothing(operation.sk)
        };
    }
    if protocol == Protocol::Postgres
        || protocol == Protocol::Pooled
            && family != FAMILY_UNIX
            && !identity::tcp_has_sent_nothing(operation.sk)
    {
        return false;
    }
    let Some(word) = first_word() else {
        return false;
    };
    #[cfg(not(floor))]
    if protocol == Protocol::MySql {
        return mysql::is_greeting(word, operation.length as u32);
    }
    postgres::is_startup(word, operation.length as u32)
}

/// The first bytes of the operation at hand.
#[inline(always)]
fn first_word() -> Option<u64> {
    registers::buffer()
        .filter(|buffer| buffer.vectors == 0)
        .and_then(|buffer| registers::read_user::<u64>(buffer.address))
}

/// Does another node of a Redis cluster talk here? It does so at a port of its own: where clients are served, anybody can say that.
#[cfg(not(floor))]
#[inline(always)]
fn is_of_cluster(sk: *mut c_void, family: u16) -> bool {
    family != FAMILY_UNIX
        && !client::is_watched_port(identity::local_port(sk))
        && first_word().is_some_and(redis::is_bus)
}

#[cfg(floor)]
#[inline(always)]
fn is_of_cluster(_: *mut c_void, _: u16) -> bool {
    false
}

/// Is it one of the server's sockets that carry no client's connection?
#[inline(always)]
fn is_ignored(sk: *mut c_void) -> bool {
    storage::<u64>(raw(&IGNORED), sk, 0).is_some()
}

#[inline(always)]
fn ignore(sk: *mut c_void) {
    let _ = storage::<u64>(raw(&IGNORED), sk, CREATE);
}

/// Tells userspace about the connection; tried again with the next operation when the ring is full.
#[inline(never)]
pub fn announce(sk: *mut c_void, connection: &mut Connection) {
    let time = ring::now();
    let id = connection.id;
    let protocol = connection.protocol;
    let flags = if connection.has(CONNECTION_PREEXISTING) {
        OPEN_PREEXISTING
    } else {
        0
    };
    let family = identity::family(sk);
    let sequence = connection.base_received;
    if ring::emit(|record: &mut OpenRecord| {
        record.header = ring::header(RecordKind::Open, flags, protocol, id);
        record.time = time;
        record.pad = 0;
        record.sequence = sequence;
        identity::describe_server(record, sk, family);
    }) {
        connection.set(CONNECTION_ANNOUNCED);
    }
}

/// A task of a server ended. When it was the last, its files are still open: what its connection has not reported yet is
/// reported now. Of a server that has threads for its connections, one that ends says nothing.
#[inline(always)]
pub fn exited() {
    if task::leader() != task::current() {
        return;
    }
    last_words();
    process(RecordKind::ProcessExit);
}

/// The same in the second program: nothing, where the first has run. Of a process without a connection of its own userspace learns by
/// its own look.
#[inline(always)]
pub fn exited_unseen() {
    if task::leader() == task::current() && last_words() {
        process(RecordKind::ProcessExit);
    }
}

/// False when there is nothing to say any more.
#[inline(never)]
fn last_words() -> bool {
    let pid = task::tgid();
    let Some(backend) = BACKENDS.get_ptr(&pid) else {
        return false;
    };
    // SAFETY: copied out at once.
    let backend = unsafe { *backend };
    let _ = BACKENDS.remove(&pid);
    let Some(connection) = state::slot(backend.slot as u32) else {
        return true;
    };
    // Closed before, the slot may be another's by now.
    if connection.id != backend.id || connection.has(CONNECTION_CLOSED) {
        return true;
    }
    merge::flush(connection);
    connection.sent += u64::from(connection.carried);
    let now = ring::now();
    let unfinished = connection.outstanding > 0 && connection.response_bytes > 0;
    let outcome = if unfinished {
        Outcome {
            fingerprint: connection.front.fingerprint,
            rows_returned: (connection.rows + outcome::estimate(connection))
                .wrapping_sub(connection.rows_reported) as i64,
            flags: STATEMENT_FAILED | STATEMENT_ESTIMATED,
            queries: 1,
            started: connection.front.started,
            ended: now,
            ..Outcome::default()
        }
    } else {
        Outcome {
            flags: STATEMENT_OVERHEAD,
            started: now,
            ended: now,
            ..Outcome::default()
        }
    };
    if is_parsed(connection) {
        if unfinished || connection.sent | connection.received != 0 {
            ring::statement(connection, &outcome);
        }
    } else {
        ring::phase(connection);
    }
    ring::closed(connection, 0, 0);
    #[cfg(floor)]
    crate::floor::forget(connection.slot);
    #[cfg(not(floor))]
    if connection.tls != 0 {
        tls::forget(u64::from(connection.slot));
    }
    connection.set(CONNECTION_CLOSED);
    true
}

/// A server process began to execute.
#[inline(always)]
pub fn began() {
    process(RecordKind::ProcessExec);
}

#[inline(always)]
fn process(kind: RecordKind) {
    let time = ring::now();
    let pid = task::tgid();
    ring::emit(|record: &mut ExitRecord| {
        *record = ExitRecord {
            header: ring::header(kind, 0, 0, 0),
            time,
            pid,
            pad: 0,
        };
    });
}
