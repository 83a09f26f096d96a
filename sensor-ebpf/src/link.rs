//! The application's trace in a comment at a statement's end, as sqlcommenter writes it:
//! `/*action='…',traceparent='00-…-…-01'*/`, with a `tracestate='…'` behind it or not.
//!
//! Equal statements have one fingerprint and their text leaves once; this leaves each time, within a budget.

use crate::bytes::{Window, swar};

/// Length of a traceparent.
pub const LENGTH: u32 = 55;
/// Bytes of a `tracestate` that are passed over at the most.
const TRACESTATE: u32 = 512;

const COMMENT_ENDS: u64 = 0x2f_2a27; // '*/
const TRACEPAR: u64 = u64::from_le_bytes(*b"tracepar");
const PARENT: u64 = u64::from_le_bytes(*b"parent='");
const ESTATE: u64 = u64::from_le_bytes(*b"estate='");
/// `',tracestate='`: from the traceparent's closing quote to behind the opening one of the other.
const BETWEEN: u32 = 14;

/// The number of a connection's next link, behind this one's. Never zero, which is none.
#[inline(always)]
pub fn next(number: u8) -> u8 {
    if number == u8::MAX { 1 } else { number + 1 }
}

/// May the text that ends at `end` end in such a comment? A semicolon, or another byte, may follow.
#[inline(always)]
pub fn may_end_in(window: &mut Window, end: u32) -> bool {
    let word = window.le64(end - 8);
    word >> 40 == COMMENT_ENDS || word >> 32 & 0xff_ffff == COMMENT_ENDS
}

/// Where the traceparent lies in the text from `start` to `end`, of which [`may_end_in`] is true; zero where there is none,
/// or the application does not sample its trace.
#[inline(always)]
pub fn find(window: &mut Window, start: u32, end: u32) -> u32 {
    let last = if window.byte(end - 1) == b'/' { 3 } else { 4 };
    let mut quote = end - last;
    if !is_traceparent(window, quote) {
        let opened = opening(window, quote);
        if window.le64_or_any(opened.wrapping_sub(8)) != ESTATE {
            return 0;
        }
        quote = opened.wrapping_sub(BETWEEN);
        if !is_traceparent(window, quote) {
            return 0;
        }
    }
    let value = quote.wrapping_sub(LENGTH);
    // The key's name, and what opens the comment.
    if value < start + 15 || value > end {
        return 0;
    }
    // Hexadecimal: of digits the odd ones end in a one, of letters the others.
    let flags = window.byte(value + LENGTH - 1);
    let sampled = (flags & 1 != 0) == flags.is_ascii_digit();
    if sampled { value } else { 0 }
}

/// Is what ends at the quote a traceparent's value?
#[inline(always)]
fn is_traceparent(window: &mut Window, quote: u32) -> bool {
    let value = quote.wrapping_sub(LENGTH);
    window.le64_or_any(value.wrapping_sub(13)) == TRACEPAR
        && window.le64_or_any(value.wrapping_sub(8)) == PARENT
        && window.byte_or_any(quote) == b'\''
}

/// Behind the quote that opens the value which ends at `quote`.
#[inline(always)]
fn opening(window: &mut Window, quote: u32) -> u32 {
    let mut at = quote;
    let mut passed = 0;
    while passed < TRACESTATE {
        let word = window.le64_or_any(at.wrapping_sub(8)).swap_bytes();
        let length = swar::length(swar::mask_before(swar::equal(word, b'\'')));
        at = at.wrapping_sub(length);
        if length < 8 {
            break;
        }
        passed += 8;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::BASE;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

    fn found(text: &str) -> Option<String> {
        let mut window = Window::boxed();
        // What lies around must not matter.
        for (i, byte) in b"/*traceparent='".iter().enumerate() {
            window.set(BASE - 15 + i as u32, *byte);
        }
        for (i, byte) in text.bytes().enumerate() {
            window.set(BASE + i as u32, byte);
        }
        let end = BASE + text.len() as u32;
        for (i, byte) in b"'*/'*/".iter().enumerate() {
            window.set(end + i as u32, *byte);
        }
        if !may_end_in(&mut window, end) {
            return None;
        }
        let value = find(&mut window, BASE, end);
        (value > 0).then(|| {
            let bytes = (0..LENGTH).map(|i| window.byte(value + i)).collect();
            String::from_utf8(bytes).expect("ASCII")
        })
    }

    #[test]
    fn a_traceparent_in_the_last_comment_is_found() {
        let parent = format!("{PARENT}-01");
        for state in [0, 1, 7, 8, 9, 100, 500] {
            let state = format!(",tracestate='{}'", "x".repeat(state));
            for state in ["", &state] {
                for before in [
                    "SELECT 1 /*",
                    "/*",
                    "SELECT 'it''s' /*action='a',route='%2Fb',",
                ] {
                    for end in ["", ";", " ", "\n"] {
                        let text = format!("{before}traceparent='{parent}'{state}*/{end}");
                        assert_eq!(found(&text).as_deref(), Some(&*parent), "{text}");
                    }
                }
            }
        }
        for flags in ["03", "09", "0b", "ff"] {
            let text = format!("SELECT 1 /*traceparent='{PARENT}-{flags}'*/");
            assert!(found(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn all_else_is_none() {
        for text in [
            format!("SELECT 1 /*traceparent='{PARENT}-00'*/"),
            format!("SELECT 1 /*traceparent='{PARENT}-02'*/"),
            format!("SELECT 1 /*traceparent='{PARENT}-0a'*/"),
            format!("SELECT 1 /*traceparent='{PARENT}-01'*/ FROM t"),
            format!("SELECT 1 /*traceparent='{PARENT}-01',route='x'*/"),
            format!("SELECT 1 /*traceparent='{PARENT}-01'*/ /*x='y'*/"),
            format!("SELECT 1 /*traceparent='{}'*/", &PARENT[1..]),
            format!(
                "SELECT 1 /*traceparent='{PARENT}-01',tracestate='{}'*/",
                "x".repeat(600)
            ),
            "SELECT 1 /*action='x'*/".to_owned(),
            "SELECT 1 /*x*/".to_owned(),
            // The key's name lies in front of the text.
            format!("{PARENT}-01'*/"),
            "'*/".to_owned(),
            String::new(),
        ] {
            assert_eq!(found(&text), None, "{text}");
        }
    }
}
