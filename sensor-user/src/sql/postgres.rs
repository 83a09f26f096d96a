//! PostgreSQL statements, read with PostgreSQL's own grammar (libpg_query).
//!
//! Two readings of the text meet here. The parse tree says which tables, cursors and functions a statement uses.
//! The normalised text is made from tokens (`lex`): whatever the statement, no literal passes, because none is
//! ever copied. What does not parse gets the same treatment with the tables guessed from its tokens (`guess`).
//!
//! # Threads
//!
//! libpg_query keeps its state per thread and takes a `pthread` key for every thread that enters it (a process has
//! 1024), so call from a few threads that stay. Its recursion is bounded by the calling thread's stack.

use std::{borrow::Cow, panic};

use pg_query::{Error, NodeEnum, ParserOptions, protobuf};

use self::{
    lex::{Rules, Token, lex},
    render::{Style, render},
    scan::Statement,
};
use super::Shape;

mod egress;
mod guess;
pub(super) mod lex;
mod node;
mod picks;
pub(super) mod render;
pub(super) mod scan;
mod session;
mod tree;

pub use picks::Picks;
pub use session::changes;

#[cfg(test)]
mod tests;

/// Longest text looked at. The kernel side sends at most 4 KiB; this bounds the work if that ever changes.
pub(super) const LONGEST_TEXT: usize = 16 * 1024;
/// Longest normalised text. Layout can make it longer than the statement was.
pub(super) const LONGEST_NORMALISED: usize = 4 * 1024;
/// Longest normalised text of what did not parse.
const LONGEST_FALLBACK: usize = 1024;
/// Longest `db.query.summary`, from OpenTelemetry's semantic conventions.
pub(super) const LONGEST_SUMMARY: usize = 255;

/// Analyses the text of one simple-query message or one Parse message. Returns one [`Shape`] per statement, in order
/// (several for `SELECT 1; SELECT 2`), at least one always.
///
/// `truncated`: the kernel cut the text, so its last statement is not complete and is not parsed.
///
/// Literals and parameters are all written `?` in [`Shape::text`], so that a statement has one text in the simple and
/// in the extended protocol. A text that does not begin like SQL has an empty one.
pub fn analyse(text: &[u8], truncated: bool) -> Vec<Shape> {
    // The protocol's strings end at a NUL.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let truncated = truncated || text.len() > LONGEST_TEXT;
    let (sql, parsable) = decode(text.get(..LONGEST_TEXT).unwrap_or(text), truncated);
    let mut shapes = Vec::new();
    let mut rest = &*sql;
    let mut foreign = !truncated;
    if parsable {
        // Of a cut text, what is before its last `;` is complete.
        let head = if truncated {
            last_semicolon(&sql)
        } else {
            sql.len()
        };
        match parse(sql.get(..head).unwrap_or_default()) {
            Parsed::Yes { tree, backslash } => {
                shapes = from_tree(sql.get(..head).unwrap_or_default(), &tree, backslash);
                rest = sql.get(head..).unwrap_or_default();
            }
            Parsed::TooDeep => foreign = false,
            Parsed::No => {}
        }
    }
    shapes.extend(from_tokens(rest, truncated, foreign));
    if shapes.is_empty() {
        shapes.push(Shape::default());
    }
    shapes
}

/// What the statement of a text picks its rows by; `None` for several statements, or where it can't be said.
pub fn picks(text: &[u8], truncated: bool) -> Option<Picks> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if truncated || text.len() > LONGEST_TEXT {
        return None;
    }
    let sql = std::str::from_utf8(text).ok()?;
    let Parsed::Yes {
        tree,
        backslash: false,
    } = parse(sql)
    else {
        return None;
    };
    let [statement] = tree.stmts.as_slice() else {
        return None;
    };
    picks::of_statement(sql, statement.stmt.as_ref()?.node.as_ref()?)
}

/// The place after the last `;` that is certain to end a statement, 0 without one.
fn last_semicolon(sql: &str) -> usize {
    let tokens = lex(sql, Rules::default());
    tokens
        .iter()
        .take_while(|token| !token.ambiguous)
        .filter(|token| sql.get(token.start..token.end) == Some(";"))
        .last()
        .map_or(0, |token| token.end)
}

/// The text as UTF-8, and whether it can be given to the parser.
fn decode(text: &[u8], truncated: bool) -> (Cow<'_, str>, bool) {
    match std::str::from_utf8(text) {
        Ok(sql) => (sql.into(), true),
        // The cut went through a character.
        Err(error) if truncated && error.error_len().is_none() => (
            String::from_utf8_lossy(text.get(..error.valid_up_to()).unwrap_or_default()),
            true,
        ),
        // Another client encoding. In the single-byte ones only letters are lost; in some multi-byte ones a backslash
        // can be the second half of a character, and then nobody knows where a string ends.
        Err(_) => (String::from_utf8_lossy(text), !text.contains(&b'\\')),
    }
}

enum Parsed {
    Yes {
        tree: protobuf::ParseResult,
        backslash: bool,
    },
    /// PostgreSQL's grammar accepts it, but the tree is nested deeper than the decoder allows.
    TooDeep,
    No,
}

/// The server's default: a backslash in a plain string is a backslash.
const CONFORMING: ParserOptions = ParserOptions::DISABLE_ESCAPE_STRING_WARNING;

/// `standard_conforming_strings = off`: it escapes what follows.
fn escaping() -> ParserOptions {
    CONFORMING | ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS
}

fn parse_with(sql: &str, options: ParserOptions) -> pg_query::Result<pg_query::ParseResult> {
    // pg_query's own walk over the tree has a few `panic!`s for trees it does not expect.
    panic::catch_unwind(|| pg_query::parse(sql, options))
        .unwrap_or_else(|_| Err(Error::Parse(String::new())))
}

fn parse(sql: &str) -> Parsed {
    match parse_with(sql, CONFORMING) {
        Ok(result) => {
            return Parsed::Yes {
                tree: result.protobuf,
                backslash: false,
            };
        }
        Err(Error::Decode(_)) => return Parsed::TooDeep,
        Err(_) => {}
    }
    // Only a backslash makes a difference between the two.
    if sql.contains('\\')
        && let Ok(result) = parse_with(sql, escaping())
    {
        return Parsed::Yes {
            tree: result.protobuf,
            backslash: true,
        };
    }
    Parsed::No
}

fn from_tree(sql: &str, tree: &protobuf::ParseResult, backslash: bool) -> Vec<Shape> {
    let mut tokens = lex(
        sql,
        Rules {
            backslash,
            foreign: false,
        },
    );
    // Where both readings of a backslash are SQL, what one takes for names the other has in a literal.
    if let Some(at) = tokens.iter().position(|token| token.ambiguous)
        && !backslash
        && parse_with(sql, escaping()).is_ok()
    {
        tokens.truncate(at + 1);
    }
    let mut shapes = Vec::with_capacity(tree.stmts.len());
    for raw in &tree.stmts {
        let Some(node) = raw.stmt.as_ref().and_then(|node| node.node.as_ref()) else {
            continue;
        };
        let start = usize::try_from(raw.stmt_location).unwrap_or_default();
        let len = usize::try_from(raw.stmt_len).unwrap_or_default();
        let end = if len == 0 {
            sql.len()
        } else {
            start.saturating_add(len)
        };
        shapes.push(shape_of_node(node, between(sql, &tokens, start, end)));
    }
    shapes
}

/// The tokens of one statement, without the `;`.
fn between<'a>(sql: &'a str, tokens: &'a [Token], start: usize, end: usize) -> Statement<'a> {
    let first = tokens.partition_point(|token| token.start < start);
    let last = tokens.partition_point(|token| token.start < end);
    let mut tokens = tokens.get(first..last).unwrap_or_default();
    while let [head @ .., semicolon] = tokens
        && sql.get(semicolon.start..semicolon.end) == Some(";")
    {
        tokens = head;
    }
    Statement {
        sql,
        tokens,
        mysql: false,
    }
}

fn shape_of_node(node: &NodeEnum, statement: Statement<'_>) -> Shape {
    let operation = match node {
        NodeEnum::SelectStmt(_) => "SELECT".to_owned(),
        NodeEnum::InsertStmt(_) => "INSERT".to_owned(),
        NodeEnum::UpdateStmt(_) => "UPDATE".to_owned(),
        NodeEnum::DeleteStmt(_) => "DELETE".to_owned(),
        NodeEnum::MergeStmt(_) => "MERGE".to_owned(),
        _ => statement.operation(),
    };
    // Serialising these types cannot fail; if it did, there would be no tables.
    let found = serde_json::to_value(node)
        .map(|value| tree::find(&value))
        .unwrap_or_default();
    let mut tables = node::object_tables(node);
    tables.extend(found.tables.into_iter().map(|(_, name)| name));
    let called = match node {
        NodeEnum::CallStmt(call) => call
            .funccall
            .as_ref()
            .map(|call| node::dotted(&call.funcname)),
        _ => None,
    };
    Shape {
        cursor: node::cursor(node),
        egress: node::egress(node).or(found.egress),
        ..shape(
            operation,
            tables,
            called.as_deref(),
            statement,
            Style {
                limit: LONGEST_NORMALISED,
                ..Style::default()
            },
            true,
        )
    }
}

fn from_tokens(sql: &str, truncated: bool, foreign: bool) -> Vec<Shape> {
    let mut tokens = lex(
        sql,
        Rules {
            backslash: false,
            foreign,
        },
    );
    if truncated && tokens.last().is_some_and(|token| token.end == sql.len()) {
        // The cut may have gone through it, and half a name is a wrong name.
        tokens.pop();
    }
    let is_semicolon = |token: &Token| sql.get(token.start..token.end) == Some(";");
    let statements = tokens
        .split(is_semicolon)
        .filter(|tokens| !tokens.is_empty());
    let mut shapes = Vec::new();
    for tokens in statements {
        let certain = tokens.iter().position(|token| token.ambiguous);
        let statement = Statement {
            sql,
            tokens: certain.and_then(|at| tokens.get(..=at)).unwrap_or(tokens),
            mysql: false,
        };
        let operation = statement.operation();
        let style = Style {
            foreign,
            backticks: false,
            assignment: false,
            limit: LONGEST_FALLBACK,
        };
        let (cursor, egress) = (statement.cursor(&operation), statement.egress(&operation));
        let tables = statement.tables(&operation);
        shapes.push(Shape {
            cursor,
            egress,
            ..shape(operation, tables, None, statement, style, false)
        });
        if certain.is_some() {
            // What follows may be inside of a literal.
            break;
        }
    }
    shapes
}

/// The parts that all ways have in common. `called`: a procedure, in the summary only.
pub(super) fn shape(
    operation: String,
    mut tables: Vec<String>,
    called: Option<&str>,
    statement: Statement<'_>,
    style: Style,
    parsed: bool,
) -> Shape {
    let mut seen = std::collections::HashSet::new();
    tables.retain(|table| seen.insert(table.clone()));
    let mut summary = operation.clone();
    for target in tables.iter().map(String::as_str).chain(called) {
        if summary.len() + 1 + target.len() > LONGEST_SUMMARY {
            break;
        }
        summary.push(' ');
        summary.push_str(target);
    }
    // Not SQL as far as can be seen: nothing in it is known to be harmless.
    let known = parsed || !operation.is_empty();
    let assignment = matches!(
        operation.as_str(),
        "SET" | "ALTER SYSTEM" | "ALTER ROLE" | "ALTER DATABASE"
    );
    let text = if known {
        render(
            statement.sql,
            statement.tokens,
            Style {
                assignment,
                ..style
            },
        )
    } else {
        String::new()
    };
    Shape {
        operation: operation.into(),
        tables: tables.into_iter().map(Into::into).collect(),
        summary: summary.into(),
        text: text.into(),
        parsed,
        cursor: None,
        egress: None,
    }
}
