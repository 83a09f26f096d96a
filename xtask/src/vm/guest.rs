//! What the guest runs once it has its root.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{Plan, machine::Accelerator, processor::Processor, root};
use crate::workspace;

/// Line by which the guest says how it went.
pub const EXIT: &str = "xtask: exit ";
/// Name of the share with this workspace, for guests that have not this machine's files.
pub const WORKSPACE: &str = "workspace";
/// How shares are mounted, as in `init.sh`.
const SHARE: &str = "trans=virtio,version=9p2000.L,msize=262144,cache=loose";
/// How much longer than on this machine things may take under emulation.
const SLOWNESS: u32 = 6;

/// Names of the integration tests' files, as their package declares them.
pub fn test_names() -> Vec<String> {
    let manifest = include_str!("../../../tests/Cargo.toml");
    declared(manifest)
}

fn declared(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_test = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_test = line.trim() == "[[test]]";
        } else if in_test && let Some(name) = line.strip_prefix("name = ") {
            names.push(name.trim().trim_matches('"').to_owned());
        }
    }
    names
}

/// The script of the guest's only process: every test file in turn, then the end.
pub fn script(
    tests: &[(String, PathBuf)],
    plan: &Plan,
    sensor: &Path,
    cluster: &Path,
    accelerator: Accelerator,
) -> Result<String> {
    let mut script = String::from("export HOME=/root\n");
    let output = plan.processor.output();
    let path = match plan.processor {
        Processor::X86_64 => std::env::var("PATH").unwrap_or_default(),
        Processor::Aarch64 => format!("{}:/usr/sbin:/usr/bin", root::SERVER),
    };
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(script, "export {name}={}", quoted(value));
    };
    set("PATH", &path);
    set("SENSOR_BIN", &sensor.to_string_lossy());
    set("SENSOR_TEST_CLUSTER", &cluster.to_string_lossy());
    set("RUST_BACKTRACE", "0");
    set("LC_ALL", "C.UTF-8");
    set("TERM", "dumb");
    if accelerator == Accelerator::Emulation {
        set("SENSOR_TEST_SLOWNESS", &SLOWNESS.to_string());
    }
    if let Ok(second) = std::env::var("SENSOR_TEST_SECOND") {
        set("SENSOR_TEST_SECOND", &second);
    }
    let workspace = workspace::root();
    if plan.processor != Processor::X86_64 {
        let _ = writeln!(
            script,
            "/usr/bin/busybox mount -t 9p -o ro,{SHARE} {WORKSPACE} {}",
            quoted(&workspace.to_string_lossy())
        );
    }
    let folder = workspace.join("tests");
    let folder = folder.to_str().context("the workspace's path is no text")?;
    let _ = writeln!(script, "cd {}", quoted(folder));
    script.push_str("status=0\n");
    if plan.hooks.is_empty() {
        tests_in(&mut script, tests, plan, "")?;
    }
    for hooks in &plan.hooks {
        let _ = writeln!(script, "export SENSOR_TEST_HOOKS={}", quoted(hooks));
        tests_in(&mut script, tests, plan, &format!(", hooks {hooks}"))?;
    }
    let _ = write!(
        script,
        "echo \"{EXIT}$status\" >{output}\n/usr/bin/busybox sleep 1\n/usr/bin/busybox poweroff -f\n"
    );
    Ok(script)
}

/// Lines that run every test file; `how` is said of each.
fn tests_in(
    script: &mut String,
    tests: &[(String, PathBuf)],
    plan: &Plan,
    how: &str,
) -> Result<()> {
    let output = plan.processor.output();
    for (name, binary) in tests {
        let binary = binary.to_str().context("a test's path is no text")?;
        let _ = write!(
            script,
            "echo \"     Running {name} on $(uname -r){how}\" >{output}\n{}",
            quoted(binary)
        );
        for argument in plan
            .arguments
            .iter()
            .map(String::as_str)
            .chain(["--color=never"])
        {
            let _ = write!(script, " {}", quoted(argument));
        }
        let _ = writeln!(script, " >{output} 2>&1 </dev/null || status=1");
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files_are_those_that_are_declared() {
        let manifest = "[package]\nname = \"x\"\n[lib]\nname = \"harness\"\n[[test]]\nname = \"alerts\"\npath = \"a.rs\"\n";
        assert_eq!(declared(manifest), ["alerts"]);
        assert!(test_names().contains(&"exactness".to_owned()));
    }

    #[test]
    fn odd_words_reach_the_tests_whole() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
