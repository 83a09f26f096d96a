//! Bytes and words of a text.

use crate::bytes::{Window, swar};

/// Bytes that are neither letter, underscore nor space, and a few that are: nearly all words of a statement have none, and
/// this takes a third of what [`stops`] takes. Zero only where `stops` is.
#[inline(always)]
pub fn unusual(word: u64) -> u64 {
    const SIXTH: u64 = 0x4040_4040_4040_4040;
    const LOW: u64 = 0x1f1f_1f1f_1f1f_1f1f;
    // Without bit 6, only the space has bit 5 and none below.
    let low = (word & LOW).wrapping_add(LOW) << 1;
    !word & SIXTH & (low | !(word << 1))
}

/// Bytes at which something else than code may begin, or code that is looked at byte by byte.
#[inline(always)]
pub fn stops(word: u64) -> u64 {
    // Digits, ':' and ';' are 0x30..0x3b; '$%&\'' differ in the two low bits, '-' and '/' in one.
    swar::below(word ^ 0x3030_3030_3030_3030, 12)
        | swar::equal(word | 0x0303_0303_0303_0303, 0x27)
        | swar::equal(word | 0x0202_0202_0202_0202, 0x2f)
        | swar::zero(word)
}

/// The same by MySQL's rules.
#[inline(always)]
pub fn mysql_stops(word: u64) -> u64 {
    // '"' and '#' differ in the lowest bit.
    stops(word)
        | swar::equal(word | swar::ONES, b'#')
        | swar::equal(word, b'`')
        | swar::equal(word, b'?')
}

/// Of these stops, those that are no digit inside a word (`column_12`). As in [`swar`], the lowest is exact.
#[inline(always)]
pub fn real(word: u64, stops: u64, in_word: bool) -> u64 {
    let digits = swar::digits(word);
    if digits & stops == 0 {
        return stops;
    }
    // A run of digits is in a word when it begins behind a byte of one: adding one there carries through the run.
    let run = (digits >> 7) * 0xff;
    let begins = (swar::letters(word) << 1 | u64::from(in_word)) & (digits >> 7);
    let inside = !run.wrapping_add(begins) & run;
    stops & !inside
}

/// May it be a part of an identifier?
#[inline(always)]
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Double quotes: a bit for each.
#[inline(always)]
pub fn double_quotes(word: u64) -> u64 {
    swar::exactly_zero(word ^ (swar::ONES * u64::from(b'"')))
}

/// Is the number of double quotes odd, of whose words these are the bits, exclusively ored? Then a name is open.
#[inline(always)]
pub fn is_odd(quotes: u64) -> bool {
    (quotes >> 7).wrapping_mul(swar::ONES) >> 56 & 1 != 0
}

/// The two bytes of a text in front of `position`, the nearer one first; zero in front of the text, which begins at `start`.
#[inline(always)]
pub fn before(window: &mut Window, start: u32, position: u32) -> [u8; 2] {
    let inside = position.wrapping_sub(start);
    [
        if inside >= 1 {
            window.byte(position - 1)
        } else {
            0
        },
        if inside >= 2 {
            window.byte(position - 2)
        } else {
            0
        },
    ]
}

/// Does a quote behind these bytes, of which the nearer is of a word, begin a literal with escapes (`E'…'`)?
#[inline(always)]
pub fn is_escape([near, far]: [u8; 2]) -> bool {
    near | 0x20 == b'e' && !is_word(far)
}

/// Does a dollar sign in front of `next` begin a quote (`$$…$$`, `$tag$…$tag$`), and is none of a word or a parameter's?
#[inline(always)]
pub fn is_dollar_quote(in_word: bool, next: u8) -> bool {
    !in_word && (next == b'$' || is_word(next) && !next.is_ascii_digit())
}

/// Is this code, all that stands between two literals, what separates those of a list?
#[inline(always)]
pub fn is_separator(code: u64) -> bool {
    const COMMA: u64 = b',' as u64;
    const COMMA_SPACE: u64 = u64::from_le_bytes(*b", \0\0\0\0\0\0");
    const TUPLE: u64 = u64::from_le_bytes(*b"),(\0\0\0\0\0");
    const TUPLE_SPACE: u64 = u64::from_le_bytes(*b"), (\0\0\0\0");
    code == COMMA || code == COMMA_SPACE || code == TUPLE || code == TUPLE_SPACE
}

/// Does a minus between these bytes belong to the number behind it? It does behind an operator that ends with a blank, a
/// bracket or a comma: there it cannot subtract. Right behind an operator it may be a part of that.
#[inline(always)]
pub fn is_sign([near, far]: [u8; 2], next: u8) -> bool {
    if !next.is_ascii_digit() {
        return false;
    }
    if near == b' ' {
        matches!(far, b'(' | b',' | b'=' | b'<' | b'>' | b'+' | b'*')
    } else {
        near == b'(' || near == b','
    }
}
