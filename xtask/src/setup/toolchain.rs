//! The Rust toolchain that compiles the kernel programs. They are built with `-Z build-std`, so it must carry the
//! standard library's source; and it must produce bitcode that bpf-linker's LLVM reads.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};

use super::debian;
use crate::{
    command::{self, command},
    packages::{BPF_TOOLCHAIN, LLVM, PINNED_RUST},
};

/// Name under which a toolchain is linked that rustup does not know; `sensor-user/build.rs` looks for it first.
const LINKED: &str = "sensor-bpf";
/// Toolchain that the build takes instead, when it carries the source.
const NIGHTLY: &str = "nightly";
/// By which the user may name another.
const OVERRIDE: &str = "SENSOR_BPF_TOOLCHAIN";
/// rustup may have to download a whole toolchain, and may wait long for a server that is not reachable.
const PATIENCE: Duration = Duration::from_secs(180);

/// A toolchain, as its compiler describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// rustup's name.
    pub name: String,
    /// Where it is.
    pub sysroot: PathBuf,
    /// Version of the compiler.
    pub release: String,
    /// Major version of its LLVM.
    pub llvm: u32,
}

impl Toolchain {
    /// The toolchain of this name, if it is installed and runs.
    pub fn find(name: &str) -> Option<Self> {
        let rustc = |argument: &[&str]| {
            let mut rustc = command("rustup");
            // Without this, rustup would download a toolchain that is not there.
            rustc.env("RUSTUP_AUTO_INSTALL", "0");
            command::output(rustc.args(["run", name, "rustc"]).args(argument)).ok()
        };
        let version = rustc(&["-vV"])?;
        Some(Self {
            name: name.to_owned(),
            sysroot: rustc(&["--print", "sysroot"])?.trim().into(),
            release: field(&version, "release: ")?.to_owned(),
            llvm: field(&version, "LLVM version: ")?
                .split('.')
                .next()?
                .parse()
                .ok()?,
        })
    }

    /// Names of all that rustup has.
    pub fn names() -> Result<Vec<String>> {
        let list = command::output(command("rustup").args(["toolchain", "list", "--quiet"]))
            .or_else(|_| command::output(command("rustup").args(["toolchain", "list"])))
            .context("cannot list rustup's toolchains")?;
        Ok(list
            .lines()
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .collect())
    }

    fn has_source(&self) -> bool {
        fs::exists(self.sysroot.join("lib/rustlib/src/rust/library/core")).unwrap_or(false)
    }

    /// Why the kernel programs can't be built with it.
    fn unfit(&self) -> Option<String> {
        if !self.has_source() {
            Some(format!("{} has no rust-src", self.name))
        } else if self.llvm != LLVM {
            Some(format!(
                "{} has LLVM {}, bpf-linker has {LLVM}",
                self.name, self.llvm
            ))
        } else {
            None
        }
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// Sees to it that there is one.
pub fn install() -> Result<String> {
    if !command::on_path("rustup") {
        bail!(
            "rustup is missing\ndo: install it as rustup.rs says (or `sudo apt-get install rustup`), then run this again"
        );
    }
    if let Ok(name) = std::env::var(OVERRIDE) {
        let Some(toolchain) = Toolchain::find(&name) else {
            bail!("{OVERRIDE} names the toolchain {name}, which rustup does not have");
        };
        return match toolchain.unfit() {
            Some(why) => {
                bail!("{OVERRIDE} names a toolchain the kernel programs can't be built with: {why}")
            }
            None => Ok(described(&toolchain, &format!("as {OVERRIDE} says"))),
        };
    }
    // In the order in which the build looks for them: an unfit one that the build would take must not stay in front.
    let linked = Toolchain::find(LINKED);
    if let Some(toolchain) = &linked
        && toolchain.unfit().is_none()
    {
        return Ok(described(toolchain, "all there"));
    }
    if linked.is_none()
        && let Some(nightly) = Toolchain::find(NIGHTLY)
        && nightly.unfit().is_none()
    {
        return Ok(described(&nightly, "all there"));
    }
    let mut attempts = Vec::new();
    for name in [NIGHTLY, PINNED_RUST] {
        match from_rustup(name) {
            Ok(toolchain) => {
                if name != NIGHTLY || linked.is_some() {
                    link(&toolchain.sysroot)?;
                }
                return Ok(described(&toolchain, "rust-src by rustup"));
            }
            Err(why) => attempts.push(format!("{why:#}")),
        }
    }
    match from_debian() {
        Ok(toolchain) => Ok(described(&toolchain, "rust-src by Debian")),
        Err(error) => {
            attempts.push(format!("{error:#}"));
            bail!(
                "no Rust toolchain with the standard library's source and LLVM {LLVM} could be had:\n- {}\n\
                 do: make one of these work: `rustup component add rust-src --toolchain nightly`, or `apt-get install {}`",
                attempts.join("\n- "),
                BPF_TOOLCHAIN
                    .iter()
                    .map(|need| need.package)
                    .collect::<Vec<_>>()
                    .join(" ")
            );
        }
    }
}

/// The name of the one that the kernel programs are built with, chosen as `sensor-user/build.rs` chooses it.
pub fn chosen() -> Result<String> {
    if let Ok(name) = std::env::var(OVERRIDE) {
        return Ok(name);
    }
    [LINKED, NIGHTLY]
        .into_iter()
        .filter_map(Toolchain::find)
        .find(Toolchain::has_source)
        .map(|toolchain| toolchain.name)
        .context("no Rust toolchain with the standard library's source: run `cargo xtask setup`")
}

fn described(toolchain: &Toolchain, how: &str) -> String {
    format!(
        "{} {} (LLVM {}), {how}",
        toolchain.name, toolchain.release, toolchain.llvm
    )
}

/// Has rustup add the source, and the toolchain if need be.
fn from_rustup(name: &str) -> Result<Toolchain> {
    let log = format!("rustup-{name}");
    let mut rustup = command("rustup");
    if Toolchain::find(name).is_some() {
        rustup.args(["component", "add", "rust-src", "--toolchain", name]);
    } else {
        rustup.args([
            "toolchain",
            "install",
            name,
            "--profile",
            "minimal",
            "--component",
            "rust-src",
            "--no-self-update",
        ]);
    }
    command::logged_within(&mut rustup, &log, Some(PATIENCE))?;
    fit(name)
}

/// Installs Debian's compiler, which carries its source, and makes it known to rustup.
fn from_debian() -> Result<Toolchain> {
    debian::install(BPF_TOOLCHAIN)?;
    link("/usr".as_ref())?;
    fit(LINKED)
}

fn link(sysroot: &std::path::Path) -> Result<()> {
    command::logged(
        command("rustup")
            .args(["toolchain", "link", LINKED])
            .arg(sysroot),
        "rustup-link",
    )
}

fn fit(name: &str) -> Result<Toolchain> {
    let Some(toolchain) = Toolchain::find(name) else {
        bail!("the compiler of toolchain {name} does not run");
    };
    match toolchain.unfit() {
        Some(why) => bail!("{why}"),
        None => Ok(toolchain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_compilers_description() {
        let text = "rustc 1.95.0\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        assert_eq!(field(text, "release: "), Some("1.95.0"));
        assert_eq!(field(text, "LLVM version: "), Some("22.1.2"));
        assert_eq!(field(text, "host: "), None);
    }
}
