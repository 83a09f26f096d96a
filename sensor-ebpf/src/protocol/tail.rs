//! The end of a send, kept for the next one: the beginning of a message, or what may be a response's end.

use super::Surroundings;
use crate::{
    bytes::{load64, store64},
    connection::{Connection, TAIL},
};

/// Keeps the 64 bytes at `position` of the window.
#[inline(always)]
pub fn keep_tail<S: Surroundings>(s: &mut S, c: &mut Connection, position: u32) {
    let mut i = 0;
    while i < TAIL {
        let word = s.window().le64(position + i as u32);
        // SAFETY: i + 8 <= TAIL, a multiple of eight.
        unsafe { store64(c.tail.as_mut_ptr().add(i), word) };
        i += 8;
    }
}

/// Puts the kept bytes at `position` of the window.
#[inline(always)]
pub fn restore_tail<S: Surroundings>(s: &mut S, c: &Connection, position: u32) {
    let mut i = 0;
    while i < TAIL {
        // SAFETY: as above.
        let word = unsafe { load64(c.tail.as_ptr().add(i)) };
        s.window().set_le64(position + i as u32, word);
        i += 8;
    }
}
