//! Debian packages.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

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
    let policy = Policy::start_nothing()?;
    let installed = command::logged(&mut install, "apt-install");
    drop(policy);
    installed?;
    for service in SERVICES {
        if missing.iter().any(|package| package.starts_with(service))
            && command::on_path("systemctl")
        {
            // Nor with the next start of the machine. Without a running systemd there is nothing to be done.
            let _ = command::output(command::command("systemctl").args(["disable", service]));
        }
    }
    Ok(format!("installed {}", missing.join(" ")))
}

/// Services that Debian has start with the machine once they are installed; demo and tests start their own.
const SERVICES: [&str; 5] = [
    "mariadb",
    "pgbouncer",
    "redis-server",
    "krb5-kdc",
    "krb5-admin-server",
];

/// Asked by packages whether what they have installed may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// A [`POLICY`] that says no, until this is dropped. Somebody's own is left as it is.
struct Policy {
    is_ours: bool,
}

impl Policy {
    fn start_nothing() -> Result<Self> {
        let is_ours = !fs::exists(POLICY).unwrap_or(false);
        if is_ours {
            fs::write(POLICY, "#!/bin/sh\nexit 101\n")
                .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
                .with_context(|| format!("cannot write {POLICY}"))?;
        }
        Ok(Self { is_ours })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.is_ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("xtask: cannot remove {POLICY}, so that packages start no service: {error}");
        }
    }
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
