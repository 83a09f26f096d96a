//! What throwaway servers of MySQL's and Redis' protocols have in common: a directory, a port, a process, a log.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{clients::Endpoint, patience, postgres::free_port};

/// The systems, as the configuration calls them, of which this process has started a server.
static STARTED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// See [`STARTED`].
pub(crate) fn started() -> BTreeSet<&'static str> {
    STARTED.lock().expect("nobody panics with it").clone()
}

/// A server's process, ended and its directory removed when dropped.
#[derive(Debug)]
pub struct Throwaway {
    directory: TempDir,
    process: Option<Child>,
    /// TCP port.
    pub port: u16,
}

impl Throwaway {
    /// A directory that belongs to `owner` (user and group) and that all may enter, and a port, for a server of this system; no
    /// process yet.
    pub(crate) fn make(system: &'static str, name: &str, (uid, gid): (u32, u32)) -> Self {
        STARTED
            .lock()
            .expect("nobody panics with it")
            .insert(system);
        let directory = tempfile::Builder::new()
            .prefix(&format!("dst-{name}-"))
            .tempdir_in("/tmp")
            .expect("temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        chown(directory.path(), Some(uid), Some(gid)).expect("chown");
        Self {
            directory,
            process: None,
            port: free_port(),
        }
    }

    /// Starts the process, with its log in the directory.
    pub(crate) fn boot(&mut self, server: &mut Command) {
        let log = File::create(self.log()).expect("create the server's log");
        let process = server
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("clone"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{server:?}: {error}: run `cargo xtask setup`"));
        self.process = Some(process);
    }

    /// Waits until it answers, and no longer than it lives.
    pub(crate) fn wait_ready(&self, answers: impl Fn() -> bool) {
        let deadline = Instant::now() + patience();
        while !answers() {
            assert!(
                Instant::now() < deadline && !self.has_ended(),
                "the server did not start:\n{}",
                fs::read_to_string(self.log()).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Process id of the server.
    ///
    /// # Panics
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// A process that nobody has waited for stays as a zombie.
    fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_none_or(|rest| rest.trim_start().starts_with('Z'))
    }

    /// Ends the server with a signal.
    pub fn stop(&mut self, signal: libc::c_int) {
        if let Some(process) = self.process.take() {
            crate::environment::end(process, signal);
        }
    }

    /// Its unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("server.sock")
    }

    /// The same as clients take it: a path in place of a host.
    pub fn unix(&self) -> Endpoint {
        Endpoint {
            host: self.socket().display().to_string(),
            port: self.port,
        }
    }

    /// Where it listens on IPv4.
    pub fn ipv4(&self) -> Endpoint {
        Endpoint {
            host: "127.0.0.1".to_owned(),
            port: self.port,
        }
    }

    /// A directory that it may write to.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        self.stop(libc::SIGKILL);
    }
}
