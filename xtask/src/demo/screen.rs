//! One terminal for two: the sensor redraws its table in place, and the story goes on above it.
//!
//! The sensor writes to a pseudo-terminal. Each redraw begins with taking the old table away; right there, lines that
//! wait here are put in. Where there is no terminal, the sensor writes one snapshot after the other and lines need
//! not wait.

use std::{
    fs::File,
    io::{IsTerminal as _, Read, Write, stdout},
    os::fd::{FromRawFd as _, OwnedFd},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};

/// Ends the control sequence by which the sensor takes its table away.
const ERASED: &[u8] = b"\x1b[J";

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Screen {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The table is on the screen: nothing else may be written.
    drawn: bool,
    waiting: Vec<String>,
}

impl Screen {
    /// A line of the story, or of the sensor's log.
    pub fn line(&self, line: impl Into<String>) {
        let mut state = self.lock();
        state.waiting.push(line.into());
        if !state.drawn {
            state.flush();
        }
    }

    /// The sensor draws no more: what waits is written below its last table.
    pub fn release(&self) {
        let mut state = self.lock();
        state.drawn = false;
        state.flush();
    }

    /// Where the sensor is to write, and a thread's work: to forward what it writes.
    pub fn attach(&self) -> Result<(Stdio, impl FnOnce() + Send + use<>)> {
        let terminal = stdout().is_terminal();
        let (ours, theirs) = if terminal {
            pseudo_terminal()?
        } else {
            pipe()?
        };
        let screen = self.clone();
        Ok((theirs.into(), move || {
            screen.forward(File::from(ours), terminal);
        }))
    }

    /// Until the sensor is gone.
    fn forward(&self, mut from: impl Read, terminal: bool) {
        let mut buffer = [0; 8192];
        let mut held = Vec::new();
        // A pseudo-terminal whose other end is closed reports an error, a pipe the end of the file.
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            held.extend_from_slice(&buffer[..length]);
            self.show(&mut held, terminal, &mut stdout().lock());
        }
        let _ = stdout().write_all(&held);
        self.release();
    }

    /// Writes all of `held` but a control sequence that is not complete.
    fn show(&self, held: &mut Vec<u8>, terminal: bool, out: &mut impl Write) {
        let mut state = self.lock();
        while let Some(at) = held
            .windows(ERASED.len())
            .position(|window| window == ERASED)
        {
            let end = at + ERASED.len();
            let _ = out.write_all(&held[..end]);
            let _ = out.flush();
            held.drain(..end);
            state.drawn = false;
            state.flush();
        }
        let complete = held
            .iter()
            .rposition(|byte| *byte == 0x1b)
            .filter(|escape| held.len() - escape < 16)
            .unwrap_or(held.len());
        if complete > 0 {
            let _ = out.write_all(&held[..complete]);
            let _ = out.flush();
            held.drain(..complete);
            state.drawn = terminal;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn flush(&mut self) {
        for line in self.waiting.drain(..) {
            eprintln!("{line}");
        }
    }
}

fn pseudo_terminal() -> Result<(OwnedFd, OwnedFd)> {
    let mut ours = -1;
    let mut theirs = -1;
    // SAFETY: both descriptors are valid to write to; the other arguments are optional.
    let result = unsafe {
        libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            std::ptr::null_mut(),
            std::ptr::null(),
            std::ptr::null(),
        )
    };
    if result != 0 {
        return Err(std::io::Error::last_os_error()).context("cannot make a pseudo-terminal");
    }
    // SAFETY: just opened, and ours alone. Not for other children, who would keep it open.
    unsafe {
        libc::fcntl(ours, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(theirs, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok((OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)))
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    Ok((reader.into(), writer.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_while_the_table_is_drawn() {
        let screen = Screen::default();
        let mut held = b"table\n".to_vec();
        let mut out = Vec::new();
        screen.show(&mut held, true, &mut out);
        screen.line("story");
        assert_eq!(screen.lock().waiting.len(), 1);
        held.extend_from_slice(b"\x1b[1A\x1b");
        screen.show(&mut held, true, &mut out);
        assert_eq!(
            screen.lock().waiting.len(),
            1,
            "the sequence is not complete"
        );
        held.extend_from_slice(b"[J");
        screen.show(&mut held, true, &mut out);
        assert!(screen.lock().waiting.is_empty());
        assert!(held.is_empty());
        assert_eq!(out, b"table\n\x1b[1A\x1b[J");
        assert!(!screen.lock().drawn);
    }

    #[test]
    fn nothing_waits_without_a_terminal() {
        let screen = Screen::default();
        screen.show(&mut b"table\n".to_vec(), false, &mut Vec::new());
        screen.line("story");
        assert!(screen.lock().waiting.is_empty());
    }
}
