//! A hash of a statement that does not see its literals.
//!
//! The lexer is approximate on purpose: where it takes a literal for code (dollar quotes, exponents, nested comments)
//! one statement gets several fingerprints, and userspace, which normalises each text with PostgreSQL's own grammar,
//! finds them to be one shape. What must not happen is that statements on different tables get one fingerprint; code is
//! therefore always hashed, with keys drawn at start, so that a collision cannot be crafted.

use crate::{
    bytes::{Window, barrier, swar},
    loops::{Step, repeat},
    scratch::Scratch,
};

/// Bytes of a statement that are hashed and captured.
pub const CAPTURE: u32 = 4096;

/// Result of [`fingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    /// The fingerprint, never zero.
    pub fingerprint: u64,
    /// Length of the text in bytes, up to its NUL or the limit.
    pub length: u32,
    /// Code follows a semicolon: more than one statement, or it looks so.
    pub several: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    Code = 0,
    Number,
    Quote,
    EscapeQuote,
    BlockComment,
    LineComment,
}

/// Where the lexer is in a text. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Lexer {
    keys: [u64; 2],
    hash: u64,
    /// Hash right behind the last literal, for taking back the separators of a list of literals.
    mark: u64,
    position: u32,
    end: u32,
    /// What a run of code ended at: the word at `position`, and where in it something may begin.
    word: u64,
    found: u64,
    mode: Mode,
    /// The last byte of code was part of an identifier, so that a digit goes on with it.
    in_word: bool,
    /// Only list separators since the last literal.
    in_list: bool,
    semicolon: bool,
    several: bool,
    /// Literals and comments are code, too: see [`sees_literals`].
    verbatim: bool,
    #[cfg(test)]
    placeholders: u32,
}

impl Lexer {
    /// Begins with the text from `start` to `end`.
    #[inline(always)]
    pub fn begin(&mut self, start: u32, end: u32, keys: [u64; 2]) {
        *self = Self {
            keys,
            position: start,
            end,
            hash: keys[1],
            mark: 0,
            word: 0,
            found: 0,
            mode: Mode::Code,
            in_word: false,
            in_list: false,
            semicolon: false,
            several: false,
            verbatim: false,
            #[cfg(test)]
            placeholders: 0,
        };
    }

    /// Literals so far, lists counted once.
    #[cfg(test)]
    pub fn placeholders(&self) -> u32 {
        self.placeholders
    }

    /// Hash and position so far.
    #[inline(always)]
    pub fn result(&self) -> (u64, u32) {
        (self.hash, self.position)
    }

    #[inline(always)]
    fn mix(&mut self, word: u64, length: u32) {
        self.hash = mix(self.hash, word, length, self.keys[0]);
    }
}

#[inline(always)]
fn mix(hash: u64, word: u64, length: u32, key: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(key);
    (product ^ (product >> 32)).wrapping_add(u64::from(length))
}

impl Scratch {
    /// One step over a NUL-terminated name, every byte of which counts; false at its end.
    #[inline(always)]
    pub fn name_step(&mut self) -> bool {
        let position = self.lexer.position;
        if position >= self.lexer.end {
            return false;
        }
        let word = self.window.le64(position);
        let mask = swar::mask_before(swar::zero(word));
        let length = swar::length(mask);
        self.lexer.mix(word & mask, length);
        self.lexer.position = position + length;
        length == 8
    }
}

/// One pass over a text.
struct Pass<'a> {
    scratch: &'a mut Scratch,
}

impl core::ops::Deref for Pass<'_> {
    type Target = Lexer;
    #[inline(always)]
    fn deref(&self) -> &Lexer {
        &self.scratch.lexer
    }
}

impl core::ops::DerefMut for Pass<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Lexer {
        &mut self.scratch.lexer
    }
}

const COMMA: u64 = b',' as u64;
const COMMA_SPACE: u64 = u64::from_le_bytes(*b", \0\0\0\0\0\0");
const TUPLE: u64 = u64::from_le_bytes(*b"),(\0\0\0\0\0");
const TUPLE_SPACE: u64 = u64::from_le_bytes(*b"), (\0\0\0\0");
/// A literal's end and the next one's beginning: `','` and `', '`.
const NEXT: u64 = u64::from_le_bytes(*b"','\0\0\0\0\0");
const NEXT_SPACE: u64 = u64::from_le_bytes(*b"', '\0\0\0\0");
const PLACEHOLDER: u64 = 0x3f;

impl Pass<'_> {
    /// A literal begins: one placeholder for it, or none if it goes on with a list.
    #[inline(always)]
    fn literal(&mut self) {
        if self.in_list {
            self.hash = self.mark;
        } else {
            self.mix(PLACEHOLDER, 9);
            #[cfg(test)]
            {
                self.placeholders += 1;
            }
            self.mark = self.hash;
            self.in_list = true;
        }
        self.in_word = false;
        if self.semicolon {
            self.several = true;
        }
    }

    /// Hashes the code in front of what a run ended at, then looks at that.
    #[inline(always)]
    fn code(&mut self) -> bool {
        let (word, stops, position) = (self.word, self.found, self.position);
        if position >= self.end {
            return false;
        }
        let mask = swar::mask_before(stops) & self.limit_mask(position);
        let length = swar::length(mask);
        if length > 0 {
            let chunk = word & mask;
            self.mix(chunk, length);
            self.position += length;
            if self.semicolon {
                self.several = true;
            }
            if self.in_list
                && chunk != COMMA
                && chunk != COMMA_SPACE
                && chunk != TUPLE
                && chunk != TUPLE_SPACE
            {
                self.in_list = false;
            }
            let last = (chunk >> ((length * 8 - 8) & 63)) as u8;
            self.in_word = is_word(last);
        }
        if self.position >= self.end {
            return false;
        }
        if length == 8 {
            return true;
        }
        let next = (word >> ((length * 8 + 8) & 63)) as u8;
        // The lookahead of the word's last byte lies in the next word.
        let next = if length == 7 {
            self.scratch.window.byte(self.position + 1)
        } else {
            next
        };
        let byte = (word >> ((length * 8) & 63)) as u8;
        self.stop(byte, next)
    }

    #[inline(always)]
    fn stop(&mut self, byte: u8, next: u8) -> bool {
        if self.verbatim {
            if byte == 0 {
                return false;
            }
        } else if byte.is_ascii_digit() {
            if !self.in_word {
                self.literal();
                self.mode = Mode::Number;
                return true;
            }
        } else if byte == b'\'' {
            // in_word and E: the previous byte of code was the E of E'…'. Other prefixes (B, X, N, U&) hold no escapes
            // that matter here, and a backslash in one of them only costs a second fingerprint.
            let escape = self.in_word && {
                let previous = self.scratch.window.byte(self.position - 1);
                previous | 0x20 == b'e'
            };
            self.mode = if escape {
                Mode::EscapeQuote
            } else {
                Mode::Quote
            };
            self.literal();
            self.position += 1;
            return true;
        } else if byte == b'$' && next.is_ascii_digit() && !self.in_word {
            self.literal();
            self.mode = Mode::Number;
            self.position += 1;
            return true;
        } else if byte == b'/' && next == b'*' {
            self.mode = Mode::BlockComment;
            self.position += 2;
            return true;
        } else if byte == b'-' && next == b'-' {
            self.mode = Mode::LineComment;
            self.position += 2;
            return true;
        } else if byte == 0 {
            return false;
        }
        if self.semicolon {
            self.several = true;
        }
        if byte == b';' {
            self.semicolon = true;
        }
        self.mix(u64::from(byte), 1);
        self.in_list = false;
        self.in_word = is_word(byte) || byte == b'$' && self.in_word;
        self.position += 1;
        self.position < self.end
    }
}

/// Words of plain code, or of a literal, that one step takes at the most. Where the verifier follows each turn of a loop
/// by itself, fewer.
const RUN: u32 = if cfg!(floor) { 4 } else { 8 };

impl Step for Pass<'_> {
    /// The rest of a literal or comment, then code up to the next: each call of a loop's body costs as much as the work
    /// on some words, so a step does as much as the verifier can follow.
    #[inline(always)]
    fn step(&mut self) -> bool {
        if self.mode != Mode::Code && !self.pass_over() {
            return false;
        }
        if self.mode != Mode::Code {
            return true;
        }
        self.run()
    }

    #[cfg(floor)]
    #[inline(always)]
    fn turn(&mut self) -> bool {
        // SAFETY: finds what this step has in maps.
        unsafe { crate::loops::turns::turn_text() != 0 }
    }
}

/// Some steps over the text of [`fingerprint`].
#[cfg(floor)]
#[inline(always)]
pub fn turn(scratch: &mut Scratch) -> bool {
    let mut pass = Pass { scratch };
    let mut taken = 0;
    while taken < crate::loops::STEPS {
        if !pass.step() {
            return false;
        }
        forget();
        taken += 1;
    }
    true
}

impl Pass<'_> {
    /// A mask of the bytes at `position` that are in front of the text's end.
    #[inline(always)]
    fn limit_mask(&self, position: u32) -> u64 {
        let rest = self.end.wrapping_sub(position);
        if rest < 8 {
            (1u64 << ((rest * 8) & 63)) - 1
        } else {
            u64::MAX
        }
    }

    /// Whole words in which nothing may begin, the bulk of a statement; then the word in which something does.
    #[inline(always)]
    fn run(&mut self) -> bool {
        // In locals: through memory, each word would wait for the one before it.
        let (mut hash, mut position) = (self.hash, self.position);
        let (start, end, key) = (position, self.end, self.keys[0]);
        let mut found = 0;
        let mut word = 0;
        let mut taken = 0;
        while taken < RUN {
            word = self.scratch.window.le64(position);
            if unusual(word) != 0 {
                let stops = stops(word);
                if stops != 0 {
                    let in_word = if taken == 0 {
                        self.in_word
                    } else {
                        is_word(self.scratch.window.byte(position - 1))
                    };
                    found = real(word, stops, in_word);
                    if found != 0 {
                        break;
                    }
                }
            }
            if position + 8 > end {
                break;
            }
            hash = mix(hash, word, 8, key);
            position += 8;
            taken += 1;
        }
        self.hash = hash;
        self.position = position;
        self.word = word;
        self.found = found;
        if position != start {
            self.in_word = is_word(self.scratch.window.byte(position - 1));
            // Eight bytes of code are no separator of a list.
            self.in_list = false;
            self.several |= self.semicolon;
        }
        if taken == RUN {
            return position < end;
        }
        forget();
        self.code()
    }

    /// Passes over a literal or comment; false at the text's end.
    #[inline(always)]
    fn pass_over(&mut self) -> bool {
        match self.mode {
            Mode::Code => {}
            Mode::Number => self.number(),
            Mode::Quote => {
                if !self.quote() {
                    return false;
                }
            }
            _ => return self.rare(),
        }
        forget();
        self.position < self.end
    }

    /// A number, and those that follow it in a list.
    #[inline(always)]
    fn number(&mut self) {
        let (mut position, end) = (self.position, self.end);
        let mut taken = 0;
        while taken < RUN && position < end {
            taken += 1;
            let word = self.scratch.window.le64(position);
            let length = swar::length(swar::mask_before(swar::not_digit(word)));
            position += length;
            if length == 8 {
                continue;
            }
            let behind = self.scratch.window.le64(position);
            if behind as u8 == b',' && position + 3 <= end {
                let second = (behind >> 8) as u8;
                if second.is_ascii_digit() {
                    position += 1;
                    continue;
                }
                if second == b' ' && ((behind >> 16) as u8).is_ascii_digit() {
                    position += 2;
                    continue;
                }
            }
            self.mode = Mode::Code;
            break;
        }
        self.position = position;
    }

    /// A quoted literal, and those that follow it in a list; false at a NUL. A doubled quote ends one and begins the next.
    #[inline(always)]
    fn quote(&mut self) -> bool {
        let (mut position, end) = (self.position, self.end);
        let mut taken = 0;
        while taken < RUN && position < end {
            taken += 1;
            let word = self.scratch.window.le64(position);
            let stops = swar::equal(word, b'\'') | swar::zero(word);
            let length = swar::length(swar::mask_before(stops));
            position += length;
            if length == 8 {
                continue;
            }
            let behind = self.scratch.window.le64(position);
            if behind as u8 == 0 {
                self.position = position;
                return false;
            }
            if position + 4 <= end {
                if behind & 0xff_ffff == NEXT {
                    position += 3;
                    continue;
                }
                if behind & 0xffff_ffff == NEXT_SPACE {
                    position += 4;
                    continue;
                }
            }
            position += 1;
            self.mode = Mode::Code;
            break;
        }
        self.position = position;
        true
    }

    /// A literal with escapes or a comment, a word at a time; false at the text's end.
    #[inline(always)]
    fn rare(&mut self) -> bool {
        let mut position = self.position;
        let word = self.scratch.window.le64(position);
        let stops = match self.mode {
            Mode::EscapeQuote => swar::equal(word, b'\'') | swar::equal(word, b'\\'),
            Mode::BlockComment => swar::equal(word, b'*'),
            _ => swar::equal(word, b'\n'),
        };
        let length = swar::length(swar::mask_before(stops | swar::zero(word)));
        position += length;
        if length < 8 && position < self.end {
            let byte = self.scratch.window.byte(position);
            if byte == 0 {
                return false;
            }
            match self.mode {
                Mode::EscapeQuote => {
                    position += 1;
                    if byte == b'\\' {
                        position += 1;
                    } else {
                        self.mode = Mode::Code;
                    }
                }
                Mode::BlockComment => {
                    position += 1;
                    if self.scratch.window.byte(position) == b'/' {
                        position += 1;
                        self.mode = Mode::Code;
                    }
                }
                _ => self.mode = Mode::Code,
            }
        }
        self.position = position;
        position < self.end
    }
}

/// Makes the verifier forget what it knows of the state, as it does with all that goes through memory: it then checks
/// what follows once, not once for every way that leads there.
#[inline(always)]
fn forget() {
    barrier();
}

/// Bytes that are neither letter, underscore nor space, and a few that are: nearly all words of a statement have none, and
/// this takes a third of what [`stops`] takes. Zero only where `stops` is.
#[inline(always)]
fn unusual(word: u64) -> u64 {
    const SIXTH: u64 = 0x4040_4040_4040_4040;
    const LOW: u64 = 0x1f1f_1f1f_1f1f_1f1f;
    // Without bit 6, only the space has bit 5 and none below.
    let low = (word & LOW).wrapping_add(LOW) << 1;
    !word & SIXTH & (low | !(word << 1))
}

/// Bytes at which something else than code may begin, or code that is looked at byte by byte.
#[inline(always)]
fn stops(word: u64) -> u64 {
    // Digits, ':' and ';' are 0x30..0x3b; '$%&\'' differ in the two low bits, '-' and '/' in one.
    swar::below(word ^ 0x3030_3030_3030_3030, 12)
        | swar::equal(word | 0x0303_0303_0303_0303, 0x27)
        | swar::equal(word | 0x0202_0202_0202_0202, 0x2f)
        | swar::zero(word)
}

/// Of these stops, those that are no digit inside a word (`column_12`). As in [`swar`], the lowest is exact.
#[inline(always)]
fn real(word: u64, stops: u64, in_word: bool) -> u64 {
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

#[inline(always)]
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Is the fingerprint of this text one of its literals, too? That of `SET`: which role it sets may stand there, and two roles
/// must not be one.
pub fn sees_literals(text: &[u8]) -> bool {
    match text {
        [a, b, c, d, ..] => begins_with_set(u32::from_le_bytes([*a, *b, *c, *d])),
        _ => false,
    }
}

/// `SET` and a blank.
#[inline(always)]
fn begins_with_set(word: u32) -> bool {
    const SET: u32 = u32::from_le_bytes(*b"set\0");
    let blank = (word >> 24) as u8;
    word & 0xff_ffff | 0x20_2020 == SET && (blank == b' ' || blank == b'\n' || blank == b'\t')
}

/// Where the text ends that lies between `start` and `end`, as far as it is looked at.
#[inline(always)]
pub fn text_end(window: &mut Window, start: u32, end: u32) -> u32 {
    if end - start > CAPTURE {
        start + CAPTURE
    } else if end > start && window.byte(end - 1) == 0 {
        // The text's NUL, but for which nothing would be left to do.
        end - 1
    } else {
        end
    }
}

/// Hashes the text that begins at `start` in the window and ends at its NUL, but no later than `end` and no more than
/// [`CAPTURE`] bytes. `keys` are the secret multiplier (odd) and seed.
#[inline(always)]
pub fn fingerprint(scratch: &mut Scratch, start: u32, end: u32, keys: [u64; 2]) -> Hashed {
    let end = text_end(&mut scratch.window, start, end);
    scratch.lexer.begin(start, end, keys);
    scratch.lexer.verbatim = begins_with_set(scratch.window.le64(start) as u32);
    let mut pass = Pass { scratch };
    if end > start {
        // A step moves on by a byte at least, but for mode changes without one: two steps a byte at the most.
        #[cfg(not(floor))]
        repeat(2 * CAPTURE, &mut pass);
        #[cfg(floor)]
        repeat(2 * CAPTURE / crate::loops::STEPS, &mut pass);
    }
    let position = if pass.position < end {
        pass.position
    } else {
        end
    };
    let product = (pass.hash ^ (pass.hash >> 29)).wrapping_mul(keys[0]);
    Hashed {
        // The lowest bit keeps zero free for "no statement"; the next two are free for those who keep fingerprints.
        fingerprint: (product ^ (product >> 32)) & !6 | 1,
        length: position - start,
        several: pass.several,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::BASE;

    fn hash(text: &str) -> Hashed {
        let mut scratch = Scratch::boxed();
        let window = &mut scratch.window;
        for (i, byte) in text.bytes().enumerate() {
            window.set(BASE + i as u32, byte);
        }
        // Garbage behind the end must not matter.
        for i in 0..16 {
            window.set(BASE + text.len() as u32 + i, b'7');
        }
        fingerprint(
            &mut scratch,
            BASE,
            BASE + text.len() as u32,
            [0x9e37_79b9_7f4a_7c15, 42],
        )
    }

    fn same(a: &str, b: &str) {
        assert_eq!(hash(a).fingerprint, hash(b).fingerprint, "{a} / {b}");
    }

    fn differ(a: &str, b: &str) {
        assert_ne!(hash(a).fingerprint, hash(b).fingerprint, "{a} / {b}");
    }

    #[test]
    fn literals_do_not_count() {
        same(
            "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
            "SELECT abalance FROM pgbench_accounts WHERE aid = 987654321;",
        );
        same(
            "SELECT * FROM t WHERE a='x'",
            "SELECT * FROM t WHERE a='a much longer text, with 123'",
        );
        same("SELECT 'it''s' FROM t", "SELECT 'its' FROM t");
        same(r"SELECT E'a\'b' FROM t", r"SELECT E'ab' FROM t");
        same("SELECT * FROM t WHERE a=$1", "SELECT * FROM t WHERE a=$12");
        same(
            "SELECT /* c 1 */ x FROM t",
            "SELECT /* other comment */ x FROM t",
        );
        same("SELECT x FROM t -- a", "SELECT x FROM t -- bc");
        same("SELECT 1 WHERE a = '", "SELECT 2 WHERE a = 'unterminated");
    }

    #[test]
    fn what_set_sets_counts() {
        for (a, b) in [
            ("SET ROLE 'ann'", "SET ROLE 'bob'"),
            ("set local role 'ann'", "set local role 'bob'"),
            (
                "SET application_name = 'a--1'",
                "SET application_name = 'a--2'",
            ),
            (
                "SET application_name = 'a/*1'",
                "SET application_name = 'a/*2'",
            ),
            ("SET x = 1; SELECT 1", "SET x = 2; SELECT 1"),
        ] {
            differ(a, b);
            assert!(sees_literals(a.as_bytes()) && sees_literals(b.as_bytes()));
        }
        assert!(hash("SET x = 1; SELECT 1").several);
        assert!(!hash("SET x = 1;").several);
        same("SETTING '1'", "SETTING '2'");
        same("UPDATE t SET a = 1", "UPDATE t SET a = 2");
        assert!(!sees_literals(b"BEGIN; SET ROLE 'x'") && !sees_literals(b"SET"));
    }

    #[test]
    fn a_list_ends_where_it_ends() {
        for list in [
            "(1,2,3)",
            "(1, 2, 3)",
            "('a','b')",
            "('a', 'b', 'c')",
            "(12345678, 87654321)",
        ] {
            let of = |behind: &str| format!("SELECT a FROM t WHERE b IN {list}{behind}");
            same(
                &of(" AND c = 1"),
                "SELECT a FROM t WHERE b IN (7) AND c = 2",
            );
            differ(&of(" AND c = 1"), &of(" AND d = 1"));
            same(&of(""), "SELECT a FROM t WHERE b IN (7)");
        }
        // A separator without a literal behind it is code, at the text's very end, too.
        differ("SELECT 1, a", "SELECT 1 a");
        differ("SELECT 'x', a", "SELECT 'x' a");
        for text in ["SELECT 1,", "SELECT 1, ", "SELECT 'x',", "SELECT 'x', "] {
            differ(text, "SELECT 1");
        }
        // Literals of any length around a word's border.
        for length in 1..40 {
            let literal = "7".repeat(length);
            same(
                &format!("SELECT {literal}, {literal} FROM t"),
                "SELECT 1, 2 FROM t",
            );
            same(
                &format!("SELECT '{literal}', '{literal}' FROM t"),
                "SELECT '1', '2' FROM t",
            );
        }
    }

    #[test]
    fn lists_collapse() {
        same(
            "SELECT * FROM t WHERE a IN (1, 2, 3)",
            "SELECT * FROM t WHERE a IN (44)",
        );
        same(
            "INSERT INTO t VALUES (1,'a'),(2,'b')",
            "INSERT INTO t VALUES (1,'a')",
        );
        same(
            "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
            "INSERT INTO t VALUES (1)",
        );
    }

    #[test]
    fn code_counts() {
        differ("SELECT * FROM t1", "SELECT * FROM t2");
        differ("SELECT * FROM customers", "SELECT * FROM tickets");
        differ("SELECT a1 FROM t", "SELECT a2 FROM t");
        differ(
            "SELECT * FROM t WHERE a = 1 AND b = 2",
            "SELECT * FROM t WHERE a = 1 OR b = 2",
        );
        differ("SELECT 1", "SELECT 1 FROM customers");
        differ("", "x");
        differ("SELECT a FROM b", "SELECT a FROM bb");
    }

    #[test]
    fn digits_in_words_are_no_literals() {
        for at in 0..9 {
            let space = " ".repeat(at);
            same(
                &format!("{space}SELECT column_12a, t1.c23 + 5 FROM tab34le WHERE x=6"),
                &format!("{space}SELECT column_12a, t1.c23 + 777 FROM tab34le WHERE x=66666666"),
            );
            differ(
                &format!("{space}SELECT column_12a FROM t"),
                &format!("{space}SELECT column_13a FROM t"),
            );
            same(
                &format!("{space}SELECT a[1], b|2, c@3, d^4, é5 FROM t"),
                &format!("{space}SELECT a[9], b|8, c@777, d^6, é5 FROM t"),
            );
        }
        use crate::bytes::swar;
        for byte in 0..=255u8 {
            let word = u64::from(byte) * swar::ONES;
            let all = |mask: u64, yes: bool| assert_eq!(mask, if yes { swar::HIGHS } else { 0 });
            all(swar::digits(word), byte.is_ascii_digit());
            all(
                swar::letters(word),
                (is_word(byte) && !byte.is_ascii_digit()) || byte == 0x7f,
            );
        }
    }

    #[test]
    fn alignment_behind_a_literal_does_not_count() {
        for digits in 1..20 {
            same(
                &format!(
                    "SELECT * FROM t WHERE a = {} AND name = 'x' ORDER BY b2",
                    "9".repeat(digits)
                ),
                "SELECT * FROM t WHERE a = 1 AND name = 'yy' ORDER BY b2",
            );
        }
    }

    #[test]
    fn finds_end_and_several_statements() {
        assert_eq!(hash("SELECT 1\0garbage").length, 8);
        assert_eq!(hash("SELECT 'a\0garbage").length, 9);
        assert_eq!(hash("SELECT 1").length, 8);
        assert!(!hash("SELECT 1;").several);
        assert!(hash("SELECT 1;SELECT 2").several);
        assert!(hash("SELECT a; SELECT 'x'").several);
        assert!(!hash("SELECT ';' FROM t;").several);
        assert!(hash("SELECT a;/**/'x'").several);
        assert_ne!(hash("").fingerprint, 0);
    }

    #[test]
    fn long_texts_end_at_the_capture_limit() {
        let long = "a".repeat(6000);
        assert_eq!(hash(&long).length, CAPTURE);
        let ones = "1,".repeat(3000);
        assert_eq!(hash(&ones).length, CAPTURE);
    }
}
