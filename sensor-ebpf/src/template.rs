//! Statements that come again: known by comparison, not hashed anew.
//!
//! A template is a statement's text without its literals. Where a text equals it byte by byte but for what stands in the
//! literals' places, the lexer of [`crate::fingerprint`] would go the same way over both, so the fingerprint is the same.
//! Comparing takes a quarter of the time of hashing: less work a word, and less code, which on a busy server has always
//! left the processor's cache since the last statement.
//!
//! Nothing is decided here that the lexer would decide otherwise: a text that is not equal is hashed.

use crate::{
    bytes::{Window, barrier, load64, opaque, store64, swar},
    fingerprint::{CAPTURE, Hashed, text_end},
    loops::{Step, repeat},
    scratch::Scratch,
};

/// Literals of a template at the most.
pub const LITERALS: u32 = 4;
/// Bytes of a template without its literals at the most.
const CODE: u32 = 256;
/// Templates side by side.
pub const TEMPLATES: u32 = 128;

/// See the module.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Template {
    /// Fingerprint of the statement, zero for none.
    fingerprint: u64,
    /// Fingerprint of the last that wanted the place.
    candidate: u64,
    /// Where in `code` each literal's place is, and behind them the end.
    ends: [u16; 8],
    /// How many literals.
    literals: u8,
    /// Which of them are quoted, one bit each.
    quoted: u8,
    /// See [`Hashed::several`].
    several: bool,
    /// Recognised since another wanted the place.
    used: bool,
    pad: u32,
    /// The text without literals; behind it room for whole words.
    code: [u8; CODE as usize + 8],
}

/// Where the lexer found literals that may be others in the same statement: numbers, and quoted ones without escapes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Places {
    /// How many; beyond [`LITERALS`] they are only counted.
    pub count: u32,
    /// Positions in the window.
    pub at: [u32; LITERALS as usize],
}

impl Places {
    /// Adds one.
    #[inline(always)]
    pub fn add(&mut self, position: u32) {
        if self.count < LITERALS {
            let index = opaque(self.count) & (LITERALS - 1);
            // SAFETY: masked to the array's length.
            unsafe { *self.at.as_mut_ptr().add(index as usize) = position };
        }
        self.count += 1;
    }

    #[inline(always)]
    fn get(&self, index: u32) -> u32 {
        let index = opaque(index) & (LITERALS - 1);
        // SAFETY: masked to the array's length.
        unsafe { *self.at.as_ptr().add(index as usize) }
    }
}

/// Where the comparison of a text with a template is, or the making of one. Lives in [`Scratch`], see there.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    position: u32,
    end: u32,
    /// In the template's code.
    offset: u32,
    /// Which stretch of code between literals.
    stretch: u32,
    same: bool,
}

impl Template {
    /// No template.
    pub const NONE: Self = Self {
        fingerprint: 0,
        candidate: 0,
        ends: [0; 8],
        literals: 0,
        quoted: 0,
        several: false,
        used: false,
        pad: 0,
        code: [0; CODE as usize + 8],
    };

    #[inline(always)]
    fn word(&self, offset: u32) -> u64 {
        let offset = opaque(offset) & (CODE - 1);
        // SAFETY: masked; eight bytes of room lie behind.
        unsafe { load64(self.code.as_ptr().add(offset as usize)) }
    }

    #[inline(always)]
    fn set_word(&mut self, offset: u32, word: u64) {
        let offset = opaque(offset) & (CODE - 1);
        // SAFETY: as above.
        unsafe { store64(self.code.as_mut_ptr().add(offset as usize), word) };
    }

    #[inline(always)]
    fn end(&self, stretch: u32) -> u32 {
        let index = opaque(stretch) & 7;
        // SAFETY: masked to the array's length.
        u32::from(unsafe { *self.ends.as_ptr().add(index as usize) })
    }

    #[inline(always)]
    fn set_end(&mut self, stretch: u32, offset: u32) {
        let index = opaque(stretch) & 7;
        // SAFETY: as above.
        unsafe { *self.ends.as_mut_ptr().add(index as usize) = offset as u16 };
    }

    #[inline(always)]
    fn is_quoted(&self, literal: u32) -> bool {
        self.quoted >> (literal & 7) & 1 != 0
    }
}

/// Bytes of a text by which its template is found: long texts, and short ones.
const FOUND_BY: u32 = 24;
const FOUND_BY_SHORT: u32 = 8;

/// Number of the template that a text would have.
#[inline(always)]
pub fn place(window: &mut Window, start: u32, end: u32) -> u32 {
    let mut word = window.le64(start);
    if end - start >= FOUND_BY {
        word ^= window.le64(start + 8).rotate_left(23) ^ window.le64(start + 16).rotate_left(41);
    }
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as u32 & (TEMPLATES - 1)
}

/// Bytes of a text that lead to its template: a literal among them leads each time to another.
#[inline(always)]
fn leading(start: u32, end: u32) -> u32 {
    if end - start >= FOUND_BY {
        FOUND_BY
    } else {
        FOUND_BY_SHORT
    }
}

/// Is it the template's statement? Then its hash is in the working memory.
#[inline(always)]
pub fn recognise(scratch: &mut Scratch, template: &mut Template, start: u32, end: u32) -> bool {
    if template.fingerprint == 0 || end - start > CAPTURE {
        return false;
    }
    let end = text_end(&mut scratch.window, start, end);
    scratch.comparison = Comparison {
        position: start,
        end,
        offset: 0,
        stretch: 0,
        same: false,
    };
    let mut compare = Compare { scratch, template };
    repeat(STEPS, &mut compare);
    let Compare { scratch, template } = compare;
    if !scratch.comparison.same {
        return false;
    }
    template.used = true;
    scratch.hashed = Hashed {
        fingerprint: template.fingerprint,
        length: end - start,
        several: template.several,
    };
    true
}

/// Words that one step compares, or passes over.
const WORDS: u32 = 8;
/// Steps: a template's code has at most four times [`WORDS`] words, each literal and each stretch between them begins
/// another step, and so does every 64 bytes of a literal.
const STEPS: u32 = 64;

struct Compare<'a> {
    scratch: &'a mut Scratch,
    template: &'a mut Template,
}

impl Step for Compare<'_> {
    /// A stretch of code and the literal behind it.
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Comparison {
            mut position,
            mut offset,
            stretch,
            end,
            ..
        } = self.scratch.comparison;
        let stop = self.template.end(stretch);
        let mut taken = 0;
        while taken < WORDS && offset < stop {
            taken += 1;
            let difference = self.scratch.window.le64(position) ^ self.template.word(offset);
            let rest = stop - offset;
            if rest < 8 {
                // What stands behind is a literal's.
                if difference << ((64 - rest * 8) & 63) != 0 {
                    return false;
                }
                position += rest;
                offset = stop;
                break;
            }
            if difference != 0 {
                return false;
            }
            position += 8;
            offset += 8;
        }
        barrier();
        self.scratch.comparison.offset = offset;
        if offset < stop {
            self.scratch.comparison.position = position;
            return true;
        }
        if stretch >= u32::from(self.template.literals) {
            self.scratch.comparison.same = position == end;
            return false;
        }
        let quoted = self.template.is_quoted(stretch);
        let position = literal_end(&mut self.scratch.window, position, end, quoted);
        self.scratch.comparison.position = position;
        self.scratch.comparison.stretch = stretch + 1;
        position != 0
    }
}

/// Where the literal at `position` of a text up to `end` ends; zero where there is none of this kind, or one too long.
#[inline(always)]
fn literal_end(window: &mut Window, position: u32, end: u32, quoted: bool) -> u32 {
    let first = window.byte(position);
    let mut at = position;
    if position >= end {
        return 0;
    }
    if quoted {
        if first != b'\'' {
            return 0;
        }
        at += 1;
    } else if !first.is_ascii_digit() {
        return 0;
    }
    let mut taken = 0;
    while taken < WORDS {
        taken += 1;
        let word = window.le64(at);
        let stops = if quoted {
            swar::equal(word, b'\'') | swar::zero(word)
        } else {
            swar::not_digit(word)
        };
        at += swar::length(swar::mask_before(stops));
        if stops == 0 {
            continue;
        }
        // What lies behind the end may be digits, too.
        if !quoted {
            return if at < end { at } else { end };
        }
        return if at < end && window.byte(at) == b'\'' {
            at + 1
        } else {
            0
        };
    }
    0
}

/// Makes a template of the text that was just hashed, when it came twice and nobody needs the place.
#[inline(always)]
pub fn learn(scratch: &mut Scratch, template: &mut Template, start: u32, end: u32) {
    let Hashed {
        fingerprint,
        length,
        several,
    } = scratch.hashed;
    // Its own template did not fit: a list of another length, a literal of another kind.
    if template.fingerprint == fingerprint {
        return;
    }
    if template.used {
        template.used = false;
        return;
    }
    if template.candidate != fingerprint {
        template.candidate = fingerprint;
        return;
    }
    if end - start > CAPTURE {
        return;
    }
    let end = text_end(&mut scratch.window, start, end);
    let places = &scratch.lexer.places;
    let count = places.count;
    if length != end - start
        || count > LITERALS
        || count > 0 && places.get(0) < start + leading(start, end)
    {
        return;
    }
    template.fingerprint = 0;
    template.literals = count as u8;
    template.several = several;
    template.quoted = 0;
    scratch.comparison = Comparison {
        position: start,
        end,
        offset: 0,
        stretch: 0,
        same: false,
    };
    let mut copy = Copy { scratch, template };
    repeat(STEPS, &mut copy);
    let Copy { scratch, template } = copy;
    if scratch.comparison.same {
        template.fingerprint = fingerprint;
    }
}

struct Copy<'a> {
    scratch: &'a mut Scratch,
    template: &'a mut Template,
}

impl Step for Copy<'_> {
    /// Some words of code, or a literal.
    #[inline(always)]
    fn step(&mut self) -> bool {
        let Comparison {
            mut position,
            mut offset,
            stretch,
            end,
            ..
        } = self.scratch.comparison;
        let last = stretch >= u32::from(self.template.literals);
        let stop = if last {
            end
        } else {
            self.scratch.lexer.places.get(stretch)
        };
        let mut taken = 0;
        while taken < WORDS && position < stop {
            taken += 1;
            if offset >= CODE - 8 {
                return false;
            }
            let word = self.scratch.window.le64(position);
            self.template.set_word(offset, word);
            let rest = stop - position;
            let copied = if rest < 8 { rest } else { 8 };
            position += copied;
            offset += copied;
        }
        barrier();
        self.scratch.comparison.offset = offset;
        if position < stop {
            self.scratch.comparison.position = position;
            return true;
        }
        self.template.set_end(stretch, offset);
        if last {
            self.scratch.comparison.same = true;
            return false;
        }
        let quoted = self.scratch.window.byte(position) == b'\'';
        if quoted {
            self.template.quoted |= 1 << (stretch & 7);
        }
        let position = literal_end(&mut self.scratch.window, position, end, quoted);
        self.scratch.comparison.position = position;
        self.scratch.comparison.stretch = stretch + 1;
        position != 0
    }
}

#[cfg(test)]
mod tests;
