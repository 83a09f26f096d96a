//! A fresh PostgreSQL cluster that the tests in a guest copy: to make one takes long under emulation, each test wants its
//! own, and how it was made is none of the sensor's business.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{command, postgresql, workspace};

/// Makes it unless it is there.
pub fn template() -> Result<PathBuf> {
    let bin = postgresql::newest_postgresql()?;
    let version = bin
        .parent()
        .and_then(|folder| folder.file_name())
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let place = workspace::root().join("target/vm");
    workspace::directory(&place)?;
    let template = place.join(format!("cluster-{version}"));
    if template.join("PG_VERSION").exists() {
        return Ok(template);
    }
    // The owner of the cluster may not be allowed into the workspace.
    let open = PathBuf::from(format!("/tmp/sensor-cluster-{}", std::process::id()));
    postgresql::initialise(&bin, &open)?;
    let new = place.join(format!(".cluster-{}", std::process::id()));
    let copied = command::logged(
        command::command("cp")
            .args(["-a", "--"])
            .args([&open, &new]),
        "vm-cluster",
    );
    let _ = fs::remove_dir_all(&open);
    copied?;
    let _ = fs::remove_dir_all(&template);
    fs::rename(&new, &template).with_context(|| format!("cannot make {}", template.display()))?;
    Ok(template)
}
