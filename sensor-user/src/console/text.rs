//! A snapshot as lines of text: for `--console`, for `sensor top --once`, for pipes.

use std::fmt::Write as _;

use super::{
    columns::{Column, TEXT, cut, size},
    protocol::{Detail, Snapshot},
};

/// The table of principals, at most 100 columns wide.
pub fn table(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut line = |cells: Vec<String>| {
        let _ = writeln!(text, "{}", joined(&cells).trim_end());
    };
    line(
        TEXT.iter()
            .map(|(column, width)| column.fitted(column.title(), *width))
            .collect(),
    );
    for row in &snapshot.principals {
        line(
            TEXT.iter()
                .map(|(column, width)| column.cell(row, *width))
                .collect(),
        );
    }
    let more = snapshot.matching.saturating_sub(snapshot.principals.len());
    if more > 0 {
        let _ = writeln!(text, "… and {more} more principals");
    }
    text
}

/// One blank between columns, two in front of the tables.
fn joined(cells: &[String]) -> String {
    let mut line = String::new();
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            line.push(' ');
        }
        if TEXT
            .get(at)
            .is_some_and(|(column, _)| *column == Column::Tables)
        {
            line.push(' ');
        }
        line.push_str(cell);
    }
    line
}

/// All that is known of a principal.
pub fn detail(detail: &Detail) -> String {
    let mut text = String::new();
    for level in &detail.levels {
        let _ = writeln!(
            text,
            "limit      {:>12} of {:>12} {}  {}{}",
            level.used,
            level.limit,
            level.measure,
            level.threshold,
            level
                .table
                .as_ref()
                .map_or_else(String::new, |table| format!(" on {table}"))
        );
    }
    for row in &detail.tables {
        let _ = writeln!(
            text,
            "table      {:>12} {:>10} {:>9}  {} {} {}",
            row.amounts.rows(),
            size(row.amounts.bytes_sent),
            row.amounts.queries,
            row.database,
            row.operation,
            row.table
        );
    }
    for row in &detail.statements {
        let what = if row.text.is_empty() {
            &row.summary
        } else {
            &row.text
        };
        let _ = writeln!(
            text,
            "statement  {:>12} {:>10} {:>9}  {}",
            row.amounts.rows(),
            size(row.amounts.bytes_sent),
            row.amounts.queries,
            cut(what, 160)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::protocol::{Amounts, PrincipalRow};

    #[test]
    fn a_line_for_each_principal() {
        let mut snapshot = Snapshot {
            matching: 3,
            principals: vec![PrincipalRow {
                user: Some("agent07".into()),
                os_user: Some("root".into()),
                client: "127.0.0.1".into(),
                amounts: Amounts {
                    rows_returned: 200_000,
                    bytes_sent: 1536,
                    queries: 431,
                    ..Amounts::default()
                },
                streaming: 430,
                tables: vec!["customers".into(), "tickets".into()],
                ..PrincipalRow::default()
            }],
            ..Snapshot::default()
        };
        assert_eq!(
            table(&snapshot),
            "USER             OS USER    CLIENT                  ROWS      BYTES   QUERIES  TABLES\n\
             agent07          root       127.0.0.1            ~200430    1.5 KiB       431  customers tickets\n\
             … and 2 more principals\n"
        );
        snapshot.principals.clear();
        snapshot.matching = 0;
        assert_eq!(table(&snapshot).lines().count(), 1);
    }
}
