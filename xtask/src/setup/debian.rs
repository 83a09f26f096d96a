//! Debian packages.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::{
    command,
    packages::{Need, Unless},
    workspace,
};

/// Where postgresql-common reads what to do when a server is installed.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.d";

/// Installs those that are missing.
pub fn install(needs: &[Need]) -> Result<String> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| is_missing(need))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok("all there".to_owned());
    }
    if !command::on_path("apt-get") {
        bail!(
            "these are missing, and this machine has no apt-get to install them with: {}\n\
             do: install what your distribution calls them, then run this again",
            missing.join(" ")
        );
    }
    let mut install = apt();
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&missing);
    if !workspace::is_root() {
        bail!(
            "installing packages takes root\n\
             do: sudo apt-get update && sudo apt-get install --yes --no-install-recommends {}",
            missing.join(" ")
        );
    }
    if missing.contains(&"postgresql") {
        no_main_cluster()?;
    }
    command::logged(apt().arg("update"), "apt-update").context(
        "cannot read the package lists: is the network up, and are apt's sources right?",
    )?;
    command::logged(&mut install, "apt-install")?;
    Ok(format!("installed {}", missing.join(" ")))
}

fn apt() -> Command {
    let mut apt = command::command("apt-get");
    // Wait for another apt instead of failing.
    apt.env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300"]);
    apt
}

fn is_missing(need: &Need) -> bool {
    match need.unless {
        Unless::Program(program) => !command::on_path(program),
        Unless::Holds(holds) => !holds(),
        Unless::Installed => !is_installed(need.package),
    }
}

fn is_installed(package: &str) -> bool {
    command::output(command::command("dpkg-query").args([
        "--show",
        "--showformat=${db:Status-Status}",
        package,
    ]))
    .is_ok_and(|status| status == "installed")
}

/// Debian starts a server as soon as it is installed; nobody asked for one here.
fn no_main_cluster() -> Result<()> {
    let folder = Path::new(CREATE_CLUSTER);
    workspace::directory(folder)?;
    let file = folder.join("data-access-sensor.conf");
    fs::write(
        &file,
        "# Written by `cargo xtask setup` of the data-access sensor: demo and tests make clusters of their own.\n\
         create_main_cluster = false\n",
    )
    .with_context(|| format!("cannot write {}", file.display()))
}
