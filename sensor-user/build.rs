//! Compiles the kernel programs and puts the object where `kernel::load` embeds it.

use std::{env, process::Command};

use anyhow::{Result, bail};
use aya_build::{Package, Toolchain};

/// Name under which `cargo xtask setup` links Debian's toolchain, which carries `rust-src`.
const LINKED: &str = "sensor-bpf";

fn main() -> Result<()> {
    println!("cargo:rerun-if-env-changed=SENSOR_BPF_TOOLCHAIN");
    let toolchain = toolchain()?;
    // -Z build-std on a stable compiler; the kernel programs also use one unstable feature, inline assembly for BPF.
    // SAFETY: a build script runs single-threaded up to here.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    let root_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../sensor-ebpf");
    aya_build::build_ebpf(
        [Package {
            name: "sensor-ebpf",
            root_dir,
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    )
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
