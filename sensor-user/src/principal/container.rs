//! In which container and pod a process runs, as its control group tells.

use std::sync::Arc;

/// What a control group's path tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// `container.id`; the name where there is no id (LXC, systemd-nspawn).
    pub id: Option<Arc<str>>,
    /// `k8s.pod.uid`.
    pub pod: Option<Arc<str>>,
}

/// In front of the id, as each runtime names its scope. Monitors (`libpod-conmon-…`) are no containers.
const SCOPES: [&str; 7] = [
    "docker-",
    "cri-containerd-",
    "crio-",
    "libpod-",
    "nerdctl-",
    "containerd-",
    "buildkit-",
];
/// In front of a name.
const NAMED: [&str; 3] = ["lxc.payload.", "machine-", "systemd-nspawn@"];

/// Reads `/proc/PID/cgroup`, of version 1, 2 or both. The first hierarchy that tells counts: all that tell say the same.
pub fn parse(cgroup: &str) -> Container {
    cgroup
        .lines()
        // hierarchy:controllers:path; a path may hold colons.
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .map(of_path)
        .find(|found| *found != Container::default())
        .unwrap_or_default()
}

fn of_path(path: &str) -> Container {
    let parts = || path.rsplit('/').filter(|part| !part.is_empty());
    // The innermost: containers run in containers.
    Container {
        id: parts().find_map(id).map(Into::into),
        pod: parts().find_map(pod).map(Into::into),
    }
}

fn id(part: &str) -> Option<String> {
    let unit = part
        .strip_suffix(".scope")
        .or_else(|| part.strip_suffix(".service"))
        .unwrap_or(part);
    let bare = SCOPES
        .iter()
        .find_map(|scope| unit.strip_prefix(scope))
        .unwrap_or(unit);
    if bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(bare.to_ascii_lowercase());
    }
    let name = NAMED.iter().find_map(|name| unit.strip_prefix(name))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.\\".contains(&byte);
    (!name.is_empty() && name.len() <= 64 && name.bytes().all(plain)).then(|| name.to_owned())
}

/// `pod<uid>`, or `kubepods-burstable-pod<uid>.slice` with underscores in the uid.
fn pod(part: &str) -> Option<String> {
    let part = part.strip_suffix(".slice").unwrap_or(part);
    let at = part.rfind("pod")?;
    let before = part.get(..at)?;
    let is_slice = before.starts_with("kubepods") && before.ends_with('-');
    if !before.is_empty() && !is_slice {
        return None;
    }
    let uid = part.get(at + 3..)?.replace('_', "-").to_ascii_lowercase();
    let plain = uid
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    // Those of static pods have no dashes.
    (plain && matches!(uid.len(), 32 | 36)).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const POD: &str = "2f1bd1ad-0ca8-4b2c-9e3f-0a1b2c3d4e5f";

    #[test]
    fn paths_of_runtimes() {
        let underscored = POD.replace('-', "_");
        for (path, pod) in [
            (format!("0::/system.slice/docker-{ID}.scope"), None),
            (format!("12:memory:/docker/{ID}\n0::/"), None),
            (format!("0::/docker/{ID}/init.scope"), None),
            (
                format!("0::/machine.slice/libpod-{ID}.scope/container"),
                None,
            ),
            (
                format!(
                    "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"
                ),
                None,
            ),
            (format!("0::/kubepods/burstable/pod{POD}/{ID}"), Some(POD)),
            (format!("4:cpu,cpuacct:/kubepods/pod{POD}/{ID}"), Some(POD)),
            (
                format!(
                    "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{underscored}.slice/cri-containerd-{ID}.scope"
                ),
                Some(POD),
            ),
            (
                format!("0::/kubepods.slice/kubepods-pod{underscored}.slice/crio-{ID}.scope"),
                Some(POD),
            ),
            (
                format!("0::/../../kubepods.slice/kubepods-pod{underscored}.slice/crio-{ID}.scope"),
                Some(POD),
            ),
        ] {
            let found = parse(&path);
            assert_eq!(found.id.as_deref(), Some(ID), "{path}");
            assert_eq!(found.pod.as_deref(), pod, "{path}");
        }
        let named = |path: &str| parse(path).id.map(|id| id.to_string());
        assert_eq!(named("0::/lxc.payload.web").as_deref(), Some("web"));
        assert_eq!(
            named("0::/machine.slice/machine-db.scope/payload").as_deref(),
            Some("db")
        );
    }

    #[test]
    fn no_containers() {
        for path in [
            "0::/",
            "0::/user.slice/user-1000.slice/session-3.scope",
            "0::/system.slice/cron.service",
            "0::/system.slice/docker.service",
            "0::/system.slice/podman.service",
            "0::/system.slice/docker-1234.scope",
            "0::/system.slice/libpod-conmon-0123.scope",
            "0::/tripod",
            "",
            "garbage",
        ] {
            assert_eq!(parse(path), Container::default(), "{path}");
        }
        let conmon = format!("0::/system.slice/libpod-conmon-{ID}.scope");
        assert_eq!(parse(&conmon), Container::default());
    }
}
