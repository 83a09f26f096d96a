//! MySQL's lexical rules, just enough to know where every literal and comment starts and ends.

use crate::sql::postgres::lex::{Kind, Token};

/// Comments and white space are left out, but not what MySQL executes of a comment (`/*!40001 … */`). The list ends where a
/// literal or comment is not closed.
///
/// What stands in double quotes is [`Kind::Quoted`]: a literal, or a name (`ANSI_QUOTES`).
pub fn lex(sql: &str, plain: bool) -> Vec<Token> {
    let mut lexer = Lexer {
        src: sql.as_bytes(),
        at: 0,
        plain,
        executed: false,
    };
    let mut tokens = Vec::new();
    while lexer.skip_blank() {
        let Some(token) = lexer.token() else { break };
        tokens.push(token);
    }
    tokens
}

struct Lexer<'a> {
    src: &'a [u8],
    at: usize,
    plain: bool,
    /// Inside of a comment that is executed.
    executed: bool,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.src.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn find(&self, from: usize, wanted: &[u8]) -> Option<usize> {
        let rest = self.src.get(from..)?;
        let at = rest
            .windows(wanted.len())
            .position(|window| window == wanted)?;
        Some(from + at)
    }

    /// Moves to the next token; false at the end of what can be read.
    fn skip_blank(&mut self) -> bool {
        while self.at < self.src.len() {
            match (self.peek(0), self.peek(1), self.peek(2)) {
                (byte, ..) if byte <= b' ' => self.at += 1,
                (b'#', ..) => self.skip_line(),
                (b'-', b'-', third) if third <= b' ' => self.skip_line(),
                (b'/', b'*', b'!') => self.enter(3),
                (b'/', b'*', b'M') if self.peek(3) == b'!' => self.enter(4),
                (b'/', b'*', _) => match self.find(self.at + 2, b"*/") {
                    Some(end) => self.at = end + 2,
                    None => return false,
                },
                (b'*', b'/', _) if self.executed => {
                    self.executed = false;
                    self.at += 2;
                }
                _ => return true,
            }
        }
        false
    }

    fn skip_line(&mut self) {
        self.at = self.find(self.at, b"\n").unwrap_or(self.src.len());
    }

    /// Into a comment that is executed, behind the version it is for.
    fn enter(&mut self, opening: usize) {
        self.executed = true;
        self.at += opening;
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn token(&mut self) -> Option<Token> {
        let (first, second) = (self.peek(0), self.peek(1));
        match first {
            b'\'' => self.quoted(0, Kind::Str, !self.plain),
            b'x' | b'X' | b'b' | b'B' | b'n' | b'N' if second == b'\'' => {
                self.quoted(1, Kind::Str, !self.plain)
            }
            b'"' => self.quoted(0, Kind::Quoted, !self.plain),
            b'`' => self.quoted(0, Kind::Quoted, false),
            b'?' => Some(self.take(1, Kind::Param)),
            byte if byte.is_ascii_digit() || byte == b'.' && second.is_ascii_digit() => {
                Some(self.number())
            }
            byte if is_word(byte) => Some(self.run(Kind::Word)),
            byte if b"~!@^&|+-*/%<>=:".contains(&byte) => Some(self.operator()),
            _ => Some(self.take(1, Kind::Punct)),
        }
    }

    fn take(&mut self, length: usize, kind: Kind) -> Token {
        let start = self.at;
        self.at += length;
        Token {
            kind,
            start,
            end: self.at,
            ambiguous: false,
        }
    }

    fn run(&mut self, kind: Kind) -> Token {
        let rest = self.src.get(self.at..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| is_word(**byte)).count();
        self.take(length, kind)
    }

    /// Takes junk glued to the number along: it may be half of a secret.
    fn number(&mut self) -> Token {
        let rest = self.src.get(self.at..).unwrap_or_default();
        let mut length = 0;
        while let Some(byte) = rest.get(length) {
            let exponent = matches!(byte, b'+' | b'-')
                && length > 0
                && matches!(rest.get(length - 1), Some(b'e' | b'E'))
                && !matches!(rest.get(1), Some(b'x' | b'X'));
            if !is_word(*byte) && *byte != b'.' && !exponent {
                break;
            }
            length += 1;
        }
        self.take(length, Kind::Num)
    }

    /// From the opening quote to the closing one. None when it is not closed.
    fn quoted(&mut self, prefix: usize, kind: Kind, escapes: bool) -> Option<Token> {
        let quote = self.peek(prefix);
        let mut length = prefix + 1;
        loop {
            let byte = *self.src.get(self.at + length)?;
            length += 1;
            if byte == b'\\' && escapes {
                length += 1;
            } else if byte == quote {
                if self.src.get(self.at + length) != Some(&quote) {
                    return Some(self.take(length, kind));
                }
                length += 1;
            }
        }
    }

    fn operator(&mut self) -> Token {
        let pair = [self.peek(0), self.peek(1)];
        let two: &[&[u8; 2]] = &[
            b"<=", b">=", b"<>", b"!=", b"||", b"&&", b":=", b"<<", b">>", b"->",
        ];
        let length = if two.iter().any(|known| **known == pair) {
            2
        } else {
            1
        };
        self.take(length, Kind::Op)
    }
}
