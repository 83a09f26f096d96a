//! MySQL's and MariaDB's statements.
//!
//! As with PostgreSQL's, the normalised text is made of tokens, so that no literal passes. Tables of queries and changes are told by
//! a grammar (`tables`). Of all else, and of what that does not know, they are what follows FROM, JOIN, INTO, UPDATE and kin
//! (`postgres::guess`), and shapes are marked as not parsed.

use std::sync::Arc;

use super::{
    Egress, EgressRoute, Shape,
    postgres::{
        LONGEST_NORMALISED, LONGEST_SUMMARY, LONGEST_TEXT,
        lex::{Kind, Token},
        render::Style,
        scan::Statement,
        shape,
    },
};
use crate::principal::startup::clean;

mod lex;
mod tables;
#[cfg(test)]
mod tests;

/// Analyses the text of one command. Returns one [`Shape`] per statement, in order, at least one always.
///
/// `truncated`: the kernel cut the text. `plain`: a backslash in a literal is no escape (`NO_BACKSLASH_ESCAPES`).
pub fn analyse(text: &[u8], truncated: bool, plain: bool) -> Vec<Shape> {
    if let Some(database) = database_used(text) {
        let text: Arc<str> = format!("USE {}", clean(database)).into();
        return vec![Shape {
            operation: "USE".into(),
            // A name of nothing but escapes is several times as long as it was.
            summary: if text.len() > LONGEST_SUMMARY {
                "USE".into()
            } else {
                text.clone()
            },
            text,
            parsed: true,
            ..Shape::default()
        }];
    }
    let truncated = truncated || text.len() > LONGEST_TEXT;
    let sql = String::from_utf8_lossy(text.get(..LONGEST_TEXT).unwrap_or(text));
    let mut tokens = lex::lex(&sql, plain);
    if truncated && tokens.last().is_some_and(|token| token.end == sql.len()) {
        // The cut may have gone through it, and half a name is a wrong name.
        tokens.pop();
    }
    let is_semicolon = |token: &Token| sql.get(token.start..token.end) == Some(";");
    let cut = truncated
        .then(|| tokens.last().map(|token| token.end))
        .flatten();
    let mut shapes: Vec<Shape> = tokens
        .split(is_semicolon)
        .filter(|tokens| !tokens.is_empty())
        .map(|tokens| {
            let statement = Statement {
                sql: &sql,
                tokens,
                mysql: true,
            };
            let is_cut = cut.is_some() && tokens.last().map(|token| token.end) == cut;
            of(statement, (!is_cut).then_some(plain))
        })
        .collect();
    if shapes.is_empty() {
        shapes.push(Shape::default());
    }
    shapes
}

/// `plain`: see [`analyse`]; nothing for a statement that is cut, which no grammar reads.
fn of(statement: Statement<'_>, plain: Option<bool>) -> Shape {
    let mut operation = statement.operation();
    let known = plain.and_then(|plain| known_tables(&statement, plain));
    let parsed = known.is_some();
    if operation.is_empty() && (parsed || statement.is(0, &["TABLE"])) {
        // `(SELECT …) UNION …`, `TABLE name`.
        operation = "SELECT".to_owned();
    }
    let tables = known.unwrap_or_else(|| statement.tables(&operation));
    let style = Style {
        foreign: true,
        backticks: true,
        assignment: false,
        limit: LONGEST_NORMALISED,
    };
    let egress = egress(&statement, &operation);
    Shape {
        egress,
        ..shape(operation, tables, None, statement, style, parsed)
    }
}

/// What may stand between a verb and its table; the grammar takes it for one.
const MODIFIERS: [&str; 5] = [
    "LOW_PRIORITY",
    "HIGH_PRIORITY",
    "DELAYED",
    "QUICK",
    "IGNORE",
];

/// Tables by the grammar, which takes a backslash in a literal for an escape.
fn known_tables(statement: &Statement<'_>, plain: bool) -> Option<Vec<String>> {
    if statement.is(1, &MODIFIERS) {
        return None;
    }
    let (first, last) = (statement.tokens.first()?, statement.tokens.last()?);
    let sql = statement.sql.get(first.start..last.end)?;
    (!plain || !sql.contains('\\'))
        .then(|| tables::tables(sql))
        .flatten()
}

/// The database of a `USE`, which takes its name as it stands: so a client's command to change it comes, too.
fn database_used(text: &[u8]) -> Option<&[u8]> {
    let (word, name) = text.split_at_checked(4)?;
    if !word.eq_ignore_ascii_case(b"USE ") {
        return None;
    }
    let name = name.trim_ascii();
    let name = name.strip_suffix(b";").unwrap_or(name).trim_ascii();
    let quoted = name
        .strip_prefix(b"`")
        .and_then(|name| name.strip_suffix(b"`"));
    let name = quoted.unwrap_or(name);
    (!name.is_empty() && !name.contains(&b';')).then_some(name)
}

/// The database that follows, when the shape is that of a `USE`.
pub fn uses(shape: &Shape) -> Option<Arc<str>> {
    (&*shape.operation == "USE")
        .then(|| shape.text.strip_prefix("USE ").map(Into::into))
        .flatten()
}

/// The way out that the server is made to take.
fn egress(statement: &Statement<'_>, operation: &str) -> Option<Egress> {
    let path = |at: usize| -> Arc<str> {
        if statement.kind(at) != Some(Kind::Str) {
            return "".into();
        }
        let text = statement.text(at);
        let inner = text.get(1..text.len().saturating_sub(1));
        inner
            .filter(|inner| !inner.contains(['\'', '"', '\\', '\n']))
            .unwrap_or_default()
            .into()
    };
    let to = |route, destination| Some(Egress { route, destination });
    for at in 0..statement.tokens.len() {
        if statement.is(at, &["OUTFILE", "DUMPFILE"]) && at > 0 && statement.is(at - 1, &["INTO"]) {
            return to(EgressRoute::CopyToFile, path(at + 1));
        }
        if statement.is(at, &["LOAD_FILE"]) && statement.text(at + 1) == "(" {
            return to(EgressRoute::ServerFileRead, path(at + 2));
        }
        if operation == "LOAD"
            && statement.is(at, &["INFILE"])
            && !statement.is(at.saturating_sub(1), &["LOCAL"])
        {
            return to(EgressRoute::ServerFileRead, path(at + 1));
        }
    }
    let engine = (1..statement.tokens.len()).any(|at| {
        statement.is(at, &["FEDERATED", "CONNECT", "SPIDER"])
            && (statement.text(at - 1) == "=" || statement.is(at - 1, &["ENGINE"]))
    });
    if operation == "CREATE SERVER" || operation == "CREATE TABLE" && engine {
        return to(EgressRoute::RemoteServer, "".into());
    }
    None
}
