//! The running sensor for people at a terminal: [`collect`] makes a snapshot of it, [`protocol`] says how one looks, readers get
//! it at a [`socket`] ([`serve`]); [`text`] and [`screen`] draw it, of the same [`columns`].

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

pub mod alerts;
pub mod collect;
pub mod columns;
pub mod protocol;
pub mod screen;
pub mod serve;
pub mod socket;
pub mod text;

pub use columns::size;

use protocol::{Request, Snapshot, Sort};

/// Principals shown.
const ROWS: usize = 16;
/// How often a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(500);
/// How often a snapshot is written where there is no terminal.
const SNAPSHOT: Duration = Duration::from_secs(5);

/// `--console`: the table on the sensor's own standard output, in place on a terminal, one after the other elsewhere.
#[derive(Debug)]
pub struct Console {
    terminal: bool,
    drawn: usize,
    last: Option<Instant>,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            drawn: 0,
            last: None,
        }
    }
}

impl Console {
    /// What it shows.
    pub fn request() -> Request {
        Request {
            sort: Sort::Rows,
            limit: ROWS,
            ..Request::default()
        }
    }

    /// Is it time to draw?
    pub fn is_due(&self) -> bool {
        let interval = if self.terminal { REDRAW } else { SNAPSHOT };
        self.last.is_none_or(|last| last.elapsed() >= interval)
    }

    /// Draws now.
    pub fn draw(&mut self, snapshot: &Snapshot) {
        let table = text::table(snapshot);
        self.erase();
        let mut out = std::io::stdout().lock();
        // A closed pipe is no reason to stop watching.
        let _ = out.write_all(table.as_bytes());
        let _ = out.flush();
        self.drawn = table.lines().count();
        self.last = Some(Instant::now());
    }

    /// Takes the table away, so that something else can be printed; it comes back with the next draw.
    pub fn erase(&mut self) {
        if self.terminal && self.drawn > 0 {
            let mut out = std::io::stdout().lock();
            let _ = write!(out, "\x1b[{}A\x1b[J", self.drawn);
            let _ = out.flush();
        }
        self.drawn = 0;
        self.last = None;
    }
}
