//! Changes of the session, by the parse tree.

use pg_query::{
    NodeEnum,
    protobuf::{self, DiscardMode, TransactionStmtKind as Kind, VariableSetKind, a_const::Val},
};
use sensor_ebpf::fingerprint::sees_literals;

use super::{LONGEST_TEXT, Parsed, parse, tree};
use crate::{
    principal::startup::clean,
    sql::session::{Change, Changes, Parameter, Value},
};

/// Words without one of which a text changes nothing.
const WORDS: [&str; 11] = [
    "set",
    "discard",
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
    "prepare",
];

/// What the statements of a text change of their session.
pub fn changes(text: &[u8], truncated: bool) -> Changes {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let lower = text.to_ascii_lowercase();
    let has = |word: &str| {
        lower
            .windows(word.len())
            .any(|window| window == word.as_bytes())
    };
    if !WORDS.into_iter().any(has) {
        return Changes::None;
    }
    // What could not be read may be a change of the role, and then nobody may be named.
    let unreadable = || {
        if has("role") || has("authorization") || has("discard") {
            Changes::Unreadable
        } else {
            Changes::None
        }
    };
    if truncated || text.len() > LONGEST_TEXT {
        return unreadable();
    }
    let Ok(sql) = std::str::from_utf8(text) else {
        return unreadable();
    };
    let Parsed::Yes {
        tree,
        backslash: false,
    } = parse(sql)
    else {
        return unreadable();
    };
    // The kernel tells texts apart by their literals only when they begin with SET.
    let blind = !sees_literals(text);
    let changes: Vec<Option<Change>> = tree
        .stmts
        .iter()
        .filter_map(|raw| raw.stmt.as_ref()?.node.as_ref())
        .map(|node| change(sql, node, blind))
        .collect();
    if changes.iter().all(Option::is_none) {
        return Changes::None;
    }
    Changes::Each(changes.into())
}

/// `blind`: the statement has one fingerprint with others of which only the literals differ.
fn change(sql: &str, node: &NodeEnum, blind: bool) -> Option<Change> {
    match node {
        NodeEnum::VariableSetStmt(set) => set_statement(sql, set, blind),
        NodeEnum::DiscardStmt(discard) => {
            (discard.target == DiscardMode::DiscardAll as i32).then_some(Change::DiscardAll)
        }
        NodeEnum::TransactionStmt(transaction) => transaction_statement(transaction),
        NodeEnum::SelectStmt(_) | NodeEnum::CallStmt(_) => {
            // Serialising these types cannot fail.
            let (name, local) = tree::set_config(&serde_json::to_value(node).ok()?)?;
            let parameter = match name {
                Some(name) => Parameter::from_name(&name)?,
                // Computed, or a parameter: any.
                None => Parameter::Role,
            };
            Some(Change::Set {
                parameter,
                value: Value::Unknown,
                local,
            })
        }
        _ => None,
    }
}

fn set_statement(sql: &str, set: &protobuf::VariableSetStmt, blind: bool) -> Option<Change> {
    let kind = VariableSetKind::try_from(set.kind).ok()?;
    if kind == VariableSetKind::VarResetAll {
        return Some(Change::ResetAll);
    }
    let parameter = Parameter::from_name(&set.name)?;
    let value = match kind {
        VariableSetKind::VarSetValue => match set.args.as_slice() {
            [value] => constant(value)
                .filter(|(_, place)| !blind || is_name(sql, *place))
                .map_or(Value::Unknown, |(value, _)| named(parameter, &value)),
            _ => Value::Unknown,
        },
        VariableSetKind::VarSetDefault | VariableSetKind::VarReset => Value::Begun,
        // FROM CURRENT belongs to CREATE FUNCTION.
        _ => return None,
    };
    Some(Change::Set {
        parameter,
        value,
        local: set.is_local,
    })
}

/// A constant as text, and where it stands.
fn constant(node: &protobuf::Node) -> Option<(String, usize)> {
    let Some(NodeEnum::AConst(constant)) = &node.node else {
        return None;
    };
    let text = match constant.val.as_ref()? {
        Val::Sval(text) => text.sval.clone(),
        Val::Ival(number) => number.ival.to_string(),
        Val::Fval(number) => number.fval.clone(),
        _ => return None,
    };
    Some((text, usize::try_from(constant.location).ok()?))
}

/// Is what stands there a name, which a fingerprint tells from others, and no literal?
fn is_name(sql: &str, place: usize) -> bool {
    let text = sql.as_bytes().get(place..).unwrap_or_default();
    let word = text
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_' && *byte < 0x80);
    match text.first() {
        Some(b'"') => true,
        // E'…', U&'…'
        Some(first) if first.is_ascii_alphabetic() || *first == b'_' || *first >= 0x80 => {
            !matches!(word.and_then(|at| text.get(at)), Some(b'\'' | b'&'))
        }
        _ => false,
    }
}

fn named(parameter: Parameter, value: &str) -> Value {
    // However it is written.
    if parameter == Parameter::Role && value == "none" {
        return Value::To("".into());
    }
    Value::To(clean(value.as_bytes()))
}

fn transaction_statement(transaction: &protobuf::TransactionStmt) -> Option<Change> {
    let name = || clean(transaction.savepoint_name.as_bytes());
    let chain = transaction.chain;
    match Kind::try_from(transaction.kind).ok()? {
        Kind::TransStmtBegin | Kind::TransStmtStart => Some(Change::Begin),
        Kind::TransStmtCommit => Some(Change::Commit { chain }),
        Kind::TransStmtPrepare => Some(Change::Commit { chain: false }),
        Kind::TransStmtRollback => Some(Change::Rollback { chain }),
        Kind::TransStmtSavepoint => Some(Change::Savepoint(name())),
        Kind::TransStmtRelease => Some(Change::Release(name())),
        Kind::TransStmtRollbackTo => Some(Change::RollbackTo(name())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(parameter: Parameter, value: Value, local: bool) -> Change {
        Change::Set {
            parameter,
            value,
            local,
        }
    }

    fn to(name: &str) -> Value {
        Value::To(name.into())
    }

    #[test]
    fn one_statement() {
        use Parameter::{ApplicationName, Role, SessionAuthorization};
        for (text, expected) in [
            ("SET ROLE ann", set(Role, to("ann"), false)),
            ("set local role 'Ann'", set(Role, to("Ann"), true)),
            ("SET role TO \"Ann\"", set(Role, to("Ann"), false)),
            ("SET ROLE NONE", set(Role, to(""), false)),
            ("RESET ROLE", set(Role, Value::Begun, false)),
            ("SET ROLE TO DEFAULT", set(Role, Value::Begun, false)),
            (
                "SET SESSION AUTHORIZATION ann",
                set(SessionAuthorization, to("ann"), false),
            ),
            (
                "SET SESSION AUTHORIZATION DEFAULT",
                set(SessionAuthorization, Value::Begun, false),
            ),
            (
                "RESET SESSION AUTHORIZATION",
                set(SessionAuthorization, Value::Begun, false),
            ),
            (
                "SET application_name = 'a b'",
                set(ApplicationName, to("a b"), false),
            ),
            (
                "SET application_name TO 5",
                set(ApplicationName, to("5"), false),
            ),
            ("RESET ALL", Change::ResetAll),
            ("DISCARD ALL", Change::DiscardAll),
            ("START TRANSACTION READ ONLY", Change::Begin),
            ("END", Change::Commit { chain: false }),
            ("COMMIT AND CHAIN", Change::Commit { chain: true }),
            ("PREPARE TRANSACTION 'x'", Change::Commit { chain: false }),
            ("ABORT", Change::Rollback { chain: false }),
            ("SAVEPOINT s", Change::Savepoint("s".into())),
            ("ROLLBACK TO s", Change::RollbackTo("s".into())),
            ("RELEASE s", Change::Release("s".into())),
            (
                "SELECT set_config('role', 'ann', false)",
                set(Role, Value::Unknown, false),
            ),
            (
                "SELECT pg_catalog.set_config($1, $2, true)",
                set(Role, Value::Unknown, true),
            ),
        ] {
            let changes = changes(text.as_bytes(), false);
            assert_eq!(changes.at(0), Some(&expected), "{text}: {changes:?}");
            // Wherever in a pipeline it is run.
            assert_eq!(changes.at(7), Some(&expected), "{text}");
        }
    }

    #[test]
    fn several_statements_and_those_that_change_nothing() {
        let both = changes(b"BEGIN; SET LOCAL ROLE ann; SELECT 1", false);
        assert_eq!(both.at(0), Some(&Change::Begin));
        assert_eq!(both.at(1), Some(&set(Parameter::Role, to("ann"), true)));
        assert_eq!((both.at(2), both.at(3)), (None, None));
        // A literal that no fingerprint sees: nobody is named.
        for text in [
            "BEGIN; SET LOCAL ROLE 'ann'",
            "/* x */ SET LOCAL ROLE 'ann'",
            "BEGIN; SET LOCAL ROLE E'ann'",
            "BEGIN; SET LOCAL ROLE U&'ann'",
        ] {
            let changes = changes(text.as_bytes(), false);
            let Changes::Each(all) = &changes else {
                panic!("{text}: {changes:?}");
            };
            let last = all.last().cloned().flatten();
            assert_eq!(
                last,
                Some(set(Parameter::Role, Value::Unknown, true)),
                "{text}"
            );
        }
        for text in [
            "SELECT * FROM settings",
            "SET search_path = x",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "UPDATE t SET role = 'x'",
            "SELECT set_config('app.x', 'role', false)",
            "DISCARD PLANS",
        ] {
            assert_eq!(changes(text.as_bytes(), false), Changes::None, "{text}");
        }
        assert_eq!(changes(b"SET ROLE 'ann", false), Changes::Unreadable);
        assert_eq!(changes(b"SET ROLE ann; SELECT", true), Changes::Unreadable);
    }

    #[test]
    fn names_cannot_deceive() {
        let changes = changes("SET ROLE \"a\u{202e}b\u{1b}[2J\"".as_bytes(), false);
        assert_eq!(
            changes.at(0),
            Some(&set(Parameter::Role, to("a\\u{202e}b\\u{1b}[2J"), false))
        );
    }
}
