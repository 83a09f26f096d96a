//! Plaintext of TLS, from uprobes on the server's own library, and how it is tied to a socket: see docs/decisions/tls.md.
//!
//! A read of the socket that happens between entry and return of `SSL_read` on the same thread says whose plaintext that call
//! returns: this ties the TLS object to the connection, for all its later calls. Nothing else does.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::{HashMap, LruHashMap, PerCpuArray},
    macros::btf_map,
};
use sensor_ebpf::{
    bytes::barrier,
    connection::{
        CONNECTION_ANNOUNCED, CONNECTION_CLOSED, Connection, Follow, Partial, Phase, Protocol,
        Queue, Rest, TLS_ENDED, TLS_MISSED,
    },
    program::PLACE_OF_LIBRARY,
    protocol::{is_parsed, mysql, outcome, postgres},
    tied,
};

use crate::{
    home::Home,
    hook::{Direction, Operation, registers::Buffer},
    identity,
    maps::{CREATE, SCRATCH, count, setting},
    ring, server, state,
    surroundings::KernelSurroundings,
    task,
};

/// Servers (their first process) whose library has the probes. Userspace writes.
#[btf_map]
pub static PROBED: HashMap<u32, u32, 1024> = HashMap::new();

/// The call into TLS that each thread is in, or was last. The loader sets the number.
#[btf_map]
pub static CALLS: LruHashMap<u64, Call, 32768> = LruHashMap::new();

/// To which connections TLS objects are tied. The loader sets the number.
#[btf_map]
pub static TIES: LruHashMap<Object, Tie, 32768> = LruHashMap::new();

/// As `QUEUES`, `RESTS` and `PARTIALS`, by slot. When all are taken, requests are not kept apart, or a connection is followed blindly;
/// both are counted. The loader sets the numbers.
#[btf_map]
pub static TLS_QUEUES: HashMap<u64, Queue, 512> = HashMap::new();
/// See [`TLS_QUEUES`].
#[btf_map]
pub static TLS_RESTS: HashMap<u64, Rest, 512> = HashMap::new();
/// See [`TLS_QUEUES`].
#[btf_map]
pub static TLS_PARTIALS: HashMap<u64, Partial, 512> = HashMap::new();

/// Not zero while a program on this CPU has the working memory: where it can't hold the processor, it may be preempted by another.
#[btf_map]
static TAKEN: PerCpuArray<u64, 1> = PerCpuArray::new();

/// A TLS object: its process, and where it lies there.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Object {
    process: u64,
    ssl: u64,
}

/// Which connection an object's plaintext is of.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tie {
    /// Number of the connection, zero when it is not known, or [`FOREIGN`] or [`AMBIGUOUS`].
    connection: u64,
    /// Its `struct sock`.
    sk: u64,
    /// Its slot.
    slot: u64,
}

/// See [`CALLS`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call {
    ssl: u64,
    buffer: u64,
    /// In `SSL_read`: 1.
    reads: u64,
    tie: Tie,
}

/// In the place of a connection's number: a socket that carries no client's connection (the server's own to another).
const FOREIGN: u64 = u64::MAX;
/// Likewise: sockets of several connections were read in one call.
const AMBIGUOUS: u64 = u64::MAX - 1;

static NO_CALL: Call = Call {
    ssl: 0,
    buffer: 0,
    reads: 0,
    tie: NO_TIE,
};
const NO_TIE: Tie = Tie {
    connection: 0,
    sk: 0,
    slot: 0,
};

#[inline(always)]
fn object(ssl: u64) -> Object {
    Object {
        process: task::thread() >> 32,
        ssl,
    }
}

#[inline(always)]
fn call<'a>() -> Option<&'a mut Call> {
    let call = CALLS.get_ptr_mut(&task::thread())?;
    // SAFETY: a thread's own.
    Some(unsafe { &mut *call })
}

/// Is the program that runs a server whose plaintext is followed? Others may have the same library in their memory.
#[inline(always)]
pub fn concerns() -> bool {
    task::is_server() && has_plaintext(task::protocol() as u8)
}

/// Is the plaintext of this protocol's connections followed?
#[inline(always)]
fn has_plaintext(protocol: u8) -> bool {
    protocol == Protocol::Postgres as u8 || protocol == Protocol::MySql as u8
}

/// Does the server that runs have the probes, so that the plaintext of its connections is seen?
#[inline(always)]
pub fn is_seen() -> bool {
    if setting!(tls) == 0 {
        return false;
    }
    let parent = identity::parent();
    PROBED.get_ptr(&parent).is_some() || PROBED.get_ptr(&task::tgid()).is_some()
}

/// An operation on a connection's socket; true when its bytes are not for the protocol's eyes, because their plaintext is.
#[inline(always)]
pub fn takes(operation: &Operation, direction: Direction, c: &mut Connection) -> bool {
    // Nearly all connections in clear end here.
    if c.tls == 0 && (is_parsed(c) || c.phase == Phase::Startup as u8) {
        return false;
    }
    carries(operation, direction, c)
}

#[inline(never)]
fn carries(operation: &Operation, direction: Direction, c: &mut Connection) -> bool {
    let received = direction == Direction::Received;
    if !has_plaintext(c.protocol) {
        return false;
    }
    if !tied::is_tied(c) && !(received && tie(operation.sk as u64, c)) {
        return false;
    }
    if !c.has(CONNECTION_ANNOUNCED) {
        server::announce(operation.sk, c);
    }
    if received {
        tied::received(c, operation.length);
    } else {
        tied::sent(c, operation.length);
    }
    true
}

/// The server reads a connection's socket: is it within a read of TLS? That ties the two.
#[inline(always)]
fn tie(sk: u64, c: &mut Connection) -> bool {
    let Some(call) = call() else {
        return false;
    };
    if call.reads == 0 || call.tie.connection == AMBIGUOUS {
        return false;
    }
    if call.tie.connection != 0 {
        // A second connection's socket in one call: nobody can say whose plaintext it returns.
        if let Some(other) = tied(&call.tie) {
            tied::untie(other);
        }
        call.tie.connection = AMBIGUOUS;
        let _ = TIES.remove(&object(call.ssl));
        return false;
    }
    call.tie = Tie {
        connection: c.id,
        sk,
        slot: u64::from(c.slot),
    };
    let _ = TIES.insert(&object(call.ssl), &call.tie, 0);
    if tied::tie(c) {
        ring::phase(c);
        c.phase = Phase::Blind as u8;
        c.mysql.header_bytes = 0;
        c.sent = 0;
        c.received = 0;
    }
    true
}

/// An operation on one of a server's sockets that carry no client's connection: so does the call that it is in.
#[inline(never)]
pub fn foreign() {
    if let Some(call) = call()
        && call.reads != 0
        && call.tie.connection == 0
    {
        call.tie.connection = FOREIGN;
        let _ = TIES.insert(&object(call.ssl), &call.tie, 0);
    }
}

/// The connection of a tie, if it still is. A call of its own, likewise.
#[inline(never)]
fn tied<'a>(tie: &Tie) -> Option<&'a mut Connection> {
    state::slot(tie.slot as u32)
        .filter(|c| c.id == tie.connection && tied::is_tied(c) && !c.has(CONNECTION_CLOSED))
}

/// A call into TLS begins. A call of its own: what it looks things up by does not lie on the stack while plaintext is taken apart.
#[inline(never)]
fn begin<'a>(ssl: u64, buffer: u64, reads: u64) -> Option<&'a mut Call> {
    if call().is_none() {
        let _ = CALLS.insert(&task::thread(), &NO_CALL, 0);
    }
    let call = call()?;
    call.buffer = buffer;
    call.reads = reads;
    if call.ssl != ssl || call.tie.connection == 0 || call.tie.connection == AMBIGUOUS {
        call.ssl = ssl;
        call.tie = TIES
            .get_ptr(&object(ssl))
            // SAFETY: copied out at once.
            .map_or(NO_TIE, |tie| unsafe { *tie });
    }
    Some(call)
}

/// `SSL_read` begins: the server asks for input.
#[inline(always)]
pub fn read_begins(ssl: u64, buffer: u64) {
    let Some(call) = begin(ssl, buffer, 1) else {
        return;
    };
    match tied(&call.tie) {
        Some(c) => {
            tied::reads(c);
            if c.follow != Follow::Walk as u8 {
                work(&call.tie, c, |s, c| postgres::wants_input(s, c), buffer);
            }
        }
        // Of a connection that is over: another may have its place.
        None if call.tie.connection != FOREIGN => call.tie.connection = 0,
        None => {}
    }
}

/// `SSL_read` returned.
#[inline(always)]
pub fn read_ends(returned: i32) {
    let Some(call) = call() else {
        return;
    };
    if call.reads == 0 {
        return;
    }
    call.reads = 0;
    let Some(c) = tied(&call.tie) else {
        // Without a tie the socket's own bytes are counted.
        if returned > 0 && call.tie.connection == AMBIGUOUS {
            count!(unattributed_bytes, u64::from(returned as u32));
        }
        return;
    };
    if returned > 0 {
        let length = returned as u32;
        tied::plain(c, 0, length);
        let seen = work(&call.tie, c, |s, c| received(s, c, length), call.buffer);
        if !seen {
            tied::wire(c, 0, length);
            missed(c, length);
        }
    } else if c.tls & TLS_ENDED != 0 {
        work(&call.tie, c, |s, c| postgres::closed(s, c), call.buffer);
    }
}

/// `SSL_write` begins. All its bytes leave with it, or it is repeated.
#[inline(always)]
pub fn writes(ssl: u64, buffer: u64, length: i32) {
    let Some(call) = begin(ssl, buffer, 0) else {
        return;
    };
    let Some(c) = tied(&call.tie) else {
        return;
    };
    if length <= 0 {
        return;
    }
    let length = length as u32;
    let first = tied::writes(c, length);
    let length = length - first;
    if length == 0 {
        return;
    }
    tied::plain(c, length, 0);
    let seen = work(
        &call.tie,
        c,
        |s, c| sent(s, c, length),
        buffer + u64::from(first),
    );
    if !seen {
        tied::wire(c, length, 0);
        missed(c, length);
    }
}

/// Plaintext from the client.
#[inline(always)]
fn received(s: &mut KernelSurroundings<Table<'_>>, c: &mut Connection, length: u32) {
    if c.protocol == Protocol::MySql as u8 {
        mysql::received(s, c, length);
    } else {
        postgres::received(s, c, length);
    }
}

/// Plaintext to the client.
#[inline(always)]
fn sent(s: &mut KernelSurroundings<Table<'_>>, c: &mut Connection, length: u32) {
    if c.protocol == Protocol::MySql as u8 {
        mysql::sent(s, c, length);
    } else {
        postgres::sent(s, c, length);
    }
}

/// `SSL_free`: another object may lie there next.
#[inline(always)]
pub fn freed(ssl: u64) {
    let _ = TIES.remove(&object(ssl));
    if let Some(call) = call()
        && call.ssl == ssl
    {
        call.ssl = 0;
        call.tie = NO_TIE;
    }
}

/// Lets the protocol look at plaintext; false when the working memory is another's.
#[inline(always)]
fn work(
    tie: &Tie,
    c: &mut Connection,
    step: impl FnOnce(&mut KernelSurroundings<Table<'_>>, &mut Connection),
    buffer: u64,
) -> bool {
    let (Some(taken), Some(scratch)) =
        (TAKEN.get_ptr_mut(0), SCRATCH.get_ptr_mut(PLACE_OF_LIBRARY))
    else {
        return false;
    };
    // SAFETY: this CPU's; changed by atomic exchange.
    if !state::replace(unsafe { &mut *taken }, 0, 1) {
        return false;
    }
    let mut surroundings = KernelSurroundings {
        home: Table { tie },
        buffer: Buffer {
            address: buffer,
            vectors: 0,
        },
        scratch,
    };
    if c.tls & TLS_MISSED != 0 {
        c.tls &= !TLS_MISSED;
        outcome::lose_track(&mut surroundings, c);
    }
    step(&mut surroundings, c);
    barrier();
    // SAFETY: a plain store to this CPU's entry: nobody else runs on it that would see what was stored before.
    unsafe { core::ptr::write_volatile(taken, 0) };
    true
}

/// Plaintext that nobody looked at: what follows makes no sense until it does again.
#[inline(always)]
fn missed(c: &mut Connection, length: u32) {
    c.tls |= TLS_MISSED;
    count!(unattributed_bytes, u64::from(length));
}

/// What a tied connection rarely needs: by its slot. (Where the tie lies, since there is no stack for two more numbers.)
pub struct Table<'a> {
    tie: &'a Tie,
}

static NO_QUEUE: Queue = Queue::EMPTY;
static NO_REST: Rest = Rest::EMPTY;
static NO_PARTIAL: Partial = Partial::EMPTY;

impl Home for Table<'_> {
    const SCATTERED: bool = false;

    #[inline(always)]
    fn place() -> u32 {
        PLACE_OF_LIBRARY
    }

    #[inline(always)]
    fn queue<'a>(&self, flags: u64) -> Option<&'a mut Queue> {
        kept(&TLS_QUEUES, &self.tie.slot, &NO_QUEUE, flags)
    }

    #[inline(always)]
    fn rest<'a>(&self, flags: u64) -> Option<&'a mut Rest> {
        kept(&TLS_RESTS, &self.tie.slot, &NO_REST, flags)
    }

    #[inline(always)]
    fn partial<'a>(&self, flags: u64) -> Option<&'a mut Partial> {
        kept(&TLS_PARTIALS, &self.tie.slot, &NO_PARTIAL, flags)
    }

    #[inline(always)]
    fn drop_partial(&self) {
        let _ = TLS_PARTIALS.remove(&self.tie.slot);
    }

    #[inline(always)]
    fn tcp_counts(&self, c: &Connection) -> (u32, u32) {
        let sk = self.tie.sk as *mut c_void;
        if task::probe::<u64>(self.tie.sk, setting!(offsets.sk_cookie)) == c.id {
            identity::tcp_counts(sk)
        } else {
            // Closed meanwhile: what it would say, had nothing been missed.
            (
                c.base_sent.wrapping_add(c.seen_sent as u32),
                c.base_received.wrapping_add(c.seen_received as u32),
            )
        }
    }

    #[inline(always)]
    fn forget(&self, _: &Connection) {
        forget(self.tie.slot);
    }
}

/// What a map keeps for a slot's connection; made when `flags` say so.
#[inline(always)]
fn kept<'a, T, const N: usize>(
    map: &HashMap<u64, T, N>,
    slot: &u64,
    empty: &T,
    flags: u64,
) -> Option<&'a mut T> {
    if flags == CREATE && map.get_ptr(slot).is_none() {
        let _ = map.insert(slot, empty, 0);
    }
    // SAFETY: a connection's operations come one after the other.
    map.get_ptr_mut(slot).map(|found| unsafe { &mut *found })
}

/// Drops what is kept for a slot's connection.
#[inline(always)]
pub fn forget(slot: u64) {
    let _ = TLS_QUEUES.remove(&slot);
    let _ = TLS_RESTS.remove(&slot);
    let _ = TLS_PARTIALS.remove(&slot);
}
