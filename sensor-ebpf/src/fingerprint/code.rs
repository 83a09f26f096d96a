//! Code: hashed as it stands, up to where something else begins.

use super::{
    Dialect, Mode, PLACEHOLDER, Pass, RUN, forget, mix,
    words::{
        before, double_quotes, is_dollar_quote, is_escape, is_odd, is_separator, is_sign, is_word,
        mysql_stops, real, stops, unusual,
    },
};
use crate::bytes::swar;

impl<D: Dialect> Pass<'_, D> {
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
            if !D::MYSQL {
                self.quotes ^= double_quotes(chunk);
            }
            self.position += length;
            if self.semicolon {
                self.several = true;
            }
            if self.in_list && !is_separator(chunk) {
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
        // What lies behind the text is none of it.
        let next = if self.position + 1 < self.end {
            next
        } else {
            0
        };
        let byte = (word >> ((length * 8) & 63)) as u8;
        self.stop(byte, next)
    }

    /// Where a literal or comment ends is not looked for: all that follows counts, and may be several statements.
    #[inline(always)]
    pub(super) fn all_is_code(&mut self) {
        self.verbatim = true;
        self.several = true;
        self.mode = Mode::Code;
    }

    #[inline(always)]
    fn before(&mut self) -> [u8; 2] {
        let (start, position) = (self.start, self.position);
        before(&mut self.scratch.window, start, position)
    }

    #[inline(always)]
    fn stop(&mut self, byte: u8, next: u8) -> bool {
        if !D::MYSQL && (self.verbatim || is_odd(self.quotes)) {
            if byte == 0 {
                return false;
            }
        } else if byte.is_ascii_digit() {
            if !self.in_word {
                self.literal();
                self.mode = Mode::Number;
                return true;
            }
        } else if D::MYSQL && byte != b';' && byte != b'-' {
            return self.mysql_stop(byte, next);
        } else if byte == b'\'' {
            // in_word and E: the previous byte of code was the E of E'…', and no longer name's last (`date'…'`). Other prefixes (B, X,
            // N, U&) hold no escapes that matter here, and a backslash in one of them only costs a second fingerprint.
            let escape = self.in_word && is_escape(self.before());
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
        } else if !D::MYSQL && byte == b'$' && is_dollar_quote(self.in_word, next) {
            // Where it ends, only its tag says.
            self.all_is_code();
        } else if byte == b'/' && next == b'*' {
            self.mode = Mode::BlockComment;
            self.position += 2;
            return true;
        } else if byte == b'-' && next == b'-' && self.is_comment() {
            self.mode = Mode::LineComment;
            self.position += 2;
            return true;
        } else if byte == b'-' && is_sign(self.before(), next) {
            self.literal();
            self.mode = Mode::Number;
            self.position += 1;
            return true;
        } else if byte == 0 && !D::MYSQL {
            return false;
        }
        self.byte(byte)
    }

    /// A byte of code that is looked at by itself.
    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) -> bool {
        if self.semicolon {
            self.several = true;
        }
        if byte == b';' {
            self.semicolon = true;
        }
        self.mix(u64::from(byte), 1);
        self.in_list = false;
        self.in_word = is_word(byte) || byte == b'$' && (self.in_word || D::MYSQL);
        self.position += 1;
        self.position < self.end
    }

    /// Do the two minuses here begin a comment?
    #[inline(always)]
    fn is_comment(&mut self) -> bool {
        let behind = self.position + 2;
        !D::MYSQL || behind >= self.end || self.scratch.window.byte(behind) <= b' '
    }

    /// What may begin here by MySQL's rules.
    #[inline(always)]
    fn mysql_stop(&mut self, byte: u8, next: u8) -> bool {
        let mode = match byte {
            b'\'' => Mode::EscapeQuote,
            b'"' if self.is_compared() => Mode::DoubleQuote,
            b'"' => Mode::Doubtful,
            b'`' => Mode::Backtick,
            b'#' => Mode::LineComment,
            b'/' if next == b'*' && !self.is_executed() => {
                self.position += 1;
                Mode::BlockComment
            }
            b'?' => Mode::Code,
            _ => return self.byte(byte),
        };
        match mode {
            Mode::Doubtful | Mode::Backtick => {
                self.byte(byte);
            }
            Mode::LineComment | Mode::BlockComment => self.position += 1,
            _ => {
                self.literal();
                self.position += 1;
            }
        }
        self.mode = mode;
        self.position < self.end
    }

    /// Is the double quote here a literal's for certain? Behind a comparison or an operator; elsewhere it may be a table's
    /// name (`ANSI_QUOTES`), which must count.
    #[inline(always)]
    fn is_compared(&mut self) -> bool {
        let [near, far] = self.before();
        let before = if near == b' ' { far } else { near };
        matches!(before, b'=' | b'<' | b'>')
    }

    /// Is what looks like a comment here executed (`/*!40001 … */`, `/*M!100100 … */`)?
    #[inline(always)]
    fn is_executed(&mut self) -> bool {
        let word = self.scratch.window.le64(self.position) >> 16;
        word as u8 == b'!' || word & 0xffff == u64::from(u16::from_le_bytes(*b"M!"))
    }

    /// A mask of the bytes at `position` that are in front of the text's end.
    #[inline(always)]
    pub(super) fn limit_mask(&self, position: u32) -> u64 {
        let rest = self.end.wrapping_sub(position);
        if rest < 8 {
            (1u64 << ((rest * 8) & 63)) - 1
        } else {
            u64::MAX
        }
    }

    /// Whole words in which nothing may begin, the bulk of a statement; then the word in which something does.
    #[inline(always)]
    pub fn run(&mut self) -> bool {
        // In locals: through memory, each word would wait for the one before it.
        let (mut hash, mut position) = (self.hash, self.position);
        let (start, end, key) = (position, self.end, self.keys[0]);
        let mut quotes = self.quotes;
        let mut found = 0;
        let mut word = 0;
        let mut taken = 0;
        while taken < RUN {
            word = self.scratch.window.le64(position);
            let rare = unusual(word);
            if rare != 0 || D::MYSQL && swar::equal(word, b'`') != 0 {
                let stops = if D::MYSQL {
                    mysql_stops(word)
                } else {
                    stops(word)
                };
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
            if !D::MYSQL && rare != 0 {
                quotes ^= double_quotes(word);
            }
            hash = mix(hash, word, 8, key);
            position += 8;
            taken += 1;
        }
        self.hash = hash;
        self.quotes = quotes;
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
}
