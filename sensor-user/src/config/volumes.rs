//! `[volumes]`: bounds of memory.

use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;

/// See the example file for what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volumes {
    /// Series of principal × database × table × operation.
    pub max_keys: usize,
    /// Statement shapes.
    pub max_statements: usize,
    /// Principals.
    pub max_principals: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    max_keys: Option<Spanned<usize>>,
    max_statements: Option<Spanned<usize>>,
    max_principals: Option<Spanned<usize>>,
}

impl Section {
    pub fn build(self) -> Result<Volumes, Problem> {
        Ok(Volumes {
            max_keys: bound(self.max_keys, 50_000)?,
            max_statements: bound(self.max_statements, 10_000)?,
            max_principals: bound(self.max_principals, 100_000)?,
        })
    }
}

fn bound(value: Option<Spanned<usize>>, default: usize) -> Result<usize, Problem> {
    match value {
        None => Ok(default),
        Some(value) if (10..=10_000_000).contains(value.get_ref()) => Ok(value.into_inner()),
        Some(value) => Err(Problem::new(
            value.span(),
            format!("{} is out of range", value.get_ref()),
            "allowed: 10 to 10000000",
        )),
    }
}
