//! Packages of other Debian releases, by a private apt configuration that uses this machine's own mirror: nothing of it
//! touches the machine's package lists.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace};

/// Keys that Debian signs with, as its own package installs them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt for one Debian release, as if nothing were installed.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
    suite: &'static str,
    architecture: &'static str,
}

impl Apt {
    /// Reads the release's package lists into a folder of their own.
    pub fn update(place: &Path, suite: &'static str, architecture: &'static str) -> Result<Self> {
        let folder = place.join(format!("{suite}-{architecture}"));
        for part in ["lists/partial", "cache/archives/partial"] {
            workspace::directory(&folder.join(part))?;
        }
        let signed = if Path::new(KEYRING).exists() {
            format!("[signed-by={KEYRING}] ")
        } else {
            String::new()
        };
        let source = format!("deb {signed}{} {suite} main\n", mirror()?);
        for (name, text) in [("sources.list", source.as_str()), ("status", "")] {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        let apt = Self {
            folder,
            suite,
            architecture,
        };
        command::logged(
            apt.command("apt-get").arg("update"),
            &format!("apt-{suite}"),
        )
        .with_context(|| {
            format!("cannot read Debian {suite}'s package lists: does the machine's mirror carry that release?")
        })?;
        Ok(apt)
    }

    /// Do the lists have a package?
    pub fn has(&self, package: &str) -> bool {
        self.field(package, "Version").is_ok()
    }

    /// A field of a package, as the lists have it.
    pub fn field(&self, package: &str, field: &str) -> Result<String> {
        let text = command::output(self.command("apt-cache").args(["show", package]))
            .with_context(|| format!("Debian {} has no package {package}", self.suite))?;
        let start = format!("{field}: ");
        text.lines()
            .find_map(|line| line.strip_prefix(&start))
            .map(str::to_owned)
            .with_context(|| format!("package {package} has no field {field}"))
    }

    /// Downloads packages to a folder; the files.
    pub fn download(&self, packages: &[String], to: &Path) -> Result<Vec<PathBuf>> {
        workspace::directory(to)?;
        command::logged(
            self.command("apt-get")
                // Root's folder is closed to the user that apt otherwise downloads as.
                .args(["-o", "APT::Sandbox::User=root", "download"])
                .args(packages)
                .current_dir(to),
            &format!("apt-download-{}", self.suite),
        )?;
        let files = debs(to)?;
        if files.len() != packages.len() {
            bail!(
                "apt-get download left {} files in {} for {} packages",
                files.len(),
                to.display(),
                packages.len()
            );
        }
        Ok(files)
    }

    /// Downloads packages with all that they need; the files.
    pub fn download_with_needs(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        // What an interrupted run left may be older by now.
        command::logged(
            self.command("apt-get").arg("clean"),
            &format!("apt-clean-{}", self.suite),
        )?;
        command::logged(
            self.command("apt-get")
                .args(["-o", "APT::Sandbox::User=root", "--yes"])
                .args(["--download-only", "--no-install-recommends", "install"])
                .args(packages),
            &format!("apt-download-{}-{}", self.suite, self.architecture),
        )
        .with_context(|| {
            format!(
                "Debian {} does not give {} with all that they need: does it say why above? The release may be in motion: \
                 try again later",
                self.suite,
                packages.join(", ")
            )
        })?;
        debs(&self.folder.join("cache/archives"))
    }

    fn command(&self, program: &str) -> Command {
        let mut apt = command::command(program);
        let mut set = |name: &str, value: &str| {
            apt.args(["-o", &format!("{name}={value}")]);
        };
        let folder = self.folder.to_string_lossy();
        set("Dir::Etc::sourcelist", &format!("{folder}/sources.list"));
        set("Dir::Etc::sourceparts", "-");
        set("Dir::State", &folder);
        set("Dir::State::Lists", &format!("{folder}/lists"));
        set("Dir::State::status", &format!("{folder}/status"));
        set("Dir::Cache", &format!("{folder}/cache"));
        set("APT::Architecture", self.architecture);
        set("APT::Architectures", self.architecture);
        set("Acquire::Languages", "none");
        set(
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled",
            "false",
        );
        apt
    }
}

/// Packages in a folder.
fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    files.sort();
    Ok(files)
}

/// Where this machine gets Debian's packages from.
fn mirror() -> Result<String> {
    let targets = command::output(command::command("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    ]))
    .context("cannot ask apt for this machine's sources")?;
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = value(&release, "VERSION_CODENAME").unwrap_or_default();
    chosen(&targets, codename).with_context(|| {
        format!(
            "none of this machine's apt sources has main of Debian {codename}, so it is not known where kernels of other \
             releases can be had\ndo: run this on Debian, with its own archive among apt's sources"
        )
    })
}

/// Of lines `URI RELEASE COMPONENT`: the URI of the release itself, not of its updates.
fn chosen(targets: &str, codename: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (uri, release, component) = (words.next()?, words.next()?, words.next()?);
        let is_release = [codename, "stable", "testing", "unstable", "sid"].contains(&release);
        (is_release && component == "main").then(|| uri.to_owned())
    })
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix('=')?;
        Some(value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_releases_own_archive_is_chosen() {
        let targets = "http://b.example/debian-security/ bookworm-security main\n\
                       http://a.example/debian/ bookworm-updates main\n\
                       http://a.example/debian/ bookworm contrib\n\
                       http://a.example/debian/ bookworm main\n";
        assert_eq!(
            chosen(targets, "bookworm").as_deref(),
            Some("http://a.example/debian/")
        );
        assert_eq!(
            chosen("http://c.example/ubuntu/ noble main\n", "bookworm"),
            None
        );
    }

    #[test]
    fn values_of_os_release() {
        let text = "ID=debian\nVERSION_CODENAME=\"bookworm\"\n";
        assert_eq!(value(text, "VERSION_CODENAME"), Some("bookworm"));
        assert_eq!(value(text, "VERSION"), None);
    }
}
