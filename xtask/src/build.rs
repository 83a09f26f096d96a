//! `cargo xtask build`: the sensor, and a look at what the compiler made of the kernel programs.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::{
    command,
    progress::Progress,
    setup::{self, For},
};

mod stack;

/// Arguments of `cargo xtask build`.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Accepted for habit's sake: the sensor is always built with the release profile.
    #[arg(long)]
    release: bool,
}

/// Section where the compiler puts code it thinks never runs: panics. The verifier refuses programs that reach into it.
const PANICS: &[u8] = b".text.unlikely.";
/// Names of the kernel programs' objects in the build script's output.
const OBJECTS: [&str; 2] = ["sensor-bpf", "sensor-bpf-floor"];

/// Sets up what building takes, builds, and returns where the sensor is.
pub fn build(_: &Arguments) -> Result<PathBuf> {
    let progress = Progress::new();
    setup::install(&progress, For::Build)?;
    release(&progress)
}

/// Builds with the release profile and returns where the sensor is.
pub fn release(progress: &Progress) -> Result<PathBuf> {
    let mut built = None;
    progress.loud("cargo build --release -p sensor-user", || {
        built = Some(compile()?);
        Ok(String::new())
    })?;
    let built = built.ok_or_else(|| anyhow!("cargo said nothing about what it built"))?;
    progress.quiet("kernel programs have no path into a panic", || {
        let sizes: Result<Vec<_>> = built.objects.iter().map(|object| check(object)).collect();
        Ok(sizes?.join(" and "))
    })?;
    progress.quiet("stack of nested calls in the kernel programs", || {
        let sizes: Result<Vec<_>> = built
            .objects
            .iter()
            .map(|object| check_stack(object))
            .collect();
        Ok(sizes?.join(" and "))
    })?;
    Ok(built.sensor)
}

/// The sensor that this environment variable names, or else one that is built now.
pub fn sensor(progress: &Progress) -> Result<PathBuf> {
    const SENSOR: &str = "SENSOR_BIN";
    let Some(named) = env::var_os(SENSOR).map(PathBuf::from) else {
        return release(progress);
    };
    if !named.is_file() {
        bail!("{SENSOR} names {}, which is no file", named.display());
    }
    Ok(named)
}

struct Built {
    sensor: PathBuf,
    objects: Vec<PathBuf>,
}

fn compile() -> Result<Built> {
    let mut cargo = command::cargo();
    cargo.args([
        "build",
        "--release",
        "--package",
        "sensor-user",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let messages = command::shown_cargo(&mut cargo, Stdio::piped())?;
    Ok(Built {
        sensor: executable(&messages, "sensor")
            .ok_or_else(|| anyhow!("cargo built no binary `sensor` in package sensor-user"))?,
        objects: objects(&messages).ok_or_else(|| {
            anyhow!("sensor-user's build script, which compiles the kernel programs, did not run")
        })?,
    })
}

/// Where the kernel programs' objects are, by cargo's messages.
pub fn objects(messages: &str) -> Option<Vec<PathBuf>> {
    let script = parsed(messages).find(|message| {
        message["reason"] == "build-script-executed"
            && message["package_id"]
                .as_str()
                .is_some_and(|id| id.contains("sensor-user"))
    })?;
    let folder = Path::new(script["out_dir"].as_str()?);
    Some(OBJECTS.map(|name| folder.join(name)).to_vec())
}

/// Where the binary of this name is, by cargo's messages.
pub fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    parsed(messages)
        .filter(|message| {
            message["reason"] == "compiler-artifact" && message["target"]["name"] == name
        })
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

fn parsed(messages: &str) -> impl Iterator<Item = Value> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

/// Refuses an object with panics in it.
pub fn check(object: &Path) -> Result<String> {
    let bytes = fs::read(object)
        .with_context(|| format!("cannot read the kernel programs, {}", object.display()))?;
    if !bytes.starts_with(b"\x7fELF") {
        bail!(
            "{} is no ELF object: delete the target directory and build again",
            object.display()
        );
    }
    if bytes.windows(PANICS.len()).any(|window| window == PANICS) {
        bail!(
            "{} has a section .text.unlikely.*: somewhere a bounds check or an arithmetic check survived, and the verifier \
             will refuse the call into its panic\n\
             do: find it with `llvm-objdump -d --section=.text.unlikely. {0}`, then mask the index or use get_unchecked \
             with a comment that says why it holds",
            object.display()
        );
    }
    Ok(format!("{} KiB", bytes.len() / 1024))
}

/// Refuses an object whose nested calls take more stack than kernels before 6.13 give.
fn check_stack(object: &Path) -> Result<String> {
    let bytes = fs::read(object)
        .with_context(|| format!("cannot read the kernel programs, {}", object.display()))?;
    let (deepest, chain) = stack::deepest(&bytes)?;
    if deepest.is_too_deep() {
        bail!(
            "nested calls of {} take {} bytes of stack in {} functions: kernels before 6.13 give 512, in 8\n\
             do: keep what is alive across the deepest calls in a map, or call from a shallower place \
             (docs/decisions/hooks.md)\n\
             the deepest, and what each takes:\n  {}",
            object.display(),
            deepest.bytes,
            deepest.frames,
            chain.join("\n  ")
        );
    }
    Ok(format!("{} bytes", deepest.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_with_panics_are_refused() {
        let folder = env::temp_dir().join(format!("xtask-build-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("temporary directory");
        let object = folder.join("object");
        fs::write(&object, b"\x7fELF tp_btf/sock_recv_length").expect("write");
        assert!(check(&object).is_ok());
        fs::write(
            &object,
            b"\x7fELF tp_btf/x\0.text.unlikely._RNv4core9panicking",
        )
        .expect("write");
        let error = check(&object).expect_err("refused").to_string();
        assert!(error.contains(".text.unlikely"), "{error}");
        fs::write(&object, b"no object").expect("write");
        assert!(check(&object).is_err());
        fs::remove_dir_all(&folder).expect("clean up");
    }
}
