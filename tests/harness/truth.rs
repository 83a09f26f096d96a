//! The server's own count, from `pg_stat_statements`.
//!
//! How it maps to the sensor's:
//!
//! | | sensor | `pg_stat_statements` |
//! | --- | --- | --- |
//! | a statement that completed | 1 query | 1 call (utility statements too, under `track_utility`) |
//! | a statement that failed | 1 query, with the rows that reached the client | nothing |
//! | an empty statement, `PREPARE`, `DEALLOCATE` | 1 query | nothing (`EXECUTE` is a call of what it executes) |
//! | a utility statement executed again from a named prepared statement | 1 query | nothing (seen in version 15) |
//! | a statement that only `Parse` refuses | 1 query | nothing |
//! | `SELECT`, `VALUES`, `FETCH`, `COPY … TO STDOUT` | rows returned | rows |
//! | `INSERT`, `UPDATE`, `DELETE`, `MERGE`, `COPY … FROM STDIN` | rows written | rows |
//! | the same with `RETURNING` | rows written and rows returned | rows |
//! | `CREATE TABLE AS`, `SELECT INTO` | rows written | rows |
//! | `SHOW`, `EXPLAIN`, `CALL` | rows returned | no rows |
//! | a portal that is executed n times with a row limit | 1 query, all rows | 1 call; before version 16 only the rows of the last execution |

use std::collections::BTreeMap;

use crate::Postgres;

/// Calls and rows of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    /// Sum of calls.
    pub calls: u64,
    /// Sum of rows.
    pub rows: u64,
    /// By normalised text.
    pub by_text: BTreeMap<String, (u64, u64)>,
}

/// All top-level statements of a user in a database.
///
/// # Panics
/// When the server does not say.
pub fn statements(server: &Postgres, database: &str, user: &str) -> Statements {
    let output = server.sql(
        "postgres",
        &format!(
            "SELECT calls, rows, regexp_replace(query, '\\s+', ' ', 'g')
             FROM pg_stat_statements s
             JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid
             WHERE toplevel AND rolname = '{user}' AND datname = '{database}'"
        ),
    );
    let mut statements = Statements::default();
    for line in output.lines() {
        let mut fields = line.splitn(3, '\t');
        let mut number = || -> u64 {
            let field = fields.next().unwrap_or_default();
            field
                .parse()
                .unwrap_or_else(|_| panic!("expected a number in {line:?}"))
        };
        let (calls, rows) = (number(), number());
        statements.calls += calls;
        statements.rows += rows;
        let entry = statements
            .by_text
            .entry(fields.next().unwrap_or_default().to_owned())
            .or_default();
        entry.0 += calls;
        entry.1 += rows;
    }
    statements
}
