//! One principal, and the alerts.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{
    Screen, Tab,
    draw::{ago, first_shown},
};
use crate::{
    console::{
        columns::{bar, cut, size, sparkline},
        protocol::{Amounts, Detail, Level},
    },
    time::Timestamp,
};

/// Limits shown of one principal.
const LIMITS: usize = 4;
/// Lines of a statement's text.
const TEXT: u16 = 3;

impl Screen {
    pub(super) fn principal(&self, frame: &mut Frame<'_>, area: Rect) {
        let Some(detail) = self.detail() else {
            let text = if self.snapshot.time == 0 || self.trouble.is_some() {
                "waiting for the sensor …"
            } else {
                "…"
            };
            frame.render_widget(Paragraph::new(Line::styled(text, self.dim())), area);
            return;
        };
        let limits = detail.levels.len().clamp(1, LIMITS) as u16;
        let [who, levels, tabs, list, text] = Layout::vertical([
            Constraint::Length(3),
            Constraint::Length(limits),
            Constraint::Length(1),
            Constraint::Min(4),
            Constraint::Length(if self.tab == Tab::Statements { TEXT } else { 0 }),
        ])
        .areas(area);
        self.who(frame, who, detail);
        let lines: Vec<Line<'_>> = match &*detail.levels {
            [] => vec![Line::styled(
                "no limit holds for it, or nothing counts yet",
                self.dim(),
            )],
            levels => levels
                .iter()
                .take(LIMITS)
                .map(|level| {
                    Line::styled(described(level, usize::from(area.width)), self.level(level))
                })
                .collect(),
        };
        frame.render_widget(Paragraph::new(lines), levels);
        self.tabs(frame, tabs, detail);
        let lines = match self.tab {
            Tab::Tables => self.tables(detail, list),
            Tab::Statements => self.statements(detail, list),
            Tab::Sessions => self.sessions(detail, list),
        };
        frame.render_widget(Paragraph::new(lines), list);
        if let (Tab::Statements, Some(row)) = (self.tab, detail.statements.get(self.line)) {
            let text_of = Paragraph::new(row.text.as_str()).wrap(Wrap { trim: true });
            frame.render_widget(text_of, text);
        }
    }

    fn who(&self, frame: &mut Frame<'_>, area: Rect, detail: &Detail) {
        let row = &detail.principal;
        let mut who = format!("user {}", row.shown_user());
        for (what, name) in [
            ("as role", &row.role),
            ("OS user", &row.os_user),
            ("logged in as", &row.login_user),
        ] {
            if let Some(name) = name {
                who += &format!(" · {what} {name}");
            }
        }
        for (what, value) in &row.more {
            who += &format!(" · {what} {value}");
        }
        who += &format!(" · from {} · server {}", row.client, row.server);
        let mark = if row.streaming > 0 {
            format!(" (~{} of them streaming)", row.streaming)
        } else {
            String::new()
        };
        let much = format!(
            "{} rows returned, {} written{mark} · {} · {} queries · {:.1} % understood",
            row.amounts.rows_returned,
            row.amounts.rows_written,
            size(row.amounts.bytes_sent),
            row.amounts.queries,
            (detail.understood * 1000.0).floor() / 10.0,
        );
        let width = usize::from(area.width);
        let minute = format!(
            "{:.1} rows/s · last minute {} · seen {} ago",
            row.rows_per_second,
            sparkline(&row.recent, 30),
            ago(self.snapshot.time.saturating_sub(row.seen)),
        );
        let lines = vec![
            Line::styled(cut(&who, width), self.title()),
            Line::raw(cut(&much, width)),
            Line::raw(minute),
        ];
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn tabs(&self, frame: &mut Frame<'_>, area: Rect, detail: &Detail) {
        let mut spans = Vec::new();
        for (tab, name) in [
            (Tab::Tables, "1 tables"),
            (Tab::Statements, "2 statements"),
            (Tab::Sessions, "3 sessions"),
        ] {
            let text = format!(" {name} ({}) ", tab.rows(detail));
            let line = self.marked(Line::raw(""), tab == self.tab);
            spans.push(Span::styled(text, line.style));
            spans.push(Span::raw(" "));
        }
        frame.render_widget(Paragraph::new(Line::from(spans)), area);
    }

    /// A title and the lines around the marked one.
    fn list<'a, T>(
        &self,
        title: &'a str,
        rows: &[T],
        area: Rect,
        line: impl Fn(&T) -> String,
    ) -> Vec<Line<'a>> {
        let room = usize::from(area.height).saturating_sub(1);
        let mut lines = vec![Line::styled(title, self.title())];
        let marked = self.line.min(rows.len().saturating_sub(1));
        let shown = rows
            .iter()
            .enumerate()
            .skip(first_shown(marked, room))
            .take(room);
        lines.extend(shown.map(|(at, row)| {
            let width = usize::from(area.width);
            let text = format!("{:<width$}", cut(&line(row), width));
            self.marked(Line::raw(text), at == marked)
        }));
        lines
    }

    fn tables(&self, detail: &Detail, area: Rect) -> Vec<Line<'static>> {
        let title = "        ROWS      BYTES   QUERIES  DATABASE         OPERATION  TABLES";
        self.list(title, &detail.tables, area, |row| {
            let table = if row.operation.is_empty() {
                "(outside any statement)"
            } else {
                &row.table
            };
            format!(
                "{}  {:<16} {:<10} {table}",
                numbers(&row.amounts),
                cut(&row.database, 16),
                cut(&row.operation, 10)
            )
        })
    }

    fn statements(&self, detail: &Detail, area: Rect) -> Vec<Line<'static>> {
        let title = "        ROWS      BYTES   QUERIES  STATEMENT";
        self.list(title, &detail.statements, area, |row| {
            let what = match (&*row.text, &*row.summary) {
                ("", "") => "(outside any statement)",
                ("", summary) => summary,
                (text, _) => text,
            };
            format!("{}  {what}", numbers(&row.amounts))
        })
    }

    fn sessions(&self, detail: &Detail, area: Rect) -> Vec<Line<'static>> {
        let title = "OPEN FOR  SERVER PID  DATABASE         CLIENT";
        let now = self.snapshot.time;
        self.list(title, &detail.sessions, area, |row| {
            let mut client = String::new();
            if !row.program.is_empty() {
                client += &row.program;
            }
            if let Some(pid) = row.client_pid {
                client += &format!(" (pid {pid})");
            }
            if row.client_port > 0 {
                client += &format!(" port {}", row.client_port);
            }
            if !row.application.is_empty() {
                client += &format!(" application {}", row.application);
            }
            format!(
                "{:>8}  {:>10}  {:<16} {}",
                ago(now.saturating_sub(row.since)),
                row.server_pid,
                cut(&row.database, 16),
                client.trim_start()
            )
        })
    }

    pub(super) fn alerts(&self, frame: &mut Frame<'_>, area: Rect) {
        let alerts = &self.snapshot.alerts;
        if alerts.is_empty() {
            let line = Line::styled("no alert since the sensor began", self.dim());
            frame.render_widget(Paragraph::new(line), area);
            return;
        }
        let [list, text] = Layout::vertical([Constraint::Fill(2), Constraint::Fill(3)]).areas(area);
        let width = usize::from(area.width);
        let marked = self.alert_line();
        let room = usize::from(list.height).saturating_sub(1);
        let mut lines = vec![Line::styled("TIME (UTC)  SEVERITY  ALERT", self.title())];
        let shown = alerts
            .iter()
            .enumerate()
            .skip(first_shown(marked, room))
            .take(room);
        lines.extend(shown.map(|(at, row)| {
            let time = Timestamp(row.time.saturating_mul(1_000_000)).to_string();
            let text = format!(
                "{:<10}  {:<8}  {}: {}",
                time.get(11..19).unwrap_or_default(),
                row.severity,
                row.name,
                row.headline
            );
            let line = Line::styled(cut(&text, width), self.severity(&row.severity));
            self.marked(line, at == marked)
        }));
        frame.render_widget(Paragraph::new(lines), list);
        let whole = self.snapshot.alert.as_deref().unwrap_or_default();
        frame.render_widget(Paragraph::new(whole).wrap(Wrap { trim: false }), text);
    }
}

fn numbers(amounts: &Amounts) -> String {
    format!(
        "{:>12} {:>10} {:>9}",
        amounts.rows(),
        size(amounts.bytes_sent),
        amounts.queries
    )
}

/// Name, bar and numbers of a limit in one line.
fn described(level: &Level, width: usize) -> String {
    let name = match &level.table {
        Some(table) => format!("{} {table}", level.threshold),
        None => level.threshold.clone(),
    };
    let amount = |amount: u64| match &*level.measure {
        "bytes" => size(amount),
        _ => amount.to_string(),
    };
    let window = match level.window {
        0 => "one statement".to_owned(),
        seconds => ago(seconds * 1000),
    };
    let unit = if level.measure == "bytes" {
        ""
    } else {
        &level.measure
    };
    let numbers = format!(
        "{} of {} {unit} in {window}",
        amount(level.used),
        amount(level.limit)
    );
    let numbers = numbers.replace("  ", " ");
    let room = width
        .saturating_sub(22 + numbers.chars().count() + 2)
        .max(8);
    format!(
        "{:<20}  {} {numbers}",
        cut(&name, 20),
        bar(level.share(), room)
    )
}
