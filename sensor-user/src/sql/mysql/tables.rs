//! Tables of a statement by MySQL's grammar, as far as sqlparser knows it.

use std::{ops::ControlFlow, panic, ptr};

use sqlparser::{
    ast::{Ident, ObjectName, ObjectNamePart, Query, SetExpr, Statement, Visit as _, Visitor},
    dialect::MySqlDialect,
    parser::Parser,
};

/// What is nested deeper is not read by the grammar: its recursion lies on this thread's stack.
const DEPTH: usize = 40;

/// Tables and views that a statement reads or writes, in order, without the names of its CTEs. Nothing when the grammar does not
/// know the statement, or when it is none of data.
pub fn tables(sql: &str) -> Option<Vec<String>> {
    // What MariaDB alone executes is a comment to the grammar.
    if sql.contains("/*M!") {
        return None;
    }
    // Nobody has promised that it does not panic.
    panic::catch_unwind(|| {
        let statements = Parser::new(&MySqlDialect {})
            .with_recursion_limit(DEPTH)
            .try_with_sql(sql)
            .ok()?
            .parse_statements()
            .ok()?;
        let [statement] = statements.as_slice() else {
            return None;
        };
        if !matches!(
            statement,
            Statement::Query { .. }
                | Statement::Insert { .. }
                | Statement::Update { .. }
                | Statement::Delete { .. }
        ) {
            return None;
        }
        let mut relations = Relations::default();
        match statement.visit(&mut relations) {
            ControlFlow::Continue(()) => Some(relations.found),
            ControlFlow::Break(Unclear) => None,
        }
    })
    .ok()?
}

/// A name that may be a literal: with `ANSI_QUOTES` double quotes hold names, else they do not.
struct Unclear;

/// Names of tables, and which names are CTEs at the place at hand.
#[derive(Default)]
struct Relations {
    found: Vec<String>,
    scopes: Vec<Scope>,
}

/// The CTEs of one query.
#[derive(Default)]
struct Scope {
    names: Vec<String>,
    bodies: Vec<*const Query>,
    /// So many of them, the first, are known: a body knows those before it.
    visible: usize,
    recursive: bool,
}

impl Scope {
    fn of(query: &Query) -> Self {
        let Some(with) = &query.with else {
            return Self::default();
        };
        let ctes = &with.cte_tables;
        Self {
            names: ctes
                .iter()
                .map(|cte| cte.alias.name.value.to_lowercase())
                .collect(),
            bodies: ctes.iter().map(|cte| ptr::from_ref(&*cte.query)).collect(),
            visible: ctes.len(),
            recursive: with.recursive,
        }
    }

    /// Which of its bodies a query is.
    fn body(&self, query: &Query) -> Option<usize> {
        self.bodies.iter().position(|body| ptr::eq(*body, query))
    }
}

impl Relations {
    fn table(&mut self, parts: &[&Ident]) -> ControlFlow<Unclear> {
        if parts.iter().any(|part| !is_name(part)) {
            return ControlFlow::Break(Unclear);
        }
        if let [only] = parts {
            let name = only.value.to_lowercase();
            let is_cte = |scope: &Scope| scope.names[..scope.visible].contains(&name);
            let is_dual = only.quote_style.is_none() && name == "dual";
            if is_dual || self.scopes.iter().any(is_cte) {
                return ControlFlow::Continue(());
            }
        }
        let parts: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
        self.found.push(parts.join("."));
        ControlFlow::Continue(())
    }

    /// `TABLE name`, which is a query of its own, or a part of a UNION.
    fn named(&mut self, body: &SetExpr) -> ControlFlow<Unclear> {
        match body {
            SetExpr::Table(table) => {
                let parts: Vec<&Ident> = [&table.schema_name, &table.table_name]
                    .into_iter()
                    .flatten()
                    .collect();
                self.table(&parts)
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.named(left)?;
                self.named(right)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Relations {
    type Break = Unclear;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Unclear> {
        if let Some(outer) = self.scopes.last_mut()
            && let Some(body) = outer.body(query)
            && !outer.recursive
        {
            outer.visible = body;
        }
        self.scopes.push(Scope::of(query));
        self.named(&query.body)
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Unclear> {
        self.scopes.pop();
        if let Some(outer) = self.scopes.last_mut()
            && outer.body(query).is_some()
        {
            outer.visible = outer.names.len();
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Unclear> {
        let parts: Option<Vec<&Ident>> = relation.0.iter().map(ObjectNamePart::as_ident).collect();
        match parts {
            Some(parts) => self.table(&parts),
            None => ControlFlow::Break(Unclear),
        }
    }
}

fn is_name(part: &Ident) -> bool {
    matches!(part.quote_style, None | Some('`'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let found = tables(sql).unwrap_or_else(|| panic!("not read: {sql}"));
        let mut seen = HashSet::new();
        let found: Vec<&String> = found.iter().filter(|name| seen.insert(*name)).collect();
        let found: Vec<&str> = found.into_iter().map(String::as_str).collect();
        assert_eq!(found.join(" "), expected, "{sql}");
    }

    #[test]
    fn of_queries_and_changes() {
        for (sql, expected) in [
            ("SELECT * FROM customers WHERE id = 5", "customers"),
            ("SELECT 1 FROM dual", ""),
            (
                "SELECT a FROM `it's`.`t` x, u AS y STRAIGHT_JOIN v",
                "it's.t u v",
            ),
            (
                "SELECT a FROM t WHERE b = (SELECT MAX(c) FROM u WHERE u.a = t.a)",
                "t u",
            ),
            (
                "SELECT EXTRACT(YEAR FROM d), TRIM(BOTH 'x' FROM e) FROM t",
                "t",
            ),
            ("SELECT a FROM (SELECT b FROM t) d JOIN u USING (b)", "t u"),
            (
                "SELECT a FROM t FORCE INDEX (i) ORDER BY b LIMIT 5, 10",
                "t",
            ),
            (
                "SELECT /*!40001 SQL_NO_CACHE */ * FROM `customers`",
                "customers",
            ),
            ("SELECT a FROM t /*! JOIN secret ON 1 = 1 */", "t secret"),
            ("(SELECT a FROM t) UNION ALL (SELECT b FROM u)", "t u"),
            (
                "INSERT INTO t (a) SELECT b FROM u ON DUPLICATE KEY UPDATE a = 1",
                "t u",
            ),
            ("REPLACE INTO t VALUES (1)", "t"),
            (
                "UPDATE t JOIN u ON t.a = u.a SET t.b = 1 WHERE u.c = 'x'",
                "t u",
            ),
            (
                "DELETE c FROM customers c JOIN u ON c.a = u.a",
                "customers u",
            ),
            ("SELECT a FROM t WHERE b IN (?, ?) AND c = ?", "t"),
            ("SELECT 1 UNION TABLE customers", "customers"),
        ] {
            check(sql, expected);
        }
    }

    /// Who calls a CTE as the table that it reads hides nothing.
    #[test]
    fn of_common_table_expressions() {
        for (sql, expected) in [
            ("WITH x AS (SELECT * FROM t) SELECT * FROM x", "t"),
            ("WITH t AS (SELECT * FROM t) SELECT * FROM t", "t"),
            (
                "WITH a AS (SELECT * FROM b), b AS (SELECT * FROM a) SELECT * FROM A, b",
                "b",
            ),
            (
                "WITH RECURSIVE r AS (SELECT 1 UNION SELECT a FROM r JOIN t) SELECT * FROM r",
                "t",
            ),
            (
                "SELECT * FROM t WHERE a IN (WITH t AS (SELECT * FROM u) SELECT * FROM t)",
                "t u",
            ),
            ("WITH x AS (SELECT 1) SELECT * FROM crm.x", "crm.x"),
        ] {
            check(sql, expected);
        }
    }

    #[test]
    fn what_is_unclear_is_left_to_the_tokens() {
        for sql in [
            "SELECT * FROM \"customers\"",
            "SELECT a FROM t /*M! JOIN secret */",
            "SELECT FROM WHERE",
            "SELECT 1; SELECT 2",
            "SHOW COLUMNS FROM t",
            "TABLE customers",
            "hunter2",
            "",
        ] {
            assert_eq!(tables(sql), None, "{sql}");
        }
        let deep = format!("SELECT {}1{} FROM t", "(".repeat(2000), ")".repeat(2000));
        assert_eq!(tables(&deep), None);
    }
}
