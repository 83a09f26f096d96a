//! Literals and comments: passed over.

use super::{Dialect, Mode, Pass, RUN, forget};
use crate::bytes::swar;

/// A literal's end and the next one's beginning: `','` and `', '`.
const NEXT: u64 = u64::from_le_bytes(*b"','\0\0\0\0\0");
const NEXT_SPACE: u64 = u64::from_le_bytes(*b"', '\0\0\0\0");

impl<D: Dialect> Pass<'_, D> {
    /// Passes over a literal or comment; false at the text's end.
    #[inline(always)]
    pub fn pass_over(&mut self) -> bool {
        match self.mode {
            Mode::Code => {}
            Mode::Number => self.number(),
            Mode::Quote if !D::MYSQL => {
                if !self.quote() {
                    return false;
                }
            }
            Mode::Backtick | Mode::Doubtful | Mode::Raw if D::MYSQL => return self.quoted(),
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
            if stops == 0 {
                position += 8;
                continue;
            }
            position += swar::length(swar::mask_before(stops));
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
        let escapes = if D::MYSQL && self.plain {
            0
        } else {
            swar::equal(word, b'\\')
        };
        let stops = match self.mode {
            Mode::EscapeQuote => swar::equal(word, b'\'') | escapes,
            Mode::DoubleQuote if D::MYSQL => swar::equal(word, b'"') | escapes,
            // PostgreSQL's nest.
            Mode::BlockComment if !D::MYSQL => swar::equal(word, b'*') | swar::equal(word, b'/'),
            Mode::BlockComment => swar::equal(word, b'*'),
            _ => swar::equal(word, b'\n'),
        };
        let ends = if D::MYSQL { 0 } else { swar::zero(word) };
        let length = swar::length(swar::mask_before(stops | ends));
        position += length;
        if length < 8 && position < self.end {
            let byte = self.scratch.window.byte(position);
            if byte == 0 && !D::MYSQL {
                return false;
            }
            match self.mode {
                Mode::EscapeQuote | Mode::DoubleQuote => {
                    position += 1;
                    if byte == b'\\' {
                        position += 1;
                    } else {
                        self.mode = Mode::Code;
                    }
                }
                Mode::BlockComment if !D::MYSQL && byte == b'/' => {
                    position += 1;
                    if self.scratch.window.byte(position) == b'*' {
                        // Where the outer one ends would have to be counted.
                        self.all_is_code();
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

    /// What stands in backticks, or in double quotes that may be a name's: code, every byte of it; false at the text's end.
    #[inline(always)]
    fn quoted(&mut self) -> bool {
        let position = self.position;
        let word = self.scratch.window.le64(position);
        let stops = match self.mode {
            Mode::Backtick => swar::equal(word, b'`'),
            Mode::Doubtful => swar::equal(word, b'"') | swar::equal(word, b'\\'),
            _ => 0,
        };
        let mask = swar::mask_before(stops) & self.limit_mask(position);
        let length = swar::length(mask);
        if length > 0 {
            self.mix(word & mask, length);
            self.position += length;
        }
        if length < 8 && self.position < self.end {
            let byte = self.scratch.window.byte(self.position);
            // Whether a backslash is an escape there depends on what the quotes are.
            self.mode = if byte == b'\\' { Mode::Raw } else { Mode::Code };
            return self.byte(byte);
        }
        self.position < self.end
    }
}
