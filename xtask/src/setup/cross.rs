//! Rust's standard library for the other processor that the sensor is built for.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::{debian, toolchain};
use crate::{
    command::{self, command},
    packages,
};

/// The other target.
pub const TARGET: &str = "aarch64-unknown-linux-gnu";

/// rustup may wait long for a server that is not reachable.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where the standard library for [`TARGET`] comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Library {
    /// The toolchain that builds userspace has it.
    Installed,
    /// It is compiled, too, by this toolchain, which has its source.
    Source(String),
}

/// Has rustup add it; says where it is to come from where that can't be.
pub fn install() -> Result<String> {
    if !is_installed()? {
        let mut rustup = command("rustup");
        rustup.args(["target", "add", TARGET]);
        if let Err(error) = command::logged_within(&mut rustup, "rustup-target", Some(PATIENCE)) {
            let toolchain = toolchain::chosen().with_context(|| {
                format!("rustup can't add {TARGET} ({error:#}), and there is no source to compile it from")
            })?;
            return Ok(format!("compiled from the source in toolchain {toolchain}"));
        }
    }
    Ok("installed".to_owned())
}

/// Installs what virtual machines with the other processor take.
pub fn emulator() -> Result<String> {
    debian::install(packages::CROSS_VIRTUAL_MACHINES)
}

/// As [`install`] left it.
pub fn library() -> Result<Library> {
    if is_installed()? {
        Ok(Library::Installed)
    } else {
        Ok(Library::Source(toolchain::chosen()?))
    }
}

fn is_installed() -> Result<bool> {
    let sysroot = command::output(command("rustc").args(["--print", "sysroot"]))
        .context("cannot ask the compiler where it is")?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET);
    Ok(libraries.join("lib").exists())
}
