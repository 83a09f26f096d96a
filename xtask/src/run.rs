//! `cargo xtask run`: build, then become the sensor.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};

use crate::{build, command, workspace};

/// Arguments of `cargo xtask run`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Arguments of `sensor run`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Builds and runs the sensor in place of this process.
pub fn run(arguments: &Arguments) -> Result<()> {
    workspace::require_root_and_btf("run")?;
    let sensor = build::build(&build::Arguments::default())?;
    let mut command = command::command(&sensor);
    command.arg("run").args(&arguments.arguments);
    Err(command.exec()).with_context(|| format!("cannot run {}", sensor.display()))
}
