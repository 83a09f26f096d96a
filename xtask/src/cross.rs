//! `cargo xtask cross`: the sensor for aarch64, kernel programs included, and whether it starts in QEMU's emulation of a
//! process. Its kernel programs run in a virtual machine: `cargo xtask vm --processor aarch64`.

use std::{
    fs,
    path::{Path, PathBuf},
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
    workspace,
};

/// Profile: as fast to build as can be.
pub const PROFILE: &str = "cross";
/// `EM_AARCH64` and `EM_BPF` of ELF.
const AARCH64: u16 = 183;
const BPF: u16 = 247;

/// Sets up what it takes, builds, and looks.
pub fn cross() -> Result<()> {
    let progress = Progress::new();
    setup::install(&progress, For::Cross)?;
    build(&progress).map(drop)
}

/// Builds the sensor for [`TARGET`], looks whether it is, and has it say something; where it is.
pub fn build(progress: &Progress) -> Result<PathBuf> {
    let mut messages = String::new();
    progress.loud(&format!("cargo build --target {TARGET}"), || {
        let mut cargo = cargo()?;
        cargo
            .args(["build", "--package", "sensor-user", "--bin", "sensor"])
            .args(["--profile", PROFILE, "--target", TARGET])
            .args(["--message-format", "json-render-diagnostics"]);
        messages = command::shown_cargo(&mut cargo, Stdio::piped())?;
        Ok(String::new())
    })?;
    let sensor = build::executable(&messages, "sensor")
        .context("cargo built no binary `sensor` in package sensor-user")?;
    progress.quiet("the sensor and its kernel programs for aarch64", || {
        let objects = build::objects(&messages).context(
            "sensor-user's build script, which compiles the kernel programs, did not run",
        )?;
        let size = looked_at(&sensor, AARCH64)?;
        for object in objects {
            looked_at(&object, BPF)?;
            build::check(&object)?;
        }
        Ok(format!("{} MiB", size >> 20))
    })?;
    progress.quiet("the sensor for aarch64 runs", || {
        let version = emulated(&sensor, &["--version"])?;
        remembers(&sensor)?;
        Ok(version.trim().to_owned())
    })?;
    Ok(sensor)
}

/// Has it write and read a history: most of what is built in C is in that.
fn remembers(sensor: &Path) -> Result<()> {
    let folder = workspace::root().join("target/xtask/cross");
    let _ = fs::remove_dir_all(&folder);
    workspace::directory(&folder)?;
    let events = folder.join("events.csv");
    fs::write(
        &events,
        "time,principal,database,table,operation,rows\n2026-11-01T08:00:00Z,ann,shop,customers,SELECT,4242\n",
    )
    .with_context(|| format!("cannot write {}", events.display()))?;
    let (events, history) = (events.to_string_lossy(), folder.join("history.db"));
    let history = history.to_string_lossy();
    emulated(
        sensor,
        &[
            "history",
            "import",
            "--database",
            &history,
            "--events",
            &events,
        ],
    )?;
    let table = emulated(
        sensor,
        &[
            "history",
            "who",
            "--database",
            &history,
            "--since",
            "2026-11-01",
            "--until",
            "2026-11-02",
        ],
    )?;
    if !table.contains("ann") || !table.contains("4242") {
        bail!("the sensor for aarch64 does not find what it was told:\n{table}");
    }
    Ok(())
}

/// What the sensor for aarch64 prints, run by QEMU's emulation of a process.
fn emulated(sensor: &Path, arguments: &[&str]) -> Result<String> {
    command::output(
        command::command("qemu-aarch64-static")
            .args(["-L", "/usr/aarch64-linux-gnu"])
            .arg(sensor)
            .args(arguments),
    )
}

/// cargo with what building for [`TARGET`] takes.
pub fn cargo() -> Result<Command> {
    let mut cargo = command::cargo();
    if let Library::Source(toolchain) = setup::cross::library()? {
        cargo
            .arg(format!("+{toolchain}"))
            .args(["-Z", "build-std=std,panic_abort"])
            .env("RUSTC_BOOTSTRAP", "1");
    }
    // Debian's cross compiler, and its headers for pg_query's bindings.
    let compiler = "aarch64-linux-gnu-gcc";
    cargo
        .env("CC_aarch64_unknown_linux_gnu", compiler)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", compiler)
        .env(
            "BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu",
            "-I/usr/aarch64-linux-gnu/include",
        );
    Ok(cargo)
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
