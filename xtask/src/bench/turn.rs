//! One measurement or test with a sensor at a time on a machine.

use std::{
    fs::{File, OpenOptions},
    os::fd::AsRawFd as _,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{progress::Progress, signal};

/// The integration tests hold it, too, while a sensor of theirs runs.
const LOCK: &str = "/tmp/data-access-sensor-tests.lock";

/// The right to run sensors; given back when dropped, by the kernel if need be.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for it; a step of its own, because that may take long.
    pub fn take(progress: &Progress) -> Result<Self> {
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(LOCK)
            .with_context(|| format!("cannot open {LOCK}"))?;
        progress.quiet("our turn: no test runs a sensor", || {
            while !try_lock(&lock)? {
                signal::check()?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(String::new())
        })?;
        Ok(Self { _lock: lock })
    }
}

fn try_lock(file: &File) -> Result<bool> {
    // SAFETY: the descriptor is open as long as `file` lives.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    let error = std::io::Error::last_os_error();
    if matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
    ) {
        return Ok(false);
    }
    bail!("cannot lock {LOCK}: {error}")
}
