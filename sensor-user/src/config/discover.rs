//! `[discover]`: finding database servers.

use std::time::Duration;

use sensor_ebpf::settings::COMMANDS;
use serde::Deserialize;
use toml::Spanned;

use super::{error::Problem, units};
use crate::discover::pgbouncer;

/// Command names of PostgreSQL servers, and of what stands before them.
pub const COMMAND_NAMES: [&str; 3] = ["postgres", "postmaster", pgbouncer::COMMAND_NAME];

/// Command names of MariaDB and MySQL servers.
pub const MYSQL_COMMAND_NAMES: [&str; 2] = ["mariadbd", "mysqld"];

/// Command names of Redis and Valkey servers.
pub const REDIS_COMMAND_NAMES: [&str; 2] = ["redis-server", "valkey-server"];

/// So many more have a place.
const EXTRA: usize =
    COMMANDS - COMMAND_NAMES.len() - MYSQL_COMMAND_NAMES.len() - REDIS_COMMAND_NAMES.len();

/// See the example file for what each means.
#[derive(Clone, Debug)]
pub struct Discover {
    /// How often to look, beside being told of new processes.
    pub interval: Duration,
    /// Command names of renamed server binaries.
    pub extra_command_names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    interval: Option<Spanned<String>>,
    extra_command_names: Vec<Spanned<String>>,
}

impl Section {
    pub fn build(self) -> Result<Discover, Problem> {
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
        COMMAND_NAMES
            .iter()
            .chain(&MYSQL_COMMAND_NAMES)
            .chain(&REDIS_COMMAND_NAMES)
            .map(|name| (*name).to_owned())
            .chain(self.extra_command_names.iter().cloned())
            .collect()
    }
}
