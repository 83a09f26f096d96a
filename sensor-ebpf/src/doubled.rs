//! Second programs, which do what the first were not let to do.
//!
//! Since Linux 7.0 the kernel may take the processor from a program on a tracepoint, and it runs no program twice at a time on one
//! processor: an operation of the task that has the processor meanwhile is passed over. So the hooks on sockets have two programs
//! there, run one after the other. The first leaves a mark for its connection and the second takes it away: where there is none, the
//! operation is the second's to do. An operation is lost only when it meets both, which the kernel counts.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use sensor_ebpf::{
    bytes::opaque,
    settings::{Program, is_second},
};

use crate::maps::setting;

/// Marks of the first programs, by slot. The loader sets the number.
#[btf_map]
static MARKS: Array<Marks, 32768> = Array::new();

/// See [`MARKS`]. Apart, since a connection may be read and written at the same time.
#[repr(C)]
struct Marks {
    received: u32,
    sent: u32,
}

/// Is the operation at hand on this slot's connection one for `PROGRAM`, a [`Program`]?
#[inline(always)]
pub fn is_mine<const PROGRAM: usize>(slot: u32) -> bool {
    if setting!(doubled) == 0 {
        return true;
    }
    let Some(marks) = marks(slot) else {
        return true;
    };
    let mark = if PROGRAM & 1 == Program::Receives as usize {
        &raw mut marks.received
    } else {
        &raw mut marks.sent
    };
    // SAFETY: four bytes of a map value, aligned. Volatile: another program reads them.
    unsafe {
        if !is_second(PROGRAM) {
            core::ptr::write_volatile(mark, 1);
            return true;
        }
        let is_done = core::ptr::read_volatile(mark) != 0;
        core::ptr::write_volatile(mark, 0);
        !is_done
    }
}

/// The slot gets another connection.
#[inline(always)]
pub fn forget(slot: u32) {
    if setting!(doubled) == 0 {
        return;
    }
    if let Some(marks) = marks(slot) {
        marks.received = 0;
        marks.sent = 0;
    }
}

#[inline(always)]
fn marks<'a>(slot: u32) -> Option<&'a mut Marks> {
    let marks = MARKS.get_ptr_mut(opaque(slot) & setting!(slot_mask))?;
    // SAFETY: integers that the operations of one connection write.
    Some(unsafe { &mut *marks })
}
