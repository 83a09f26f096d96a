//! A hash of a statement that does not see its literals.
//!
//! The lexer is approximate on purpose: where it takes a literal for code (dollar quotes, exponents, nested comments)
//! one statement gets several fingerprints, and userspace, which normalises each text with PostgreSQL's own grammar,
//! finds them to be one shape. What must not happen is that statements on different tables get one fingerprint; code is
//! therefore always hashed, with keys drawn at start, so that a collision cannot be crafted.
//!
//! How literals and comments are written is a [`Dialect`], for each of which the compiler makes a lexer of its own.

pub use dialect::{Dialect, MySql, Postgres};
pub use words::{before, is_dollar_quote, is_escape, is_separator, is_sign, is_word};

use core::marker::PhantomData;

use crate::{
    bytes::{Window, barrier, swar},
    loops::{Step, repeat},
    scratch::Scratch,
};

mod code;
mod dialect;
mod literal;
mod words;

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

/// What a place in a text is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// Neither of the others.
    Code = 0,
    /// A number, or a parameter's.
    Number,
    /// `'…'`.
    Quote,
    /// `E'…'`.
    EscapeQuote,
    /// `/* … */`.
    BlockComment,
    /// `-- …`.
    LineComment,
    /// A literal in double quotes.
    DoubleQuote,
    /// A name in backticks: code.
    Backtick,
    /// Double quotes around a name or a literal: code, since nobody can tell.
    Doubtful,
    /// Nobody can tell where a literal ends: all that follows is code.
    Raw,
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
    start: u32,
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
    /// PostgreSQL's double quotes in the code so far: the number of bits says whether a name in such is open.
    quotes: u64,
    /// See [`Dialect::is_plain`].
    plain: bool,
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
            start,
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
            quotes: 0,
            plain: false,
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

/// Takes a word of `length` bytes into a hash.
#[inline(always)]
pub fn mix(hash: u64, word: u64, length: u32, key: u64) -> u64 {
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
struct Pass<'a, D> {
    scratch: &'a mut Scratch,
    dialect: PhantomData<D>,
}

impl<D> core::ops::Deref for Pass<'_, D> {
    type Target = Lexer;
    #[inline(always)]
    fn deref(&self) -> &Lexer {
        &self.scratch.lexer
    }
}

impl<D> core::ops::DerefMut for Pass<'_, D> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Lexer {
        &mut self.scratch.lexer
    }
}

/// The fingerprint that a hash ends as.
#[inline(always)]
pub fn finish(hash: u64, key: u64) -> u64 {
    let product = (hash ^ (hash >> 29)).wrapping_mul(key);
    // The lowest bit keeps zero free for "no statement"; the next two are free for those who keep fingerprints.
    (product ^ (product >> 32)) & !6 | 1
}

/// What stands for a literal, or a list of them.
const PLACEHOLDER: u64 = 0x3f;

/// Words of plain code, or of a literal, that one step takes at the most. Where the verifier follows each turn of a loop
/// by itself, fewer.
const RUN: u32 = if cfg!(floor) { 4 } else { 8 };

impl<D: Dialect> Step for Pass<'_, D> {
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
    let mut pass = Pass {
        scratch,
        dialect: PhantomData::<Postgres>,
    };
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
/// Makes the verifier forget what it knows of the state, as it does with all that goes through memory: it then checks
/// what follows once, not once for every way that leads there.
#[inline(always)]
fn forget() {
    barrier();
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

/// Hashes the text that begins at `start` in the window and ends at `end` (where a NUL ends texts: there), and no more than
/// [`CAPTURE`] bytes of it. `keys` are the secret multiplier (odd) and seed.
#[inline(always)]
pub fn fingerprint<D: Dialect>(
    scratch: &mut Scratch,
    start: u32,
    end: u32,
    keys: [u64; 2],
    dialect: D,
) -> Hashed {
    let end = text_end(&mut scratch.window, start, end);
    scratch
        .lexer
        .begin(start, end, [keys[0], keys[1] ^ D::SEED]);
    if D::MYSQL {
        scratch.lexer.plain = dialect.is_plain();
    } else {
        scratch.lexer.verbatim = begins_with_set(scratch.window.le64(start) as u32);
    }
    let mut pass = Pass {
        scratch,
        dialect: PhantomData::<D>,
    };
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
    Hashed {
        fingerprint: finish(pass.hash, keys[0]),
        length: position - start,
        several: pass.several,
    }
}

#[cfg(test)]
mod tests;
