//! The first root: busybox, the modules by which the machine's own files are reached, and a script that mounts them.

use std::{
    fs::{self, File, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};

/// First process of the guest.
pub const INIT: &str = include_str!("init.sh");

/// Modules to load, with what they need; those that a kernel has built in are left out. The last is for tests, which join network
/// namespaces.
pub const MODULES: [&str; 5] = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "veth"];

/// Copies the modules out of unpacked packages, in the order in which they have to be loaded; the kernel's release.
pub fn modules(unpacked: &Path, to: &Path) -> Result<String> {
    // Packages of merged-/usr releases have their modules there only; depmod looks at the other place.
    if !unpacked.join("lib").exists() {
        symlink("usr/lib", unpacked.join("lib")).context("cannot link lib")?;
    }
    let all = unpacked.join("lib/modules");
    let release = fs::read_dir(&all)
        .with_context(|| format!("cannot list {}", all.display()))?
        .flatten()
        .next()
        .context("no modules in the packages")?
        .file_name()
        .into_string()
        .map_err(|name| anyhow::anyhow!("odd release {}", name.display()))?;
    command::logged(
        command::command("depmod")
            .arg("--basedir")
            .arg(unpacked)
            .arg(&release),
        "vm-depmod",
    )?;
    let folder = all.join(&release);
    let dependencies =
        fs::read_to_string(folder.join("modules.dep")).context("depmod left no modules.dep")?;
    let _ = fs::remove_dir_all(to);
    workspace::directory(to)?;
    for (index, module) in load_order(&dependencies, &MODULES).iter().enumerate() {
        let name = stem(module);
        let target = to.join(format!("{index:02}-{name}.ko"));
        plain(&folder.join(module), &target)?;
    }
    Ok(release)
}

/// Writes the initramfs of these modules, and of a busybox without libraries.
pub fn build(modules: &Path, busybox: &Path, to: &Path) -> Result<()> {
    let root = to.with_extension("root");
    let _ = fs::remove_dir_all(&root);
    workspace::directory(&root.join("bin"))?;
    workspace::directory(&root.join("modules"))?;
    copy(busybox, &root.join("bin/busybox"))?;
    for entry in fs::read_dir(modules)
        .with_context(|| format!("cannot list {}", modules.display()))?
        .flatten()
    {
        copy(&entry.path(), &root.join("modules").join(entry.file_name()))?;
    }
    let init = root.join("init");
    fs::write(&init, INIT)
        .and_then(|()| fs::set_permissions(&init, Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", init.display()))?;

    let mut names = vec![".".to_owned()];
    list(&root, &root, &mut names)?;
    let output = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    let mut cpio = command::command("cpio")
        .args(["--create", "--format=newc", "--quiet"])
        .current_dir(&root)
        .stdin(Stdio::piped())
        .stdout(output)
        .spawn()
        .context("cannot start cpio")?;
    let mut input = cpio.stdin.take().context("cpio has no input")?;
    input
        .write_all(names.join("\n").as_bytes())
        .context("cannot write to cpio")?;
    drop(input);
    let status = cpio.wait().context("cannot wait for cpio")?;
    if !status.success() {
        bail!("cpio failed ({status})");
    }
    fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))
}

/// Names of all files under a folder, folders before what is in them.
fn list(root: &Path, folder: &Path, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .flatten()
    {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap_or(&path);
        names.push(name.to_string_lossy().into_owned());
        if path.is_dir() {
            list(root, &path, names)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to)
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Copies a module, unpacked if it is packed.
fn plain(from: &Path, to: &Path) -> Result<()> {
    let tool = match from.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => return copy(from, to),
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => bail!("{} is packed in an unknown way", from.display()),
    };
    let output = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    let status = command::command(tool)
        .args(["--decompress", "--stdout", "--quiet"])
        .arg(from)
        .stdout(output)
        .status()
        .with_context(|| format!("cannot start {tool}"))?;
    if !status.success() {
        bail!("{tool} can't unpack {} ({status})", from.display());
    }
    Ok(())
}

/// Paths of modules in the order of loading, by depmod's list of what each needs.
fn load_order(dependencies: &str, wanted: &[&str]) -> Vec<PathBuf> {
    let mut order = Vec::new();
    for name in wanted {
        let line = dependencies.lines().find_map(|line| {
            let (module, needs) = line.split_once(':')?;
            (stem(Path::new(module)) == *name).then_some((module, needs))
        });
        let Some((module, needs)) = line else {
            continue;
        };
        // depmod lists what a module needs with the last to load first.
        for needed in needs.split_whitespace().rev().chain([module]) {
            let path = PathBuf::from(needed);
            if !order.contains(&path) {
                order.push(path);
            }
        }
    }
    order
}

/// A module's name, without what it is packed with.
fn stem(module: &Path) -> String {
    let name = module.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split_once('.').map_or(&*name, |(stem, _)| stem);
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_load_after_what_they_need() {
        let dependencies = "kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz\n\
                            kernel/net/9p/9pnet.ko.xz:\n\
                            kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko.xz\n";
        assert_eq!(
            load_order(dependencies, &["9pnet_virtio", "9p", "overlay"]),
            [
                "kernel/net/9p/9pnet.ko.xz",
                "kernel/net/9p/9pnet_virtio.ko.xz",
                "kernel/fs/netfs/netfs.ko.xz",
                "kernel/fs/9p/9p.ko.xz",
            ]
            .map(PathBuf::from)
        );
    }
}
