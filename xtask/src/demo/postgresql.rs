//! The day's clients on PostgreSQL.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use postgres::{Client, Statement, fallible_iterator::FallibleIterator as _};

use super::{
    INSIDER, Size,
    data::{self, number},
    database::{Agent, Database},
    truth::{self, Counts},
};
use crate::postgresql::Server;

const LOOK_UP: &str = "SELECT t.id, c.name, c.email, c.phone FROM tickets t JOIN customers c ON c.id = t.customer_id \
                       WHERE t.id = $1";
const CLOSE: &str = "UPDATE tickets SET status = $2 WHERE id = $1";
const REPORTS: [&str; 3] = [
    "SELECT status, count(*) FROM tickets GROUP BY status ORDER BY status",
    "SELECT t.agent, count(DISTINCT t.customer_id) FROM tickets t JOIN customers c ON c.id = t.customer_id \
     WHERE c.created_at >= date '2025-01-01' GROUP BY t.agent ORDER BY t.agent",
    "SELECT date_trunc('month', c.created_at) AS month, count(*) FROM tickets t JOIN customers c \
     ON c.id = t.customer_id GROUP BY month ORDER BY month",
];
const BACKUPS: [&str; 2] = ["COPY customers TO STDOUT", "COPY tickets TO STDOUT"];
const THEFT: &str = "SELECT * FROM customers";

impl Database for Server {
    fn load(&self, size: Size) -> Result<()> {
        data::load(self, size)
    }

    fn agent(&self, name: &str, unix: bool) -> Result<Box<dyn Agent + '_>> {
        let mut client = self.address().connect(name, "support", "helpdesk", unix)?;
        Ok(Box::new(AtDesk {
            look_up: client
                .prepare(LOOK_UP)
                .context("cannot prepare the look-up")?,
            close: client.prepare(CLOSE).context("cannot prepare the update")?,
            client,
        }))
    }

    fn report(&self) -> Result<()> {
        let mut client = self
            .address()
            .connect("analyst", "support", "report", true)?;
        for report in REPORTS {
            client.query(report, &[]).context("a report failed")?;
        }
        client.close().context("cannot close a connection")
    }

    fn backup(&self) -> Result<u64> {
        let mut client = self
            .address()
            .connect("backup", "support", "nightly", true)?;
        let mut bytes = 0;
        let mut buffer = vec![0; 1 << 16];
        for copy in BACKUPS {
            let mut reader = client.copy_out(copy).context("the backup failed")?;
            loop {
                match reader.read(&mut buffer).context("the backup broke off")? {
                    0 => break,
                    length => bytes += length as u64,
                }
            }
        }
        client.close().context("cannot close a connection")?;
        Ok(bytes)
    }

    fn theft(&self) -> &'static str {
        THEFT
    }

    fn customers(&self) -> &'static str {
        "customers"
    }

    fn steal(&self, row: &mut dyn FnMut()) -> Result<()> {
        let mut client = self.address().connect(INSIDER, "support", "psql", false)?;
        {
            let mut rows = client
                .query_raw::<_, &str, _>(THEFT, [])
                .context("the insider's statement failed")?;
            while rows
                .next()
                .context("the insider's rows broke off")?
                .is_some()
            {
                row();
            }
        }
        client.close().context("cannot close a connection")
    }

    fn reset(&self) -> Result<()> {
        truth::reset(self)
    }

    fn counts(&self) -> Result<Counts> {
        truth::server(self)
    }

    fn statistics(&self) -> &'static str {
        "pg_stat_statements"
    }

    fn sizes(&self, _: Size) -> String {
        let address = self.address();
        format!(
            "[inventory]\npostgresql = \"host={} port={} user=sensor_inventory dbname=support\"",
            address.socket_folder.display(),
            address.port
        )
    }

    fn shell(&self) -> String {
        let address = self.address();
        format!(
            "psql -h {} -p {} -U {INSIDER} support",
            address.socket_folder.display(),
            address.port
        )
    }

    fn pid(&self) -> u32 {
        Server::pid(self)
    }

    fn ends_by(&self) -> libc::c_int {
        // Fast shutdown.
        libc::SIGINT
    }
}

struct AtDesk {
    client: Client,
    look_up: Statement,
    close: Statement,
}

impl Agent for AtDesk {
    fn look_up(&mut self, ticket: u64) -> Result<u64> {
        let rows = self
            .client
            .query(&self.look_up, &[&number(ticket)])
            .context("a ticket look-up failed")?;
        Ok(rows.len() as u64)
    }

    fn close(&mut self, ticket: u64) -> Result<()> {
        self.client
            .execute(&self.close, &[&number(ticket), &"closed"])
            .context("a ticket's update failed")?;
        Ok(())
    }

    fn leave(self: Box<Self>) -> Result<()> {
        self.client.close().context("cannot close a connection")
    }
}
