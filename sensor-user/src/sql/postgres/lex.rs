//! PostgreSQL's lexical rules, just enough to know where every literal and comment starts and ends.
//!
//! The parser's own scanner is not used for this: it stops at the first error and knows no
//! `standard_conforming_strings = off`. The tests compare the two on everything both accept.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum Kind {
    /// A keyword or an unquoted identifier.
    Word,
    /// An identifier in double quotes (or, outside PostgreSQL, something else in double quotes or backticks).
    Quoted,
    /// A string constant of any form, with its continuations on following lines.
    Str,
    /// A number.
    Num,
    /// `$1`.
    Param,
    /// An operator.
    Op,
    /// One of `( ) [ ] , ; . : :: := ..` or an unexpected byte.
    Punct,
}

/// One token: its bytes in the statement.
#[derive(Clone, Copy, Debug)]
pub(in crate::sql) struct Token {
    pub(in crate::sql) kind: Kind,
    pub(in crate::sql) start: usize,
    pub(in crate::sql) end: usize,
    /// The end depends on whether a backslash escapes a quote, which is a setting of the server.
    pub(in crate::sql) ambiguous: bool,
}

/// How to read the text.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sql) struct Rules {
    /// A backslash escapes in plain strings too (`standard_conforming_strings = off`).
    pub(in crate::sql) backslash: bool,
    /// Not PostgreSQL's own language, as far as is known: give up where dialects disagree about literals.
    pub(in crate::sql) foreign: bool,
}

/// Comments and white space are left out. The list ends where a literal or comment is not closed,
/// or where (with [`Rules::foreign`]) nobody can tell whether what follows is inside a literal.
pub(in crate::sql) fn lex(sql: &str, rules: Rules) -> Vec<Token> {
    let mut lexer = Lexer {
        src: sql.as_bytes(),
        at: 0,
        rules,
    };
    let mut tokens = Vec::new();
    while lexer.skip_blank() {
        let Some(token) = lexer.token() else { break };
        tokens.push(token);
    }
    tokens
}

/// How a string constant says that a quote is part of it: all but `B'…'` and `X'…'` by doubling it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Plain,
    Escapes,
    Bits,
}

struct Lexer<'a> {
    src: &'a [u8],
    at: usize,
    rules: Rules,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&byte)
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.src.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = self.src.get(from..).unwrap_or_default();
        rest.iter()
            .position(|b| matches!(b, b'\n' | b'\r'))
            .map_or(self.src.len(), |n| from + n)
    }

    /// Moves to the next token; false at the end of what can be read.
    fn skip_blank(&mut self) -> bool {
        while self.at < self.src.len() {
            match (self.peek(0), self.peek(1)) {
                (byte, _) if is_space(byte) => self.at += 1,
                (b'-', b'-') => {
                    let end = self.line_end(self.at);
                    // MySQL wants a space after `--`; without one a quote in there may open a string.
                    let body = self.src.get(self.at + 2..end).unwrap_or_default();
                    let glued = body.first().is_some_and(|b| !is_space(*b));
                    if self.rules.foreign
                        && glued
                        && body.iter().any(|b| matches!(b, b'\'' | b'"' | b'`'))
                    {
                        return false;
                    }
                    self.at = end;
                }
                (b'/', b'*') => {
                    if !self.skip_block_comment() {
                        return false;
                    }
                }
                _ => return true,
            }
        }
        false
    }

    /// `/* … */`, which nest.
    fn skip_block_comment(&mut self) -> bool {
        let mut depth = 0usize;
        while self.at < self.src.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => (depth, self.at) = (depth + 1, self.at + 2),
                (b'*', b'/') => {
                    (depth, self.at) = (depth - 1, self.at + 2);
                    if depth == 0 {
                        return true;
                    }
                }
                _ => self.at += 1,
            }
        }
        false
    }

    fn token(&mut self) -> Option<Token> {
        let start = self.at;
        let (first, second, third) = (self.peek(0), self.peek(1), self.peek(2));
        let plain = if self.rules.backslash {
            Body::Escapes
        } else {
            Body::Plain
        };
        match first {
            b'\'' => self.string(start, 0, plain),
            b'e' | b'E' if second == b'\'' => self.string(start, 1, Body::Escapes),
            b'n' | b'N' if second == b'\'' => self.string(start, 1, plain),
            b'b' | b'B' | b'x' | b'X' if second == b'\'' => self.string(start, 1, Body::Bits),
            b'u' | b'U' if second == b'&' && third == b'\'' => self.string(start, 2, Body::Plain),
            b'u' | b'U' if second == b'&' && third == b'"' => {
                self.at += 2;
                self.quoted(start, b'"')
            }
            b'"' => self.quoted(start, b'"'),
            b'`' if self.rules.foreign => self.quoted(start, b'`'),
            b'$' if second.is_ascii_digit() => {
                let digits = self
                    .src
                    .iter()
                    .skip(start + 1)
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                Some(self.take(start, 1 + digits, Kind::Param))
            }
            b'$' => self.dollar(start),
            b'.' if second.is_ascii_digit() => Some(self.number(start)),
            byte if byte.is_ascii_digit() => Some(self.number(start)),
            byte if is_word_start(byte) => {
                let word = self.run(start, Kind::Word);
                // Oracle's q'[…]' and the like: the string's end follows rules unknown here.
                (!(self.rules.foreign && self.peek(0) == b'\'')).then_some(word)
            }
            byte if is_operator(byte) => self.operator(start),
            b':' if matches!(second, b':' | b'=') => Some(self.take(start, 2, Kind::Punct)),
            b'.' if second == b'.' => Some(self.take(start, 2, Kind::Punct)),
            _ => Some(self.take(start, 1, Kind::Punct)),
        }
    }

    fn take(&mut self, start: usize, len: usize, kind: Kind) -> Token {
        self.at = start + len;
        Token {
            kind,
            start,
            end: self.at,
            ambiguous: false,
        }
    }

    /// The first byte and all word bytes after it.
    fn run(&mut self, start: usize, kind: Kind) -> Token {
        self.at += 1;
        while is_word(self.peek(0)) {
            self.at += 1;
        }
        Token {
            kind,
            start,
            end: self.at,
            ambiguous: false,
        }
    }

    /// Takes junk glued to the number along: the server refuses it, and it may be half of a secret.
    fn number(&mut self, start: usize) -> Token {
        let radix = self.peek(0) == b'0' && matches!(self.peek(1) | 0x20, b'x' | b'o' | b'b');
        let (mut point, mut exponent) = (radix, radix);
        loop {
            let (byte, next) = (self.peek(0), self.peek(1));
            if byte == b'.' && next != b'.' && !point {
                point = true;
                self.at += 1;
            } else if !exponent && matches!(byte, b'e' | b'E') {
                (point, exponent) = (true, true);
                self.at += if matches!(next, b'+' | b'-') { 2 } else { 1 };
            } else if is_word(byte) && byte != b'$' {
                self.at += 1;
            } else {
                return Token {
                    kind: Kind::Num,
                    start,
                    end: self.at,
                    ambiguous: false,
                };
            }
        }
    }

    /// From the opening quote to the closing one, with continuations. None when it is not closed.
    fn string(&mut self, start: usize, prefix: usize, body: Body) -> Option<Token> {
        let mut ambiguous = false;
        let mut escaped = false;
        self.at += prefix + 1;
        loop {
            let byte = *self.src.get(self.at)?;
            self.at += 1;
            match byte {
                b'\\' => escaped = !escaped,
                b'\'' if escaped && body == Body::Escapes => escaped = false,
                b'\'' => {
                    ambiguous |= escaped;
                    escaped = false;
                    if self.peek(0) == b'\'' && body != Body::Bits {
                        self.at += 1;
                    } else if let Some(next) = self.continuation() {
                        self.at = next;
                    } else {
                        break;
                    }
                }
                _ => escaped = false,
            }
        }
        if ambiguous && self.rules.foreign {
            return None;
        }
        Some(Token {
            kind: Kind::Str,
            start,
            end: self.at,
            ambiguous,
        })
    }

    /// `'a'`, a new line, `'b'` is one constant: the place after the second opening quote.
    fn continuation(&self) -> Option<usize> {
        let mut at = self.at;
        let mut newline = false;
        loop {
            match *self.src.get(at)? {
                b'\n' | b'\r' => newline = true,
                b'\'' if newline => return Some(at + 1),
                b'-' if self.src.get(at + 1) == Some(&b'-') => {
                    at = self.line_end(at);
                    continue;
                }
                byte if is_space(byte) => {}
                _ => return None,
            }
            at += 1;
        }
    }

    fn quoted(&mut self, start: usize, quote: u8) -> Option<Token> {
        let mut before = 0;
        self.at += 1;
        loop {
            let byte = *self.src.get(self.at)?;
            self.at += 1;
            if byte == quote {
                if before == b'\\' && self.rules.foreign {
                    return None;
                }
                if self.peek(0) != quote {
                    return Some(Token {
                        kind: Kind::Quoted,
                        start,
                        end: self.at,
                        ambiguous: false,
                    });
                }
                self.at += 1;
            }
            before = byte;
        }
    }

    /// `$$ … $$` and `$tag$ … $tag$`.
    fn dollar(&mut self, start: usize) -> Option<Token> {
        let mut tag_end = start + 1;
        while self
            .src
            .get(tag_end)
            .is_some_and(|b| is_word(*b) && *b != b'$')
        {
            tag_end += 1;
        }
        if self.src.get(tag_end) != Some(&b'$') {
            return Some(self.take(start, 1, Kind::Punct));
        }
        let tag = self.src.get(start..=tag_end)?;
        // Looks at every `$` once and compares a tag there: linear, unless the tag itself is long, which the
        // 16 KiB limit of the caller bounds.
        let mut at = tag_end + 1;
        loop {
            at += self.src.get(at..)?.iter().position(|b| *b == b'$')?;
            if self.src.get(at..)?.starts_with(tag) {
                self.at = at + tag.len();
                return Some(Token {
                    kind: Kind::Str,
                    start,
                    end: self.at,
                    ambiguous: false,
                });
            }
            at += 1;
        }
    }

    fn operator(&mut self, start: usize) -> Option<Token> {
        let mut end = start;
        while self.src.get(end).is_some_and(|b| is_operator(*b)) {
            let pair = (self.src.get(end), self.src.get(end + 1));
            if matches!(pair, (Some(b'-'), Some(b'-')) | (Some(b'/'), Some(b'*'))) {
                break;
            }
            if self.rules.foreign && self.src.get(end) == Some(&b'`') {
                break;
            }
            end += 1;
        }
        let text = self.src.get(start..end)?;
        // A `#` alone opens a comment in MySQL, and an apostrophe in it no string.
        if self.rules.foreign && text == b"#" {
            return None;
        }
        // PostgreSQL's rule that keeps `a=-1` two operators: + and - end an operator only after one of these.
        if !text.iter().any(|b| b"~!@#%^&|`?".contains(b)) {
            while end - start > 1 && matches!(self.src.get(end - 1), Some(b'+' | b'-')) {
                end -= 1;
            }
        }
        Some(self.take(start, end - start, Kind::Op))
    }
}
