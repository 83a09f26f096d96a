//! The normalised text of a statement: its tokens without literals, comments and accidental layout.

use super::lex::{Kind, Token};

/// Words after which a `(` is set off by a space and a sign belongs to the number that follows.
/// (Reserved ones mostly: they cannot be the name of a function or column.)
const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "CHECK",
    "CONFLICT",
    "DEFAULT",
    "DISTINCT",
    "ELSE",
    "EXCEPT",
    "EXISTS",
    "FETCH",
    "FILTER",
    "FOR",
    "FROM",
    "HAVING",
    "ILIKE",
    "IN",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "KEY",
    "LATERAL",
    "LIKE",
    "LIMIT",
    "MATERIALIZED",
    "NOT",
    "OFFSET",
    "ON",
    "OR",
    "OVER",
    "RETURNING",
    "SELECT",
    "SET",
    "SOME",
    "THEN",
    "TO",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// True when `word` is one of `list`, which is in upper case.
pub(in crate::sql) fn is_one_of(word: &str, list: &[&str]) -> bool {
    list.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// What the text is known to be.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sql) struct Style {
    /// Not PostgreSQL's language: double quotes may hold strings, and a password may stand without quotes.
    pub(in crate::sql) foreign: bool,
    /// What stands in backticks is a name (MySQL's language).
    pub(in crate::sql) backticks: bool,
    /// `SET name = value`: the value goes, even when written as an identifier.
    pub(in crate::sql) assignment: bool,
    /// Longest text, in bytes; cut at a token.
    pub(in crate::sql) limit: usize,
}

/// One `?` per literal or parameter; lists in `IN (…)` and `ARRAY[…]` and rows of `VALUES` that are the same
/// as their neighbour are written once, so that their number makes no difference.
///
/// `$1` becomes `?` too: a statement sent with parameters and one with literals in their place are the same.
pub(in crate::sql) fn render(sql: &str, tokens: &[Token], style: Style) -> String {
    let mut out = Renderer {
        pieces: Vec::with_capacity(tokens.len()),
        frames: vec![Frame::default()],
    };
    for (index, token) in tokens.iter().enumerate() {
        let text = sql.get(token.start..token.end).unwrap_or_default();
        match token.kind {
            Kind::Str | Kind::Num | Kind::Param => out.placeholder(token.kind),
            Kind::Quoted
                if style.foreign
                    && !(style.backticks && text.starts_with('`'))
                    && !names_something(sql, tokens, index) =>
            {
                out.placeholder(Kind::Str);
            }
            Kind::Word if style.foreign && out.expects_password() => out.placeholder(Kind::Str),
            Kind::Word => out.word(text),
            Kind::Quoted | Kind::Op | Kind::Punct => out.other(text),
        }
        if style.assignment && is_one_of(text, &["=", "TO"]) && index + 1 < tokens.len() {
            out.placeholder(Kind::Str);
            break;
        }
    }
    out.end_list();
    join(&out.pieces, style.limit)
}

/// A quoted token that can only be a name: part of a dotted one, or after FROM and kin.
fn names_something(sql: &str, tokens: &[Token], index: usize) -> bool {
    let text = |at: Option<usize>| {
        at.and_then(|at| tokens.get(at))
            .and_then(|t| sql.get(t.start..t.end))
            .unwrap_or_default()
    };
    let before = text(index.checked_sub(1));
    before == "."
        || text(index.checked_add(1)) == "."
        || is_one_of(
            before,
            &["FROM", "JOIN", "INTO", "UPDATE", "TABLE", "ONLY", "COPY"],
        )
}

/// An open bracket, or the statement itself.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// Items here are collapsed when they equal the one before.
    collapse: bool,
    /// The items are rows of VALUES, which no bracket encloses.
    rows: bool,
    /// Where the current item starts in the pieces.
    item: usize,
    /// Where the item before started.
    previous: Option<usize>,
}

struct Renderer<'a> {
    pieces: Vec<&'a str>,
    frames: Vec<Frame>,
}

impl<'a> Renderer<'a> {
    fn last(&self) -> &'a str {
        self.pieces.last().copied().unwrap_or_default()
    }

    fn placeholder(&mut self, kind: Kind) {
        if kind == Kind::Num && matches!(self.last(), "-" | "+") {
            // A sign, not a subtraction, when nothing stands before it that a number could be subtracted from.
            let before = self
                .pieces
                .len()
                .checked_sub(2)
                .and_then(|at| self.pieces.get(at))
                .copied();
            let operand = before.is_some_and(|piece| {
                matches!(piece, ")" | "]" | "?") || (is_name(piece) && !is_one_of(piece, KEYWORDS))
            });
            if !operand {
                self.pieces.pop();
            }
        }
        self.pieces.push("?");
    }

    fn expects_password(&self) -> bool {
        let mut back = self.pieces.iter().rev().skip_while(|piece| **piece == "=");
        let last = back.next().copied().unwrap_or_default();
        let second = back.next().copied().unwrap_or_default();
        is_one_of(last, &["PASSWORD", "PASSWD", "PWD"])
            || (last.eq_ignore_ascii_case("BY") && second.eq_ignore_ascii_case("IDENTIFIED"))
    }

    fn word(&mut self, text: &'a str) {
        // A word on the level of VALUES' rows ends them: ON CONFLICT, RETURNING, ORDER BY.
        self.end_rows();
        self.pieces.push(text);
        if text.eq_ignore_ascii_case("VALUES") {
            let item = self.pieces.len();
            if let Some(frame) = self.frames.last_mut() {
                *frame = Frame {
                    collapse: true,
                    rows: true,
                    item,
                    previous: None,
                };
            }
        }
    }

    fn other(&mut self, text: &'a str) {
        match text {
            "(" | "[" => {
                let last = self.last();
                let list = is_one_of(last, &["IN", "ARRAY"]);
                // An array in an array, a row in a list: `ARRAY[[1, 2], [3, 4]]`.
                let nested =
                    text == "[" && self.frames.last().is_some_and(|f| f.collapse) && last != "?";
                self.pieces.push(text);
                self.frames.push(Frame {
                    collapse: list || nested,
                    item: self.pieces.len(),
                    ..Frame::default()
                });
            }
            ")" | "]" => {
                self.end_list();
                if self.frames.len() > 1 {
                    self.frames.pop();
                }
                self.pieces.push(text);
            }
            "," => {
                let dropped = self.end_item();
                if !dropped {
                    let item = self.pieces.len() + 1;
                    if let Some(frame) = self.frames.last_mut() {
                        (frame.previous, frame.item) = (Some(frame.item), item);
                    }
                    self.pieces.push(text);
                }
            }
            ";" => {
                self.end_rows();
                self.pieces.push(text);
            }
            _ => self.pieces.push(text),
        }
    }

    /// Drops the item just read when it equals the one before it. True when it did; the comma before it stays
    /// and serves the next item.
    fn end_item(&mut self) -> bool {
        let Some(frame) = self.frames.last().copied() else {
            return false;
        };
        let Some(previous) = frame.previous.filter(|_| frame.collapse) else {
            return false;
        };
        let before = self.pieces.get(previous..frame.item.saturating_sub(1));
        let same = before.is_some() && before == self.pieces.get(frame.item..);
        if same {
            self.pieces.truncate(frame.item);
        }
        same
    }

    /// Ends the last item, and drops the comma that it left behind when it was omitted.
    fn end_list(&mut self) {
        if self.end_item() && self.last() == "," {
            self.pieces.pop();
        }
    }

    fn end_rows(&mut self) {
        if self.frames.last().is_some_and(|frame| frame.rows) {
            self.end_list();
            if let Some(frame) = self.frames.last_mut() {
                (frame.rows, frame.collapse) = (false, false);
            }
        }
    }
}

fn is_name(piece: &str) -> bool {
    piece.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"' || !c.is_ascii())
}

/// One layout for all: `f(a, b.c)`, `a = ?`, `x IN (?)`.
fn join(pieces: &[&str], limit: usize) -> String {
    let mut out = String::new();
    let mut last = "";
    for piece in pieces {
        let glued = match *piece {
            "," | ")" | "]" | ";" | "." | "::" | "[" => true,
            "(" => matches!(last, "(" | "[") || (is_name(last) && !is_one_of(last, KEYWORDS)),
            _ => matches!(last, "" | "(" | "[" | "." | "::"),
        };
        let space = usize::from(!glued && !out.is_empty());
        if out.len() + space + piece.len() > limit {
            break;
        }
        if space == 1 {
            out.push(' ');
        }
        out.push_str(piece);
        last = piece;
    }
    out
}
