//! Tables and function calls in a parse tree.
//!
//! The tree has some 270 kinds of node, and a table can stand below most of them. It is walked in its serialised
//! form, where all are alike: a list of the kinds by hand would miss one, and with it a table.

use serde_json::{Map, Value};

use super::egress;
use crate::sql::{Egress, session::Parameter};

/// What a walk found.
#[derive(Default)]
pub(super) struct Found {
    /// Tables with their place in the text.
    pub(super) tables: Vec<(i64, String)>,
    /// The first function call that is a way out.
    pub(super) egress: Option<Egress>,
}

/// CTEs visible at a place.
struct Scope<'a> {
    names: Vec<&'a str>,
    outer: Option<&'a Scope<'a>>,
}

impl Scope<'_> {
    fn has(&self, name: &str) -> bool {
        self.names.contains(&name) || self.outer.is_some_and(|outer| outer.has(name))
    }
}

/// Walks a serialised node. The decoder allows messages nested 100 deep, which bounds the recursion.
pub(super) fn find(node: &Value) -> Found {
    let mut found = Found::default();
    walk(
        node,
        &Scope {
            names: Vec::new(),
            outer: None,
        },
        &mut found,
    );
    found.tables.sort_by_key(|(place, _)| *place);
    found
}

fn walk(value: &Value, scope: &Scope<'_>, found: &mut Found) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, scope, found)),
        Value::Object(map) => match map.get("with_clause") {
            Some(Value::Object(with)) => walk_with(map, with, scope, found),
            _ => walk_fields(map, scope, found),
        },
        _ => {}
    }
}

/// A statement with a WITH list. Each of its queries sees the names before its own, all with RECURSIVE:
/// in `WITH customers AS (SELECT … FROM customers) …` the inner one is the table.
fn walk_with(
    statement: &Map<String, Value>,
    with: &Map<String, Value>,
    scope: &Scope<'_>,
    found: &mut Found,
) {
    let ctes = with
        .get("ctes")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = ctes
        .iter()
        .map(|cte| cte_name(cte).unwrap_or_default())
        .collect();
    let recursive = with
        .get("recursive")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    for (index, cte) in ctes.iter().enumerate() {
        let visible = if recursive { names.len() } else { index };
        let names = names.get(..visible).unwrap_or_default().to_vec();
        walk(
            cte,
            &Scope {
                names,
                outer: Some(scope),
            },
            found,
        );
    }
    walk_fields(
        statement,
        &Scope {
            names,
            outer: Some(scope),
        },
        found,
    );
}

fn walk_fields(map: &Map<String, Value>, scope: &Scope<'_>, found: &mut Found) {
    // Fields that are a table themselves (INSERT's target) name no CTE; those in a list (FROM) may.
    if let Some(Value::Object(table)) = map.get("RangeVar") {
        table_name(table, Some(scope), found);
        return;
    }
    if map.contains_key("relname") {
        table_name(map, None, found);
        return;
    }
    if let Some(call) = map.get("FuncCall")
        && found.egress.is_none()
    {
        let name = call
            .get("funcname")
            .and_then(Value::as_array)
            .and_then(|names| names.last())
            .and_then(string);
        let args = call
            .get("args")
            .and_then(Value::as_array)
            .map_or(&[][..], Vec::as_slice);
        found.egress = name.and_then(|name| egress::call(name, args));
    }
    for (field, value) in map {
        // Not tables: the aliases of FOR UPDATE OF, a composite type, a sequence. The WITH list was walked already.
        if !matches!(
            field.as_str(),
            "with_clause" | "locked_rels" | "typevar" | "sequence"
        ) {
            walk(value, scope, found);
        }
    }
}

fn table_name(table: &Map<String, Value>, scope: Option<&Scope<'_>>, found: &mut Found) {
    let part = |field: &str| table.get(field).and_then(Value::as_str).unwrap_or_default();
    let name = part("relname");
    if name.is_empty()
        || (part("schemaname").is_empty() && scope.is_some_and(|scope| scope.has(name)))
    {
        return;
    }
    let parts = [part("catalogname"), part("schemaname"), name];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let place = table
        .get("location")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    found.tables.push((place, parts.join(".")));
}

fn cte_name(cte: &Value) -> Option<&str> {
    cte.get("node")?
        .get("CommonTableExpr")?
        .get("ctename")?
        .as_str()
}

/// The text of a `String` node.
fn string(node: &Value) -> Option<&str> {
    node.get("node")?.get("String")?.get("sval")?.as_str()
}

/// An argument without its name and casts.
fn bare(node: &Value) -> Option<&Value> {
    let mut node = node.get("node")?;
    loop {
        let wrapped = node.get("TypeCast").or_else(|| node.get("NamedArgExpr"));
        let Some(wrapped) = wrapped else {
            return Some(node);
        };
        node = wrapped.get("arg")?.get("node")?;
    }
}

/// The text of an argument that is a string constant.
pub(super) fn constant(node: &Value) -> Option<&str> {
    bare(node)?
        .get("AConst")?
        .get("val")?
        .get("Sval")?
        .get("sval")?
        .as_str()
}

/// The parameter that a call of `set_config` names, where the text does, and whether it is set for the transaction alone.
pub(super) fn set_config(value: &Value) -> Option<(Option<String>, bool)> {
    match value {
        Value::Array(items) => items.iter().find_map(set_config),
        Value::Object(map) => {
            if let Some(call) = map.get("FuncCall")
                && let Some(names) = call.get("funcname").and_then(Value::as_array)
                && names.last().and_then(string) == Some("set_config")
                && let Some(arguments) = call.get("args").and_then(Value::as_array)
            {
                let name = arguments.first().and_then(constant).map(str::to_owned);
                let local = arguments
                    .get(2)
                    .and_then(value_of)
                    .and_then(|value| value.pointer("/Boolval/boolval"))
                    .and_then(Value::as_bool)
                    .unwrap_or(false);
                let matters = name
                    .as_deref()
                    .is_none_or(|name| Parameter::from_name(name).is_some());
                if matters {
                    return Some((name, local));
                }
            }
            map.values().find_map(set_config)
        }
        _ => None,
    }
}

/// True for an argument that is `true` or `false`.
pub(super) fn is_boolean(node: &Value) -> bool {
    value_of(node).is_some_and(|value| value.get("Boolval").is_some())
}

/// True for an argument that is a number.
pub(super) fn is_number(node: &Value) -> bool {
    value_of(node).is_some_and(|value| value.get("Ival").is_some() || value.get("Fval").is_some())
}

fn value_of(node: &Value) -> Option<&Value> {
    bare(node)?.get("AConst")?.get("val")
}
