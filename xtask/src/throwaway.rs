//! What throwaway servers have in common: a folder, a port, a log, and a process that does not outlive this one's use of it.

use std::{
    fs::{self, File, Permissions},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{self, command},
    signal, workspace,
};

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server's process. Stopped, and its folder removed, when dropped.
#[derive(Debug)]
pub struct Process {
    what: &'static str,
    child: Child,
    folder: PathBuf,
    /// That asks it to stop, and that makes it when that takes too long.
    signals: [libc::c_int; 2],
}

impl Process {
    /// Starts it, with its log in `output`.
    pub fn start(
        what: &'static str,
        server: &mut Command,
        folder: &Path,
        output: File,
        signals: [libc::c_int; 2],
    ) -> Result<Self> {
        let errors = output
            .try_clone()
            .context("cannot share the server's log")?;
        let child = server
            // Ctrl-C is for this process, which then stops the server in its turn.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {what}"))?;
        Ok(Self {
            what,
            child,
            folder: folder.to_owned(),
            signals,
        })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for signal in self.signals {
            signal::send(self.child.id(), signal);
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(10) {
                if !matches!(self.child.try_wait(), Ok(None)) {
                    let _ = fs::remove_dir_all(&self.folder);
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        eprintln!(
            "xtask: {} (pid {}) does not stop; its files stay in {}",
            self.what,
            self.child.id(),
            self.folder.display()
        );
    }
}

/// Waits until a server answers what it is asked.
pub fn wait_ready<S>(
    server: &mut S,
    process: impl Fn(&mut S) -> &mut Process,
    log: &Path,
    ask: impl Fn(&S) -> Result<()>,
) -> Result<()> {
    let began = Instant::now();
    loop {
        let Process { what, child, .. } = process(server);
        let what = *what;
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("cannot wait for {what}"))?
        {
            bail!(
                "{what} did not start ({status}):\n{}the whole log: {}",
                command::tail(log),
                log.display()
            );
        }
        let Err(error) = ask(server) else {
            return Ok(());
        };
        if began.elapsed() > PATIENCE {
            bail!(
                "{what} does not answer within {PATIENCE:?}: {error:#}\nits log: {}",
                log.display()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The log of a server at this place, which it is named for.
pub fn log(what: &str, place: &Path) -> Result<PathBuf> {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    Ok(workspace::directory(&workspace::logs())?.join(format!("{what}-{name}.log")))
}

/// Where a server's folder is: under `place`, or in /tmp where not all may enter that.
pub fn folder(place: &Path, name: &str) -> PathBuf {
    if all_may_enter(place) {
        place.join(name)
    } else {
        in_tmp(name)
    }
}

/// The same in /tmp.
pub fn in_tmp(name: &str) -> PathBuf {
    PathBuf::from(format!("/tmp/sensor-{name}-{}", std::process::id()))
}

/// Makes the folder, new and empty, and gives it to its owner.
pub fn make(folder: &Path, owner: &str) -> Result<()> {
    workspace::empty(folder)?;
    let id = |which| -> Result<u32> {
        command::output(command("id").args([which, owner]))?
            .trim()
            .parse()
            .with_context(|| format!("cannot find out the id of user {owner}"))
    };
    chown(folder, Some(id("-u")?), Some(id("-g")?))
        .and_then(|()| fs::set_permissions(folder, Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot give {} to {owner}", folder.display()))
}

/// May any user get there?
fn all_may_enter(folder: &Path) -> bool {
    folder.ancestors().all(|folder| {
        fs::metadata(folder).map_or(true, |metadata| metadata.permissions().mode() & 0o001 != 0)
    })
}

/// A TCP port that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
    Ok(listener
        .local_addr()
        .context("cannot find a free port")?
        .port())
}
