//! The socket at which readers attach: made with its permissions, and taken away at the end.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::stat::{Mode, umask},
    unistd::Group,
};

use crate::config::console::{Console, GROUP};

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: whatever else lies there at the end is not ours.
    file: (u64, u64),
    /// The folder is ours, too.
    made_folder: bool,
}

/// Listens, if the configuration wants that. To be called while this process has one thread (its umask is changed for a
/// moment) and all its rights (the file is given to a group).
///
/// # Errors
/// When that can't be, and the configuration names a socket or group of its own. Otherwise it is a warning: watching goes
/// on without readers.
pub fn open(config: &Console) -> Result<Option<Socket>> {
    let Some(path) = &config.socket else {
        return Ok(None);
    };
    match listen(path, &config.group) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if config.asked_for => Err(error),
        Err(error) => {
            log::warn!("{error:#}; `sensor top` can't read along, all else goes on");
            Ok(None)
        }
    }
}

fn listen(path: &Path, group: &str) -> Result<Socket> {
    let group = find(group)?;
    let made_folder = make_folder(path)?;
    take_away_stale(path)?;
    // No moment in which others could connect.
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener =
        listener.with_context(|| format!("console: cannot listen at {}", path.display()))?;
    let metadata = fs::symlink_metadata(path)
        .with_context(|| format!("console: {} is gone", path.display()))?;
    let socket = Socket {
        listener,
        path: path.to_owned(),
        file: (metadata.dev(), metadata.ino()),
        made_folder,
    };
    if let Some(group) = group {
        lchown(path, None, Some(group.gid.as_raw()))
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o660)))
            .with_context(|| {
                format!(
                    "console: cannot give {} to the group {}: is the sensor's user a member of it (`usermod -aG {} USER`)?",
                    path.display(),
                    group.name,
                    group.name
                )
            })?;
    }
    log::info!("`sensor top` reads along at {}", path.display());
    Ok(socket)
}

/// The group; the one of the defaults need not be there.
fn find(name: &str) -> Result<Option<Group>> {
    let group =
        Group::from_name(name).with_context(|| format!("console: cannot look up group {name}"))?;
    if group.is_none() && name != GROUP {
        bail!("console: there is no group {name}: make it with `groupadd --system {name}`");
    }
    Ok(group)
}

fn make_folder(path: &Path) -> Result<bool> {
    let Some(folder) = path.parent() else {
        return Ok(false);
    };
    match DirBuilder::new().mode(0o755).create(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(|| {
            format!(
                "console: cannot make the folder {} of its socket",
                folder.display()
            )
        }),
    }
}

/// What a sensor left that was killed. One that answers is none of ours to take.
fn take_away_stale(path: &Path) -> Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        bail!(
            "console: {} is in the way, and it is no socket: move it, or name another one (`socket` in [console])",
            path.display()
        );
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .with_context(|| format!("console: cannot remove the old {}", path.display())),
        _ => bail!(
            "console: another process answers at {}: name another socket (`socket` in [console])",
            path.display()
        ),
    }
}

impl Socket {
    /// Another handle of what it listens on.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.set_nonblocking(true)?;
        self.listener.try_clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.file);
        // Without the right to (root was given up), it stays: the next start takes it away.
        if ours
            && fs::remove_file(&self.path).is_ok()
            && self.made_folder
            && let Some(folder) = self.path.parent()
        {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(folder: &Path, name: &str) -> Console {
        Console {
            socket: Some(folder.join(name)),
            group: GROUP.to_owned(),
            asked_for: true,
        }
    }

    fn message(config: &Console) -> String {
        format!("{:#}", open(config).expect_err("refused"))
    }

    #[test]
    fn what_a_killed_sensor_left_is_replaced_and_what_lives_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = at(folder.path(), "run/s.sock");
        let path = config.socket.clone().expect("a path");
        let first = open(&config).expect("listens").expect("a socket");
        let mode = fs::metadata(&path).expect("there").mode() & 0o777;
        assert!(mode == 0o600 || mode == 0o660, "{mode:o}");
        assert!(message(&config).contains("another process answers at"));
        drop(first);
        assert!(!path.parent().expect("a folder").exists(), "nothing stays");

        fs::create_dir(path.parent().expect("a folder")).expect("made");
        drop(UnixListener::bind(&path).expect("listens"));
        assert!(path.exists(), "stale");
        let second = open(&config).expect("listens").expect("a socket");
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "somebody else's").expect("written");
        drop(second);
        assert!(path.exists(), "not ours");
        assert!(message(&config).contains("it is no socket"));
    }

    #[test]
    fn a_group_that_is_asked_for_must_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = at(folder.path(), "s.sock");
        config.group = "no-such-group".to_owned();
        assert!(message(&config).contains("groupadd --system no-such-group"));
        config.asked_for = false;
        assert!(open(&config).expect("a warning").is_none());
        config.socket = None;
        assert!(open(&config).expect("nothing to do").is_none());
    }
}
