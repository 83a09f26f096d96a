//! A program of crates.io, built here, of one version and in a folder of its own.

use std::{fs, path::Path};

use anyhow::Result;

use crate::command::{self, command};

/// Installs it to `root`; whether it was there before.
pub fn install(name: &str, version: &str, root: &Path) -> Result<bool> {
    if is_present(name, version, root) {
        return Ok(true);
    }
    let mut cargo = command("cargo");
    cargo
        // Not in the workspace, whose settings are none of its business.
        .current_dir("/")
        .args(["install", name, "--locked", "--force", "--version", version])
        .arg("--root")
        .arg(root)
        .arg("--target-dir")
        .arg(root.join("build"));
    command::logged(&mut cargo, name)?;
    // Only the binary is needed further on.
    let _ = fs::remove_dir_all(root.join("build"));
    Ok(false)
}

/// Whether cargo has put this very version there.
fn is_present(name: &str, version: &str, root: &Path) -> bool {
    let wanted = format!("\"{name} {version} ");
    root.join("bin").join(name).is_file()
        && fs::read_to_string(root.join(".crates.toml")).is_ok_and(|list| list.contains(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_version_is_present() {
        let root = std::env::temp_dir().join(format!("xtask-program-{}", std::process::id()));
        fs::create_dir_all(root.join("bin")).expect("folder");
        fs::write(root.join("bin/p"), "").expect("program");
        let list = "[v1]\n\"p 1.2.3 (registry+https://example.org)\" = [\"p\"]\n";
        fs::write(root.join(".crates.toml"), list).expect("list");
        assert!(is_present("p", "1.2.3", &root));
        assert!(!is_present("p", "1.2", &root) && !is_present("q", "1.2.3", &root));
        fs::remove_dir_all(&root).expect("removed");
    }
}
