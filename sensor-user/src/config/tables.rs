//! `[tables]`: how many rows a table has, for limits that are a share of it.

use std::collections::HashMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;

/// Rows a table has, from the configuration and from the inventory.
#[derive(Clone, Debug, Default)]
pub struct TableSizes {
    configured: HashMap<String, u64>,
    measured: HashMap<(String, String), u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Section(HashMap<String, Spanned<u64>>);

impl Section {
    pub fn build(self) -> Result<TableSizes, Problem> {
        let mut configured = HashMap::new();
        for (table, rows) in self.0 {
            if *rows.get_ref() == 0 || table.is_empty() || table.split('.').count() > 3 {
                return Err(Problem::new(
                    rows.span(),
                    format!("`{table} = {}` is no size of a table", rows.get_ref()),
                    "write \"database.schema.table\" = rows (database and schema may be left out)",
                ));
            }
            configured.insert(table, rows.into_inner());
        }
        Ok(TableSizes {
            configured,
            measured: HashMap::new(),
        })
    }
}

impl TableSizes {
    /// Rows of a table as a statement names it (`customers` or `crm.customers`), if known. What is configured wins
    /// over what was measured, the more specific name over the less.
    pub fn rows(&self, database: &str, table: &str) -> Option<u64> {
        let bare = table.rsplit('.').next().unwrap_or(table);
        [
            format!("{database}.{table}"),
            format!("{database}.public.{table}"),
            table.to_owned(),
            bare.to_owned(),
        ]
        .iter()
        .find_map(|key| self.configured.get(key).copied())
        .or_else(|| self.measured(database, table))
    }

    fn measured(&self, database: &str, table: &str) -> Option<u64> {
        let at = |table: &str| {
            self.measured
                .get(&(database.to_owned(), table.to_owned()))
                .copied()
        };
        at(table).or_else(|| at(&format!("public.{table}")))
    }

    /// Takes in what an inventory of a database measured: `(schema.table, rows)`.
    pub fn measure(&mut self, database: &str, tables: impl IntoIterator<Item = (String, u64)>) {
        for (table, rows) in tables {
            self.measured.insert((database.to_owned(), table), rows);
        }
    }

    /// Takes over what another configuration says; what was measured stays.
    pub fn replace_configured(&mut self, other: &Self) {
        self.configured.clone_from(&other.configured);
    }

    /// Is anything known at all?
    pub fn is_empty(&self) -> bool {
        self.configured.is_empty() && self.measured.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specific_name_wins() {
        let mut sizes = TableSizes::default();
        sizes.configured.insert("customers".into(), 10);
        sizes.configured.insert("crm.customers".into(), 20);
        sizes.measure(
            "crm",
            [
                ("public.tickets".to_owned(), 30),
                ("public.customers".to_owned(), 40),
            ],
        );
        assert_eq!(sizes.rows("crm", "customers"), Some(20));
        assert_eq!(sizes.rows("other", "customers"), Some(10));
        assert_eq!(sizes.rows("other", "s.customers"), Some(10));
        assert_eq!(sizes.rows("crm", "tickets"), Some(30));
        assert_eq!(sizes.rows("crm", "public.tickets"), Some(30));
        assert_eq!(sizes.rows("crm", "unknown"), None);
    }
}
