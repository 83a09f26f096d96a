use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::console::protocol::{
    AlertRow, Amounts, Level, PrincipalRow, Sensor, SessionRow, StatementRow, TableRow,
};

fn row(id: u32, user: &str, rows: u64) -> PrincipalRow {
    PrincipalRow {
        id,
        user: Some(user.to_owned()),
        client: "10.1.2.3".to_owned(),
        server: "15/main:5432".to_owned(),
        amounts: Amounts {
            rows_returned: rows,
            bytes_sent: rows * 100,
            queries: rows / 2,
            ..Amounts::default()
        },
        rows_per_second: rows as f64 / 10.0,
        recent: (0..60).collect(),
        nearest: Some(Level {
            threshold: "bulk-read".to_owned(),
            severity: "critical".to_owned(),
            measure: "rows".to_owned(),
            table: None,
            used: rows,
            limit: 1000,
            window: 600,
        }),
        seen: 1_000_000_000_000,
        ..PrincipalRow::default()
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        time: 1_000_000_060_000,
        sensor: Sensor {
            host: "db1".to_owned(),
            since: 1_000_000_000_000,
            servers: vec!["15/main:5432".to_owned()],
            connections: 3,
            principals: 30,
            alerts: 1,
            understood: 0.9996,
            lost_detail: 0,
        },
        matching: 30,
        principals: (0..30)
            .map(|id| row(id, &format!("user{id}"), u64::from(1200 - id * 40)))
            .collect(),
        alerts: vec![AlertRow {
            id: "A1".to_owned(),
            time: 1_000_000_050_000,
            severity: "critical".to_owned(),
            name: "bulk-read".to_owned(),
            principal: 7,
            user: Some("user7".to_owned()),
            headline: "user7 accessed 1200 rows in 10 min (limit 1000 rows)".to_owned(),
        }],
        ..Snapshot::default()
    }
}

struct Bench {
    screen: Screen,
    terminal: Terminal<TestBackend>,
}

impl Bench {
    fn new(width: u16, height: u16) -> Self {
        let mut screen = Screen::new(Sort::Rate, String::new(), true);
        screen.update(Ok(snapshot()));
        Self {
            screen,
            terminal: Terminal::new(TestBackend::new(width, height)).expect("a terminal"),
        }
    }

    fn keys(&mut self, keys: &[KeyCode]) -> Step {
        let mut step = Step::Draw;
        for key in keys {
            step = self.screen.key(KeyEvent::from(*key));
        }
        step
    }

    /// What is on the screen, line by line.
    fn lines(&mut self) -> Vec<String> {
        let screen = &self.screen;
        self.terminal
            .draw(|frame| screen.draw(frame))
            .expect("drawn");
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let cells: Vec<&str> = buffer
            .content
            .iter()
            .map(ratatui::buffer::Cell::symbol)
            .collect();
        cells
            .chunks(width)
            .map(|line| line.concat().trim_end().to_owned())
            .collect()
    }

    fn holds(&mut self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }
}

#[test]
fn all_that_matters_is_on_a_small_screen() {
    let mut bench = Bench::new(80, 24);
    let lines = bench.lines();
    let all = lines.join("\n");
    for (line, words) in [
        (
            0,
            "db1 · up 1m00s · 15/main:5432 · 3 connections · 99.9 % understood",
        ),
        (1, "alerts: 1, last 10s ago: user7 accessed"),
        (
            2,
            "USER          CLIENT          ROWS/S       ROWS     BYTES LIMIT      LAST MINUTE",
        ),
        (
            3,
            "user0         10.1.2.3           120       1200 117.1 KiB",
        ),
        (3, "█████ 120%"),
        (22, "30 of 30 principals by rows/s"),
        (
            23,
            "↑↓ mark  ⏎ open  s sort  r reverse  / filter  a alerts  p pause  ? help  q quit",
        ),
    ] {
        assert!(lines[line].contains(words), "{words}, line {line}:\n{all}");
    }
    assert!(lines[21].starts_with("user18 "), "{all}");
    assert!(Bench::new(140, 40).holds("QUERIES"));
}

#[test]
fn a_terminal_that_is_too_small_says_how_large_it_must_be() {
    assert!(Bench::new(60, 24).holds("sensor top needs 80×20"));
    assert!(Bench::new(100, 10).holds("this terminal has 100×10"));
}

#[test]
fn the_mark_stays_with_its_principal_when_the_order_changes() {
    let mut bench = Bench::new(80, 24);
    bench.keys(&[KeyCode::Down, KeyCode::Down]);
    assert_eq!(bench.screen.marked, Some(2));
    let mut turned = snapshot();
    turned.principals.reverse();
    bench.screen.update(Ok(turned));
    assert_eq!(bench.screen.marked_line(), 27);
    assert!(bench.holds("user2 "), "it is scrolled to");
    bench.keys(&[KeyCode::End, KeyCode::PageUp]);
    assert_eq!(bench.screen.marked, Some(10));
    bench.keys(&[KeyCode::Home, KeyCode::Up]);
    assert_eq!(bench.screen.marked, Some(29));
}

#[test]
fn order_and_filter_are_what_the_sensor_is_asked_for() {
    let mut bench = Bench::new(80, 24);
    assert_eq!(bench.keys(&[KeyCode::Char('s')]), Step::Ask);
    assert_eq!(bench.screen.request().sort, Sort::Rows);
    bench.keys(&[KeyCode::Char('S'), KeyCode::Char('S'), KeyCode::Char('r')]);
    let request = bench.screen.request();
    assert_eq!((request.sort, request.reverse), (Sort::User, true));
    let typed: Vec<_> = "/annq".chars().map(KeyCode::Char).collect();
    assert_eq!(bench.keys(&typed), Step::Ask);
    assert!(bench.holds("filter: annq█"));
    bench.keys(&[KeyCode::Backspace, KeyCode::Enter]);
    assert_eq!(bench.screen.request().filter, "ann");
    assert!(bench.holds("by user, least first, with `ann`"));
    // What is typed and dropped changes nothing.
    bench.keys(&[KeyCode::Char('/'), KeyCode::Char('x'), KeyCode::Esc]);
    assert_eq!(bench.screen.request().filter, "ann");
    bench.keys(&[KeyCode::Esc]);
    assert_eq!(bench.screen.request().filter, "");
    assert_eq!(bench.keys(&[KeyCode::Char('q')]), Step::Quit);
}

#[test]
fn one_principal_is_opened_with_its_limits_tables_statements_and_sessions() {
    let mut bench = Bench::new(80, 24);
    assert_eq!(bench.keys(&[KeyCode::Down, KeyCode::Enter]), Step::Ask);
    assert_eq!(bench.screen.request().principal, Some(1));
    let mut full = snapshot();
    full.detail = Some(Detail {
        principal: row(1, "user1", 1160),
        levels: vec![row(1, "", 600).nearest.expect("a level")],
        tables: vec![TableRow {
            database: "support".to_owned(),
            table: "customers,tickets".to_owned(),
            operation: "SELECT".to_owned(),
            amounts: Amounts::default(),
        }],
        statements: vec![StatementRow {
            summary: "SELECT customers".to_owned(),
            text: format!("SELECT {} FROM customers", "name, ".repeat(30)),
            amounts: Amounts::default(),
        }],
        sessions: vec![SessionRow {
            program: "psql".to_owned(),
            client_pid: Some(77),
            server_pid: 88,
            since: 1_000_000_000_000,
            ..SessionRow::default()
        }],
        understood: 1.0,
    });
    bench.screen.update(Ok(full));
    for text in [
        "user user1 · from 10.1.2.3 · server 15/main:5432",
        "bulk-read",
        "600 of 1000 rows in 10m00s",
        "60%",
        "support          SELECT     customers,tickets",
    ] {
        assert!(bench.holds(text), "{text}:\n{}", bench.lines().join("\n"));
    }
    bench.keys(&[KeyCode::Tab]);
    assert!(bench.holds("FROM customers"), "the whole text is below");
    bench.keys(&[KeyCode::Tab]);
    assert!(bench.holds("psql (pid 77)") && bench.holds("1m00s          88"));
    bench.keys(&[KeyCode::Esc]);
    assert_eq!(bench.screen.request().principal, None);
    assert!(bench.holds("user1 "));
}

#[test]
fn alerts_are_read_and_lead_to_whom_they_are_about() {
    let mut bench = Bench::new(80, 24);
    assert_eq!(bench.keys(&[KeyCode::Char('a')]), Step::Ask);
    assert_eq!(bench.screen.request().alert.as_deref(), Some("A1"));
    let mut full = snapshot();
    full.alert = Some("ALERT CRITICAL bulk-read\n  who    user7".to_owned());
    bench.screen.update(Ok(full));
    for text in ["critical  bulk-read: user7 accessed", "  who    user7"] {
        assert!(bench.holds(text), "{text}:\n{}", bench.lines().join("\n"));
    }
    bench.keys(&[KeyCode::Enter]);
    assert_eq!(bench.screen.request().principal, Some(7));
    bench.keys(&[KeyCode::Esc]);
    assert_eq!(bench.screen.view, View::Alerts);
}

#[test]
fn trouble_and_a_held_picture_are_said() {
    let mut bench = Bench::new(80, 24);
    bench.keys(&[KeyCode::Char('p')]);
    bench.screen.update(Ok(Snapshot::default()));
    assert!(bench.holds("user0 ") && bench.holds("HELD"));
    bench.screen.update(Err("the sensor has ended".to_owned()));
    assert!(bench.holds("the sensor has ended") && bench.holds("user0 "));
    bench.keys(&[KeyCode::Char('p')]);
    bench.screen.update(Ok(Snapshot::default()));
    assert!(bench.holds("waiting for the sensor"));
    bench.keys(&[KeyCode::Char('?')]);
    assert!(bench.holds("mark a line (also k, j, g, G)"));
}
