//! Puts completions of equal statements together, and hands them on: see `sensor_ebpf::merged`.
//!
//! A connection's operations come one after the other, but userspace drains at any time, on another CPU: each entry has a
//! lock. Nobody waits for it. An operation that finds it held hands its completion on by itself; a drain that finds it
//! held comes again.

use sensor_ebpf::{
    bytes::{barrier, opaque},
    connection::Connection,
    loops::{Step, repeat},
    merged::{Merged, WAYS, way},
    protocol::Several,
};

use crate::{
    maps::{DIRTY, MERGED, setting},
    ring, state,
};

/// Adds completions of the front request; false when that can't be done now.
#[inline(always)]
pub fn add(c: &mut Connection, several: &Several) -> bool {
    let tick = ring::ticks();
    let way = way(c, tick);
    let Some(merged) = entry(c.slot, way) else {
        return false;
    };
    if !lock(merged) {
        return false;
    }
    if merged.queries != 0 && !merged.is_of(c) {
        leave(merged);
    }
    let first = merged.queries == 0;
    merged.add(c, several, tick);
    let full = merged.is_full();
    if full {
        leave(merged);
    }
    unlock(merged);
    if first && !full {
        // Behind the release, and by that behind the addition on every processor: a drain that saw the mark before would
        // find nothing, and take the mark away.
        mark(c.slot);
    }
    c.merged |= 1 << way;
    true
}

/// Hands on all that was put together for a connection.
#[inline(never)]
pub fn flush(c: &mut Connection) {
    let slot = c.slot;
    let mut way = 0;
    while way < WAYS {
        empty(slot, way);
        way += 1;
    }
    c.merged = 0;
}

/// Words of [`DIRTY`] that one drain looks at: enough for any number of slots.
const WORDS: u32 = 1 << 20;

/// Hands on all that was put together since the last drain.
#[inline(always)]
pub fn drain() {
    repeat(WORDS, &mut Drain { word: 0 });
}

struct Drain {
    word: u32,
}

impl Step for Drain {
    #[inline(always)]
    fn step(&mut self) -> bool {
        if self.word > setting!(slot_mask) / 64 {
            return false;
        }
        if let Some(bits) = DIRTY.get_ptr_mut(self.word) {
            // SAFETY: a plain look first: nearly all words are zero.
            if unsafe { core::ptr::read_volatile(bits) } != 0 {
                let mut slots = Slots {
                    // SAFETY: eight bytes of a map value, aligned.
                    bits: exchange(unsafe { &mut *bits }, 0),
                    slot: self.word * 64,
                };
                repeat(64, &mut slots);
            }
        }
        self.word += 1;
        true
    }
}

struct Slots {
    bits: u64,
    slot: u32,
}

impl Step for Slots {
    #[inline(always)]
    fn step(&mut self) -> bool {
        if self.bits & 1 != 0 {
            let mut way = 0;
            while way < WAYS {
                if !empty(self.slot, way) {
                    mark(self.slot);
                }
                way += 1;
            }
        }
        self.bits >>= 1;
        self.slot += 1;
        self.bits != 0
    }
}

/// Hands on one entry; false when somebody else works on it.
#[inline(always)]
fn empty(slot: u32, way: u32) -> bool {
    let Some(merged) = entry(slot, way) else {
        return true;
    };
    if merged.queries == 0 {
        return true;
    }
    if !lock(merged) {
        return false;
    }
    if merged.queries != 0 {
        leave(merged);
    }
    unlock(merged);
    true
}

#[inline(always)]
fn leave(merged: &mut Merged) {
    ring::merged(merged);
    merged.queries = 0;
}

#[inline(always)]
fn entry<'a>(slot: u32, way: u32) -> Option<&'a mut Merged> {
    let index = opaque(slot & setting!(slot_mask)) * WAYS + way;
    let merged = MERGED.get_ptr_mut(index)?;
    // SAFETY: whoever changes it holds its lock.
    Some(unsafe { &mut *merged })
}

/// The next drain looks at this slot.
#[inline(always)]
fn mark(slot: u32) {
    if let Some(bits) = DIRTY.get_ptr_mut(slot / 64) {
        // SAFETY: eight bytes of a map value, aligned; the instruction is atomic.
        unsafe {
            core::arch::asm!(
                "lock *(u64 *)({place} + 0) |= {bit}",
                place = in(reg) bits,
                bit = in(reg) 1u64 << (slot % 64),
                options(nostack)
            );
        }
    }
}

#[inline(always)]
fn lock(merged: &mut Merged) -> bool {
    state::replace(&mut merged.lock, 0, 1)
}

#[inline(always)]
fn unlock(merged: &mut Merged) {
    barrier();
    // SAFETY: a plain store to a map value; stores are not reordered with those before them on x86-64, and on arm64 the
    // exchange is a release.
    #[cfg(bpf_target_arch = "x86_64")]
    unsafe {
        core::ptr::write_volatile(&raw mut merged.lock, 0);
    }
    #[cfg(not(bpf_target_arch = "x86_64"))]
    exchange(&mut merged.lock, 0);
}

/// Atomically puts `new` in the place of what it returns.
#[inline(always)]
fn exchange(place: &mut u64, new: u64) -> u64 {
    let mut value = new;
    // SAFETY: `place` is eight bytes of a map value, aligned.
    unsafe {
        core::arch::asm!(
            "{value} = xchg_64({place} + 0, {value})",
            place = in(reg) core::ptr::from_mut(place),
            value = inout(reg) value,
            options(nostack)
        );
    }
    value
}
