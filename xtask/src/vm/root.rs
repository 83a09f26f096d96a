//! What the guest has for its root: this machine's own files, or Debian's for another processor.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::processor::Processor;
use crate::{apt::Apt, unpacked, workspace};

/// Release whose files the other processor gets: the one that this project is developed on.
const SUITE: &str = "bookworm";
/// What the guest runs, apart from what is built here.
const PACKAGES: [&str; 6] = [
    "postgresql-15",
    "busybox-static",
    "dash",
    "coreutils",
    "util-linux",
    "mount",
];
/// Where the programs of [`PACKAGES`]' server are, in front of all others: those of Debian's wrapper are in Perl.
pub const SERVER: &str = "/usr/lib/postgresql/15/bin";

/// The folder.
pub fn folder(processor: Processor) -> PathBuf {
    match processor {
        Processor::X86_64 => PathBuf::from("/"),
        Processor::Aarch64 => workspace::root().join("target/vm/root-aarch64"),
    }
}

/// A busybox without libraries.
pub fn busybox(processor: Processor) -> PathBuf {
    folder(processor).join("usr/bin/busybox")
}

/// Makes it unless it is there; what is to be said of it.
pub fn make(processor: Processor) -> Result<String> {
    let root = folder(processor);
    if processor == Processor::X86_64 {
        return Ok("this machine's".to_owned());
    }
    if root.exists() {
        return Ok("kept".to_owned());
    }
    let place = workspace::root().join("target/vm");
    let apt = Apt::update(&place.join("apt"), SUITE, processor.debian())?;
    let files = apt.download_with_needs(&PACKAGES)?;
    let new = place.join(format!(".root-{}", std::process::id()));
    let _ = fs::remove_dir_all(&new);
    unpacked::unpack(&files, &new)?;
    users(&new)?;
    fs::rename(&new, &root).with_context(|| format!("cannot make {}", root.display()))?;
    Ok(format!("{} packages", files.len()))
}

/// The users and groups of this machine, to whom the cluster's files belong; folders to mount on.
fn users(root: &Path) -> Result<()> {
    for file in ["etc/passwd", "etc/group", "etc/nsswitch.conf"] {
        let from = Path::new("/").join(file);
        fs::copy(&from, root.join(file))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    symlink("dash", root.join("bin/sh"))
        .or_else(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })
        .context("cannot link sh")?;
    for folder in ["proc", "sys", "dev", "run", "root", "tmp"] {
        workspace::directory(&root.join(folder))?;
    }
    workspace::directory(
        &root.join(
            workspace::root()
                .strip_prefix("/")
                .unwrap_or(workspace::root()),
        ),
    )
    .map(drop)
}
