//! `[history]`: what is remembered, where and how long.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::{error::Problem, units};
use crate::history::Bounds;

/// See the example file for what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Whether anything is remembered.
    pub enabled: bool,
    /// The file.
    pub path: PathBuf,
    /// How long and how much.
    pub bounds: Bounds,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    enabled: Option<bool>,
    path: Option<Spanned<PathBuf>>,
    keep_minutes: Option<Spanned<String>>,
    keep_hours: Option<Spanned<String>>,
    keep_days: Option<Spanned<String>>,
    max_size: Option<Spanned<String>>,
}

const DAY: Duration = Duration::from_secs(86_400);
/// Where a service keeps its state.
const PATH: &str = "/var/lib/data-access-sensor/history.db";
/// Less has no room for a day of a busy server.
const SMALLEST: u64 = 1 << 20;

impl Section {
    pub fn build(self) -> Result<History, Problem> {
        let path = match self.path {
            None => PathBuf::from(PATH),
            Some(path) if path.get_ref().is_absolute() => path.into_inner(),
            Some(path) => {
                return Err(Problem::new(
                    path.span(),
                    format!("`{}` is no absolute path", path.get_ref().display()),
                    "write the whole path: a service's working directory is not yours",
                ));
            }
        };
        let most = DAY * 3_660;
        let minutes = kept(
            &self.keep_minutes,
            3 * DAY,
            Duration::from_secs(3_600),
            most,
        )?;
        let hours = kept(&self.keep_hours, 45 * DAY, DAY, most)?;
        let days = kept(&self.keep_days, 400 * DAY, DAY, most)?;
        if minutes > hours || hours > days {
            let span = [&self.keep_days, &self.keep_hours, &self.keep_minutes]
                .into_iter()
                .flatten()
                .map(Spanned::span)
                .next()
                .unwrap_or_default();
            return Err(Problem::new(
                span,
                "minutes are kept longer than hours, or hours longer than days",
                "the coarser, the longer: keep_minutes = \"3d\", keep_hours = \"45d\", keep_days = \"400d\"",
            ));
        }
        let max_bytes = match &self.max_size {
            None => 4 << 30,
            Some(text) => {
                let bytes = units::bytes(text)?;
                if bytes < SMALLEST {
                    return Err(Problem::new(
                        text.span(),
                        format!("`{}` is too small", text.get_ref()),
                        "allowed: \"1MiB\" and more",
                    ));
                }
                bytes
            }
        };
        Ok(History {
            enabled: self.enabled.unwrap_or(true),
            path,
            bounds: Bounds {
                minutes,
                hours,
                days,
                max_bytes,
            },
        })
    }
}

fn kept(
    text: &Option<Spanned<String>>,
    default: Duration,
    least: Duration,
    most: Duration,
) -> Result<Duration, Problem> {
    text.as_ref().map_or(Ok(default), |text| {
        units::duration_within(text, least, most)
    })
}
