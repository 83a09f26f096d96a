//! Kernels from Debian's packages: fetched once, kept as a kernel and an initramfs under `target/vm`.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{initramfs, processor::Processor, root};
use crate::{apt::Apt, command, workspace};

/// A kernel that database hosts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Debian 11.
    V5_10,
    /// Debian 12.
    V6_1,
    /// Debian 13.
    V6_12,
    /// Debian unstable.
    V7_2,
}

impl Version {
    /// All.
    pub const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7_2];

    /// Does it take the processor from BPF programs on tracepoints?
    fn preempts_programs(self) -> bool {
        self == Self::V7_2
    }

    /// The Debian release that carries it.
    pub fn suite(self) -> &'static str {
        match self {
            Self::V5_10 => "bullseye",
            Self::V6_1 => "bookworm",
            Self::V6_12 => "trixie",
            Self::V7_2 => "sid",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7_2 => "7.2",
        })
    }
}

/// What boots.
#[derive(Clone, Debug)]
pub struct Image {
    /// The kernel.
    pub kernel: PathBuf,
    /// Its first root.
    pub initramfs: PathBuf,
    /// See [`Version::preempts_programs`].
    pub preempts_programs: bool,
}

/// Packages with a kernel's parts, by the beginning of their names.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

/// The kernel, fetched unless it is there, and what is to be said of it.
pub fn image(version: Version, processor: Processor) -> Result<(Image, String)> {
    let place = workspace::root().join("target/vm");
    let folder = place.join(format!("linux-{version}{}", processor.suffix()));
    let image = Image {
        kernel: folder.join("vmlinuz"),
        initramfs: folder.join("initramfs"),
        preempts_programs: version.preempts_programs(),
    };
    let release = folder.join("release");
    let stamp = folder.join("stamp");
    // What is loaded is this program's choice: a kernel that an older one fetched may lack modules.
    let modules = initramfs::MODULES.join(" ");
    let loads = folder.join("loads");
    let note = if fs::exists(&release).unwrap_or(false)
        && fs::read_to_string(&loads).is_ok_and(|loads| loads == modules)
    {
        "kept"
    } else {
        fetch(version, processor, &place, &folder)?;
        let _ = fs::remove_file(&stamp);
        fs::write(&loads, modules).with_context(|| format!("cannot write {}", loads.display()))?;
        "fetched"
    };
    let release = fs::read_to_string(&release)
        .with_context(|| format!("cannot read {}", release.display()))?;
    // So is its init script: an initramfs of an older one is made again.
    if fs::read_to_string(&stamp).ok().as_deref() != Some(initramfs::INIT) {
        initramfs::build(
            &folder.join("modules"),
            &root::busybox(processor),
            &image.initramfs,
        )?;
        fs::write(&stamp, initramfs::INIT)
            .with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok((image, format!("{release}, {note}")))
}

/// Fetches and unpacks it; what is left in `folder` is complete when there is a file `release`.
fn fetch(version: Version, processor: Processor, place: &Path, folder: &Path) -> Result<()> {
    let apt = Apt::update(&place.join("apt"), version.suite(), processor.debian())?;
    let packages = parts(&apt, version, processor)?;
    let suffix = processor.suffix();
    let unpacked = place.join(format!("unpacked-{version}{suffix}"));
    let downloads = place.join(format!("downloads-{version}{suffix}"));
    for old in [&unpacked, &downloads] {
        let _ = fs::remove_dir_all(old);
    }
    workspace::directory(&unpacked)?;
    for file in apt.download(&packages, &downloads)? {
        command::logged(
            command::command("dpkg-deb")
                .arg("--extract")
                .args([&file, &unpacked]),
            &format!("vm-unpack-{version}"),
        )?;
    }
    workspace::directory(folder)?;
    let release = initramfs::modules(&unpacked, &folder.join("modules"))?;
    let kernel = [
        unpacked.join(format!("boot/vmlinuz-{release}")),
        unpacked.join(format!("usr/lib/modules/{release}/vmlinuz")),
    ]
    .into_iter()
    .find(|path| path.is_file())
    .with_context(|| format!("{} hold no kernel {release}", packages.join(" and ")))?;
    fs::copy(&kernel, folder.join("vmlinuz"))
        .with_context(|| format!("cannot copy {}", kernel.display()))?;
    for used in [&unpacked, &downloads] {
        fs::remove_dir_all(used).with_context(|| format!("cannot remove {}", used.display()))?;
    }
    let file = folder.join("release");
    fs::write(&file, &release).with_context(|| format!("cannot write {}", file.display()))
}

/// The packages with the kernel and its modules.
fn parts(apt: &Apt, version: Version, processor: Processor) -> Result<Vec<String>> {
    // It depends on a release's kernel: the one that hosts install, not the small one for clouds.
    let newest = format!("linux-image-{}", processor.debian());
    let found = apt.field(&newest, "Version")?;
    if !found.starts_with(&format!("{version}.")) {
        bail!(
            "Debian {} carries Linux {found} by now, not {version}: a kernel fetched before stays usable, a new one needs \
             another entry in xtask/src/vm/kernel.rs",
            version.suite()
        );
    }
    let mut packages = Vec::new();
    let mut open = vec![newest];
    while let Some(package) = open.pop() {
        for needed in kernel_parts(&apt.field(&package, "Depends")?) {
            if !packages.contains(&needed) {
                packages.push(needed.clone());
                open.push(needed);
            }
        }
    }
    // Since 7.2 the image is an empty package that needs the other two.
    if packages
        .iter()
        .any(|name| name.starts_with("linux-binary-"))
    {
        packages.retain(|name| !name.starts_with("linux-image-"));
    }
    Ok(packages)
}

/// Of a field `Depends`: packages with parts of the kernel.
fn kernel_parts(depends: &str) -> Vec<String> {
    depends
        .split(',')
        .filter_map(|one| one.split_whitespace().next())
        .filter(|name| PARTS.iter().any(|part| name.starts_with(part)))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_kernel_are_told_from_its_other_needs() {
        let depends = "dracut | linux-initramfs-tool, linux-base-7.2-amd64 (= 1), linux-binary-7.2-amd64 (= 1), \
                       linux-modules-7.2-amd64 (= 1)";
        assert_eq!(
            kernel_parts(depends),
            ["linux-binary-7.2-amd64", "linux-modules-7.2-amd64"]
        );
    }
}
