//! Which of a statement's literals or parameters are keys of its table.
//!
//! Taken for keys are values that a column must equal for any row to come back: `WHERE id = …` and `id IN (…)` in a
//! condition that holds as a whole, of a statement that reads one table. Of a join only when the key is its only literal
//! and there is no LIMIT: otherwise rows could differ while the key stays. What is not certain counts by rows.

use pg_query::{NodeEnum, protobuf};
use sensor_ebpf::picked::{Literal, NONE, Plan, groups};

use super::tree;

/// What a statement picks its rows by; which of it are keys depends on the tables' key columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picks {
    /// The table, as written.
    pub table: String,
    /// Columns that must equal something, and how to find what.
    pub equal: Vec<(String, Plan)>,
    /// Columns that are compared with a bound.
    pub beyond: Vec<(String, Plan)>,
    /// Where `OFFSET` stands.
    pub offset: Option<Plan>,
}

/// A value in the text: place, and number where it is a parameter.
type Place = (u32, Option<u32>);

/// What the one statement of a text picks its rows by.
pub(super) fn of_statement(sql: &str, node: &NodeEnum) -> Option<Picks> {
    let equal = by_value(sql, node);
    let offset = by_offset(sql, node);
    match (equal, offset) {
        (Some(equal), Some(offset)) if equal.table == offset.table => Some(Picks {
            offset: offset.offset,
            ..equal
        }),
        (equal, offset) => equal.or(offset),
    }
}

fn by_value(sql: &str, node: &NodeEnum) -> Option<Picks> {
    let (relations, condition, select) = match node {
        NodeEnum::SelectStmt(select)
            if select.op() == protobuf::SetOperation::SetopNone && select.with_clause.is_none() =>
        {
            (
                select.from_clause.clone(),
                &select.where_clause,
                Some(select),
            )
        }
        NodeEnum::UpdateStmt(update)
            if update.from_clause.is_empty() && update.with_clause.is_none() =>
        {
            (
                of_range(update.relation.as_ref()),
                &update.where_clause,
                None,
            )
        }
        NodeEnum::DeleteStmt(delete)
            if delete.using_clause.is_empty() && delete.with_clause.is_none() =>
        {
            (
                of_range(delete.relation.as_ref()),
                &delete.where_clause,
                None,
            )
        }
        _ => return None,
    };
    let value = serde_json::to_value(node).ok()?;
    let tables = tree::find(&value).tables;
    let [relation] = relations.as_slice() else {
        return None;
    };
    // A table in any other place than FROM, or a function there.
    if has(
        &value,
        &[
            "SubLink",
            "RangeFunction",
            "RangeSubselect",
            "RangeTableSample",
        ],
    ) {
        return None;
    }
    let mut ranges = Vec::new();
    if !tables_of(relation, &mut ranges) || ranges.len() != tables.len() {
        return None;
    }
    let literals = groups(sql.as_bytes());
    let limited =
        select.is_some_and(|select| select.limit_count.is_some() || select.limit_offset.is_some());
    let groups_in_all = literals.last().map_or(0, |last| last.group + 1);
    let joined = ranges.len() > 1;
    if joined && (limited || groups_in_all != 1) {
        return None;
    }
    let mut conditions = Vec::new();
    conjunction(condition.as_deref()?.node.as_ref()?, &mut conditions);
    let mut found: Option<Picks> = None;
    for expression in conditions {
        let Some((relation, column, places, equal)) = comparison(expression) else {
            continue;
        };
        let range = match relation {
            Some(name) => ranges.iter().find(|(alias, _)| *alias == name),
            None if !joined => ranges.first(),
            None => None,
        };
        let (Some((_, table)), Some(plan)) = (range, plan(sql, &literals, &places, equal)) else {
            continue;
        };
        let picks = found.get_or_insert_with(|| Picks {
            table: table.clone(),
            equal: Vec::new(),
            beyond: Vec::new(),
            offset: None,
        });
        if equal {
            picks.equal.push((column, plan));
        } else {
            picks.beyond.push((column, plan));
        }
    }
    found
}

/// Where a statement's `OFFSET` stands.
fn by_offset(sql: &str, node: &NodeEnum) -> Option<Picks> {
    let NodeEnum::SelectStmt(select) = node else {
        return None;
    };
    let place = value(select.limit_offset.as_deref()?.node.as_ref()?)?;
    let [relation] = select.from_clause.as_slice() else {
        return None;
    };
    let mut ranges = Vec::new();
    tables_of(relation, &mut ranges);
    Some(Picks {
        table: ranges.first()?.1.clone(),
        equal: Vec::new(),
        beyond: Vec::new(),
        offset: Some(plan(sql, &groups(sql.as_bytes()), &[place], false)?),
    })
}

fn of_range(range: Option<&protobuf::RangeVar>) -> Vec<protobuf::Node> {
    range
        .map(|range| protobuf::Node {
            node: Some(NodeEnum::RangeVar(range.clone())),
        })
        .into_iter()
        .collect()
}

/// Names (or aliases) and tables of a FROM item; false when there is something else.
fn tables_of(node: &protobuf::Node, ranges: &mut Vec<(String, String)>) -> bool {
    match &node.node {
        Some(NodeEnum::RangeVar(range)) => {
            let parts = [&range.schemaname, &range.relname];
            let name: Vec<&str> = parts
                .into_iter()
                .map(String::as_str)
                .filter(|part| !part.is_empty())
                .collect();
            let alias = range
                .alias
                .as_ref()
                .map_or(&range.relname, |alias| &alias.aliasname);
            ranges.push((alias.clone(), name.join(".")));
            true
        }
        Some(NodeEnum::JoinExpr(join)) => [&join.larg, &join.rarg]
            .into_iter()
            .all(|side| side.as_deref().is_some_and(|side| tables_of(side, ranges))),
        _ => false,
    }
}

fn has(value: &serde_json::Value, kinds: &[&str]) -> bool {
    match value {
        serde_json::Value::Array(items) => items.iter().any(|item| has(item, kinds)),
        serde_json::Value::Object(map) => map
            .iter()
            .any(|(key, value)| kinds.contains(&key.as_str()) || has(value, kinds)),
        _ => false,
    }
}

/// What must all be true.
fn conjunction<'a>(node: &'a NodeEnum, into: &mut Vec<&'a NodeEnum>) {
    match node {
        NodeEnum::BoolExpr(expression)
            if expression.boolop() == protobuf::BoolExprType::AndExpr =>
        {
            for argument in expression.args.iter().filter_map(|node| node.node.as_ref()) {
                conjunction(argument, into);
            }
        }
        other => into.push(other),
    }
}

/// Relation and column, the values that it is compared with, and whether it equals one of them.
fn comparison(node: &NodeEnum) -> Option<(Option<String>, String, Vec<Place>, bool)> {
    let NodeEnum::AExpr(expression) = node else {
        return None;
    };
    let left = expression.lexpr.as_deref()?.node.as_ref()?;
    let right = expression.rexpr.as_deref()?.node.as_ref()?;
    let operator = match expression.name.as_slice() {
        [
            protobuf::Node {
                node: Some(NodeEnum::String(name)),
            },
        ] => name.sval.as_str(),
        _ => return None,
    };
    let equal = match (expression.kind(), operator) {
        (
            protobuf::AExprKind::AexprOp
            | protobuf::AExprKind::AexprIn
            | protobuf::AExprKind::AexprOpAny,
            "=",
        ) => true,
        (protobuf::AExprKind::AexprOp, ">" | ">=" | "<" | "<=") => false,
        _ => return None,
    };
    let ((relation, name), values) = match (column(left), column(right)) {
        (Some(column), None) => (column, right),
        (None, Some(column)) => (column, left),
        _ => return None,
    };
    let places = match values {
        NodeEnum::List(list) => all(&list.items)?,
        NodeEnum::AArrayExpr(array) if expression.kind() == protobuf::AExprKind::AexprOpAny => {
            all(&array.elements)?
        }
        // `= ANY ('{1,2}')`: one value that holds several.
        _ if expression.kind() == protobuf::AExprKind::AexprOpAny => return None,
        single => vec![value(single)?],
    };
    Some((relation, name, places, equal))
}

fn all(nodes: &[protobuf::Node]) -> Option<Vec<Place>> {
    nodes
        .iter()
        .map(|node| value(node.node.as_ref()?))
        .collect()
}

/// Relation and name of a column.
fn column(node: &NodeEnum) -> Option<(Option<String>, String)> {
    let NodeEnum::ColumnRef(column) = node else {
        return None;
    };
    let names: Option<Vec<&str>> = column
        .fields
        .iter()
        .map(|field| match &field.node {
            Some(NodeEnum::String(name)) => Some(name.sval.as_str()),
            _ => None,
        })
        .collect();
    let names = names?;
    let (last, before) = names.split_last()?;
    Some((
        before.last().map(|name| (*name).to_owned()),
        (*last).to_owned(),
    ))
}

/// A literal or parameter, casts left out.
fn value(node: &NodeEnum) -> Option<Place> {
    match node {
        NodeEnum::AConst(constant) if !constant.isnull => {
            Some((u32::try_from(constant.location).ok()?, None))
        }
        NodeEnum::ParamRef(parameter) => Some((
            u32::try_from(parameter.location).ok()?,
            Some(u32::try_from(parameter.number).ok()?),
        )),
        NodeEnum::TypeCast(cast) => value(cast.arg.as_deref()?.node.as_ref()?),
        _ => None,
    }
}

/// How the kernel finds these values.
fn plan(sql: &str, literals: &[Literal], places: &[Place], equal: bool) -> Option<Plan> {
    let found: Option<Vec<&Literal>> = places
        .iter()
        .map(|(at, _)| {
            // A place is where the prefix of a string begins, or a number's sign.
            literals
                .iter()
                .find(|literal| (*at..*at + 3).contains(&literal.start))
        })
        .collect();
    let found = found?;
    let group = found.first()?.group;
    let in_group = literals.iter().filter(|literal| literal.group == group);
    // The lexers must agree: all values in one list, and nothing else in it.
    if found.iter().any(|literal| literal.group != group) || in_group.count() != found.len() {
        return None;
    }
    let groups = literals.last()?.group + 1;
    let numbers: Vec<u32> = places.iter().filter_map(|(_, number)| *number).collect();
    let (param, tail) = if numbers.is_empty() {
        // As a driver would number them.
        (group, groups - group - 1)
    } else {
        let (first, last) = (*numbers.iter().min()?, *numbers.iter().max()?);
        let together = last.checked_sub(first)? as usize + 1 == places.len();
        if numbers.len() != places.len() || !together || first == 0 {
            return None;
        }
        (first - 1, parameters(sql, literals)?.checked_sub(last)?)
    };
    let first = literals.first()?;
    let byte = |number: u32| u8::try_from(number).ok().filter(|byte| *byte != NONE);
    let plan = Plan {
        start: if first.behind_comment {
            0
        } else {
            u16::try_from(first.start).unwrap_or(0)
        },
        ..Plan::EMPTY
    };
    Some(if equal {
        Plan {
            group: byte(group)?,
            param: byte(param)?,
            tail: byte(tail)?,
            list: places.len() > 1,
            ..plan
        }
    } else {
        Plan {
            bound_group: byte(group)?,
            bound_param: byte(param)?,
            ..plan
        }
    })
}

/// The highest parameter's number.
fn parameters(sql: &str, literals: &[Literal]) -> Option<u32> {
    literals
        .iter()
        .filter(|literal| literal.parameter)
        .filter_map(|literal| {
            let digits = sql.get(literal.start as usize + 1..)?;
            let end = digits.find(|c: char| !c.is_ascii_digit());
            digits.get(..end.unwrap_or(digits.len()))?.parse().ok()
        })
        .max()
}
