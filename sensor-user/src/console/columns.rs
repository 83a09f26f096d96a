//! The columns of principals: what they are called, how wide they are, what stands in them. The text and the screen are made of
//! the same.

use super::protocol::PrincipalRow;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Database user, and whoever of those that share it.
    User,
    /// OS user.
    OsUser,
    /// Client's address.
    Client,
    /// Rows a second.
    Rate,
    /// Rows so far.
    Rows,
    /// Bytes sent.
    Bytes,
    /// Statements.
    Queries,
    /// Bar of the nearest limit.
    Limit,
    /// Sparkline.
    Minute,
    /// Tables.
    Tables,
}

use Column::{Bytes, Client, Limit, Minute, OsUser, Queries, Rate, Rows, Tables, User};

/// Of the table as text.
pub const TEXT: &[(Column, usize)] = &[
    (User, 16),
    (OsUser, 10),
    (Client, 15),
    (Rows, 12),
    (Bytes, 10),
    (Queries, 9),
    (Tables, 20),
];

/// Of a screen so wide; 80 columns hold all that people steer by.
pub fn of_screen(width: u16) -> Vec<(Column, usize)> {
    let mut columns = vec![
        (User, 13),
        (Client, 13),
        (Rate, 8),
        (Rows, 10),
        (Bytes, 9),
        (Limit, 10),
        (Minute, 11),
    ];
    // What a wider one holds beside it, where it belongs, and how wide that is.
    let mut rest = usize::from(width).saturating_sub(80);
    for (at, column, wide) in [
        (5, Queries, 9),
        (7, Minute, 9),
        (8, Tables, 16),
        (1, OsUser, 10),
    ] {
        match columns.iter_mut().find(|(known, _)| *known == column) {
            Some((_, width)) if rest >= wide => *width += wide,
            None if rest > wide => {
                columns.insert(at, (column, wide));
                rest -= 1;
            }
            _ => continue,
        }
        rest -= wide;
    }
    // Names are cut first and want what is left over.
    for (column, width) in &mut columns {
        if matches!(column, User | Client | Tables) {
            let more = rest.min(20);
            *width += more;
            rest -= more;
        }
    }
    columns
}

impl Column {
    /// What stands above it.
    pub fn title(self) -> &'static str {
        match self {
            User => "USER",
            OsUser => "OS USER",
            Client => "CLIENT",
            Rate => "ROWS/S",
            Rows => "ROWS",
            Bytes => "BYTES",
            Queries => "QUERIES",
            Limit => "LIMIT",
            Minute => "LAST MINUTE",
            Tables => "TABLES",
        }
    }

    /// Are these numbers?
    pub fn is_right(self) -> bool {
        matches!(self, Rate | Rows | Bytes | Queries)
    }

    /// What stands in it, exactly so wide.
    pub fn cell(self, row: &PrincipalRow, width: usize) -> String {
        let text = match self {
            User => who(row),
            OsUser => row.os_user.clone().unwrap_or_else(|| "-".to_owned()),
            Client => row.client.clone(),
            Rate => short(row.rows_per_second),
            Rows => {
                let mark = if row.streaming > 0 { "~" } else { "" };
                format!("{mark}{}", row.shown())
            }
            Bytes => size(row.amounts.bytes_sent),
            Queries => row.amounts.queries.to_string(),
            Limit => row
                .nearest
                .as_ref()
                .map_or_else(String::new, |level| bar(level.share(), width)),
            Minute => sparkline(&row.recent, width),
            Tables => row.tables.join(" "),
        };
        self.fitted(&text, width)
    }

    /// Cut or filled up to its width.
    pub fn fitted(self, text: &str, width: usize) -> String {
        let text = cut(text, width);
        if self.is_right() {
            format!("{text:>width$}")
        } else {
            format!("{text:<width$}")
        }
    }
}

/// The user, and behind it what tells apart those who share it.
fn who(row: &PrincipalRow) -> String {
    let mut who = row.shown_user().to_owned();
    for value in row.more.values() {
        who.push(' ');
        who.push_str(value);
    }
    who
}

/// Text of at most so many characters.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// A number that needs no more than six characters.
pub fn short(number: f64) -> String {
    if number <= 0.0 {
        return "-".to_owned();
    }
    for (unit, name) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")] {
        if number >= unit * 0.9995 {
            let unit = if name == "k" { 1e3 } else { unit };
            return format!("{:.1}{name}", number / unit);
        }
    }
    if number < 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.0}")
    }
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

/// A bar with its number, so wide: `███▌   35%`.
pub fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let number = format!("{:>4}%", (share * 100.0).min(9999.0).floor());
    let room = width.saturating_sub(number.len());
    let filled = (share.clamp(0.0, 1.0) * (room * 8) as f64).floor() as usize;
    let mut bar: String = "█".repeat(filled / 8);
    if filled / 8 < room {
        bar.push(EIGHTHS[filled % 8]);
    }
    let blank = room.saturating_sub(bar.chars().count());
    format!("{bar}{}{number}", " ".repeat(blank))
}

/// Numbers as a line of bars, the highest the full height; newest at the right.
pub fn sparkline(numbers: &[u32], width: usize) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    if width == 0 {
        return String::new();
    }
    let together = numbers.len().div_ceil(width).max(1);
    // From the right, so that the newest bar is of as many seconds as all others.
    let mut sums: Vec<u64> = numbers
        .rchunks(together)
        .map(|chunk| chunk.iter().map(|number| u64::from(*number)).sum())
        .collect();
    sums.reverse();
    let most = sums.iter().copied().max().unwrap_or(0);
    sums.iter()
        .map(|sum| match sum {
            0 => ' ',
            // A bar for the least, too.
            _ => HEIGHTS[((sum * 8).div_ceil(most).max(1) - 1).min(7) as usize],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_numbers_are_readable() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 30), "5.0 GiB");
        for (number, text) in [
            (0.0, "-"),
            (0.1, "0.1"),
            (12.4, "12"),
            (9_989.0, "9989"),
            (9_999.0, "10.0k"),
            (123_456.0, "123.5k"),
            (1e6, "1.0M"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn those_who_share_a_user_are_told_apart() {
        let row = PrincipalRow {
            user: Some("app".to_owned()),
            more: [("tags".to_owned(), "user=ann".to_owned())].into(),
            ..PrincipalRow::default()
        };
        assert_eq!(User.cell(&row, 16), "app user=ann    ");
        assert_eq!(User.cell(&row, 10), "app user=…");
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn bars_and_lines_fill_their_width() {
        assert_eq!(bar(0.0, 10), "        0%");
        assert_eq!(bar(0.5, 10), "██▌    50%");
        assert_eq!(bar(1.0, 10), "█████ 100%");
        assert_eq!(bar(12.3, 10), "█████1230%");
        assert_eq!(sparkline(&[0, 1, 4, 8], 4), " ▁▄█");
        assert_eq!(sparkline(&[0, 0, 7, 1, 4, 4], 3), " ██");
        assert_eq!(sparkline(&[0; 60], 12), " ".repeat(12));
        for share in 0..150 {
            assert_eq!(bar(f64::from(share) / 100.0, 10).chars().count(), 10);
        }
    }

    #[test]
    fn every_screen_is_filled_and_none_overfilled() {
        for width in 80..300 {
            let columns = of_screen(width);
            let all: usize = columns.iter().map(|(_, width)| width + 1).sum();
            assert!(all - 1 <= usize::from(width), "{width}: {columns:?}");
            for (column, width) in &columns {
                assert!(column.title().len() <= *width, "{column:?}");
                let cell = column.cell(&PrincipalRow::default(), *width);
                assert_eq!(cell.chars().count(), *width, "{column:?}");
            }
        }
        assert!(of_screen(140).iter().any(|(column, _)| *column == Tables));
    }
}
