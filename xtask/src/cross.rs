//! `cargo xtask cross`: the sensor for aarch64, kernel programs included. Nothing of it can run on this machine: it is
//! built to see that it builds.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build, command,
    progress::Progress,
    setup::{
        self, For,
        cross::{Library, TARGET},
    },
};

/// `EM_AARCH64` and `EM_BPF` of ELF.
const AARCH64: u16 = 183;
const BPF: u16 = 247;

/// Sets up what it takes, and builds.
pub fn cross() -> Result<()> {
    let progress = Progress::new();
    setup::install(&progress, For::Cross)?;
    build(&progress)
}

/// Builds the sensor for [`TARGET`], and looks whether it is.
pub fn build(progress: &Progress) -> Result<()> {
    let library = setup::cross::library()?;
    let mut messages = String::new();
    progress.loud(&format!("cargo build --target {TARGET}"), || {
        messages = command::shown_cargo(&mut cargo(&library), Stdio::piped())?;
        Ok(String::new())
    })?;
    progress.quiet("the sensor and its kernel programs for aarch64", || {
        let sensor = build::executable(&messages, "sensor")
            .context("cargo built no binary `sensor` in package sensor-user")?;
        let objects = build::objects(&messages).context(
            "sensor-user's build script, which compiles the kernel programs, did not run",
        )?;
        let size = looked_at(&sensor, AARCH64)?;
        for object in objects {
            looked_at(&object, BPF)?;
            build::check(&object)?;
        }
        Ok(format!("{} MiB", size >> 20))
    })
}

fn cargo(library: &Library) -> Command {
    let mut cargo = command::cargo();
    if let Library::Source(toolchain) = library {
        cargo
            .arg(format!("+{toolchain}"))
            .args(["-Z", "build-std=std,panic_abort"])
            .env("RUSTC_BOOTSTRAP", "1");
    }
    // Debian's cross compiler, and its headers for pg_query's bindings.
    let compiler = "aarch64-linux-gnu-gcc";
    cargo
        .args(["build", "--package", "sensor-user", "--bin", "sensor"])
        .args(["--profile", "cross", "--target", TARGET])
        .args(["--message-format", "json-render-diagnostics"])
        .env("CC_aarch64_unknown_linux_gnu", compiler)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", compiler)
        .env(
            "BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu",
            "-I/usr/aarch64-linux-gnu/include",
        );
    cargo
}

/// Refuses a file that is no ELF file for this machine; its size.
fn looked_at(file: &Path, machine: u16) -> Result<usize> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    match machine_of(&bytes) {
        Some(found) if found == machine => Ok(bytes.len()),
        found => bail!(
            "{} is made for machine {found:?} (ELF's number), expected {machine}",
            file.display()
        ),
    }
}

/// Of a little-endian ELF file.
fn machine_of(bytes: &[u8]) -> Option<u16> {
    if !bytes.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let machine = bytes.get(18..20)?;
    Some(u16::from_le_bytes([machine[0], machine[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_apart() {
        let this = fs::read("/proc/self/exe").expect("this program");
        let expected = if cfg!(target_arch = "x86_64") {
            62
        } else {
            AARCH64
        };
        assert_eq!(machine_of(&this), Some(expected));
        assert_eq!(machine_of(b"#!/bin/sh"), None);
    }
}
