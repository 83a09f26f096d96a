//! `cargo xtask test`: everything that must hold before a change goes in.

use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::{
    build, command, cross, eval,
    progress::Progress,
    setup::{self, For},
    vm, workspace,
};

/// Arguments of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Leave out the tests on other kernels, in virtual machines. Some tests only never run there.
    #[arg(long)]
    no_vm: bool,
    /// Leave out the build for aarch64.
    #[arg(long)]
    no_cross: bool,
    /// Leave out the short measurement of the detector on a simulated support desk.
    #[arg(long)]
    no_eval: bool,
    /// Handed on to `cargo test --workspace`, such as `--test exactness` or part of a test's name.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs all checks, the tests last, so that the output ends with their summary.
pub fn test(arguments: &Arguments) -> Result<()> {
    workspace::require_root_and_btf("test")?;
    let progress = Progress::new();
    setup::install(&progress, For::Test)?;
    cargo(&progress, &["fmt", "--all", "--check"], &[])?;
    let fuzzers = ["fmt", "--check", "--manifest-path", "tests/fuzz/Cargo.toml"];
    cargo(&progress, &fuzzers, &[])?;
    cargo(
        &progress,
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
        &[],
    )?;
    cargo(
        &progress,
        &["doc", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    let sensor = build::release(&progress)?;
    if !arguments.no_cross && arguments.arguments.is_empty() {
        cross::build(&progress)?;
    }
    if !arguments.no_vm && arguments.arguments.is_empty() {
        vm::smoke(&progress, &sensor)?;
    }
    if !arguments.no_eval && arguments.arguments.is_empty() {
        eval::check(&progress, &sensor)?;
    }

    let mut tests = command::cargo();
    tests
        .args(["test", "--workspace"])
        .args(&arguments.arguments);
    if std::env::var_os("SENSOR_BIN").is_none() {
        tests.env("SENSOR_BIN", sensor);
    }
    // No line after it: the runner's own summary is the last word.
    eprintln!(
        "▸ cargo test --workspace … (checks so far took {})",
        progress.total()
    );
    command::shown_cargo(&mut tests, Stdio::inherit())
        .context("step \"cargo test --workspace\" failed")?;
    Ok(())
}

fn cargo(progress: &Progress, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    progress.loud(&format!("cargo {}", arguments.join(" ")), || {
        let mut cargo = command::cargo();
        cargo.args(arguments).envs(environment.iter().copied());
        command::shown_cargo(&mut cargo, Stdio::inherit())
    })
}
