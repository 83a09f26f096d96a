//! Query attributes: named values that a client of MySQL 8 may put in front of a statement's text.
//!
//! Source: `parse_query_bind_params` and `get_ps_param_len` in MySQL's sql/protocol_classic.cc. They alone say where the text
//! begins, so what they refuse is refused here, and lengths are cut as they cut them.

use super::packets::number;
use crate::{
    bytes::Window,
    loops::{Step, repeat},
    scratch::Scratch,
};

/// Attributes that are passed over; the server takes 65,535.
const MOST: u32 = 128;

/// Bytes of a value by its type, four bits for each of the first sixteen types; [`TOLD`] for those that say their length.
const SIZES: u64 = 0xffff_fff8_ff84_421f;
/// See [`SIZES`]. So do all later types.
const TOLD: u64 = 0xf;

/// First byte of a length that is none.
const NO_LENGTH: u8 = 0xff;

/// The pass over them. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// How many.
    count: u32,
    /// So many names, then so many values, are passed over.
    passed: u32,
    /// A bit for each that has no value.
    nulls: u32,
    /// Type and name of the first.
    types: u32,
    /// Those of the one at hand.
    name: u32,
    /// Its value.
    value: u32,
    /// End of the packet, as far as it is at hand.
    end: u32,
}

/// In front of a text: how many attributes there are, and in how many sets.
const NO_ATTRIBUTES: u32 = 0x0100;
/// First byte of a number that takes several.
const LONG_NUMBER: u8 = 0xfb;

/// Where the text of a query begins, whose client puts attributes in front (`says_so`) or may do so; zero when that is not found: then
/// what is there may hold values, which are nobody's to see.
#[inline(always)]
pub fn text_start(scratch: &mut Scratch, start: u32, end: u32, says_so: bool) -> u32 {
    let word = scratch.window.le64(start) as u32;
    let first = word as u8;
    let is_one_set = (word >> 8) as u8 == 1;
    // No text that a server runs begins with such a byte, or goes on with a one behind one that is no comment's. So what older
    // connections agreed upon shows, too, and a server that takes no attributes gets texts, whatever its client says.
    let begins_with_attributes =
        first < 9 || is_one_set && (says_so || first < b' ') || says_so && first >= LONG_NUMBER;
    if end <= start || !begins_with_attributes {
        return start;
    }
    if word & 0xffff == NO_ATTRIBUTES && end > start + 1 {
        return start + 2;
    }
    behind(scratch, start, end)
}

/// Where the text begins behind the attributes from `start` on, which come to `end` at the most; zero when that is not found.
#[inline(always)]
fn behind(scratch: &mut Scratch, start: u32, end: u32) -> u32 {
    let (count, behind) = number(&mut scratch.window, start);
    let (sets, behind) = number(&mut scratch.window, behind);
    if sets != 1 || behind > end || count > u64::from(MOST) {
        return 0;
    }
    let count = count as u32;
    if count == 0 {
        return behind;
    }
    // Behind the bits stands that types follow.
    let types = behind + count.div_ceil(8) + 1;
    scratch.attributes = Attributes {
        count,
        passed: 0,
        nulls: behind,
        types,
        name: types,
        value: 0,
        end,
    };
    let mut pass = Pass(scratch);
    repeat(2 * MOST, &mut pass);
    let Attributes { passed, value, .. } = pass.0.attributes;
    if passed == 2 * count { value } else { 0 }
}

struct Pass<'a>(&'a mut Scratch);

impl Step for Pass<'_> {
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Attributes {
            count,
            passed,
            nulls,
            types,
            name,
            value,
            end,
        } = self.0.attributes;
        let window = &mut self.0.window;
        let named = forward(window, name + 2, end);
        if named == 0 {
            return false;
        }
        let state = &mut self.0.attributes;
        state.name = named;
        state.passed = passed + 1;
        if passed < count {
            if passed + 1 == count {
                state.value = named;
                state.name = types;
            }
            return true;
        }
        let index = passed - count;
        let window = &mut self.0.window;
        if window.byte(nulls + index / 8) >> (index & 7) & 1 == 0 {
            let kind = window.le64(name) as u32 & 0x7fff;
            let size = if kind < 16 {
                SIZES >> (kind * 4) & 0xf
            } else {
                TOLD
            };
            let behind = if size == TOLD {
                forward(window, value, end)
            } else {
                value + size as u32
            };
            if behind == 0 || behind > end {
                self.0.attributes.passed = 0;
                return false;
            }
            self.0.attributes.value = behind;
        }
        passed + 1 < 2 * count
    }
}

/// Behind what begins at `position` with its length; zero when that is not before `end`.
#[inline(always)]
fn forward(window: &mut Window, position: u32, end: u32) -> u32 {
    let (length, behind) = number(window, position);
    // Four bytes of eight count.
    let length = length as u32;
    if behind > end || length > end - behind || window.byte(position) == NO_LENGTH {
        return 0;
    }
    behind + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::BASE;

    const TEXT: &[u8] = b"SELECT 1";

    fn found(packet: &[u8], garbage: u8) -> u32 {
        let mut scratch = Scratch::boxed();
        for (i, byte) in packet.iter().enumerate() {
            scratch.window.set(BASE + i as u32, *byte);
        }
        scratch.window.spoil(BASE + packet.len() as u32, garbage);
        behind(&mut scratch, BASE, BASE + packet.len() as u32)
    }

    /// Where the text begins, which must be `TEXT`.
    fn check(attributes: &[u8]) {
        let packet = [attributes, TEXT].concat();
        let expected = BASE + attributes.len() as u32;
        assert_eq!(found(&packet, 0xff), expected, "{attributes:?}");
    }

    /// A type, a name, and a value, if it has one.
    type Attribute<'a> = (u16, &'a [u8], Option<&'a [u8]>);

    const NUMBER: Attribute<'_> = (8, b"k", Some(&[9; 8]));

    fn encoded(attributes: &[Attribute<'_>]) -> Vec<u8> {
        let mut packet = vec![attributes.len() as u8, 1];
        for eight in attributes.chunks(8) {
            let bits = eight
                .iter()
                .enumerate()
                .map(|(i, (.., value))| u8::from(value.is_none()) << i);
            packet.push(bits.sum());
        }
        packet.push(1);
        for (kind, name, _) in attributes {
            packet.extend(kind.to_le_bytes());
            packet.push(name.len() as u8);
            packet.extend(*name);
        }
        for (.., value) in attributes {
            packet.extend(value.unwrap_or_default());
        }
        packet
    }

    /// One of each type that clients use.
    fn several() -> Vec<u8> {
        encoded(&[
            (254, b"traceparent", Some(b"\x05hello")),
            (1, b"tiny", Some(&[7])),
            (2, b"", Some(&[7; 2])),
            (3, b"long", Some(&[7; 4])),
            (0x8008, b"unsigned", Some(&[7; 8])),
            (4, b"float", Some(&[7; 4])),
            (5, b"double", Some(&[7; 8])),
            (253, b"none", None),
            (6, b"null", None),
            (
                12,
                b"date and time",
                Some(b"\x07\xe8\x07\x01\x02\x03\x04\x05"),
            ),
            (11, b"time", Some(&[0])),
            (246, b"decimal", Some(b"\x041.25")),
            (252, b"blob", Some(b"\xfc\x03\x00abc")),
        ])
    }

    #[test]
    fn the_text_is_found_behind_values_of_all_types() {
        check(&[0, 1]);
        check(&several());
        let long = [&b"\xfc\x00\x02"[..], &[b'x'; 512]].concat();
        check(&encoded(&[
            (254, b"a", Some(&long)),
            (254, b"b", Some(&[0])),
        ]));
        check(&encoded(&[NUMBER; MOST as usize]));
    }

    #[test]
    fn what_is_cut_off_or_refused_is_not_found() {
        let whole = several();
        for length in 0..whole.len() {
            for garbage in [0, 1, 0xff] {
                assert_eq!(found(&whole[..length], garbage), 0, "{length}");
            }
        }
        // A text, two sets, too many, and a length that is none.
        for packet in [
            &b"SELECT 1"[..],
            b"\0\x02SELECT 1",
            &encoded(&[NUMBER; MOST as usize + 1]),
            &encoded(&[(254, b"k", Some(b"\xffxxxxxxxxxxx"))]),
        ] {
            assert_eq!(found(packet, 0), 0, "{packet:?}");
        }
    }
}
