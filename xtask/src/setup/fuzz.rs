//! cargo-fuzz, and the toolchain that its fuzzers are built with: that of the kernel programs.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use super::{
    program,
    toolchain::{self, Toolchain},
};
use crate::{packages::CARGO_FUZZ, workspace};

fn root() -> PathBuf {
    workspace::tools().join("fuzz")
}

/// Installs it.
pub fn install() -> Result<String> {
    let present = program::install("cargo-fuzz", CARGO_FUZZ, &root())?;
    Ok(format!(
        "cargo-fuzz {CARGO_FUZZ} {}",
        if present { "all there" } else { "installed" }
    ))
}

/// Where cargo finds it.
pub fn folder() -> PathBuf {
    root().join("bin")
}

/// What fuzzers are built with.
#[derive(Clone, Debug)]
pub struct Compiler {
    /// rustup's name.
    pub toolchain: String,
    /// For which it builds: this machine.
    pub target: String,
    /// It must be told to take flags that are not stable.
    pub is_stable: bool,
    /// It has the library by which a program watches over its memory.
    pub has_sanitizer: bool,
}

impl Compiler {
    /// As set-up left it.
    pub fn find() -> Result<Self> {
        let name = toolchain::chosen()?;
        let Toolchain {
            sysroot, release, ..
        } = Toolchain::find(&name)
            .with_context(|| format!("the compiler of toolchain {name} does not run"))?;
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let libraries = sysroot.join("lib/rustlib").join(&target).join("lib");
        let has_sanitizer = fs::read_dir(libraries).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().ends_with("_rt.asan.a"))
        });
        Ok(Self {
            toolchain: name,
            target,
            is_stable: !release.contains("nightly"),
            has_sanitizer,
        })
    }
}
