//! SQLSTATE: why a statement failed, five letters or digits, in a number.

use crate::bytes::{Window, swar};

/// Bytes of an error's fields in which its code is looked for: severity, in the server's language and not, comes first.
pub const LOOKED_AT: u32 = 64;

/// The packed code of the `ErrorResponse` whose fields lie between `start` and `end` of the window; zero: none was found.
///
/// A field is its type, a text without NUL, and a NUL: the first `C` right behind a NUL is the code's type.
#[inline(always)]
pub fn find(window: &mut Window, start: u32, end: u32) -> u32 {
    let mut at = start;
    let mut looked = 0;
    while looked < LOOKED_AT {
        let ends = swar::exactly_zero(window.le64(at));
        let codes = swar::exactly_zero(window.le64(at + 1) ^ (swar::ONES * u64::from(b'C')));
        let found = ends & codes;
        if found != 0 {
            let code = at + swar::length(swar::mask_before(found)) + 2;
            let word = window.le64(code);
            // Its five bytes and their NUL.
            return if code + 6 <= end && word >> 40 & 0xff == 0 {
                pack(word)
            } else {
                0
            };
        }
        at += 8;
        looked += 8;
    }
    0
}

/// Five bytes, the first in the lowest bits, as a number of five digits to the base 36; zero where they are no code, and of
/// `00000`, which is none of an error.
#[inline(always)]
pub fn pack(word: u64) -> u32 {
    let mut number = 0;
    let mut i = 0;
    while i < 5 {
        let byte = (word >> (i * 8)) as u8;
        let digit = if byte.is_ascii_digit() {
            byte - b'0'
        } else if byte.is_ascii_uppercase() {
            byte - b'A' + 10
        } else {
            return 0;
        };
        number = number * 36 + u32::from(digit);
        i += 1;
    }
    number
}

/// The five letters or digits of a packed code; `None` of zero.
pub fn unpack(mut number: u32) -> Option<[u8; 5]> {
    if number == 0 || number >= 36_u32.pow(5) {
        return None;
    }
    let mut code = [0; 5];
    for byte in code.iter_mut().rev() {
        *byte = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(number % 36) as usize];
        number /= 36;
    }
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::BASE;

    fn found(fields: &[u8]) -> Option<String> {
        let mut window = Window::boxed();
        for (i, byte) in fields.iter().enumerate() {
            window.set(BASE + i as u32, *byte);
        }
        // What lies behind must not matter.
        for (i, byte) in b"\0C99999\0C99999\0".iter().enumerate() {
            window.set(BASE + (fields.len() + i) as u32, *byte);
        }
        let number = find(&mut window, BASE, BASE + fields.len() as u32);
        unpack(number).map(|code| String::from_utf8(code.to_vec()).expect("ASCII"))
    }

    #[test]
    fn the_code_is_found_behind_any_severity() {
        for severity in [
            "ERROR",
            "FEHLER",
            "FATAL",
            "E",
            "ОШИБКА",
            "エラー",
            "C",
            "CC22012",
            "\u{1}C\u{1}",
        ] {
            for code in ["42P01", "22012", "XX000", "0A000", "ZZZZZ", "00001"] {
                let fields = format!("S{severity}\0VERROR\0C{code}\0Mmessage\0\0");
                assert_eq!(found(fields.as_bytes()).as_deref(), Some(code), "{fields}");
                // Servers before 9.6, and others that speak the protocol.
                let fields = format!("S{severity}\0C{code}\0Mmessage\0\0");
                assert_eq!(found(fields.as_bytes()).as_deref(), Some(code), "{fields}");
            }
        }
    }

    #[test]
    fn what_is_no_code_is_none() {
        for fields in [
            "SERROR\0VERROR\0Mno code\0\0",
            "SERROR\0C42p01\0M\0\0",
            "SERROR\0C42P0\0M\0\0",
            "SERROR\0C42P012\0M\0\0",
            "SERROR\0C00000\0M\0\0",
            "SERROR\0C42P0",
            "SERROR\0C42P01",
            "SERROR\0C",
            "SERROR\0",
            "",
        ] {
            assert_eq!(found(fields.as_bytes()), None, "{fields}");
        }
        let late = format!("S{}\0C42P01\0\0", "x".repeat(100));
        assert_eq!(found(late.as_bytes()), None);
        assert_eq!((unpack(0), unpack(u32::MAX)), (None, None));
    }
}
