//! How much: the sensor's numbers, a client's, the server's, the relay's, side by side.

use std::collections::BTreeMap;

use crate::otlp::Series;

/// What a principal moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Statements.
    pub queries: u64,
    /// Rows to the client.
    pub rows_returned: u64,
    /// Rows into tables.
    pub rows_written: u64,
    /// Bytes to the client.
    pub bytes_sent: u64,
    /// Bytes from the client.
    pub bytes_received: u64,
}

impl Volume {
    /// Is it nowhere more than another?
    pub fn is_within(&self, other: &Self) -> bool {
        self.queries <= other.queries
            && self.rows_returned <= other.rows_returned
            && self.rows_written <= other.rows_written
            && self.bytes_sent <= other.bytes_sent
            && self.bytes_received <= other.bytes_received
    }

    /// The sum over the series of a user in a database.
    pub fn of(series: &[Series], database: &str, user: &str) -> Self {
        let is = |one: &Series| {
            one.attributes
                .get("db.namespace")
                .is_some_and(|v| v == database)
        };
        Self::sum(series.iter().filter(|one| is(one)), user)
    }

    /// The sum over the series of a user, in whatever database or none (replication).
    pub fn anywhere(series: &[Series], user: &str) -> Self {
        Self::sum(series.iter(), user)
    }

    fn sum<'a>(series: impl Iterator<Item = &'a Series>, user: &str) -> Self {
        let mut volume = Self::default();
        for one in series {
            if one.attributes.get("user.name").is_some_and(|v| v == user) {
                volume.add("data_access.", one);
            }
        }
        volume
    }

    /// The same by statement: `db.query.summary` → volume.
    pub fn by_statement(series: &[Series], database: &str, user: &str) -> BTreeMap<String, Self> {
        let mut volumes: BTreeMap<String, Self> = BTreeMap::new();
        for one in series {
            let is = |key: &str, value: &str| one.attributes.get(key).is_some_and(|v| v == value);
            let namespace = one.attributes.get("db.namespace");
            if one.name.starts_with("data_access.statement.")
                && is("user.name", user)
                && namespace.is_none_or(|found| found == database)
            {
                let summary = one.attributes.get("db.query.summary");
                volumes
                    .entry(summary.cloned().unwrap_or_default())
                    .or_default()
                    .add("data_access.statement.", one);
            }
        }
        volumes
    }

    fn add(&mut self, prefix: &str, series: &Series) {
        let direction = series
            .attributes
            .get("data_access.direction")
            .map_or("", String::as_str);
        let field = match (series.name.strip_prefix(prefix), direction) {
            (Some("queries"), _) => &mut self.queries,
            (Some("rows"), "returned") => &mut self.rows_returned,
            (Some("rows"), "written") => &mut self.rows_written,
            (Some("bytes"), "sent") => &mut self.bytes_sent,
            (Some("bytes"), "received") => &mut self.bytes_received,
            _ => return,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts below 2^53"
        )]
        let value = series.value as u64;
        *field += value;
    }

    /// Without rows and queries.
    #[must_use]
    pub fn bytes_only(self) -> Self {
        Self {
            bytes_sent: self.bytes_sent,
            bytes_received: self.bytes_received,
            ..Self::default()
        }
    }

    /// Without bytes.
    #[must_use]
    pub fn rows_only(self) -> Self {
        Self {
            bytes_sent: 0,
            bytes_received: 0,
            ..self
        }
    }
}

impl std::ops::AddAssign for Volume {
    fn add_assign(&mut self, other: Self) {
        self.queries += other.queries;
        self.rows_returned += other.rows_returned;
        self.rows_written += other.rows_written;
        self.bytes_sent += other.bytes_sent;
        self.bytes_received += other.bytes_received;
    }
}

impl std::ops::Add for Volume {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::iter::Sum for Volume {
    fn sum<I: Iterator<Item = Self>>(volumes: I) -> Self {
        volumes.fold(Self::default(), |sum, volume| sum + volume)
    }
}
