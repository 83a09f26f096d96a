//! Compiles the kernel programs and puts the object where `kernel::load` embeds it.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};
use aya_build::{Package, Toolchain};

/// Name under which `cargo xtask setup` links Debian's toolchain, which carries `rust-src`.
const LINKED: &str = "sensor-bpf";

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed=SENSOR_BPF_TOOLCHAIN");
    // `--cfg fuzzing`, as cargo-fuzz builds: fuzzers load no kernel programs, and need none.
    if env::var_os("CARGO_CFG_FUZZING").is_some() {
        return leave_out();
    }
    let toolchain = toolchain()?;
    // -Z build-std on a stable compiler; the kernel programs also use one unstable feature, inline assembly for BPF.
    // SAFETY: a build script runs single-threaded up to here.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    let root_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../sensor-ebpf");
    // The same sources twice: those for the lowest rung of the ladder of hooks do without much. See docs/decisions/hooks.md.
    for features in [&["floor"][..], &[]] {
        aya_build::build_ebpf(
            [Package {
                name: "sensor-ebpf",
                root_dir,
                features,
                ..Package::default()
            }],
            Toolchain::Custom(&toolchain),
        )?;
        if !features.is_empty() {
            keep_as(FLOOR)?;
        }
    }
    Ok(())
}

/// Puts nothing in the place of both objects.
fn leave_out() -> Result<()> {
    let folder = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets no OUT_DIR")?);
    for name in ["sensor-bpf", FLOOR] {
        let file = folder.join(name);
        fs::write(&file, []).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Name of the object for the lowest rung.
const FLOOR: &str = "sensor-bpf-floor";

/// Moves what was just built out of the way of what is built next.
fn keep_as(name: &str) -> Result<()> {
    let folder = PathBuf::from(env::var_os("OUT_DIR").context("cargo sets no OUT_DIR")?);
    let built = folder.join("sensor-bpf");
    if built.exists() {
        fs::rename(&built, folder.join(name))
            .with_context(|| format!("cannot rename {}", built.display()))?;
    }
    Ok(())
}

fn toolchain() -> Result<String> {
    if let Ok(name) = env::var("SENSOR_BPF_TOOLCHAIN") {
        return Ok(name);
    }
    for name in [LINKED, "nightly"] {
        let sysroot = Command::new("rustup")
            .args(["run", name, "rustc", "--print", "sysroot"])
            .output();
        if let Ok(output) = sysroot
            && output.status.success()
        {
            let sysroot = String::from_utf8_lossy(&output.stdout);
            let library = format!("{}/lib/rustlib/src/rust/library/core", sysroot.trim());
            if std::path::Path::new(&library).exists() {
                return Ok(name.to_owned());
            }
        }
    }
    bail!(
        "no Rust toolchain with the standard library's source (rust-src), which the kernel programs are built with: \
         run `cargo xtask setup`"
    );
}
