//! A best effort for statements that do not parse: what their tokens suggest.

use super::{egress, lex::Kind, render::is_one_of, scan::Statement};
use crate::sql::{Cursor, Egress};

/// Operations whose FROM, JOIN and INTO name tables. In others (REVOKE … FROM, FETCH … FROM) they do not.
const TABLE_OPERATIONS: &[&str] = &[
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "COPY",
    "EXPLAIN",
    "DECLARE",
    "PREPARE",
    "REPLACE",
    "UPSERT",
    "CREATE TABLE",
    "CREATE VIEW",
    "CREATE MATERIALIZED VIEW",
    "TRUNCATE",
    "TRUNCATE TABLE",
    "DROP TABLE",
    "ALTER TABLE",
    "LOAD",
    "HANDLER",
];

impl Statement<'_> {
    /// Tables of a statement that did not parse: names after FROM, JOIN, INTO, UPDATE and kin, less the CTEs.
    pub(in crate::sql) fn tables(&self, operation: &str) -> Vec<String> {
        let mut tables: Vec<String> = Vec::new();
        if !is_one_of(operation, TABLE_OPERATIONS) {
            return tables;
        }
        let ctes = self.cte_names();
        // For each open parenthesis: true when it holds the arguments of a function with a FROM of its own.
        let mut brackets = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            match self.text(at) {
                "(" => {
                    let before = at.checked_sub(1).unwrap_or(usize::MAX);
                    brackets.push(self.is(
                        before,
                        &["EXTRACT", "SUBSTRING", "TRIM", "OVERLAY", "POSITION"],
                    ));
                }
                ")" => _ = brackets.pop(),
                _ if brackets.last() != Some(&true) && self.introduces_table(at, operation) => {
                    at = self.table_list(at, &ctes, &mut tables);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        tables
    }

    fn introduces_table(&self, at: usize, operation: &str) -> bool {
        let before = at.checked_sub(1).unwrap_or(usize::MAX);
        match self.keyword(at).as_str() {
            "FROM" => operation != "COPY" && !self.is(before, &["DISTINCT"]),
            "JOIN" | "INTO" => true,
            "STRAIGHT_JOIN" => self.mysql && operation != self.keyword(before),
            "HANDLER" => at == 0,
            "UPDATE" => !self.is(before, &["FOR", "DO", "ON", "KEY"]),
            "COPY" => at == 0,
            "USING" => is_one_of(operation, &["DELETE", "MERGE"]),
            "TABLE" => true,
            "TRUNCATE" => at == 0 && !self.is(at + 1, &["TABLE"]),
            _ => false,
        }
    }

    /// Reads `[ONLY] a.b [AS x], c` after the keyword at `at`; returns where to go on.
    fn table_list(&self, at: usize, ctes: &[String], tables: &mut Vec<String>) -> usize {
        let keyword = self.keyword(at);
        let mut next = at + 1;
        loop {
            while self.is(next, &["ONLY", "IF", "EXISTS", "NOT"])
                || self.mysql && self.is(next, &["TABLE", "LOW_PRIORITY", "IGNORE"])
            {
                next += 1;
            }
            let Some((name, after)) = self.name(next) else {
                return next;
            };
            // Followed by a parenthesis it is a function, except where columns are listed.
            let columns = matches!(keyword.as_str(), "INTO" | "COPY" | "TABLE");
            let function = self.text(after) == "(" && !columns;
            if !function && !ctes.contains(&name) && !tables.contains(&name) {
                tables.push(name);
            }
            next = if function {
                self.after_bracket(after)
            } else {
                after
            };
            if self.is(next, &["AS"]) {
                next += 1;
            }
            if matches!(self.kind(next), Some(Kind::Word | Kind::Quoted))
                && self.text(next + 1) == ","
            {
                next += 1;
            }
            if columns || self.text(next) != "," {
                return after;
            }
            next += 1;
        }
    }

    /// The place after the `)` for the `(` at `at`; after the `(` itself when it holds a query of its own.
    fn after_bracket(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for next in at..self.tokens.len() {
            match self.text(next) {
                "(" => depth += 1,
                ")" if depth == 1 => return next + 1,
                ")" => depth -= 1,
                _ if self.is(next, &["FROM"]) => return at + 1,
                _ => {}
            }
        }
        at + 1
    }

    /// A dotted name, folded as PostgreSQL does it, and the place after it.
    fn name(&self, at: usize) -> Option<(String, usize)> {
        let mut name = String::new();
        let mut next = at;
        loop {
            let text = self.text(next);
            match self.kind(next)? {
                Kind::Word
                    if is_one_of(
                        text,
                        &["SELECT", "LATERAL", "VALUES", "WITH", "SET", "STDIN"],
                    ) || self.mysql && is_one_of(text, &["OUTFILE", "DUMPFILE"]) =>
                {
                    return None;
                }
                // MySQL's names of tables are those of files.
                Kind::Word if self.mysql => name.push_str(text),
                Kind::Word => name.push_str(&text.to_ascii_lowercase()),
                Kind::Quoted => name.push_str(&unquote(text)),
                _ => return None,
            }
            next += 1;
            if self.text(next) != "." {
                return Some((name, next));
            }
            name.push('.');
            next += 1;
        }
    }

    /// Names before `AS [NOT MATERIALIZED] (`, when there is a WITH at all.
    fn cte_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let with = (0..self.tokens.len()).any(|at| self.is(at, &["WITH"]));
        for at in 0..self.tokens.len() {
            if !with || !self.is(at + 1, &["AS"]) {
                continue;
            }
            let mut next = at + 2;
            while self.is(next, &["NOT", "MATERIALIZED"]) {
                next += 1;
            }
            if self.text(next) == "(" {
                names.extend(self.name(at).map(|(name, _)| name));
            }
        }
        names
    }

    /// The cursor of a DECLARE, FETCH, MOVE or CLOSE that did not parse.
    pub(in crate::sql) fn cursor(&self, operation: &str) -> Option<Cursor> {
        let last = self.tokens.len().checked_sub(1)?;
        let named = |at| self.name(at).map(|(name, _)| name.into());
        match operation {
            "DECLARE" => named(1).map(Cursor::Declares),
            "FETCH" | "MOVE" if last > 0 => named(last).map(Cursor::Fetches),
            "CLOSE" if self.is(1, &["ALL"]) => Some(Cursor::Closes(None)),
            "CLOSE" => named(1).map(|name| Cursor::Closes(Some(name))),
            _ => None,
        }
    }

    /// The way out of a statement that did not parse.
    pub(in crate::sql) fn egress(&self, operation: &str) -> Option<Egress> {
        let mut depth = 0usize;
        for at in 0..self.tokens.len() {
            match self.text(at) {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ if depth == 0 && operation == "COPY" && self.is(at, &["TO", "FROM"]) => {
                    let program = self.is(at + 1, &["PROGRAM"]);
                    let target = at + 1 + usize::from(program);
                    if self.kind(target) == Some(Kind::Str) {
                        let plain = self
                            .text(target)
                            .strip_prefix('\'')
                            .and_then(|t| t.strip_suffix('\''));
                        let target = plain
                            .filter(|t| !t.contains(['\'', '\\', '\n']))
                            .unwrap_or_default();
                        return Some(egress::copy(self.is(at, &["FROM"]), program, target));
                    }
                }
                name if self.text(at + 1) == "(" && self.kind(at) == Some(Kind::Word) => {
                    let route = egress::route_of(&name.to_ascii_lowercase());
                    if let Some(route) = route {
                        return Some(Egress {
                            route,
                            destination: "".into(),
                        });
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// The name in double quotes or backticks.
fn unquote(text: &str) -> String {
    let Some(quote) = text.chars().last() else {
        return String::new();
    };
    let inner = text
        .find(quote)
        .and_then(|at| text.get(at + 1..text.len().saturating_sub(1)))
        .unwrap_or_default();
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}
