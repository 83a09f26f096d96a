//! Where things are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// Root of the workspace.
pub fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Tools that setup installs; `.cargo/config.toml` names the linker in there.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}

/// What the demo writes.
pub fn demo() -> PathBuf {
    root().join("target/demo")
}

/// What benchmarks write.
pub fn bench() -> PathBuf {
    root().join("target/bench")
}

/// What the evaluation writes.
pub fn eval() -> PathBuf {
    root().join("target/eval")
}

/// What fuzzers are built to, and what they find.
pub fn fuzz() -> PathBuf {
    root().join("target/fuzz")
}

/// Logs of commands whose output is not shown.
pub fn logs() -> PathBuf {
    root().join("target/xtask/logs")
}

/// A directory, made if need be.
pub fn directory(path: &Path) -> Result<&Path> {
    fs::create_dir_all(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))?;
    Ok(path)
}

/// The same, empty: what an earlier run has left there goes.
pub fn empty(path: &Path) -> Result<&Path> {
    if path.exists() {
        fs::remove_dir_all(path)
            .with_context(|| format!("cannot remove {} of an earlier run", path.display()))?;
    }
    directory(path)
}

/// Whether this process is root.
pub fn is_root() -> bool {
    // SAFETY: takes nothing, can't fail.
    unsafe { libc::geteuid() == 0 }
}

/// Fails, saying what to type instead, where this process can't load BPF programs.
pub fn require_root_and_btf(verb: &str) -> Result<()> {
    if !is_root() {
        bail!(
            "`cargo xtask {verb}` loads BPF programs and switches users, which takes root\n\
             do: sudo -E env PATH=\"$PATH\" cargo xtask {verb}"
        );
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        bail!(
            "this kernel has no BTF (/sys/kernel/btf/vmlinux), without which the sensor can't attach\n\
             do: boot a kernel built with CONFIG_DEBUG_INFO_BTF=y; distributions' kernels are"
        );
    }
    Ok(())
}
