//! What the support team works with.

use anyhow::{Context as _, Result};
use postgres::Client;

use super::{AGENTS, Size};
use crate::{postgresql::Server, signal};

/// Rows made by one statement, between two looks at Ctrl-C.
const CHUNK: u64 = 250_000;

const TABLES: &str = "
    CREATE TABLE customers (id int NOT NULL, name text NOT NULL, email text NOT NULL, phone text NOT NULL,
                            created_at timestamptz NOT NULL);
    CREATE TABLE tickets (id int NOT NULL, customer_id int NOT NULL, subject text NOT NULL, status text NOT NULL,
                          agent text NOT NULL);
";

const CUSTOMERS: &str = "
    INSERT INTO customers
    SELECT i, first || ' ' || last,
           lower(first) || '.' || lower(last) || i || '@example.' || (ARRAY['com', 'org', 'net'])[1 + i % 3],
           '+49 ' || 151 + i % 28 || ' ' || lpad((i::bigint * 7919 % 10000000)::text, 7, '0'),
           timestamptz '2026-01-01' - (i::bigint * 104729 % 94608000) * interval '1 second'
    FROM (SELECT i,
          (ARRAY['Anna', 'Ben', 'Carla', 'David', 'Elif', 'Felix', 'Greta', 'Hugo', 'Ines', 'Jonas', 'Klara', 'Leon',
                 'Mia', 'Noah', 'Olga', 'Paul', 'Rosa', 'Samir', 'Tilda', 'Yusuf'])[1 + (i::bigint * 31 % 20)::int] AS first,
          (ARRAY['Schmidt', 'Yilmaz', 'Meyer', 'Wagner', 'Becker', 'Nowak', 'Hoffmann', 'Koch', 'Richter', 'Klein', 'Wolf',
                 'Neumann', 'Braun', 'Krause', 'Lange', 'Vogt', 'Jansen'])[1 + (i::bigint * 37 % 17)::int] AS last
          FROM generate_series($1::int, $2::int) AS i) AS people";

const TICKETS: &str = "
    INSERT INTO tickets
    SELECT i, 1 + (i::bigint * 48271 % $3::int)::int,
           (ARRAY['Cannot log in', 'Card declined', 'Change of address', 'Refund', 'Subscription renewal',
                  'App does not start', 'Invoice missing'])[1 + i % 7],
           (ARRAY['open', 'waiting', 'closed', 'closed'])[1 + i % 4],
           'agent' || lpad((1 + i % 20)::text, 2, '0')
    FROM generate_series($1::int, $2::int) AS i";

const INDEXES: &str = "
    ALTER TABLE customers ADD PRIMARY KEY (id);
    ALTER TABLE tickets ADD PRIMARY KEY (id);
    CREATE INDEX ON tickets (customer_id);
    CREATE INDEX ON tickets (agent, status);
";

/// Makes database, roles and rows.
pub fn load(server: &Server, size: Size) -> Result<()> {
    let mut admin = server.connect("postgres", "postgres", true)?;
    // One more than there are: somebody may be hired.
    let agents = (1..=AGENTS + 1).map(agent);
    let names: Vec<String> = agents
        .chain(["analyst", "backup", "sensor_inventory"].map(str::to_owned))
        .collect();
    for name in &names {
        run(&mut admin, &format!("CREATE ROLE {name} LOGIN"))?;
    }
    run(&mut admin, "CREATE EXTENSION pg_stat_statements")?;
    run(&mut admin, "CREATE DATABASE support")?;

    let mut support = server.connect("postgres", "support", true)?;
    let mut work = support
        .transaction()
        .context("cannot begin a transaction")?;
    // Tables made in this transaction need no write-ahead log.
    work.batch_execute(TABLES)
        .context("cannot make the tables")?;
    for (first, last) in chunks(size.customers) {
        signal::check()?;
        work.execute(CUSTOMERS, &[&first, &last])
            .context("cannot make customers")?;
    }
    let customers = number(size.customers);
    for (first, last) in chunks(size.tickets) {
        signal::check()?;
        work.execute(TICKETS, &[&first, &last, &customers])
            .context("cannot make tickets")?;
    }
    work.batch_execute(INDEXES)
        .context("cannot index the tables")?;
    work.commit().context("cannot commit the tables")?;
    run(
        &mut support,
        &format!(
            "GRANT SELECT ON customers, tickets TO analyst, backup, {agents};
             GRANT UPDATE (status) ON tickets TO {agents};",
            agents = names[..names.len() - 3].join(", ")
        ),
    )?;
    run(&mut support, "VACUUM ANALYZE")?;
    // A checkpoint now does not disturb later.
    run(&mut support, "CHECKPOINT")
}

/// Name of an agent, from 1.
pub fn agent(index: usize) -> String {
    format!("agent{index:02}")
}

fn run(client: &mut Client, statements: &str) -> Result<()> {
    client
        .batch_execute(statements)
        .with_context(|| format!("the server refuses `{statements}`"))
}

fn chunks(rows: u64) -> impl Iterator<Item = (i32, i32)> {
    (0..rows.div_ceil(CHUNK)).map(move |index| {
        let first = index * CHUNK + 1;
        (number(first), number((first + CHUNK - 1).min(rows)))
    })
}

/// Ids are PostgreSQL integers; the command line bounds them well below.
pub fn number(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_rows_once() {
        assert_eq!(chunks(1).collect::<Vec<_>>(), [(1, 1)]);
        assert_eq!(
            chunks(600_000).collect::<Vec<_>>(),
            [(1, 250_000), (250_001, 500_000), (500_001, 600_000)]
        );
    }
}
