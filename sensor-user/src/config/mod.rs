//! The configuration file: one TOML file, one module a section. Wrong ones are refused with line, column and hint.

use std::{fs, path::Path};

use serde::Deserialize;

pub mod console;
pub mod detection;
pub mod discover;
pub mod environment;
pub mod error;
pub mod export;
pub mod history;
pub mod inventory;
pub mod kernel;
pub mod otlp;
pub mod principals;
mod prometheus;
pub mod secret;
pub mod tables;
pub mod threshold;
pub mod units;
pub mod volumes;

pub use error::ConfigError;
use error::{Problem, Source};

/// The fully commented example; it says the same as the defaults.
pub const EXAMPLE: &str = include_str!("example.toml");

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[kernel]`.
    pub kernel: kernel::Kernel,
    /// `[discover]`.
    pub discover: discover::Discover,
    /// `[volumes]`.
    pub volumes: volumes::Volumes,
    /// `[principals]`.
    pub principals: principals::Principals,
    /// `[[threshold]]`, in the order of the file; the default one when there is none.
    pub thresholds: Vec<threshold::Threshold>,
    /// `[tables]`.
    pub tables: tables::TableSizes,
    /// `[inventory]`.
    pub inventory: inventory::Inventory,
    /// `[detection]`.
    pub detection: detection::Detection,
    /// `[history]`.
    pub history: history::History,
    /// `[export]`.
    pub export: export::Export,
    /// `[console]`.
    pub console: console::Console,
    /// What is valid but probably not meant.
    pub warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    kernel: kernel::Section,
    discover: discover::Section,
    volumes: volumes::Section,
    principals: principals::Section,
    threshold: Vec<threshold::Section>,
    tables: tables::Section,
    inventory: inventory::Section,
    detection: detection::Section,
    history: history::Section,
    export: export::Section,
    console: console::Section,
}

impl Default for Config {
    fn default() -> Self {
        // The empty file is valid: a test holds that.
        Self::parse("", Path::new("(defaults)")).unwrap_or_else(|error| unreachable!("{error}"))
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it can't be read, or what it says is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        Self::parse(&text, path)
    }

    /// Parses the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// With line, column and hint when what it says is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let source = Source { text, path };
        let file: File = toml::from_str(text).map_err(|error| source.syntax(&error))?;
        Self::build(file).map_err(|problem| source.problem(&problem))
    }

    /// Sections that another one has otherwise, of those that take effect with the next start.
    pub fn changed_until_restart(&self, other: &Self) -> Vec<&'static str> {
        [
            ("[kernel]", self.kernel != other.kernel),
            ("[discover]", self.discover != other.discover),
            ("[volumes]", self.volumes != other.volumes),
            ("[principals]", self.principals != other.principals),
            ("[inventory]", self.inventory != other.inventory),
            ("[history]", self.history != other.history),
            ("[export]", self.export != other.export),
            ("[console]", self.console != other.console),
        ]
        .into_iter()
        .filter_map(|(section, differs)| differs.then_some(section))
        .collect()
    }

    fn build(file: File) -> Result<Self, Problem> {
        let mut warnings = Vec::new();
        let tables = file.tables.build()?;
        let principals = file.principals.build(&mut warnings)?;
        let thresholds = threshold::build(
            file.threshold,
            &tables,
            file.inventory.is_set(),
            &principals.identity,
            &mut warnings,
        )?;
        Ok(Self {
            kernel: file.kernel.build()?,
            discover: file.discover.build()?,
            volumes: file.volumes.build()?,
            principals,
            thresholds,
            tables,
            inventory: file.inventory.build()?,
            detection: file.detection.build(&mut warnings)?,
            history: file.history.build()?,
            export: file.export.build()?,
            console: file.console.build()?,
            warnings,
        })
    }
}

#[cfg(test)]
mod tests;
