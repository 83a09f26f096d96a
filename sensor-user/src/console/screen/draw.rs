//! The frame around each picture, and the principals.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use super::{SMALLEST, Screen, View};
use crate::console::{
    columns::{Column, cut, of_screen, short, size},
    protocol::Level,
};

/// What the keys do, on the last line.
const KEYS: [(View, &str); 2] = [
    (
        View::Principals,
        "↑↓ mark  ⏎ open  s sort  r reverse  / filter  a alerts  p pause  ? help  q quit",
    ),
    (
        View::Alerts,
        "↑↓ mark  ⏎ who it was  esc back  p pause  ? help  q quit",
    ),
];
const KEYS_OF_ONE: &str =
    "↑↓ mark  tab tables/statements/sessions  esc back  a alerts  p pause  q quit";

const HELP: &str = "\
↑ ↓ PgUp PgDn Home End   mark a line (also k, j, g, G)
Enter                    open what is marked
Esc, Backspace           back; on the first picture: filter off
s, S                     sort by the next, the previous column
r                        reverse the order
/                        filter: users, client, server, tables
tab, 1, 2, 3             tables, statements, sessions of one
a                        alerts
p, blank                 hold the picture; again: go on
q, Ctrl-C                end

~ rows are an estimate: they are still streaming
LIMIT is the window nearest to its limit; the sparkline's
highest bar is the principal's own highest.";

impl Screen {
    /// Draws everything.
    pub fn draw(&self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let (columns, rows) = SMALLEST;
        if area.width < columns || area.height < rows {
            let text = format!(
                "sensor top needs {columns}×{rows}\nthis terminal has {}×{}",
                area.width, area.height
            );
            frame.render_widget(Paragraph::new(text).alignment(Alignment::Center), area);
            return;
        }
        let [head, body, status, keys] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Min(5),
            Constraint::Length(1),
            Constraint::Length(1),
        ])
        .areas(area);
        self.head(frame, head);
        match self.view {
            View::Principals => self.principals(frame, body),
            View::Principal(_) => self.principal(frame, body),
            View::Alerts => self.alerts(frame, body),
        }
        frame.render_widget(Paragraph::new(self.status()), status);
        let text = KEYS
            .iter()
            .find(|(view, _)| *view == self.view)
            .map_or(KEYS_OF_ONE, |(_, text)| text);
        frame.render_widget(Paragraph::new(Line::styled(text, self.dim())), keys);
        if self.help {
            help(frame, area);
        }
    }

    /// What watches, and how much goes by.
    fn head(&self, frame: &mut Frame<'_>, area: Rect) {
        let snapshot = &self.snapshot;
        let sensor = &snapshot.sensor;
        let servers = match &*sensor.servers {
            [] => "no server".to_owned(),
            [one] => one.clone(),
            more => format!("{} servers", more.len()),
        };
        let width = usize::from(area.width);
        let first = format!(
            "{} · up {} · {servers} · {} connections · {:.1} % understood",
            if sensor.host.is_empty() {
                "sensor"
            } else {
                &sensor.host
            },
            ago(snapshot.time.saturating_sub(sensor.since)),
            sensor.connections,
            // Never rounded up to what it is not.
            (sensor.understood * 1000.0).floor() / 10.0,
        );
        let mut second = vec![Span::raw(format!(
            "{} rows/s · {} rows · {} · {} queries",
            short(snapshot.rows_per_second),
            short(snapshot.total.rows() as f64),
            size(snapshot.total.bytes_sent),
            short(snapshot.total.queries as f64),
        ))];
        if let Some(alert) = snapshot.alerts.first() {
            second.push(Span::styled(
                format!(
                    " · alerts: {}, last {} ago: {}",
                    sensor.alerts,
                    ago(snapshot.time.saturating_sub(alert.time)),
                    alert.headline
                ),
                self.severity(&alert.severity),
            ));
        }
        if sensor.lost_detail > 0 {
            second.push(Span::styled(
                format!(" · {} records lost their time", sensor.lost_detail),
                self.severity("warning"),
            ));
        }
        let lines = vec![Line::raw(cut(&first, width)), Line::from(second)];
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn principals(&self, frame: &mut Frame<'_>, area: Rect) {
        let columns = of_screen(area.width);
        let titles: Vec<String> = columns
            .iter()
            .map(|(column, width)| column.fitted(column.title(), *width))
            .collect();
        let mut lines = vec![Line::styled(titles.join(" "), self.title())];
        let rows = &self.snapshot.principals;
        let marked = self.marked_line();
        let room = usize::from(area.height).saturating_sub(1);
        for (at, row) in rows
            .iter()
            .enumerate()
            .skip(first_shown(marked, room))
            .take(room)
        {
            let mut spans = Vec::new();
            for (column, width) in &columns {
                let style = match (column, &row.nearest) {
                    (Column::Limit, Some(level)) => self.level(level),
                    (Column::Minute, _) => self.colour(Color::Cyan),
                    _ => Style::new(),
                };
                spans.push(Span::styled(column.cell(row, *width), style));
                spans.push(Span::raw(" "));
            }
            lines.push(self.marked(Line::from(spans), at == marked));
        }
        if rows.is_empty() {
            let text = if self.snapshot.time == 0 {
                "waiting for the sensor …"
            } else if self.request().filter.is_empty() {
                "nobody has done anything yet"
            } else {
                "nobody whom this filter leaves"
            };
            lines.push(Line::styled(text, self.dim()));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    /// What is sorted and filtered, and what is wrong.
    fn status(&self) -> Line<'_> {
        if let Some(trouble) = &self.trouble {
            return Line::styled(trouble.as_str(), self.severity("critical"));
        }
        if let Some(typed) = &self.typing {
            return Line::from(vec![
                Span::raw("filter: "),
                Span::raw(typed.as_str()),
                Span::styled("█", self.dim()),
                Span::styled("  (⏎ keep, esc drop)", self.dim()),
            ]);
        }
        let mut text = match self.view {
            View::Principals => format!(
                "{} of {} principals by {}{}",
                self.snapshot.principals.len(),
                self.snapshot.matching,
                self.sort.as_str(),
                if self.reverse { ", least first" } else { "" },
            ),
            View::Principal(_) => String::new(),
            View::Alerts => format!(
                "alerts since the start: {}, here: {}",
                self.snapshot.sensor.alerts,
                self.snapshot.alerts.len()
            ),
        };
        if !self.filter.is_empty() && self.view == View::Principals {
            text += &format!(", with `{}`", self.filter);
        }
        if self.paused {
            text += "  HELD (p goes on)";
        }
        Line::raw(text)
    }

    pub(super) fn marked<'a>(&self, line: Line<'a>, marked: bool) -> Line<'a> {
        if marked {
            line.style(Style::new().add_modifier(Modifier::REVERSED))
        } else {
            line
        }
    }

    pub(super) fn title(&self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn colour(&self, colour: Color) -> Style {
        if self.coloured {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    pub(super) fn severity(&self, severity: &str) -> Style {
        match severity {
            "critical" => self.colour(Color::Red).add_modifier(Modifier::BOLD),
            "warning" => self.colour(Color::Yellow),
            _ => self.colour(Color::Blue),
        }
    }

    /// By how near it is: half is worth a look, all of it is an alert.
    pub(super) fn level(&self, level: &Level) -> Style {
        match level.share() {
            share if share > 1.0 => self.severity(&level.severity).add_modifier(Modifier::BOLD),
            share if share > 0.5 => self.colour(Color::Yellow),
            _ => self.colour(Color::Green),
        }
    }
}

/// The first line that is shown, so that the marked one is.
pub(super) fn first_shown(marked: usize, room: usize) -> usize {
    (marked + 1).saturating_sub(room)
}

/// A time span as people say it.
pub(super) fn ago(millis: u64) -> String {
    match millis / 1000 {
        s if s < 60 => format!("{s}s"),
        s if s < 3600 => format!("{}m{:02}s", s / 60, s % 60),
        s if s < 86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        s => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let [_, row, _] = Layout::vertical([
        Constraint::Fill(1),
        Constraint::Length(16),
        Constraint::Fill(1),
    ])
    .areas(area);
    let [_, popup, _] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(64),
        Constraint::Fill(1),
    ])
    .areas(row);
    frame.render_widget(Clear, popup);
    frame.render_widget(
        Paragraph::new(HELP).block(Block::bordered().title(" keys ")),
        popup,
    );
}
