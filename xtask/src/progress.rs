//! Steps as they are shown: what, how it went, how long.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// Shows the steps of a verb on standard error.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    terminal: bool,
}

impl Progress {
    /// Begins.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            terminal: stderr().is_terminal(),
        }
    }

    /// A step that shows nothing itself: one line, with the time running on a terminal. `work` returns a note for the
    /// end of the line.
    pub fn quiet(&self, what: &str, work: impl FnOnce() -> Result<String>) -> Result<()> {
        let began = Instant::now();
        let ticker = self.terminal.then(|| Ticker::start(what, began));
        let result = work();
        if let Some(ticker) = ticker {
            ticker.stop();
        }
        self.end(what, began, result)
    }

    /// A step whose own output is shown, between a line before and a line after.
    pub fn loud(&self, what: &str, work: impl FnOnce() -> Result<String>) -> Result<()> {
        let began = Instant::now();
        eprintln!("{} {what} …", self.colour("36", "▸"));
        let result = work();
        self.end(what, began, result)
    }

    fn end(&self, what: &str, began: Instant, result: Result<String>) -> Result<()> {
        let took = duration(began.elapsed());
        match result {
            Ok(note) => {
                let note = if note.is_empty() {
                    note
                } else {
                    format!(" – {note}")
                };
                eprintln!(
                    "{} {what}{note} {}",
                    self.colour("32", "✓"),
                    self.colour("2", &took)
                );
                Ok(())
            }
            Err(error) => {
                eprintln!(
                    "{} {what} {}",
                    self.colour("31", "✗"),
                    self.colour("2", &took)
                );
                Err(error).with_context(|| format!("step \"{what}\" failed"))
            }
        }
    }

    /// Since the beginning.
    pub fn total(&self) -> String {
        duration(self.began.elapsed())
    }

    fn colour(&self, code: &str, text: &str) -> String {
        if self.terminal {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Redraws a running step's line.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Ticker {
    const INTERVAL: Duration = Duration::from_millis(100);

    fn start(what: &str, began: Instant) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let what = what.to_owned();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                eprint!(
                    "\r\x1b[K\x1b[36m▸\x1b[0m {what} \x1b[2m{}\x1b[0m",
                    duration(began.elapsed())
                );
                let _ = stderr().flush();
                thread::sleep(Self::INTERVAL);
            }
            eprint!("\r\x1b[K");
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

/// As people read it.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 {
        format!("({} min {:02} s)", seconds / 60, seconds % 60)
    } else {
        format!("({:.1} s)", duration.as_secs_f64())
    }
}

/// A number with its thousands set apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_000_000), "12,000,000");
    }

    #[test]
    fn durations_are_readable() {
        assert_eq!(duration(Duration::from_millis(1_250)), "(1.2 s)");
        assert_eq!(duration(Duration::from_secs(125)), "(2 min 05 s)");
    }
}
