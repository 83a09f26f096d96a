//! `CommandComplete`: command and row count from its tag.

use super::messages::READY_LENGTH;
use crate::{bytes::Window, record::CommandTag};

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
        _ => return (CommandTag::Other, 0),
    };
    let mut value = 0u64;
    let mut scale = 1u64;
    // Digits from the NUL backwards; 2^64 has twenty.
    let mut at = position + length - 1;
    for _ in 0..20 {
        at -= 1;
        let digit = window.byte(at).wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_add(u64::from(digit).wrapping_mul(scale));
        scale = scale.wrapping_mul(10);
    }
    (tag, value)
}

const SELE: u32 = u32::from_le_bytes(*b"SELE");
const INSE: u32 = u32::from_le_bytes(*b"INSE");
const UPDA: u32 = u32::from_le_bytes(*b"UPDA");
const DELE: u32 = u32::from_le_bytes(*b"DELE");
const MERG: u32 = u32::from_le_bytes(*b"MERG");
const FETC: u32 = u32::from_le_bytes(*b"FETC");
const MOVE: u32 = u32::from_le_bytes(*b"MOVE");
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

/// Longest `CommandComplete` that is looked for from its end: `length` field of header plus tag.
const LONGEST: u32 = 48;

/// A `CommandComplete` between `floor` and the `ReadyForQuery` that ends at `end`: its whole length, or zero.
#[inline(always)]
pub fn completion_before(window: &mut Window, end: u32, floor: u32) -> u32 {
    let end = end - READY_LENGTH;
    // The shortest tags ("DO", "SET") make a length field of 7; from there upwards, the true header comes first.
    for length in 7..LONGEST {
        let start = end - length - 1;
        if start < floor {
            break;
        }
        if window.byte(start) == b'C' && window.be32(start + 1) == length {
            return length + 1;
        }
    }
    0
}
