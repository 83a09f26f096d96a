//! bpf-linker, and the script in front of it. It loads the LLVM of a Rust toolchain at run time and looks for it on
//! LD_LIBRARY_PATH only, so the script, which `.cargo/config.toml` names, says where that is.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{program, toolchain::Toolchain};
use crate::{
    command::{self, command},
    packages::{BPF_LINKER, LLVM, PINNED_RUST},
    workspace,
};

/// Installs the linker unless it is there, and points the script at an LLVM that is there now.
pub fn install() -> Result<String> {
    let root = workspace::tools().join("linker");
    let binary = root.join("bin/bpf-linker");
    let present = program::install("bpf-linker", BPF_LINKER, &root)?;
    let library = library()?;
    let script = write_script(&binary, &library)?;
    let version = command::output(command(&script).arg("--version")).with_context(|| {
        format!(
            "{} does not run with the LLVM in {}",
            script.display(),
            library.display()
        )
    })?;
    Ok(format!(
        "{} {}",
        version.trim(),
        if present { "all there" } else { "installed" }
    ))
}

/// The folder of a rustup toolchain that has the linker's LLVM as a shared library.
fn library() -> Result<PathBuf> {
    if let Some(folder) = installed_library()? {
        return Ok(folder);
    }
    command::logged(
        command("rustup").args(["toolchain", "install", PINNED_RUST, "--profile", "minimal", "--no-self-update"]),
        "rustup-llvm",
    )
    .with_context(|| {
        format!("bpf-linker loads LLVM {LLVM} from a rustup toolchain, none here has it, and Rust {PINNED_RUST}, which does, can't be had")
    })?;
    installed_library()?.with_context(|| format!("Rust {PINNED_RUST} has no shared LLVM {LLVM}"))
}

fn installed_library() -> Result<Option<PathBuf>> {
    for name in Toolchain::names()? {
        let Some(toolchain) = Toolchain::find(&name) else {
            continue;
        };
        let folder = toolchain.sysroot.join("lib");
        if toolchain.llvm == LLVM && has_llvm(&folder) {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

fn has_llvm(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libLLVM") && name.contains(".so")
        })
    })
}

/// Writes the script if it is not as it should be. Replaced in one step: a build may be using it.
fn write_script(binary: &Path, library: &Path) -> Result<PathBuf> {
    let folder = workspace::tools().join("bin");
    workspace::directory(&folder)?;
    let script = folder.join("bpf-linker");
    let text = script_text(binary, library);
    if fs::read_to_string(&script).is_ok_and(|now| now == text) {
        return Ok(script);
    }
    let new = folder.join(format!(".bpf-linker.{}", std::process::id()));
    fs::write(&new, text)
        .and_then(|()| fs::set_permissions(&new, Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&new, &script))
        .with_context(|| format!("cannot write {}", script.display()))?;
    Ok(script)
}

fn script_text(binary: &Path, library: &Path) -> String {
    format!(
        "#!/bin/sh\n# Written by `cargo xtask setup`.\nLD_LIBRARY_PATH={} exec {} \"$@\"\n",
        quoted(library),
        quoted(binary)
    )
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_survives_odd_paths() {
        let text = script_text(Path::new("/a b/it's/bpf-linker"), Path::new("/lib"));
        assert!(
            text.ends_with("LD_LIBRARY_PATH='/lib' exec '/a b/it'\\''s/bpf-linker' \"$@\"\n"),
            "{text}"
        );
    }
}
