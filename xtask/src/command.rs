//! Running other programs, with errors that say what to do.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::workspace;

/// Lines of a log shown when a command fails.
const TAIL: usize = 20;

/// A command without the variables by which `cargo run` points its children at this very toolchain's libraries.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// `cargo`, in the workspace.
pub fn cargo() -> Command {
    let mut cargo = command("cargo");
    cargo.current_dir(workspace::root());
    cargo
}

/// The command as one would type it.
pub fn typed(command: &Command) -> String {
    let mut text = String::new();
    for (name, value) in command.get_envs() {
        if let (Some(name), Some(value)) = (name.to_str(), value.and_then(OsStr::to_str)) {
            let _ = write!(text, "{name}={} ", quoted(value));
        }
    }
    text.push_str(&quoted(&command.get_program().to_string_lossy()));
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&quoted(&argument.to_string_lossy()));
    }
    text
}

fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,+@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs with its output shown; an error when it fails.
pub fn shown(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", typed(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", typed(command));
    }
    Ok(())
}

/// Runs with its output in `target/xtask/logs/NAME.log`; an error with the end of it when it fails.
pub fn logged(command: &mut Command, name: &str) -> Result<()> {
    logged_within(command, name, None)
}

/// Like [`logged`], and killed when it takes longer than `patience`.
pub fn logged_within(command: &mut Command, name: &str, patience: Option<Duration>) -> Result<()> {
    let path = workspace::directory(&workspace::logs())?.join(format!("{name}.log"));
    let log = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let errors = log.try_clone().with_context(|| format!("cannot share {}", path.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start `{}`", typed(command)))?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("cannot wait for a child process")? {
            break status;
        }
        if let Some(patience) = patience
            && began.elapsed() > patience
        {
            child.kill().and_then(|()| child.wait()).context("cannot end a child process")?;
            return Err(failure(command, &path, &format!("no end within {patience:?}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if status.success() {
        return Ok(());
    }
    Err(failure(command, &path, &status.to_string()))
}

fn failure(command: &Command, log: &Path, why: &str) -> anyhow::Error {
    anyhow!(
        "`{}` failed ({why})\n{}the whole log: {}",
        typed(command),
        tail(log),
        log.display()
    )
}

/// The end of a log, indented.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let mut tail = String::new();
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        let _ = writeln!(tail, "  | {line}");
    }
    tail
}

/// Standard output of a command that must succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let output = raw_output(command)?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            typed(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` printed no text", typed(command)))
}

/// Whether a command succeeds; its output is dropped.
pub fn succeeds(command: &mut Command) -> bool {
    raw_output(command).is_ok_and(|output| output.status.success())
}

fn raw_output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", typed(command)))
}

/// Whether the search path has a program of this name.
pub fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
