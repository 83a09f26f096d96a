//! Numbers in front of what is counted by them.

use crate::bytes::{Window, swar};

/// What stands for `-1`: nothing is there.
pub const NULL: u64 = u64::MAX;

/// Digits, `\r` and `\n` at the most: with so many bytes at hand a number that is none is no number.
pub const LONGEST: u32 = 16;

const DIGITS: u64 = 0x0f0f_0f0f_0f0f_0f0f;

/// The number at `at` and the position behind its line; that is zero when it is none, or too large for anything. Bytes that are
/// not at hand may have been read: the position behind tells.
#[inline(always)]
pub fn number(window: &mut Window, at: u32) -> (u64, u32) {
    let word = window.le64(at);
    let mask = swar::mask_before(swar::not_digit(word));
    let mut digits = swar::length(mask);
    if digits == 0 {
        const MINUS_ONE: u64 = u32::from_le_bytes(*b"-1\r\n") as u64;
        let is_null = word & 0xffff_ffff == MINUS_ONE;
        return (NULL, if is_null { at + 4 } else { 0 });
    }
    // The digits flush with the end of a word, zeros in front of them.
    let mut value = value(word << ((64 - digits * 8) & 63));
    if digits == 8 {
        let word = window.le64(at + 8);
        let more = swar::length(swar::mask_before(swar::not_digit(word)));
        if more > 3 {
            return (0, 0);
        }
        let mut i = 0;
        while i < 3 {
            if i < more {
                value = value * 10 + (word >> (i * 8) & 15);
            }
            i += 1;
        }
        digits += more;
    }
    let behind = at + digits;
    // As the server has it, which passes over the next byte, whatever it is.
    if window.byte(behind) != b'\r' {
        return (0, 0);
    }
    (value, behind + 2)
}

/// Of eight digits, the first in the lowest byte.
#[inline(always)]
fn value(word: u64) -> u64 {
    let pairs = (word & DIGITS).wrapping_mul(10 << 8 | 1) >> 8 & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::BASE;

    fn read(text: &str) -> (u64, u32) {
        let mut window = Window::boxed();
        for (i, byte) in text.bytes().enumerate() {
            window.set(BASE + i as u32, byte);
        }
        let (value, behind) = number(&mut window, BASE);
        (value, behind.saturating_sub(BASE))
    }

    #[test]
    fn reads_numbers() {
        for value in [
            0,
            1,
            9,
            10,
            42,
            999,
            1000,
            65_535,
            1_234_567,
            12_345_678,
            123_456_789,
            4_294_967_295,
            99_999_999_999u64,
        ] {
            let text = format!("{value}\r\nx");
            assert_eq!(read(&text), (value, text.len() as u32 - 1), "{text}");
        }
        assert_eq!(read("12\rx"), (12, 4));
        assert_eq!(read("-1\r\n"), (NULL, 4));
        for text in [
            "",
            "\r\n",
            "-2\r\n",
            "1\n",
            "1x\r\n",
            "x",
            "123456789012\r\n",
            "12345678",
        ] {
            assert_eq!(read(text).1, 0, "{text}");
        }
    }
}
