//! A statement as its tokens, and its operation, which they tell whether it parses or not.

use super::{
    lex::{Kind, Token},
    render::is_one_of,
};

/// Leading keywords of PostgreSQL and of dialects that end up on its port by mistake. Anything else is not taken
/// for SQL: it may be a password typed at the wrong prompt.
const OPERATIONS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "ANALYSE",
    "BEGIN",
    "CALL",
    "CHECKPOINT",
    "CLOSE",
    "CLUSTER",
    "COMMENT",
    "COMMIT",
    "COPY",
    "CREATE",
    "DEALLOCATE",
    "DECLARE",
    "DELETE",
    "DESCRIBE",
    "DISCARD",
    "DO",
    "DROP",
    "EXEC",
    "EXECUTE",
    "EXPLAIN",
    "FETCH",
    "GRANT",
    "IMPORT",
    "INSERT",
    "LISTEN",
    "LOAD",
    "LOCK",
    "MERGE",
    "MOVE",
    "NOTIFY",
    "PREPARE",
    "REASSIGN",
    "REFRESH",
    "REINDEX",
    "RELEASE",
    "REPLACE",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "SECURITY",
    "SELECT",
    "SET",
    "SHOW",
    "TRUNCATE",
    "UNLISTEN",
    "UPDATE",
    "UPSERT",
    "USE",
    "VACUUM",
    "WAIT",
];

/// Statements named by two words, for their kinds of object.
const OBJECTS: &[&str] = &[
    "ACCESS",
    "AGGREGATE",
    "CAST",
    "COLLATION",
    "CONVERSION",
    "DATABASE",
    "DEFAULT",
    "DOMAIN",
    "EVENT",
    "EXTENSION",
    "FOREIGN",
    "FUNCTION",
    "GROUP",
    "INDEX",
    "LANGUAGE",
    "LARGE",
    "MATERIALIZED",
    "OPERATOR",
    "OWNED",
    "POLICY",
    "PROCEDURE",
    "PUBLICATION",
    "ROLE",
    "ROUTINE",
    "RULE",
    "SCHEMA",
    "SEQUENCE",
    "SERVER",
    "STATISTICS",
    "SUBSCRIPTION",
    "SYSTEM",
    "TABLE",
    "TABLESPACE",
    "TEXT",
    "TRANSFORM",
    "TRIGGER",
    "TYPE",
    "USER",
    "VIEW",
];

/// First words of kinds of object that have more of them.
const OBJECT_PAIRS: &[(&str, &[&str])] = &[
    ("ACCESS", &["METHOD"]),
    ("DEFAULT", &["PRIVILEGES"]),
    ("EVENT", &["TRIGGER"]),
    ("FOREIGN", &["TABLE", "DATA"]),
    ("LARGE", &["OBJECT"]),
    ("MATERIALIZED", &["VIEW"]),
    ("OPERATOR", &["CLASS", "FAMILY"]),
    ("TEXT", &["SEARCH"]),
    ("USER", &["MAPPING"]),
];

/// The tokens of one statement with their text.
#[derive(Clone, Copy)]
pub(in crate::sql) struct Statement<'a> {
    pub(in crate::sql) sql: &'a str,
    pub(in crate::sql) tokens: &'a [Token],
    /// In MySQL's language.
    pub(in crate::sql) mysql: bool,
}

impl<'a> Statement<'a> {
    pub(in crate::sql) fn text(&self, at: usize) -> &'a str {
        self.tokens
            .get(at)
            .and_then(|t| self.sql.get(t.start..t.end))
            .unwrap_or_default()
    }

    pub(in crate::sql) fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|t| t.kind)
    }

    /// The keyword at a place in upper case, empty when there is no word.
    pub(in crate::sql) fn keyword(&self, at: usize) -> String {
        if self.kind(at) == Some(Kind::Word) {
            self.text(at).to_ascii_uppercase()
        } else {
            String::new()
        }
    }

    pub(in crate::sql) fn is(&self, at: usize, list: &[&str]) -> bool {
        self.kind(at) == Some(Kind::Word) && is_one_of(self.text(at), list)
    }

    /// `db.operation.name`. What returns a SELECT tag to the client (`VALUES`, `TABLE`) is a SELECT,
    /// and of synonyms the more usual one is taken (`START TRANSACTION` is BEGIN).
    pub(in crate::sql) fn operation(&self) -> String {
        let mut at = 0;
        while self.text(at) == "(" {
            at += 1;
        }
        let first = self.keyword(at);
        match first.as_str() {
            "VALUES" | "TABLE" => "SELECT".into(),
            "WITH" => self.after_with(at + 1),
            "START" if self.is(at + 1, &["TRANSACTION"]) => "BEGIN".into(),
            "END" => "COMMIT".into(),
            "ABORT" => "ROLLBACK".into(),
            "PREPARE" if self.is(at + 1, &["TRANSACTION"]) => "PREPARE TRANSACTION".into(),
            "COMMIT" | "ROLLBACK" if self.is(at + 1, &["PREPARED"]) => format!("{first} PREPARED"),
            "IMPORT" => "IMPORT FOREIGN SCHEMA".into(),
            "REFRESH" => "REFRESH MATERIALIZED VIEW".into(),
            "CREATE" | "ALTER" | "DROP" => self.object_kind(first, at + 1),
            known if is_one_of(known, OPERATIONS) => first,
            _ => String::new(),
        }
    }

    /// The statement that a WITH list belongs to.
    fn after_with(&self, from: usize) -> String {
        let mut depth = 0usize;
        for at in from..self.tokens.len() {
            match self.text(at) {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ if depth == 0 && self.is(at, &["VALUES", "TABLE"]) => return "SELECT".into(),
                _ if depth == 0
                    && self.is(at, &["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE"]) =>
                {
                    return self.keyword(at);
                }
                _ => {}
            }
        }
        // Cut before it was reached; most are.
        "SELECT".into()
    }

    /// CREATE OR REPLACE TEMP VIEW is `CREATE VIEW`.
    fn object_kind(&self, verb: String, from: usize) -> String {
        for at in from..self.tokens.len().min(from + 8) {
            if !self.is(at, OBJECTS) {
                continue;
            }
            let kind = self.keyword(at);
            let pair = OBJECT_PAIRS.iter().find(|(word, _)| *word == kind);
            match pair {
                Some((_, seconds)) if self.is(at + 1, seconds) => {
                    let second = self.keyword(at + 1);
                    let data_wrapper = if second == "DATA" { " WRAPPER" } else { "" };
                    return format!("{verb} {kind} {second}{data_wrapper}");
                }
                // Only words before the object's kind: a table's DEFAULT is none.
                _ => return format!("{verb} {kind}"),
            }
        }
        verb
    }
}
