//! Second programs, which do what the first were not let to do.
//!
//! The kernel may take the processor from a program (on a tracepoint since Linux 7.0), and it runs no program twice at a time on one
//! processor: an operation of the task that has the processor meanwhile is passed over. So the hooks on sockets have two programs
//! there, run one after the other. The first leaves a mark for its connection and the second takes it away: where there is none, the
//! operation is the second's to do. An operation is lost only when it meets both, which the kernel counts.

use aya_ebpf::{btf_maps::Array, macros::btf_map};
use sensor_ebpf::bytes::opaque;

use crate::{
    hook::{Direction, Operation},
    maps::setting,
    state, task,
};

/// Marks of the first programs, by slot. The loader sets the number.
#[btf_map]
static MARKS: Array<Marks, 32768> = Array::new();

/// See [`MARKS`]. Apart, since a connection may be read and written at the same time.
#[repr(C)]
struct Marks {
    received: u32,
    sent: u32,
}

/// The first program sees to the operation at hand on this slot's connection.
#[inline(always)]
pub fn mark(slot: u32, direction: Direction) {
    if setting!(doubled) != 0
        && let Some(marks) = marks(slot)
    {
        // SAFETY: four bytes of a map value, aligned. Volatile: another program reads them.
        unsafe { core::ptr::write_volatile(marks.of(direction), 1) };
    }
}

/// Was the operation at hand kept from the first program? Asked by the second, in front of all else: nearly always it was not.
#[inline(always)]
pub fn is_left(operation: &Operation, direction: Direction) -> bool {
    if !task::is_server() {
        // Of a client one that goes unseen changes nothing: its next says the same.
        return false;
    }
    let Some(marks) = state::find(operation.sk).and_then(|connection| marks(connection.slot))
    else {
        // Of no connection that is known: what the first has found, the second will.
        return true;
    };
    let mark = marks.of(direction);
    // SAFETY: as above.
    unsafe {
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

impl Marks {
    #[inline(always)]
    fn of(&mut self, direction: Direction) -> *mut u32 {
        if direction == Direction::Received {
            &raw mut self.received
        } else {
            &raw mut self.sent
        }
    }
}

#[inline(always)]
fn marks<'a>(slot: u32) -> Option<&'a mut Marks> {
    let marks = MARKS.get_ptr_mut(opaque(slot) & setting!(slot_mask))?;
    // SAFETY: integers that the operations of one connection write.
    Some(unsafe { &mut *marks })
}
