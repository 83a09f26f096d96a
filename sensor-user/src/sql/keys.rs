//! Which columns are keys of which tables, and what follows for the statements that were learnt.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sensor_ebpf::picked::Plan;

use super::postgres::Picks;

/// Statements of which it is remembered what they pick their rows by.
const STATEMENTS: usize = 16_384;

/// Tables and the columns of which each alone picks one row at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyColumns {
    configured: BTreeMap<String, BTreeSet<String>>,
    /// By table with its schema, then by database: a plan holds for all databases, so that all must agree.
    measured: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

impl KeyColumns {
    /// As configured: table, with its schema or without, and columns.
    pub fn new(configured: BTreeMap<String, BTreeSet<String>>) -> Self {
        Self {
            configured,
            measured: BTreeMap::new(),
        }
    }

    /// Takes in what an inventory of a database found: `schema.table` and its columns with a unique index of their own.
    pub fn measure(
        &mut self,
        database: &str,
        tables: impl IntoIterator<Item = (String, Vec<String>)>,
    ) {
        for (table, columns) in tables {
            self.measured
                .entry(table)
                .or_default()
                .insert(database.to_owned(), columns.into_iter().collect());
        }
    }

    /// Takes over what another configuration says; what was measured stays.
    pub fn replace_configured(&mut self, other: &Self) {
        self.configured.clone_from(&other.configured);
    }

    fn is_key(&self, table: &str, column: &str) -> bool {
        let bare = table.rsplit('.').next().unwrap_or(table);
        if let Some(columns) = self
            .configured
            .get(table)
            .or_else(|| self.configured.get(bare))
        {
            return columns.contains(column);
        }
        let mut found = false;
        for (name, databases) in &self.measured {
            // Without its schema it may be any of that name.
            let same = name == table || bare == table && name.rsplit('.').next() == Some(bare);
            if same {
                found = true;
                if databases.values().any(|columns| !columns.contains(column)) {
                    return false;
                }
            }
        }
        found
    }

    fn is_known(&self, table: &str) -> bool {
        let bare = table.rsplit('.').next().unwrap_or(table);
        self.configured.contains_key(table)
            || self.configured.contains_key(bare)
            || self
                .measured
                .keys()
                .any(|name| name == table || name.rsplit('.').next() == Some(bare))
    }

    /// The plan of a statement, if it has one.
    pub fn plan(&self, picks: &Picks) -> Option<Plan> {
        let of = |columns: &[(String, Plan)]| {
            columns
                .iter()
                .find(|(column, _)| self.is_key(&picks.table, column))
                .map(|(_, plan)| *plan)
        };
        let equal = of(&picks.equal);
        // A key that is compared with a bound is walked; so is a table by its OFFSET, when it is one to look after.
        let beyond =
            of(&picks.beyond).or_else(|| picks.offset.filter(|_| self.is_known(&picks.table)));
        match (equal, beyond) {
            (Some(equal), _) => Some(equal),
            (None, beyond) => beyond,
        }
    }
}

/// What learnt statements pick their rows by, and which plans are in force.
#[derive(Debug, Default)]
pub struct Plans {
    columns: KeyColumns,
    picks: HashMap<u64, Picks>,
    in_force: HashMap<u64, Plan>,
    /// Statements beyond the bound: their rows count.
    pub folded: u64,
}

impl Plans {
    /// With the columns that a configuration says.
    pub fn new(columns: KeyColumns) -> Self {
        Self {
            columns,
            ..Self::default()
        }
    }

    /// A statement was learnt: its plan, when it has one that is not in force.
    pub fn learn(&mut self, fingerprint: u64, picks: Option<Picks>) -> Option<Plan> {
        let picks = picks?;
        if self.picks.len() >= STATEMENTS && !self.picks.contains_key(&fingerprint) {
            self.folded += 1;
            return None;
        }
        // Learnt again from another text: what is certain of the first holds.
        let picks = &*self.picks.entry(fingerprint).or_insert(picks);
        let plan = self.columns.plan(picks)?;
        (self.in_force.insert(fingerprint, plan) != Some(plan)).then_some(plan)
    }

    /// Has this statement a plan?
    pub fn has(&self, fingerprint: u64) -> bool {
        self.in_force.contains_key(&fingerprint)
    }

    /// Changes what is known of columns: plans that are new, changed or (`None`) no longer hold.
    pub fn change(&mut self, change: impl FnOnce(&mut KeyColumns)) -> Vec<(u64, Option<Plan>)> {
        change(&mut self.columns);
        let mut changed = Vec::new();
        for (fingerprint, picks) in &self.picks {
            let plan = self.columns.plan(picks);
            if self.in_force.get(fingerprint) != plan.as_ref() {
                changed.push((*fingerprint, plan));
            }
        }
        for (fingerprint, plan) in &changed {
            match plan {
                Some(plan) => self.in_force.insert(*fingerprint, *plan),
                None => self.in_force.remove(fingerprint),
            };
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::picked::NONE;

    use super::*;
    use crate::sql::postgres::picks;

    fn columns() -> KeyColumns {
        KeyColumns::new([("customers".to_owned(), ["id".to_owned()].into())].into())
    }

    fn plan(text: &str) -> Option<Plan> {
        columns().plan(&picks(text.as_bytes(), false)?)
    }

    #[test]
    fn keys_are_found_in_literals_lists_and_parameters() {
        let found = plan("SELECT * FROM customers WHERE id = 5").expect("a key");
        assert_eq!(
            (found.group, found.param, found.tail, found.list),
            (0, 0, 0, false)
        );
        assert_eq!(found.start, 35);
        let found = plan(
            "select name from crm.customers c where 'x' = c.kind and c.id in (1, 2, 3) limit 9",
        )
        .expect("a key");
        assert_eq!((found.group, found.list), (1, true));
        let found = plan("SELECT * FROM customers WHERE kind = $1 AND id IN ($2, $3) AND a = $4")
            .expect("a key");
        assert_eq!(
            (found.group, found.param, found.tail, found.list),
            (1, 1, 1, true)
        );
        let found = plan("SELECT * FROM customers WHERE id = $2 AND b = $1").expect("a key");
        assert_eq!((found.param, found.tail), (1, 0));
        let found = plan("SELECT * FROM customers WHERE id = ANY(ARRAY[1,2])").expect("a key");
        assert!(found.list);
        assert!(plan("UPDATE customers SET a = 1 WHERE id = 7").is_some());
        assert!(plan("DELETE FROM customers WHERE id = '7'::int").is_some());
        // A comment's length differs from text to text.
        let found = plan("/* trace 12 */ SELECT * FROM customers WHERE id = 5").expect("a key");
        assert_eq!(found.start, 0);
    }

    #[test]
    fn what_is_not_certain_counts_by_rows() {
        for text in [
            "SELECT * FROM customers",
            "SELECT * FROM customers WHERE name = 'x'",
            "SELECT * FROM customers WHERE id = 5 OR name > 'x'",
            "SELECT * FROM customers WHERE NOT id = 5",
            "SELECT * FROM customers WHERE id = ANY('{1,2}')",
            "SELECT * FROM customers WHERE id <> 5",
            "SELECT * FROM customers WHERE id = other",
            "SELECT * FROM orders WHERE id = 5",
            "SELECT * FROM customers a, customers b WHERE a.id = 5 AND b.id = 6",
            "SELECT * FROM customers a JOIN orders b ON a.id = b.customer WHERE a.id = 5 LIMIT 1",
            "SELECT * FROM orders WHERE customer IN (SELECT id FROM customers WHERE id = 5)",
            "SELECT * FROM customers WHERE id = 5 UNION SELECT * FROM customers",
            "WITH x AS (SELECT * FROM customers) SELECT * FROM x WHERE id = 5",
            "SELECT * FROM customers WHERE id = 5; SELECT 1",
            "SELECT * FROM customers TABLESAMPLE bernoulli(1) WHERE id = 5",
        ] {
            let found = plan(text).filter(|plan| plan.group != NONE);
            assert_eq!(found, None, "{text}");
        }
        let join = "SELECT * FROM orders o JOIN customers c ON c.id = o.customer WHERE c.id = $1";
        assert!(plan(join).is_some());
    }

    #[test]
    fn walks_are_found_by_offset_and_bound() {
        let offset =
            plan("SELECT * FROM customers ORDER BY id LIMIT 100 OFFSET 300").expect("a walk");
        assert_eq!(
            (offset.group, offset.bound_group, offset.bound_param),
            (NONE, 1, 1)
        );
        let keyset =
            plan("SELECT * FROM customers WHERE id > $1 ORDER BY id LIMIT 500").expect("a walk");
        assert_eq!(
            (keyset.group, keyset.bound_group, keyset.bound_param),
            (NONE, 0, 0)
        );
        assert_eq!(plan("SELECT * FROM orders LIMIT 100 OFFSET 300"), None);
    }

    #[test]
    fn plans_follow_what_is_known_of_columns() {
        let mut plans = Plans::new(KeyColumns::default());
        let text = b"SELECT * FROM customers WHERE id = 5";
        assert_eq!(plans.learn(7, picks(text, false)), None);
        let id = || vec![("public.customers".to_owned(), vec!["id".to_owned()])];
        let changed = plans.change(|columns| columns.measure("crm", id()));
        assert_eq!(changed.len(), 1);
        assert!(changed[0].1.is_some() && plans.has(7));
        assert!(
            plans
                .change(|columns| columns.measure("crm", id()))
                .is_empty()
        );
        // Another database has a table of that name in which it is no key.
        let none = vec![("public.customers".to_owned(), Vec::new())];
        let changed = plans.change(|columns| columns.measure("other", none));
        assert_eq!(changed, [(7, None)]);
        assert!(!plans.has(7));
    }
}
