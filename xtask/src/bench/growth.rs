//! `cargo xtask bench growth`: what a record costs userspace as connections, statements and principals grow in number.

use std::process::Stdio;

use anyhow::Result;

use super::turn::Turn;
use crate::{
    command,
    progress::Progress,
    setup::{self, For},
};

/// Prints the table, then criterion's figures for each step.
pub fn growth() -> Result<()> {
    let progress = Progress::new();
    setup::install(&progress, For::Bench)?;
    let _turn = Turn::take(&progress)?;
    for bench in ["growth", "steps"] {
        let mut cargo = command::cargo();
        cargo.args(["bench", "--package", "sensor-user", "--bench", bench]);
        command::shown_cargo(&mut cargo, Stdio::inherit())?;
    }
    Ok(())
}
