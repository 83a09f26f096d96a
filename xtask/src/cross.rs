//! The sensor for aarch64, kernel programs included: compiled and linked here, run nowhere.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{build, command, packages, progress::Progress, setup};

/// What it is built for.
const TARGET: &str = "aarch64-unknown-linux-gnu";
/// Debian's compiler for it.
const COMPILER: &str = "aarch64-linux-gnu-gcc";
/// Machine of an ELF file: `EM_AARCH64`.
const MACHINE: u16 = 183;
/// rustup may wait long for a server that is not reachable.
const PATIENCE: Duration = Duration::from_secs(180);

/// Builds it.
pub fn build(progress: &Progress) -> Result<()> {
    progress.quiet("Debian packages for aarch64", || {
        setup::debian(packages::CROSS)
    })?;
    progress.quiet("Rust's standard library for aarch64", standard_library)?;
    progress.loud(
        &format!("cargo build --profile cross --target {TARGET} -p sensor-user"),
        compile,
    )
}

fn standard_library() -> Result<String> {
    let installed = command::output(command::command("rustup").args([
        "target",
        "list",
        "--installed",
    ]))
    .context("cannot list rustup's targets")?;
    if installed.lines().any(|line| line.trim() == TARGET) {
        return Ok("all there".to_owned());
    }
    command::logged_within(
        command::command("rustup").args(["target", "add", TARGET]),
        "rustup-target",
        Some(PATIENCE),
    )
    .with_context(|| format!("rustup has no {TARGET}: is its server reachable?"))?;
    Ok("installed".to_owned())
}

fn compile() -> Result<String> {
    let mut cargo = command::cargo();
    cargo
        .args([
            "build",
            "--profile",
            "cross",
            "--target",
            TARGET,
            "--package",
            "sensor-user",
            "--message-format",
            "json-render-diagnostics",
        ])
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", COMPILER)
        .env("CC_aarch64_unknown_linux_gnu", COMPILER)
        .env(
            "BINDGEN_EXTRA_CLANG_ARGS_aarch64_unknown_linux_gnu",
            "--sysroot=/usr/aarch64-linux-gnu",
        );
    let messages = command::shown_cargo(&mut cargo, Stdio::piped())?;
    let sensor = build::executable(&messages, "sensor")
        .context("cargo built no binary `sensor` for aarch64")?;
    let bytes = std::fs::read(&sensor)
        .with_context(|| format!("cannot read {}", sensor.display()))?;
    let machine = bytes.get(18..20).map(|two| u16::from_le_bytes([two[0], two[1]]));
    if !bytes.starts_with(b"\x7fELF") || machine != Some(MACHINE) {
        bail!("{} is no program for aarch64", sensor.display());
    }
    build::check_objects(&messages)?;
    Ok(format!("{} MiB", bytes.len() >> 20))
}
