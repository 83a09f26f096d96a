//! Debian packages unpacked to a folder that can be the root of processes.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{command, workspace};

/// Folders of the root that are links into `usr`: Debian's packages have files of theirs there, and no link.
const LINKED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// Unpacks packages to the folder, which is made. No script of theirs runs.
pub fn unpack(files: &[PathBuf], root: &Path) -> Result<()> {
    for folder in LINKED {
        workspace::directory(&root.join("usr").join(folder))?;
        match symlink(format!("usr/{folder}"), root.join(folder)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error)
                    .with_context(|| format!("cannot link {folder} in {}", root.display()));
            }
            _ => {}
        }
    }
    for file in files {
        // Not `--extract`, which would put folders in the place of those links.
        command::logged(
            command::command("sh")
                .args(["-c", UNPACK, "sh"])
                .args([file.as_path(), root]),
            "unpack-packages",
        )?;
    }
    Ok(())
}

const UNPACK: &str = "set -e; dpkg-deb --fsys-tarfile \"$1\" | tar --extract --keep-directory-symlink --directory \"$2\"";

/// A program in such a folder, run by the dynamic loader and with the libraries that are there.
pub fn program(root: &Path, path: &str) -> std::process::Command {
    let architecture = std::env::consts::ARCH;
    let loader = match architecture {
        "aarch64" => "lib/ld-linux-aarch64.so.1",
        _ => "lib64/ld-linux-x86-64.so.2",
    };
    let libraries = root.join(format!("usr/lib/{architecture}-linux-gnu"));
    let mut program = command::command(root.join(loader));
    program
        .arg("--library-path")
        .arg(libraries)
        .arg(root.join(path));
    program
}

/// Removes packages that are unpacked.
pub fn remove(files: &[PathBuf]) -> Result<()> {
    for file in files {
        fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(())
}
