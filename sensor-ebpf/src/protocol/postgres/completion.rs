//! `CommandComplete`: command and row count from its tag.

use super::messages::{HEADER, READY_LENGTH};
use crate::{
    bytes::{Window, swar},
    record::CommandTag,
};

/// Command and count of the tag whose `length` bytes (its NUL included) begin at `position`.
#[inline(always)]
pub fn parse_tag(window: &mut Window, position: u32, length: u32) -> (CommandTag, u64) {
    let word = window.le64(position);
    let tag = match word as u32 {
        SELE => CommandTag::Select,
        INSE => CommandTag::Insert,
        UPDA => CommandTag::Update,
        DELE => CommandTag::Delete,
        MERG => CommandTag::Merge,
        FETC => CommandTag::Fetch,
        MOVE => CommandTag::Move,
        COPY => CommandTag::Copy,
        BEGI | STAR => return (CommandTag::Transaction, 0),
        // Not "COMMENT", not "COMMIT PREPARED".
        COMM if word & 0xff_ffff_ffff_ffff == COMMIT => return (CommandTag::Transaction, 0),
        // "SET" and "SET CONSTRAINTS".
        other if other & 0xff_ffff == SET => return (CommandTag::Set, 0),
        _ => return (CommandTag::Other, 0),
    };
    (tag, count_before(window, position + length - 1))
}

/// The decimal number whose last digit stands right before `end`; sixteen digits at most.
#[inline(always)]
fn count_before(window: &mut Window, end: u32) -> u64 {
    let (low, digits) = eight_digits(window.le64(end - 8));
    if digits < 8 {
        return low;
    }
    let (high, _) = eight_digits(window.le64(end - 16));
    high * 100_000_000 + low
}

/// Value and number of the digits at the end of eight bytes (the last byte in the highest bits).
///
/// Straight-line code: a loop over digits is a branch a digit to the verifier, and it follows all of them.
/// The multiplications are Johnny Lee's and Daniel Lemire's ("Quickly parsing eight digits", 2018).
#[inline(always)]
fn eight_digits(word: u64) -> (u64, u32) {
    let digits = swar::length(swar::mask_before(swar::not_digit(word.swap_bytes())));
    // Bytes in front of the digits become zeros.
    let other = if digits == 8 {
        0
    } else {
        u64::MAX >> (digits * 8)
    };
    let word = (word & !other | 0x3030_3030_3030_3030 & other).wrapping_sub(0x3030_3030_3030_3030);
    let pairs = word.wrapping_mul(10).wrapping_add(word >> 8);
    let high = (pairs & 0xff_0000_00ff).wrapping_mul(0xf_4240_0000_0064);
    let low = (pairs >> 16 & 0xff_0000_00ff).wrapping_mul(0x2710_0000_0001);
    (high.wrapping_add(low) >> 32, digits)
}

const SELE: u32 = u32::from_le_bytes(*b"SELE");
const INSE: u32 = u32::from_le_bytes(*b"INSE");
const UPDA: u32 = u32::from_le_bytes(*b"UPDA");
const DELE: u32 = u32::from_le_bytes(*b"DELE");
const MERG: u32 = u32::from_le_bytes(*b"MERG");
const FETC: u32 = u32::from_le_bytes(*b"FETC");
const MOVE: u32 = u32::from_le_bytes(*b"MOVE");
const BEGI: u32 = u32::from_le_bytes(*b"BEGI");
const COMM: u32 = u32::from_le_bytes(*b"COMM");
const STAR: u32 = u32::from_le_bytes(*b"STAR");
const COMMIT: u64 = u64::from_le_bytes(*b"COMMIT\0\0");
const SET: u32 = u32::from_le_bytes(*b"SET\0");
const COPY: u32 = u32::from_le_bytes(*b"COPY");

/// Do the bytes before `end` look like a `ReadyForQuery`?
#[inline(always)]
pub fn ends_ready(window: &mut Window, end: u32) -> bool {
    // Type, length 5 and status as one word, the first byte of the eight masked away with the byte before it.
    let word = window.le64(end - 8) >> 16;
    let status = (word >> 40) as u8;
    word & 0xff_ffff_ffff == READY && (status == b'I' || status == b'T' || status == b'E')
}

const READY: u64 = u64::from_le_bytes(*b"Z\0\0\0\x05\0\0\0");

/// Length of [`single_digit`]'s `CommandComplete`.
pub const SINGLE_DIGIT: u32 = 14;

/// The count of a `SELECT` of up to nine rows whose `CommandComplete` and `ReadyForQuery` end at `end`: most look-ups, told
/// by three words instead of a search for where the tag begins.
#[inline(always)]
pub fn single_digit(window: &mut Window, end: u32) -> Option<u64> {
    const HEAD: u64 = u64::from_le_bytes(*b"C\0\0\0\x0dSEL");
    const MIDDLE: u64 = u64::from_le_bytes(*b"ECT \0\0Z\0");
    const DIGIT: u64 = 0xff_0000_0000;
    let middle = window.le64(end - 12);
    let digit = (middle >> 32 & 0xff).wrapping_sub(u64::from(b'0'));
    (window.le64(end - 20) == HEAD && middle & !DIGIT == MIDDLE && digit < 10).then_some(digit)
}

/// A `CommandComplete` between `floor` and the `ReadyForQuery` that ends at `end`: its whole length, or zero.
#[inline(always)]
pub fn completion_before(window: &mut Window, end: u32, floor: u32) -> u32 {
    let nul = end - READY_LENGTH - 1;
    if window.byte(nul) != 0 {
        return 0;
    }
    // Backwards from the tag's NUL, the next zero is the last but one byte of the message's length: no tag holds one,
    // nor is one as long as 256.
    let mut tag = 0;
    let mut at = nul;
    let mut word = 0;
    // Tags end within three words ("INSERT 0 " and thirteen digits); written out because the verifier follows every
    // turn of a loop.
    while word < 3 {
        at -= 8;
        let length = swar::length(swar::mask_before(swar::zero(window.le64(at).swap_bytes())));
        tag += length;
        if length < 8 {
            break;
        }
        word += 1;
    }
    // The length's last byte was counted in, the NUL was not.
    let total = HEADER + tag;
    let start = nul + 1 - total;
    if start >= floor && window.byte(start) == b'C' && window.be32(start + 1) == total - 1 {
        total
    } else {
        0
    }
}
