//! Hands on to which of the application's traces an execution belongs, within a budget: see `sensor_ebpf::link`.

use sensor_ebpf::{
    bytes::Window,
    connection::Connection,
    link,
    record::{LinkRecord, RecordHeader, RecordKind},
};

use crate::{
    maps::{LINKS, SCRATCH, count, setting},
    ring,
};

/// Of the statement whose text from `start` to `end` may end in such a comment; true when it does and was handed on.
#[inline(always)]
pub fn tell(c: &mut Connection, fingerprint: u64, start: u32, end: u32, place: u32) -> bool {
    if setting!(link_interval) == 0 {
        return false;
    }
    let number = link::next(c.link);
    let how = u32::from(number) | place << 8;
    if tell_link(c.id, fingerprint, start, end, how) == 0 {
        return false;
    }
    c.link = number;
    true
}

/// Tells to which trace the application says that a statement belongs; zero when it does not. Global, as
/// `surroundings::hash_text` is: five arguments are all there may be, so the last is the link's number and, above it, the place
/// of the working memory.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn tell_link(
    connection: u64,
    fingerprint: u64,
    start: u32,
    end: u32,
    how: u32,
) -> u32 {
    let Some(scratch) = SCRATCH.get_ptr_mut(how >> 8) else {
        return 0;
    };
    // SAFETY: this CPU's slot, see `KernelSurroundings`.
    let window = unsafe { &mut (*scratch).window };
    let value = link::find(window, start, end);
    if value == 0 {
        return 0;
    }
    u32::from(emit(window, connection, fingerprint, value, how as u8))
}

/// To which trace a statement belongs: `value` is where its traceparent lies. False when there is no budget left, or the ring
/// is full.
#[inline(always)]
fn emit(window: &mut Window, connection: u64, fingerprint: u64, value: u32, number: u8) -> bool {
    if !may_link() {
        count!(links_over_budget, 1);
        return false;
    }
    let sent = ring::emit(|record: &mut LinkRecord| {
        record.header = RecordHeader {
            link: number,
            ..ring::header(RecordKind::Link, 0, 0, connection)
        };
        record.fingerprint = fingerprint;
        let mut word = 0;
        while word < 7 {
            record.traceparent[word] = window.le64(value + 8 * word as u32);
            word += 1;
        }
    });
    if !sent {
        count!(lost_links, 1);
    }
    sent
}

/// Takes one from the budget of links, which refills all the time and holds a second's worth.
///
/// One number says until when it is used up. Two CPUs that take at once may pay for one: the budget bounds a cost, it is
/// no promise.
#[inline(always)]
fn may_link() -> bool {
    const SECOND: u64 = 1_000_000_000;
    let Some(used) = LINKS.get_ptr_mut(0) else {
        return false;
    };
    let now = ring::ticks() * u64::from(setting!(tick));
    // SAFETY: eight bytes of a map value, aligned.
    let until = unsafe { core::ptr::read_volatile(used) };
    if until > now {
        return false;
    }
    let since = if until + SECOND < now {
        now - SECOND
    } else {
        until
    };
    let until = since + setting!(link_interval);
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(used, until) };
    true
}
