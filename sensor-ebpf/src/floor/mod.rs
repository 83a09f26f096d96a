//! The lowest rung: what stands for helpers that old kernels lack, and for pointers that they do not trust.
//!
//! Programs here get by with Linux 5.10, and with kernels that refuse trampolines: no `bpf_loop`, no atomics that return a
//! value, no socket storage or cookies in tracing programs, no typed pointers. So the operation at hand lies in a map, where
//! the functions find it that are the bodies of loops (see `sensor_ebpf::loops`), and a socket is known by its inode.

use core::ffi::c_void;

use aya_ebpf::{
    btf_maps::{HashMap, PerCpuArray},
    helpers::generated::{bpf_map_delete_elem, bpf_map_lookup_elem, bpf_map_update_elem},
    macros::btf_map,
};
use sensor_ebpf::connection::{Connection, Partial, Queue, Rest};

use crate::{
    home::Socket,
    hook::{
        Direction,
        registers::{Buffer, SystemCall},
    },
    maps::{CREATE, Client, PARTIALS, QUEUES, RESTS, SCRATCH, raw},
    state,
    surroundings::KernelSurroundings,
};

pub mod steps;
mod turns;

/// The operation at hand.
#[btf_map]
static HERE: PerCpuArray<Here, 1> = PerCpuArray::new();

/// See [`HERE`].
#[repr(C)]
struct Here {
    sk: u64,
    id: u64,
    call: SystemCall,
    address: u64,
    vectors: u32,
    slot: u32,
    /// Result of the call.
    length: i32,
    /// It wrote, and did not read.
    wrote: bool,
    /// What is to be done next: see [`steps`].
    next: u32,
    /// Keys to be picked: a packed plan, or zero.
    plan: u64,
    start: u32,
    end: u32,
    bound: bool,
}

/// Slots that some CPU is about to take: an entry is a lock.
#[btf_map]
static CLAIMS: HashMap<u32, u32, 1024> = HashMap::new();

/// `BPF_NOEXIST`.
const NEW: u64 = 1;

/// What is at hand on this CPU.
#[inline(always)]
fn here<'a>() -> Option<&'a mut Here> {
    let here = HERE.get_ptr_mut(0)?;
    // SAFETY: this CPU's slot; programs do not migrate.
    Some(unsafe { &mut *here })
}

/// Begins with a system call that has these registers.
#[inline(always)]
pub fn take_in<'a>(
    registers: u64,
    number: u32,
    direction: Direction,
    length: i32,
) -> Option<&'a SystemCall> {
    let here = here()?;
    here.call.fill(registers, number);
    here.wrote = direction == Direction::Sent;
    here.length = length;
    here.next = steps::NOTHING;
    here.plan = 0;
    Some(&here.call)
}

/// What [`take_in`] left: first argument, direction, result.
#[inline(always)]
pub fn taken_in() -> Option<(u32, Direction, i32)> {
    let here = here()?;
    let direction = if here.wrote {
        Direction::Sent
    } else {
        Direction::Received
    };
    Some((here.call.first as u32, direction, here.length))
}

/// Begins with an operation on this socket, whose inode is its number: numbers are used again after four billions, and
/// then not with the same address.
#[inline(always)]
pub fn begin(sk: u64, inode: u64) -> bool {
    let Some(here) = here() else {
        return false;
    };
    here.sk = sk;
    here.id = (sk >> 6 & 0x3fff_ffff) << 32 | inode & 0xffff_ffff;
    true
}

/// Number of the socket at hand.
#[inline(always)]
pub fn id() -> u64 {
    here().map_or(0, |here| here.id)
}

/// The system call at hand: number, second and third argument.
#[inline(always)]
pub fn system_call() -> (u32, u64, u64) {
    here().map_or((u32::MAX, 0, 0), |here| {
        (here.call.number, here.call.second, here.call.third)
    })
}

/// Leaves for the bodies of loops what they work on.
#[inline(always)]
pub fn serve(connection: &Connection, buffer: &Buffer) {
    if let Some(here) = here() {
        here.slot = connection.slot;
        here.address = buffer.address;
        here.vectors = buffer.vectors;
    }
}

/// Leaves to be done next what the operation's bytes say: see [`steps`].
#[inline(always)]
pub fn go_on(direction: Direction) {
    if let Some(here) = here() {
        here.next = if direction == Direction::Sent {
            steps::SENT
        } else {
            steps::RECEIVED
        };
    }
}

/// Leaves keys to be picked by [`steps`].
#[inline(always)]
pub fn pick(plan: u64, start: u32, end: u32, bound: bool) {
    if let Some(here) = here() {
        here.plan = plan;
        here.start = start;
        here.end = end;
        here.bound = bound;
    }
}

/// What [`serve`] left.
#[inline(always)]
fn served<'a>() -> Option<(KernelSurroundings<Socket<0>>, &'a mut Connection)> {
    let here = here()?;
    let surroundings = KernelSurroundings {
        home: Socket(here.sk as *mut c_void),
        buffer: Buffer {
            address: here.address,
            vectors: here.vectors,
        },
        scratch: SCRATCH.get_ptr_mut(0)?,
    };
    Some((surroundings, state::slot(here.slot)?))
}

/// Takes a slot for this CPU alone; false when another has it.
#[inline(always)]
pub fn lock(slot: u32) -> bool {
    CLAIMS.insert(&slot, &1, NEW).is_ok()
}

/// Gives it back.
#[inline(always)]
pub fn unlock(slot: u32) {
    let _ = CLAIMS.remove(&slot);
}

/// What is kept of a socket, as elsewhere its storage.
pub trait Stored {
    /// By what it is found.
    fn key() -> u64;
    /// As it begins.
    fn empty() -> *const c_void;
}

macro_rules! stored {
    ($($kind:ident by $key:ident: $empty:expr;)*) => {$(
        impl Stored for $kind {
            #[inline(always)]
            fn key() -> u64 {
                $key()
            }
            #[inline(always)]
            fn empty() -> *const c_void {
                static EMPTY: $kind = $empty;
                (&raw const EMPTY).cast()
            }
        }
    )*};
}

stored! {
    Queue by slot: Queue::EMPTY;
    Rest by slot: Rest::EMPTY;
    Partial by slot: Partial::EMPTY;
    Client by id: Client { role: 0, announced: 0 };
    u64 by id: 0;
}

#[inline(always)]
fn slot() -> u64 {
    here().map_or(0, |here| u64::from(here.slot))
}

/// What a map keeps of the socket at hand; created when `flags` say so.
#[inline(always)]
pub fn storage<'a, T: Stored>(map: *mut c_void, flags: u64) -> Option<&'a mut T> {
    let key = T::key();
    let key = (&raw const key).cast::<c_void>();
    // SAFETY: maps that take this have a `u64` for a key and a `T` for a value; values live as long as the map.
    unsafe {
        let mut found = bpf_map_lookup_elem(map, key);
        if found.is_null() && flags & CREATE != 0 {
            bpf_map_update_elem(map, key, T::empty(), NEW);
            found = bpf_map_lookup_elem(map, key);
        }
        found.cast::<T>().as_mut()
    }
}

/// Drops the beginning of a message that was kept for the connection at hand.
#[inline(always)]
pub fn drop_partial() {
    let key = slot();
    // SAFETY: map and key are what the helper wants.
    unsafe { bpf_map_delete_elem(raw(&PARTIALS), (&raw const key).cast()) };
}

/// Drops all that is kept for a slot's connection.
#[inline(always)]
pub fn forget(slot: u32) {
    let key = u64::from(slot);
    // SAFETY: maps and key are what the helper wants.
    unsafe {
        bpf_map_delete_elem(raw(&PARTIALS), (&raw const key).cast());
        bpf_map_delete_elem(raw(&QUEUES), (&raw const key).cast());
        bpf_map_delete_elem(raw(&RESTS), (&raw const key).cast());
    }
}
