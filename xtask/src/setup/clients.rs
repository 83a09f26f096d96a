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
    packages::{MYSQL, NODE, NOT_FOR_MYSQL, PYTHON, TRACE_PAGE, VALKEY},
    unpacked, workspace,
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
    let apt = Apt::update(&workspace::tools().join("apt"), suite, architecture())?;
    let version = apt.field(packages[0], "Version")?;
    for file in apt.download(&packages.map(str::to_owned), &folder)? {
        command::logged(command("dpkg").arg("-x").args([&file, &folder]), "valkey")?;
        unpacked::remove(&[file])?;
    }
    Ok(format!("installed valkey {version}"))
}

/// MySQL's own server and clients, unpacked to a root of their own: their libraries are those of another release.
pub fn mysql() -> Result<String> {
    let folder = workspace::tools().join("mysql");
    if folder.exists() {
        return Ok("all there".to_owned());
    }
    let (suite, packages) = MYSQL;
    let apt = Apt::update(&workspace::tools().join("apt"), suite, architecture())?;
    if let Some(missing) = packages.iter().find(|package| !apt.has(package)) {
        return Ok(format!(
            "LEFT OUT: Debian {suite} has no {missing} for {}, and no other release has it; tests of MySQL's own server will fail",
            architecture()
        ));
    }
    let version = apt.field(packages[0], "Version")?;
    let files = apt.download_with_needs(&packages)?;
    let needed: Vec<PathBuf> = files
        .iter()
        .filter(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            !NOT_FOR_MYSQL.iter().any(|begin| name.starts_with(begin))
        })
        .cloned()
        .collect();
    let new = workspace::tools().join(".mysql");
    // Of a setup that was interrupted.
    let _ = fs::remove_dir_all(&new);
    unpacked::unpack(&needed, &new)?;
    for mounted in ["dev", "proc", "tmp"] {
        workspace::directory(&new.join(mounted))?;
    }
    for program in ["usr/sbin/mysqld", "usr/bin/mysql"] {
        command::output(unpacked::program(&new, program).arg("--version")).with_context(|| {
            format!("what was unpacked of Debian {suite} does not run: is a library missing?")
        })?;
    }
    unpacked::remove(&files)?;
    fs::rename(&new, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(format!(
        "installed mysql {version} and {} packages",
        needed.len()
    ))
}

/// As Debian names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
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
