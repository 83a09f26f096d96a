//! Containers by runc, which does it for Docker, containerd, CRI-O and Podman: namespaces, a root of its own, and a control group at
//! a path as theirs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Where a container's network is.
#[derive(Clone, Debug)]
pub enum Net {
    /// The host's (`--network host`).
    Host,
    /// One of its own, without a way out (`--network none`).
    None,
    /// A network namespace that somebody has made for it, as engines do.
    Path(PathBuf),
}

/// A container that can be run, gone when dropped.
#[derive(Debug)]
pub struct Container {
    bundle: TempDir,
    cgroup: String,
    name: String,
    mounts: Vec<Value>,
    net: Net,
    user: (u32, u32),
    environment: Vec<String>,
}

/// Parts of the host's file system that are the container's, too: its programs and libraries.
const SHARED: [&str; 5] = ["/usr", "/bin", "/lib", "/lib64", "/etc"];

/// A 64-digit id, as engines give them.
///
/// # Panics
/// Never: the kernel has random numbers.
pub fn id() -> String {
    let random = || fs::read_to_string("/proc/sys/kernel/random/uuid").expect("random numbers");
    format!("{}{}", random(), random())
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect()
}

impl Container {
    /// In a control group of this path.
    ///
    /// # Panics
    /// When its folder can't be made.
    pub fn new(cgroup: &str, net: Net) -> Self {
        let bundle = tempfile::Builder::new()
            .prefix("dst-container-")
            .tempdir_in("/tmp")
            .expect("temporary directory");
        let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(bundle.path(), mode).expect("chmod");
        let name = bundle.path().file_name().expect("a name");
        let mut container = Self {
            name: name.to_string_lossy().into_owned(),
            bundle,
            cgroup: cgroup.to_owned(),
            mounts: Vec::new(),
            net,
            user: (0, 0),
            environment: vec!["PATH=/usr/bin:/bin".to_owned(), "LC_ALL=C".to_owned()],
        };
        for path in SHARED {
            container.mount(Path::new(path), "ro");
        }
        container
    }

    /// Its root, in which it finds what is put there.
    pub fn root(&self) -> PathBuf {
        self.bundle.path().join("rootfs")
    }

    /// A folder of the host at the same place inside, `ro` or `rw`.
    ///
    /// # Panics
    /// When there is no place for it.
    pub fn mount(&mut self, path: &Path, mode: &str) {
        let inside = path.strip_prefix("/").expect("an absolute path");
        fs::create_dir_all(self.root().join(inside)).expect("make a folder");
        self.mounts.push(json!({
            "destination": path, "source": path, "type": "bind", "options": ["rbind", mode],
        }));
    }

    /// What runs inside is this user's.
    pub fn user(&mut self, uid: u32, gid: u32) {
        self.user = (uid, gid);
    }

    /// A variable of what runs inside.
    pub fn env(&mut self, name: &str, value: &str) {
        self.environment.push(format!("{name}={value}"));
    }

    /// Runs this program inside: the command is the runtime, which hands on signals, input and output.
    ///
    /// # Panics
    /// When the container's description can't be written.
    pub fn command(&self, inside: &Command) -> Command {
        let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
        let mut arguments = vec![text(inside.get_program())];
        arguments.extend(inside.get_args().map(text));
        for place in ["proc", "dev", "tmp"] {
            fs::create_dir_all(self.root().join(place)).expect("make a folder");
        }
        let mut mounts = vec![
            json!({"destination": "/proc", "type": "proc", "source": "proc"}),
            json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
            json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "mode=1777"]}),
        ];
        mounts.extend(self.mounts.iter().cloned());
        let mut namespaces = vec![
            json!({"type": "pid"}),
            json!({"type": "mount"}),
            json!({"type": "ipc"}),
            json!({"type": "uts"}),
        ];
        match &self.net {
            Net::Host => {}
            Net::None => namespaces.push(json!({"type": "network"})),
            Net::Path(path) => namespaces.push(json!({"type": "network", "path": path})),
        }
        let description = json!({
            "ociVersion": "1.0.2",
            "hostname": "container",
            "root": {"path": "rootfs", "readonly": true},
            "process": {
                "terminal": false,
                "user": {"uid": self.user.0, "gid": self.user.1},
                "args": arguments,
                "env": self.environment,
                "cwd": "/",
                "capabilities": {},
                "noNewPrivileges": true,
            },
            "mounts": mounts,
            "linux": {"namespaces": namespaces, "cgroupsPath": self.cgroup},
        });
        fs::write(
            self.bundle.path().join("config.json"),
            description.to_string(),
        )
        .expect("write the container's description");
        let mut command = Command::new("runc");
        command
            .arg("--root")
            .arg(self.bundle.path().join("state"))
            .args(["run", "--bundle"])
            .arg(self.bundle.path())
            .arg(&self.name);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Gone already when it has ended by itself.
        Command::new("runc")
            .arg("--root")
            .arg(self.bundle.path().join("state"))
            .args(["delete", "--force", &self.name])
            .output()
            .ok();
        // The runtime removes its own control group, not those that it lies in.
        let hierarchies = fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten();
        let roots = hierarchies
            .map(|entry| entry.path())
            .chain([PathBuf::from("/sys/fs/cgroup")]);
        for root in roots {
            let mut path = Path::new(&self.cgroup);
            while let Some(parent) = path.parent().filter(|parent| *parent != Path::new("/")) {
                let inside = parent.strip_prefix("/").unwrap_or(parent);
                fs::remove_dir(root.join(inside)).ok();
                path = parent;
            }
        }
    }
}
