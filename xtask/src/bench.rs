//! `cargo xtask bench`: what the sensor costs a database, measured so that anybody can repeat it.

use anyhow::Result;
use clap::Subcommand;

mod load;
mod overhead;
mod report;
mod statistics;
mod variant;

/// Arguments of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Throughput kept with the sensor, and with what people use instead, by slices in turn: on, off, off, on, …
    Overhead(overhead::Arguments),
}

/// Runs one.
pub fn bench(arguments: &Arguments) -> Result<()> {
    match &arguments.verb {
        Verb::Overhead(arguments) => overhead::overhead(arguments),
    }
}
