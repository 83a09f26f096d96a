//! `[discover]`: finding database servers.

use std::time::Duration;

use sensor_ebpf::settings::COMMANDS;
use serde::Deserialize;
use toml::Spanned;

use super::{error::Problem, units};
use crate::{discover::pgbouncer, principal::DbSystem};

/// Command names of PostgreSQL servers, and of what stands before them.
pub const COMMAND_NAMES: [&str; 3] = ["postgres", "postmaster", pgbouncer::COMMAND_NAME];

/// Command names of MariaDB and MySQL servers.
pub const MYSQL_COMMAND_NAMES: [&str; 2] = ["mariadbd", "mysqld"];

/// Command names of Redis and Valkey servers.
pub const REDIS_COMMAND_NAMES: [&str; 2] = ["redis-server", "valkey-server"];

/// So many more have a place.
const EXTRA: usize =
    COMMANDS - COMMAND_NAMES.len() - MYSQL_COMMAND_NAMES.len() - REDIS_COMMAND_NAMES.len();

/// A kind of database server, by the protocol that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// PostgreSQL, and PgBouncer.
    PostgreSql,
    /// MySQL and MariaDB.
    MySql,
    /// Redis and Valkey.
    Redis,
}

impl System {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PostgreSql, Self::MySql, Self::Redis];

    /// As the configuration calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::MySql => "mysql",
            Self::Redis => "redis",
        }
    }

    /// That of a server.
    pub fn of(system: DbSystem) -> Self {
        match system {
            DbSystem::PostgreSql => Self::PostgreSql,
            DbSystem::MariaDb | DbSystem::MySql => Self::MySql,
            DbSystem::Redis => Self::Redis,
        }
    }

    fn command_names(self) -> &'static [&'static str] {
        match self {
            Self::PostgreSql => &COMMAND_NAMES,
            Self::MySql => &MYSQL_COMMAND_NAMES,
            Self::Redis => &REDIS_COMMAND_NAMES,
        }
    }
}

/// See the example file for what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discover {
    /// What is watched.
    pub systems: Vec<System>,
    /// How often to look, beside being told of new processes.
    pub interval: Duration,
    /// Command names of renamed server binaries.
    pub extra_command_names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    systems: Option<Spanned<Vec<Spanned<String>>>>,
    interval: Option<Spanned<String>>,
    extra_command_names: Vec<Spanned<String>>,
}

impl Section {
    pub fn build(self) -> Result<Discover, Problem> {
        let systems = match self.systems {
            None => System::ALL.to_vec(),
            Some(names) => systems(names)?,
        };
        if let Some(name) = self.extra_command_names.first()
            && !systems.contains(&System::PostgreSql)
        {
            return Err(Problem::new(
                name.span(),
                format!("`{}` is not watched", name.get_ref()),
                "such servers are PostgreSQL's: add \"postgresql\" to `systems`, or remove the names",
            ));
        }
        for (i, name) in self.extra_command_names.iter().enumerate() {
            if name.get_ref().is_empty() || name.get_ref().len() > 15 || i >= EXTRA {
                return Err(Problem::new(
                    name.span(),
                    format!("`{}` can't be watched", name.get_ref()),
                    "at most five command names of 1 to 15 bytes, as `ps -o comm` shows them",
                ));
            }
        }
        Ok(Discover {
            systems,
            interval: match &self.interval {
                None => Duration::from_secs(1),
                Some(text) => units::duration_within(
                    text,
                    Duration::from_millis(100),
                    Duration::from_secs(3600),
                )?,
            },
            extra_command_names: self
                .extra_command_names
                .into_iter()
                .map(Spanned::into_inner)
                .collect(),
        })
    }
}

impl Discover {
    /// All command names to look for.
    pub fn command_names(&self) -> Vec<String> {
        self.names_of(&self.systems)
    }

    /// Those of servers that are not watched, too.
    pub fn all_command_names(&self) -> Vec<String> {
        self.names_of(&System::ALL)
    }

    fn names_of(&self, systems: &[System]) -> Vec<String> {
        systems
            .iter()
            .flat_map(|system| system.command_names())
            .map(|name| (*name).to_owned())
            .chain(self.extra_command_names.iter().cloned())
            .collect()
    }

    /// Are servers of this kind watched?
    pub fn watches(&self, system: System) -> bool {
        self.systems.contains(&system)
    }
}

fn systems(names: Spanned<Vec<Spanned<String>>>) -> Result<Vec<System>, Problem> {
    const HINT: &str =
        "name those to watch: \"postgresql\", \"mysql\" (MariaDB, too), \"redis\" (Valkey, too)";
    if names.get_ref().is_empty() {
        return Err(Problem::new(
            names.span(),
            "no database system would be watched".to_owned(),
            HINT,
        ));
    }
    let mut systems = Vec::new();
    for name in names.into_inner() {
        let system = System::ALL
            .into_iter()
            .find(|system| system.as_str() == name.get_ref())
            .ok_or_else(|| {
                Problem::new(
                    name.span(),
                    format!(
                        "`{}` is no database system that can be watched",
                        name.get_ref()
                    ),
                    HINT,
                )
            })?;
        if !systems.contains(&system) {
            systems.push(system);
        }
    }
    Ok(systems)
}
