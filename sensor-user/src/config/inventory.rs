//! `[inventory]`: a read-only login by which the sensor learns how large tables are.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{error::Problem, units};

/// See the example file for what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// Connection string; `None`: no login, sizes come from `[tables]` only.
    pub postgresql: Option<String>,
    /// How often to measure.
    pub interval: Duration,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    postgresql: Option<Spanned<String>>,
    interval: Option<Spanned<String>>,
}

impl Section {
    pub fn is_set(&self) -> bool {
        self.postgresql.is_some()
    }

    pub fn build(self) -> Result<Inventory, Problem> {
        if let Some(text) = &self.postgresql
            && let Err(error) = text.get_ref().parse::<tokio_postgres::Config>()
        {
            return Err(Problem::new(
                text.span(),
                format!("not a connection string: {error}"),
                "write it as libpq does: \"host=/run/postgresql user=sensor dbname=support\"",
            ));
        }
        Ok(Inventory {
            postgresql: self.postgresql.map(Spanned::into_inner),
            interval: match &self.interval {
                None => Duration::from_secs(600),
                Some(text) => units::duration_within(
                    text,
                    Duration::from_secs(1),
                    Duration::from_secs(86_400),
                )?,
            },
        })
    }
}
