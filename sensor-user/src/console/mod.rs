//! The live table of principals.

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use crate::{pipeline::Pipeline, volume::live::Row};

/// Rows shown at most.
const ROWS: usize = 16;
/// How often a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(500);
/// How often a snapshot is written where there is no terminal.
const SNAPSHOT: Duration = Duration::from_secs(5);

/// Draws on standard output: in place on a terminal, one snapshot after the other elsewhere.
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
    /// Draws when it is time.
    pub fn tick(&mut self, pipeline: &Pipeline) {
        let interval = if self.terminal { REDRAW } else { SNAPSHOT };
        if self.last.is_none_or(|last| last.elapsed() >= interval) {
            self.draw(pipeline);
        }
    }

    /// Draws now.
    pub fn draw(&mut self, pipeline: &Pipeline) {
        let table = table(pipeline);
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

/// The table as text, at most 100 columns wide.
pub fn table(pipeline: &Pipeline) -> String {
    let mut rows: Vec<_> = pipeline.live.rows().collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse((shown_rows(row), row.volume.bytes_sent)));
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:<16} {:<10} {:<15} {:>12} {:>10} {:>9}  TABLES",
        "USER", "OS USER", "CLIENT", "ROWS", "BYTES", "QUERIES"
    );
    for (id, row) in rows.iter().take(ROWS) {
        let principal = pipeline.resolver.principal(*id);
        let mark = if row.streaming > 0 { "~" } else { "" };
        let tables = row
            .tables
            .iter()
            .map(|table| &**table)
            .collect::<Vec<_>>()
            .join(" ");
        let _ = writeln!(
            text,
            "{:<16} {:<10} {:<15} {:>12} {:>10} {:>9}  {}",
            cut(principal.user.as_deref().unwrap_or("(unknown)"), 16),
            cut(
                principal.os_user.as_ref().map_or("-", |user| &user.name),
                10
            ),
            cut(&principal.client.to_string(), 15),
            format!("{mark}{}", shown_rows(row)),
            size(row.volume.bytes_sent),
            row.volume.queries,
            cut(&tables, 20),
        );
    }
    if rows.len() > ROWS {
        let _ = writeln!(text, "… and {} more principals", rows.len() - ROWS);
    }
    text
}

fn shown_rows(row: &Row) -> u64 {
    row.volume.rows_returned + row.volume.rows_written + row.streaming
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width - 1).collect();
    cut.push('…');
    cut
}

/// Bytes as people read them.
pub fn size(bytes: u64) -> String {
    let mut unit = 0;
    let mut whole = bytes;
    let mut tenths = 0;
    while whole >= 1024 && unit < 4 {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = ["B", "KiB", "MiB", "GiB", "TiB"][unit];
    if unit == 0 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{tenths} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
