//! Where the history is, and which part of it is meant: arguments that several verbs share.

use std::path::PathBuf;

use rusqlite::Connection;

use super::{Failure, load};
use crate::{config::Config, config::units, history, time::Timestamp};

/// Which file.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The sensor's configuration file (TOML), which says where the history is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The history's file, instead of the configuration's.
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
}

impl Place {
    /// The configuration, with the file's path.
    pub fn config(&self) -> Result<Config, Failure> {
        let mut config = load(self.config.as_deref())?;
        if let Some(path) = &self.database {
            config.history.path.clone_from(path);
        }
        Ok(config)
    }

    /// Opens the file; to `write` for acknowledgements.
    pub fn open(&self, write: bool) -> Result<Connection, Failure> {
        Ok(history::open_existing(&self.config()?.history.path, write)?)
    }
}

/// From when to when.
#[derive(Debug, clap::Args)]
pub struct Times {
    /// From then on: 2026-11-01, 2026-11-01T08:00:00Z, or how long ago (12h, 7d).
    #[arg(long, value_name = "TIME", alias = "from")]
    since: Option<String>,
    /// Before then; now when left out.
    #[arg(long, value_name = "TIME", alias = "to")]
    until: Option<String>,
}

impl Times {
    /// Did somebody say from when?
    pub fn has_since(&self) -> bool {
        self.since.is_some()
    }

    /// Both ends; without any, the last `default` before now.
    pub fn resolve(&self, default: std::time::Duration) -> Result<(Timestamp, Timestamp), Failure> {
        let now = Timestamp::now();
        let since = match &self.since {
            Some(text) => when("--since", text, now)?,
            None => now - default,
        };
        let until = match &self.until {
            Some(text) => when("--until", text, now)?,
            // What happens in this second counts.
            None => now + std::time::Duration::from_secs(1),
        };
        if since >= until {
            return Err(Failure::Usage(format!(
                "nothing lies between {since} and {until}\nhint: --since comes before --until"
            )));
        }
        Ok((since, until))
    }
}

/// A time of an option.
pub fn when(option: &str, text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    units::when(text, now).ok_or_else(|| {
        Failure::Usage(format!(
            "{option}: `{text}` is no time\nhint: write 2026-11-01, 2026-11-01T08:00:00Z, or how long ago: 12h, 7d"
        ))
    })
}
