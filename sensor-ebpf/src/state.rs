//! Where the state of a connection is: in a table, near the place that its socket's cookie leads to.
//!
//! Socket storage would be the natural home, but looking it up costs about 50 ns, three times a query; this costs two
//! loads. It also takes no memory while connections come and go. A socket without a cookie was never seen, and cookies
//! are never used twice.

use core::ffi::c_void;

#[cfg(not(floor))]
use aya_ebpf::helpers::generated::bpf_get_socket_cookie;
use sensor_ebpf::{
    bytes::{barrier, opaque},
    connection::{CONNECTION_CLOSED, Connection},
};

#[cfg(floor)]
use crate::floor;
use crate::{
    doubled,
    maps::{SLOTS, setting},
};
#[cfg(not(floor))]
use crate::{task::load, tls};

/// Slots in a row that a connection may lie in. With a third of all slots taken, one connection in ten millions finds
/// no place among sixteen; it is then counted as a blind spot (`stateless_bytes`).
const PROBES: u32 = 16;

/// In the place of a number: the slot is being made ready for its next connection. No socket's cookie comes that far.
const BUSY: u64 = u64::MAX;

/// Number of the connection that a socket carries, zero when it was never seen.
#[cfg(not(floor))]
#[inline(always)]
pub fn cookie(sk: *mut c_void) -> u64 {
    load(sk, setting!(offsets.sk_cookie))
}

/// The same; given when it has none.
#[cfg(not(floor))]
#[inline(always)]
pub fn numbered(sk: *mut c_void) -> u64 {
    // SAFETY: a BTF socket pointer.
    unsafe { bpf_get_socket_cookie(sk) }
}

/// Number of the socket at hand.
#[cfg(floor)]
#[inline(always)]
pub fn cookie(_: *mut c_void) -> u64 {
    floor::id()
}

/// The same.
#[cfg(floor)]
#[inline(always)]
pub fn numbered(sk: *mut c_void) -> u64 {
    cookie(sk)
}

/// State of a socket that was seen before.
#[inline(always)]
pub fn find<'a>(sk: *mut c_void) -> Option<&'a mut Connection> {
    let cookie = cookie(sk);
    if cookie == 0 {
        return None;
    }
    let first = first(cookie);
    if let Some(connection) = slot(first)
        && connection.id == cookie
    {
        return Some(connection);
    }
    slot(search(first, cookie)).filter(|connection| connection.id == cookie)
}

/// Is there state for the socket of this number?
#[cfg(not(floor))]
#[inline(always)]
pub fn is_known(cookie: u64) -> bool {
    if cookie == 0 {
        return false;
    }
    let first = first(cookie);
    let is_here = |index| slot(index).is_some_and(|connection| connection.id == cookie);
    is_here(first) || is_here(search(first, cookie))
}

/// Fresh state for a socket seen for the first time, and its slot; `None` when all slots it may lie in are taken.
#[inline(always)]
pub fn create<'a>(sk: *mut c_void) -> Option<(&'a mut Connection, u32)> {
    let cookie = numbered(sk);
    let index = claim(first(cookie), cookie);
    let connection = slot(index).filter(|connection| connection.id == cookie)?;
    Some((connection, index))
}

/// A slot by its number.
#[inline(always)]
pub fn slot<'a>(index: u32) -> Option<&'a mut Connection> {
    let connection = SLOTS.get_ptr_mut(opaque(index) & setting!(slot_mask))?;
    // SAFETY: a slot is used by the operations of one socket, which come one after the other.
    Some(unsafe { &mut *connection })
}

/// Where the search for a cookie begins. Cookies are given out in a row on each CPU: multiplied, they spread.
#[inline(always)]
fn first(cookie: u64) -> u32 {
    (cookie.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// The slot of a cookie behind its first; any when there is none.
#[inline(never)]
fn search(first: u32, cookie: u64) -> u32 {
    let mut further = 1;
    while further < PROBES {
        if let Some(connection) = slot(first + further)
            && connection.id == cookie
        {
            return first + further;
        }
        further += 1;
    }
    first
}

/// Takes the first free slot for a cookie; when there is none, the number of one that is another's.
#[inline(never)]
fn claim(first: u32, cookie: u64) -> u32 {
    let mut further = 0;
    while further < PROBES {
        if let Some(connection) = slot(first + further) {
            let owner = connection.id;
            if owner != BUSY
                && (owner == 0 || connection.has(CONNECTION_CLOSED))
                && reserve(connection, owner, first + further)
            {
                // Of one whose server was killed, what lies elsewhere is still there.
                #[cfg(not(floor))]
                if connection.tls != 0 {
                    tls::forget(u64::from((first + further) & setting!(slot_mask)));
                }
                doubled::forget(first + further);
                connection.reset();
                connection.slot = (first + further) & setting!(slot_mask);
                barrier();
                // Last: until then the slot still looks closed, and another CPU would take it, too.
                // SAFETY: a plain store to a map value.
                unsafe { core::ptr::write_volatile(&raw mut connection.id, cookie) };
                #[cfg(floor)]
                {
                    floor::forget(connection.slot);
                    floor::unlock(connection.slot);
                }
                return first + further;
            }
        }
        further += 1;
    }
    first
}

/// Makes a free slot this CPU's alone; false when another was faster.
#[cfg(not(floor))]
#[inline(always)]
fn reserve(connection: &mut Connection, owner: u64, _: u32) -> bool {
    replace(&mut connection.id, owner, BUSY)
}

/// Makes a free slot this CPU's alone; false when another was faster.
#[cfg(floor)]
#[inline(always)]
fn reserve(connection: &mut Connection, owner: u64, index: u32) -> bool {
    let index = index & setting!(slot_mask);
    if !floor::lock(index) {
        return false;
    }
    barrier();
    // Another may have taken it between the look at its owner and the lock.
    // SAFETY: a plain load of a map value.
    let is_free = unsafe { core::ptr::read_volatile(&raw const connection.id) } == owner
        && (owner == 0 || connection.has(CONNECTION_CLOSED));
    if !is_free {
        floor::unlock(index);
    }
    is_free
}

/// Atomically puts `new` in the place of `old`; false when another was faster.
#[cfg(not(floor))]
#[inline(always)]
pub fn replace(place: &mut u64, old: u64, new: u64) -> bool {
    let found: u64;
    // The compiler offers no compare-and-swap for BPF; the instruction compares with r0 and leaves there what it found.
    // SAFETY: `place` is eight bytes of a map value, aligned.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({place} + 0, r0, {new})",
            place = in(reg) core::ptr::from_mut(place),
            new = in(reg) new,
            inout("r0") old => found,
            options(nostack)
        );
    }
    found == old
}
