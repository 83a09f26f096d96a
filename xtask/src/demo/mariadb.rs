//! The day on MariaDB: its own clients, and what the server counts itself.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{
    AGENTS, INSIDER, Size,
    client::{ended, reading},
    data::agent,
    database::{Agent, Database},
    truth::{Count, Counts},
};
use crate::{command, mariadb::Server};

/// Arguments by which the server counts for itself.
pub const STATISTICS: &[&str] = &[
    "--performance-schema=ON",
    "--performance-schema-consumer-global-instrumentation=ON",
];

const TABLES: &str = "
    CREATE DATABASE support; USE support;
    CREATE TABLE customers (id INT NOT NULL PRIMARY KEY, name VARCHAR(60) NOT NULL, email VARCHAR(80) NOT NULL,
                            phone VARCHAR(20) NOT NULL, created_at DATETIME NOT NULL);
    CREATE TABLE tickets (id INT NOT NULL PRIMARY KEY, customer_id INT NOT NULL, subject VARCHAR(40) NOT NULL,
                          status VARCHAR(10) NOT NULL, agent VARCHAR(10) NOT NULL, KEY (customer_id), KEY (agent, status));
";

const REPORTS: &str = "
    SELECT status, count(*) FROM tickets GROUP BY status ORDER BY status;
    SELECT t.agent, count(DISTINCT t.customer_id) FROM tickets t JOIN customers c ON c.id = t.customer_id
     WHERE c.created_at >= '2025-01-01' GROUP BY t.agent ORDER BY t.agent;
    SELECT date_format(c.created_at, '%Y-%m') AS month, count(*) FROM tickets t JOIN customers c
     ON c.id = t.customer_id GROUP BY month ORDER BY month";

/// Of all but the administrator: rows it sent and changed, and statements and commands, but for the goodbye. Of the row that a
/// `SHOW CREATE TABLE` returns it keeps no count.
const COUNTS: &str = "
    SELECT user, sum(sum_rows_sent + sum_rows_affected + if(event_name = 'statement/sql/show_create_table', count_star, 0)),
           sum(count_star)
    FROM performance_schema.events_statements_summary_by_user_by_event_name
    WHERE user IS NOT NULL AND user <> 'root' AND event_name <> 'statement/com/Quit' AND count_star > 0
    GROUP BY user";

/// A dump's arguments: a row a line, nothing locked.
const DUMP: [&str; 4] = [
    "--skip-extended-insert",
    "--single-transaction",
    "--no-tablespaces",
    "--skip-triggers",
];
/// How a line of a dump begins that holds a row.
const ROW: &[u8] = b"INSERT INTO";

impl Database for Server {
    fn load(&self, size: Size) -> Result<()> {
        let Size { customers, tickets } = size;
        let mut sql = TABLES.to_owned();
        let _ = write!(
            sql,
            "INSERT INTO customers SELECT seq, concat('Customer ', seq), concat('customer', seq, '@example.org'),
                    concat('+49 ', 151 + seq % 28, ' ', lpad(seq * 7919 % 10000000, 7, '0')),
                    '2026-01-01' - INTERVAL (seq * 104729 % 94608000) SECOND FROM seq_1_to_{customers};
             INSERT INTO tickets SELECT seq, 1 + seq * 48271 % {customers},
                    elt(1 + seq % 4, 'Cannot log in', 'Card declined', 'Refund', 'Invoice missing'),
                    elt(1 + seq % 4, 'open', 'waiting', 'closed', 'closed'),
                    concat('agent', lpad(1 + seq % {AGENTS}, 2, '0')) FROM seq_1_to_{tickets};"
        );
        for name in (1..=AGENTS).map(agent) {
            let _ = write!(
                sql,
                "CREATE USER {name}; GRANT SELECT ON support.* TO {name}; GRANT UPDATE ON support.tickets TO {name};"
            );
        }
        for name in ["analyst", "backup"] {
            let _ = write!(
                sql,
                "CREATE USER {name}; GRANT SELECT ON support.* TO {name};"
            );
        }
        self.sql(&sql).map(|_| ())
    }

    fn agent(&self, name: &str, unix: bool) -> Result<Box<dyn Agent + '_>> {
        let mut client = self.client("mariadb", name, unix);
        client
            .args(["--batch", "--skip-column-names", "--unbuffered", "support"])
            .stdin(Stdio::piped());
        let (child, answers) = reading(&mut client)?;
        Ok(Box::new(AtDesk { child, answers }))
    }

    fn report(&self) -> Result<()> {
        command::output(
            self.client("mariadb", "analyst", true)
                .args(["--batch", "support", "-e", REPORTS]),
        )
        .map(|_| ())
    }

    fn backup(&self) -> Result<u64> {
        let (child, mut dump) = reading(
            self.client("mariadb-dump", "backup", true)
                .args(DUMP)
                .arg("support"),
        )?;
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match dump.read(&mut buffer).context("the backup broke off")? {
                0 => break,
                length => bytes += length as u64,
            }
        }
        ended(child, "the backup")?;
        Ok(bytes)
    }

    fn theft(&self) -> &'static str {
        "mariadb-dump support customers"
    }

    fn customers(&self) -> &'static str {
        "customers"
    }

    fn steal(&self, row: &mut dyn FnMut()) -> Result<()> {
        let (child, mut dump) = reading(
            self.client("mariadb-dump", INSIDER, false)
                .args(DUMP)
                .args(["support", "customers"]),
        )?;
        let mut line = Vec::new();
        while dump
            .read_until(b'\n', &mut line)
            .context("the insider's rows broke off")?
            > 0
        {
            if line.starts_with(ROW) {
                row();
            }
            line.clear();
        }
        ended(child, "the insider's dump")
    }

    fn reset(&self) -> Result<()> {
        self.sql("TRUNCATE performance_schema.events_statements_summary_by_user_by_event_name")
            .map(|_| ())
    }

    fn counts(&self) -> Result<Counts> {
        let mut counts = Counts::new();
        for line in self.sql(COUNTS)?.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let [user, rows, queries] = fields[..] else {
                bail!("the server counts in another way than expected: {line:?}");
            };
            let count = Count {
                rows: rows
                    .parse()
                    .with_context(|| format!("no number: {line:?}"))?,
                queries: queries
                    .parse()
                    .with_context(|| format!("no number: {line:?}"))?,
            };
            counts.insert(user.to_owned(), count);
        }
        Ok(counts)
    }

    fn statistics(&self) -> &'static str {
        "performance_schema"
    }

    fn sizes(&self, size: Size) -> String {
        format!(
            "[tables]\ncustomers = {}\ntickets = {}",
            size.customers, size.tickets
        )
    }

    fn shell(&self) -> String {
        format!(
            "mariadb --socket={} --user={INSIDER} support",
            self.socket().display()
        )
    }

    fn pid(&self) -> u32 {
        Server::pid(self)
    }

    fn ends_by(&self) -> libc::c_int {
        libc::SIGTERM
    }
}

/// A client that waits for statements, and what it prints: a line a row.
struct AtDesk {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl AtDesk {
    fn say(&mut self, statement: &str) -> Result<()> {
        let to: &mut ChildStdin = self.child.stdin.as_mut().context("no way to the client")?;
        writeln!(to, "{statement}").context("the client is gone")
    }
}

impl Agent for AtDesk {
    fn look_up(&mut self, ticket: u64) -> Result<u64> {
        self.say(&format!(
            "SELECT t.id, c.name, c.email, c.phone FROM tickets t JOIN customers c ON c.id = t.customer_id WHERE t.id = {ticket};"
        ))?;
        let mut line = String::new();
        let length = self
            .answers
            .read_line(&mut line)
            .context("a ticket look-up failed")?;
        if length == 0 {
            bail!("a ticket look-up failed: the client ended");
        }
        Ok(1)
    }

    fn close(&mut self, ticket: u64) -> Result<()> {
        self.say(&format!(
            "UPDATE tickets SET status = 'closed' WHERE id = {ticket};"
        ))
    }

    fn leave(mut self: Box<Self>) -> Result<()> {
        drop(self.child.stdin.take());
        ended(self.child, "an agent's client")
    }
}
