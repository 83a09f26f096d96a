//! Running other programs, with errors that say what to do.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, IsTerminal as _, Read as _},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
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
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
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
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./=:,+@%".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Lines that cargo repeats with every build: what the build script of the kernel programs had to say when it ran.
const REPEATED: &str = "warning: sensor-user@";

/// Runs cargo with its messages shown, but for what it repeats of kernel programs that were built well. Returns what it
/// wrote to standard output, unless that is shown too.
pub fn shown_cargo(cargo: &mut Command, output: Stdio) -> Result<String> {
    if io::stderr().is_terminal() && env::var_os("CARGO_TERM_COLOR").is_none() {
        cargo.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = cargo
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", typed(cargo)))?;
    let messages = child.stderr.take();
    let filter = thread::spawn(move || {
        let mut held = Vec::new();
        for line in messages
            .into_iter()
            .flat_map(|messages| BufReader::new(messages).split(b'\n'))
            .map_while(Result::ok)
        {
            let line = String::from_utf8_lossy(&line);
            if without_colour(&line).starts_with(REPEATED) {
                held.push(line.into_owned());
            } else {
                eprintln!("{line}");
            }
        }
        held
    });
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        output
            .read_to_string(&mut text)
            .with_context(|| format!("cannot read what `{}` prints", typed(cargo)))?;
    }
    let status = child.wait().context("cannot wait for a child process")?;
    let held = filter.join().unwrap_or_default();
    if !status.success() {
        // When the kernel programs are at fault, their compiler's messages are among these.
        if held.iter().any(|line| line.contains(": error")) {
            for line in held {
                eprintln!("{line}");
            }
        }
        bail!("`{}` failed ({status}): it says why above", typed(cargo));
    }
    Ok(text)
}

fn without_colour(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

/// Runs with its output in `target/xtask/logs/NAME.log`; an error with the end of it when it fails.
pub fn logged(command: &mut Command, name: &str) -> Result<()> {
    logged_within(command, name, None)
}

/// Like [`logged`], and killed when it takes longer than `patience`.
pub fn logged_within(command: &mut Command, name: &str, patience: Option<Duration>) -> Result<()> {
    let path = workspace::directory(&workspace::logs())?.join(format!("{name}.log"));
    let log = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let errors = log
        .try_clone()
        .with_context(|| format!("cannot share {}", path.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start `{}`", typed(command)))?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child
            .try_wait()
            .context("cannot wait for a child process")?
        {
            break status;
        }
        if let Some(patience) = patience
            && began.elapsed() > patience
        {
            child
                .kill()
                .and_then(|()| child.wait())
                .context("cannot end a child process")?;
            return Err(failure(
                command,
                &path,
                &format!("no end within {patience:?}"),
            ));
        }
        thread::sleep(Duration::from_millis(20));
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
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed no text", typed(command)))
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
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "it's", ""]);
        assert_eq!(
            typed(&command),
            r"DEBIAN_FRONTEND=noninteractive apt-get install 'it'\''s' ''"
        );
    }

    #[test]
    fn colours_are_taken_away() {
        assert_eq!(
            without_colour("\x1b[1m\x1b[33mwarning\x1b[0m\x1b[1m:\x1b[0m sensor-user@0.1.0: x"),
            "warning: sensor-user@0.1.0: x"
        );
    }
}
