//! Requests of Redis and Valkey: command, and pattern of the first key.
//!
//! The kernel hands on no more of a request than its command, what belongs to the command's name, and its first key; of a few
//! commands what stands in front of that. Nothing of it but names that are known, and a pattern of letters, gets into a shape.

use std::sync::Arc;

use sensor_ebpf::protocol::redis::{
    command::{self, BEHIND_MATCH, BEHIND_STREAMS, Command},
    pattern,
};

use super::{Egress, EgressRoute, Shape};
use crate::principal::startup::clean;

mod names;
pub mod patterns;
#[cfg(test)]
mod tests;

/// Most words of a request that are looked at.
const WORDS: usize = 16;

/// What a request is, whatever it is about.
const UNKNOWN_COMMAND: &str = "unknown command";

/// Analyses the beginning of a request.
pub fn analyse(text: &[u8]) -> Shape {
    let Request { words, count } = Request::parse(text);
    let Some((name, arguments)) = words.split_first() else {
        return Shape::default();
    };
    let Some(operation) = names::command(name) else {
        return Shape {
            summary: UNKNOWN_COMMAND.into(),
            text: "?".into(),
            ..Shape::default()
        };
    };
    let command = command::by_name(name);
    let argument = |at: usize| arguments.get(at - 1).copied();
    let mut written = operation.to_owned();
    let mut in_front = 0;
    if command.is_named() {
        in_front = 1;
        match argument(1) {
            Some(name) => {
                written.push(' ');
                written.push_str(&named(operation, name));
            }
            None => in_front = 0,
        }
    }
    let key = key(command, arguments);
    let pattern = key.and_then(|at| Some((at, pattern::of(argument(at)?))));
    if let Some((at, pattern)) = &pattern {
        if *at > in_front + 1 {
            written.push_str(" ?");
        }
        written.push(' ');
        written.push_str(pattern);
        in_front = *at;
    }
    if count.is_none_or(|count| count > in_front + 1) {
        written.push_str(" ?");
    }
    let tables: Vec<Arc<str>> = pattern
        .map(|(_, pattern)| pattern.into())
        .into_iter()
        .collect();
    Shape {
        summary: summary(operation, &tables),
        operation: operation.into(),
        text: written.into(),
        parsed: true,
        egress: egress(operation, arguments),
        tables,
        cursor: None,
    }
}

/// The shape with another pattern in the place of its key's.
fn with_pattern(shape: &Shape, pattern: &str) -> Shape {
    let Some(before) = shape.tables.first() else {
        return shape.clone();
    };
    let tables = vec![pattern.into()];
    Shape {
        summary: summary(&shape.operation, &tables),
        text: shape
            .text
            .replacen(&format!(" {before}"), &format!(" {pattern}"), 1)
            .into(),
        tables,
        ..shape.clone()
    }
}

fn summary(operation: &str, tables: &[Arc<str>]) -> Arc<str> {
    tables
        .iter()
        .fold(operation.to_owned(), |summary, table| {
            format!("{summary} {table}")
        })
        .into()
}

/// The argument that belongs to a command's name.
fn named(operation: &str, name: &[u8]) -> String {
    if operation == "SELECT" {
        // Databases have numbers, and few of them.
        let is_number = name.len() <= 3 && name.iter().all(u8::is_ascii_digit);
        return if is_number {
            String::from_utf8_lossy(name).into_owned()
        } else {
            "?".to_owned()
        };
    }
    names::subcommand(name).unwrap_or("?").to_owned()
}

/// Which argument is the first key, by the kernel's rules.
fn key(command: Command, arguments: &[&[u8]]) -> Option<usize> {
    let behind = |word: &str| {
        let at = arguments
            .iter()
            .position(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))?;
        Some(at + 2)
    };
    let at = match command.key() {
        0 => return None,
        BEHIND_MATCH => behind("MATCH")?,
        BEHIND_STREAMS => behind("STREAMS")?,
        at => at as usize,
    };
    if command.is_counted() {
        let count = arguments.get(at.checked_sub(2)?)?;
        if count.first().is_none_or(|digit| *digit == b'0') {
            return None;
        }
    }
    (at <= arguments.len()).then_some(at)
}

/// The way out that the server is made to take.
fn egress(operation: &str, arguments: &[&[u8]]) -> Option<Egress> {
    let (route, destination) = match operation {
        "MIGRATE" | "REPLICAOF" | "SLAVEOF" => {
            let host = clean(arguments.first()?);
            let port = clean(arguments.get(1)?);
            if operation != "MIGRATE" && host.eq_ignore_ascii_case("no") {
                return None;
            }
            (EgressRoute::RemoteServer, format!("{host}:{port}").into())
        }
        "SAVE" | "BGSAVE" | "BGREWRITEAOF" => (EgressRoute::CopyToFile, "".into()),
        _ => return None,
    };
    Some(Egress { route, destination })
}

/// The database that follows, when the shape is that of a `SELECT`.
pub fn uses(shape: &Shape) -> Option<Arc<str>> {
    let behind = shape.text.strip_prefix("SELECT ")?;
    // Of a line nobody knows how much of it there is, so that it seems to go on.
    let number = behind.split(' ').next()?;
    (&*shape.operation == "SELECT").then(|| number.into())
}

/// Does it change data? Then each execution counts as a row written: what more it changed no answer says in the same way.
pub fn writes(shape: &Shape) -> bool {
    names::writes(&shape.operation)
}

/// Words of a request.
struct Request<'a> {
    words: Vec<&'a [u8]>,
    /// How many there are in all, where that is known.
    count: Option<usize>,
}

impl<'a> Request<'a> {
    fn parse(text: &'a [u8]) -> Self {
        if text.first() != Some(&b'*') {
            let words = text
                .split(|byte| matches!(byte, b' ' | b'\t'..=b'\r'))
                .filter(|word| !word.is_empty())
                .take(WORDS)
                .collect();
            return Self { words, count: None };
        }
        let mut rest = text;
        let mut number = |kind: u8| -> Option<(usize, &'a [u8])> {
            let line = rest.strip_prefix(&[kind])?;
            // The byte behind it is passed over, whatever it is, as the server does.
            let end = line.iter().position(|byte| *byte == b'\r')?;
            let number = std::str::from_utf8(&line[..end]).ok()?.parse().ok()?;
            rest = line.get(end + 2..)?;
            if kind == b'$' {
                // The last may be cut.
                let word = rest.get(..number).unwrap_or(rest);
                rest = rest.get(number + 2..).unwrap_or_default();
                return Some((number, word));
            }
            Some((number, rest))
        };
        let count = number(b'*').map(|(count, _)| count);
        let words = std::iter::from_fn(|| number(b'$').map(|(_, word)| word))
            .take(WORDS)
            .collect();
        Self { words, count }
    }
}
