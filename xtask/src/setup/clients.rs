//! Clients of the integration tests, in folders of their own under target/tools.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    apt::Apt,
    command::{self, command},
    packages::{NODE, PYTHON, TRACE_PAGE, VALKEY},
    workspace,
};

/// A virtual environment with the pinned packages.
pub fn python() -> Result<String> {
    environment("venv", PYTHON)
}

/// Another one, for a trace page.
pub fn trace_page() -> Result<String> {
    environment("trace-page", TRACE_PAGE)
}

/// Its Python.
pub fn trace_page_python() -> PathBuf {
    workspace::tools().join("trace-page/bin/python")
}

fn environment(name: &str, packages: &[(&str, &str)]) -> Result<String> {
    let venv = workspace::tools().join(name);
    let python = venv.join("bin/python");
    if has_python(&python, packages) {
        return Ok("all there".to_owned());
    }
    workspace::directory(&workspace::tools())?;
    if !command::succeeds(command(&python).args(["-m", "pip", "--version"])) {
        command::logged(
            command("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
            &format!("python-{name}"),
        )?;
    }
    let wanted: Vec<String> = packages
        .iter()
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    command::logged(
        command(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
            ])
            .args(&wanted),
        &format!("python-packages-{name}"),
    )?;
    Ok(format!("installed {}", wanted.join(" ")))
}

/// Prometheus, unpacked beside the rest: installed, it would run as a service.
pub fn prometheus() -> Result<String> {
    let folder = workspace::tools().join("prometheus");
    if folder.join("usr/bin/prometheus").is_file() {
        return Ok("all there".to_owned());
    }
    workspace::directory(&folder)?;
    command::logged(
        command("sh").current_dir(&folder).args([
            "-c",
            "(apt-get download prometheus || { apt-get update && apt-get download prometheus; }) && dpkg -x prometheus_*.deb . && rm prometheus_*.deb",
        ]),
        "prometheus",
    )?;
    Ok("installed prometheus".to_owned())
}

/// Valkey, likewise unpacked: of another release than this machine's.
pub fn valkey() -> Result<String> {
    let folder = workspace::tools().join("valkey");
    if folder.join("usr/bin/valkey-server").is_file() {
        return Ok("all there".to_owned());
    }
    let (suite, packages) = VALKEY;
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let place = workspace::tools().join("apt");
    let apt = Apt::update(&place, suite, architecture)?;
    let version = apt.field(packages[0], "Version")?;
    for file in apt.download(&packages.map(str::to_owned), &folder)? {
        command::logged(command("dpkg").arg("-x").args([&file, &folder]), "valkey")?;
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    Ok(format!("installed valkey {version}"))
}

fn has_python(python: &Path, packages: &[(&str, &str)]) -> bool {
    let wanted: Vec<String> = packages
        .iter()
        .map(|(name, version)| format!("version('{name}') == '{version}'"))
        .collect();
    let program = format!(
        "from importlib.metadata import version; raise SystemExit(not ({}))",
        wanted.join(" and ")
    );
    command::succeeds(command(python).args(["-c", &program]))
}

/// A folder with the pinned packages.
pub fn node() -> Result<String> {
    let folder = workspace::tools().join("node");
    if NODE
        .iter()
        .all(|(name, version)| has_node(&folder, name, version))
    {
        return Ok("all there".to_owned());
    }
    workspace::directory(&folder)?;
    let wanted: Vec<String> = NODE
        .iter()
        .map(|(name, version)| format!("{name}@{version}"))
        .collect();
    command::logged(
        command("npm")
            .args([
                "install",
                "--save-exact",
                "--no-audit",
                "--no-fund",
                "--prefix",
            ])
            .arg(&folder)
            .args(&wanted),
        "node-packages",
    )?;
    Ok(format!("installed {}", wanted.join(" ")))
}

fn has_node(folder: &Path, name: &str, version: &str) -> bool {
    fs::read(folder.join("node_modules").join(name).join("package.json"))
        .ok()
        .and_then(|text| serde_json::from_slice::<Value>(&text).ok())
        .is_some_and(|package| package["version"] == version)
}
