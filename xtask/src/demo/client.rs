//! A database's own clients, as processes.

use std::{
    io::BufReader,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::command;

/// Starts a client whose output is read here.
pub fn reading(client: &mut Command) -> Result<(Child, BufReader<ChildStdout>)> {
    let mut child = client
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", command::typed(client)))?;
    let output = child.stdout.take().context("no way from the client")?;
    Ok((child, BufReader::new(output)))
}

/// Waits for it; an error when it failed.
pub fn ended(mut child: Child, what: &str) -> Result<()> {
    let status = child.wait().context("cannot wait for a client")?;
    if !status.success() {
        bail!("{what} ended with {status}");
    }
    Ok(())
}
