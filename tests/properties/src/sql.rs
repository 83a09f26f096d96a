//! Statements: no literal gets into a shape, and shapes are bounded.

use pg_query::protobuf::Token;
use sensor_user::sql::{Language, Shape, mysql::uses};

use crate::mode;

/// What is taken out of a text before literals are put into it.
const QUOTES: &[u8] = b"'\"`\\";
/// What no shape may hold.
const CANARY: &str = "s3cr3tCANARY";
/// How it begins: a cut text may hold no more of it.
const BEGINNING: &str = "s3cr3t";
/// Likewise in the place of numbers.
const NUMBER: &str = "7340219";

/// Longest text that is looked at.
const LONGEST: usize = 16 << 10;
/// Longest text of a shape, and longest summary.
const LONGEST_TEXT: usize = 4 << 10;
const LONGEST_SUMMARY: usize = 255;

/// In the first byte: the text is cut.
const TRUNCATED: u8 = 1;
/// Of MySQL's: a backslash is no escape.
const PLAIN: u8 = 2;
/// Of MySQL's: literals are put where the text has [`HERE`]. Of PostgreSQL's: its own scanner says where they are.
const CANARIES: u8 = 4;
const HERE: u8 = 1;

/// PostgreSQL's.
pub fn postgres(input: &[u8]) {
    let (mode, text) = mode(input);
    if mode & CANARIES == 0 {
        analyse(Language::Postgres, text, mode & TRUNCATED != 0);
        return;
    }
    let Some(text) = std::str::from_utf8(text)
        .ok()
        .and_then(with_postgres_canaries)
    else {
        return;
    };
    hidden(
        &analyse(Language::Postgres, text.as_bytes(), false),
        &[CANARY, NUMBER],
    );
    // Cut at a place that the input chooses.
    let cut = text.len() * usize::from(mode >> 3) / 32;
    let text = &text.as_bytes()[..cut];
    hidden(&analyse(Language::Postgres, text, true), &[BEGINNING]);
}

/// MySQL's.
pub fn mysql(input: &[u8]) {
    let (mode, text) = mode(input);
    let language = Language::MySql {
        plain: mode & PLAIN != 0,
    };
    if mode & CANARIES == 0 {
        analyse(language, text, mode & TRUNCATED != 0);
        return;
    }
    // A fuzzer finds the canary out, and writes it where it is a name.
    let bare: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !QUOTES.contains(byte))
        .collect();
    let own = BEGINNING.as_bytes();
    if bare.windows(own.len()).any(|word| word == own) {
        return;
    }
    let text = with_mysql_canaries(text, mode & PLAIN != 0);
    if text.len() > LONGEST {
        return;
    }
    hidden(&analyse(language, &text, false), &[CANARY]);
    let cut = text.len() * usize::from(mode >> 3) / 32;
    hidden(&analyse(language, &text[..cut], true), &[BEGINNING]);
}

/// The shapes of a text, which are as they must be.
pub fn analyse(language: Language, text: &[u8], truncated: bool) -> Vec<Shape> {
    let shapes = language.analyse(text, truncated);
    assert!(!shapes.is_empty(), "a text without a shape");
    assert!(
        shapes.len() <= text.len() + 1,
        "more statements than bytes: {}",
        shapes.len()
    );
    for shape in &shapes {
        assert!(shape.text.len() <= LONGEST_TEXT, "{shape:?}");
        assert!(shape.summary.len() <= LONGEST_SUMMARY, "{shape:?}");
        let tables: usize = shape.tables.iter().map(|table| table.len()).sum();
        // Letters that are no UTF-8 become three bytes each.
        assert!(tables <= 3 * text.len(), "{shape:?}");
        assert!(shape.operation.len() <= 64, "{shape:?}");
    }
    language.picks(text, truncated);
    language.changes(text, truncated);
    uses(&shapes[0]);
    shapes
}

/// None of these is in a shape; where data is sent to may be named by a literal.
fn hidden(shapes: &[Shape], secrets: &[&str]) {
    for shape in shapes {
        let Shape {
            operation,
            tables,
            summary,
            text,
            cursor,
            parsed: _,
            egress: _,
        } = shape;
        let shown = format!("{operation:?} {tables:?} {summary:?} {text:?} {cursor:?}");
        for secret in secrets {
            assert!(!shown.contains(secret), "a literal is shown: {shown}");
        }
    }
}

/// The text with a canary in the place of every literal that PostgreSQL's own scanner finds. None where that does not take it, or
/// where it is not certain what is a literal: a backslash may be an escape, and other dialects write names in backticks.
fn with_postgres_canaries(text: &str) -> Option<String> {
    let unclear = ['\\', '`', '\0'];
    if text.len() > LONGEST
        || text.contains(unclear)
        || text.contains(BEGINNING)
        || text.contains(NUMBER)
    {
        return None;
    }
    let found = pg_query::scan(text).ok()?;
    let mut with = String::with_capacity(text.len());
    let mut copied = 0;
    for token in &found.tokens {
        let canary = match token.token() {
            Token::Sconst | Token::Usconst | Token::Bconst | Token::Xconst => {
                format!(" '{CANARY}' ")
            }
            Token::Iconst | Token::Fconst => format!(" {NUMBER} "),
            _ => continue,
        };
        let start = usize::try_from(token.start).ok()?;
        with.push_str(text.get(copied..start)?);
        with.push_str(&canary);
        copied = usize::try_from(token.end).ok()?;
    }
    with.push_str(text.get(copied..)?);
    Some(with)
}

/// The text without quotes of its own, and with literals where it says. Such a text can't hide that they are literals, only leave
/// them in a comment.
fn with_mysql_canaries(text: &[u8], plain: bool) -> Vec<u8> {
    let literals = [
        format!("'{CANARY}'"),
        format!("'it''s {CANARY}'"),
        format!("N'{CANARY}'"),
        format!("_utf8'{CANARY}'"),
        format!("'a' '{CANARY}'"),
        if plain {
            format!(r"'{CANARY}\'")
        } else {
            format!(r"'a\'{CANARY}\\'")
        },
    ];
    let mut with = Vec::with_capacity(text.len());
    for (at, piece) in text.split(|byte| *byte == HERE).enumerate() {
        if at > 0 {
            with.push(b' ');
            with.extend(literals[(at + piece.len()) % literals.len()].as_bytes());
            with.push(b' ');
        }
        with.extend(piece.iter().filter(|byte| !QUOTES.contains(byte)));
    }
    // A database's name is taken as it stands, and shown.
    if with
        .get(..4)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"USE "))
    {
        with.insert(0, b' ');
    }
    with
}
