//! The kernel programs that ours are measured against, and what loads them: see xtask/fixtures.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};

use crate::{build, command, progress::Progress, setup, workspace};

/// Built fixtures.
#[derive(Debug)]
pub struct Fixtures {
    /// Loads an object, says `ready`, ends by a signal.
    pub loader: PathBuf,
    /// Empty programs.
    pub floor: PathBuf,
    /// An event a socket operation.
    pub naive: PathBuf,
}

impl Fixtures {
    /// Builds them.
    pub fn build(progress: &Progress) -> Result<Self> {
        let mut objects = None;
        progress.loud("cargo build -p bench-ebpf, for the kernel", || {
            let messages = command::shown_cargo(&mut kernel_programs()?, Stdio::piped())?;
            objects = Some((
                object(&messages, "bench-floor")?,
                object(&messages, "bench-naive")?,
            ));
            Ok(String::new())
        })?;
        let mut loader = None;
        progress.loud("cargo build --release -p bench-loader", || {
            let mut cargo = command::cargo();
            cargo.args(["build", "--release", "--package", "bench-loader"]);
            cargo.args(["--message-format", "json-render-diagnostics"]);
            let messages = command::shown_cargo(&mut cargo, Stdio::piped())?;
            loader = build::executable(&messages, "bench-loader");
            Ok(String::new())
        })?;
        let (floor, naive) = objects.context("no objects")?;
        Ok(Self {
            loader: loader.context("cargo built no binary `bench-loader`")?,
            floor,
            naive,
        })
    }
}

fn object(messages: &str, name: &str) -> Result<PathBuf> {
    let object = build::executable(messages, name)
        .with_context(|| format!("cargo built no kernel programs `{name}`"))?;
    build::check(&object)?;
    Ok(object)
}

/// The same toolchain and flags as those of the sensor's programs, which aya-build chooses.
fn kernel_programs() -> Result<std::process::Command> {
    let architecture = std::env::consts::ARCH;
    let flags = [
        &format!("--cfg=bpf_target_arch=\"{architecture}\""),
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
    ];
    let target = if cfg!(target_endian = "little") {
        "bpfel-unknown-none"
    } else {
        "bpfeb-unknown-none"
    };
    let mut rustup = command::command("rustup");
    rustup
        .current_dir(workspace::root())
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTC")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .args(["run", &setup::kernel_toolchain()?, "cargo", "build"])
        .args(["--release", "--package", "bench-ebpf", "--bins"])
        .args(["--target", target, "-Z", "build-std=core"])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(target_folder());
    Ok(rustup)
}

fn target_folder() -> PathBuf {
    Path::new(workspace::root()).join("target/xtask/fixtures")
}
