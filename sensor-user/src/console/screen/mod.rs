//! `sensor top`: what is shown and how keys change it. Knows nothing of sockets and clocks; [`Screen::draw`] draws on any of
//! ratatui's backends.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::protocol::{Detail, MOST_PRINCIPALS, Request, Snapshot, Sort, VERSION};

mod draw;
mod views;

/// The smallest terminal in which all that matters has a place.
pub const SMALLEST: (u16, u16) = (80, 20);
/// Lines that a page moves by.
const PAGE: usize = 10;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Draw again.
    Draw,
    /// Draw again, and ask the sensor at once.
    Ask,
    /// End.
    Quit,
}

/// Which picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// All principals.
    Principals,
    /// One of them.
    Principal(u32),
    /// Alerts.
    Alerts,
}

/// The lists of one principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tab {
    Tables,
    Statements,
    Sessions,
}

impl Tab {
    const ALL: [Self; 3] = [Self::Tables, Self::Statements, Self::Sessions];

    fn next(self, back: bool) -> Self {
        let at = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        let step = if back { Self::ALL.len() - 1 } else { 1 };
        Self::ALL[(at + step) % Self::ALL.len()]
    }

    fn rows(self, detail: &Detail) -> usize {
        match self {
            Self::Tables => detail.tables.len(),
            Self::Statements => detail.statements.len(),
            Self::Sessions => detail.sessions.len(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Screen {
    snapshot: Snapshot,
    /// Why there is nothing newer.
    trouble: Option<String>,
    paused: bool,
    help: bool,
    sort: Sort,
    reverse: bool,
    filter: String,
    /// A filter that is being typed.
    typing: Option<String>,
    view: View,
    /// Where [`View::Principal`] came from.
    before: View,
    tab: Tab,
    /// The principal that is marked: the mark stays with it when the order changes.
    marked: Option<u32>,
    /// The line that is marked in lists that have no names.
    line: usize,
    /// The alert that is marked.
    alert: Option<String>,
    coloured: bool,
}

impl Screen {
    /// With an order and a filter to begin with.
    pub fn new(sort: Sort, filter: String, coloured: bool) -> Self {
        Self {
            snapshot: Snapshot::default(),
            trouble: None,
            paused: false,
            help: false,
            sort,
            reverse: false,
            filter,
            typing: None,
            view: View::Principals,
            before: View::Principals,
            tab: Tab::Tables,
            marked: None,
            line: 0,
            alert: None,
            coloured,
        }
    }

    /// What is to be asked for now.
    pub fn request(&self) -> Request {
        Request {
            version: VERSION,
            sort: self.sort,
            reverse: self.reverse,
            filter: self.typing.as_ref().unwrap_or(&self.filter).clone(),
            limit: MOST_PRINCIPALS / 2,
            principal: match self.view {
                View::Principal(id) => Some(id),
                _ => None,
            },
            alert: match self.view {
                View::Alerts => self
                    .snapshot
                    .alerts
                    .get(self.alert_line())
                    .map(|row| row.id.clone()),
                _ => None,
            },
        }
    }

    /// The sensor's state, or why there is none.
    pub fn update(&mut self, news: Result<Snapshot, String>) {
        match news {
            Ok(snapshot) => {
                self.trouble = None;
                if !self.paused {
                    self.snapshot = snapshot;
                }
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Step {
        if key.kind == KeyEventKind::Release {
            return Step::Draw;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c' | 'd') => Step::Quit,
                KeyCode::Char('l') => Step::Ask,
                _ => Step::Draw,
            };
        }
        if self.help {
            self.help = false;
            return Step::Draw;
        }
        if let Some(typed) = self.typing.take() {
            return self.type_filter(typed, key.code);
        }
        match key.code {
            KeyCode::Char('q') => Step::Quit,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => self.back(),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => {
                self.help = true;
                Step::Draw
            }
            KeyCode::Char('p' | ' ') => {
                self.paused = !self.paused;
                Step::Ask
            }
            KeyCode::Char('a') => {
                self.view = match self.view {
                    View::Alerts => View::Principals,
                    _ => View::Alerts,
                };
                self.mark_alert(0);
                Step::Ask
            }
            KeyCode::Up | KeyCode::Char('k') => self.mark(|at| at.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.mark(|at| at + 1),
            KeyCode::PageUp => self.mark(|at| at.saturating_sub(PAGE)),
            KeyCode::PageDown => self.mark(|at| at + PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.mark(|_| 0),
            KeyCode::End | KeyCode::Char('G') => self.mark(|_| usize::MAX),
            KeyCode::Enter | KeyCode::Right => self.open(),
            other => match self.view {
                View::Principals => self.key_of_principals(other),
                View::Principal(_) => self.key_of_principal(other),
                View::Alerts => Step::Draw,
            },
        }
    }

    fn key_of_principals(&mut self, key: KeyCode) -> Step {
        match key {
            KeyCode::Char('s') => self.sort = next(self.sort, false),
            KeyCode::Char('S') => self.sort = next(self.sort, true),
            KeyCode::Char('r') => self.reverse = !self.reverse,
            KeyCode::Char('/') => self.typing = Some(self.filter.clone()),
            _ => return Step::Draw,
        }
        Step::Ask
    }

    fn key_of_principal(&mut self, key: KeyCode) -> Step {
        match key {
            KeyCode::Tab => self.tab = self.tab.next(false),
            KeyCode::BackTab => self.tab = self.tab.next(true),
            KeyCode::Char('1') => self.tab = Tab::Tables,
            KeyCode::Char('2') => self.tab = Tab::Statements,
            KeyCode::Char('3') => self.tab = Tab::Sessions,
            _ => return Step::Draw,
        }
        self.line = 0;
        Step::Draw
    }

    /// A key while the filter is typed; each changes what is shown.
    fn type_filter(&mut self, mut typed: String, key: KeyCode) -> Step {
        match key {
            KeyCode::Enter => {
                self.filter = typed;
                return Step::Ask;
            }
            KeyCode::Esc => return Step::Ask,
            KeyCode::Backspace => {
                typed.pop();
            }
            // A request has an end.
            KeyCode::Char(letter) if typed.len() < 100 => typed.push(letter),
            _ => {}
        }
        self.typing = Some(typed);
        Step::Ask
    }

    /// One picture back; from the first, the filter goes.
    fn back(&mut self) -> Step {
        match self.view {
            View::Principal(_) => self.view = self.before,
            View::Alerts => self.view = View::Principals,
            View::Principals => self.filter.clear(),
        }
        Step::Ask
    }

    /// What is marked.
    fn open(&mut self) -> Step {
        let id = match self.view {
            View::Principals => self
                .snapshot
                .principals
                .get(self.marked_line())
                .map(|row| row.id),
            View::Alerts => self
                .snapshot
                .alerts
                .get(self.alert_line())
                .map(|row| row.principal),
            View::Principal(_) => None,
        };
        let Some(id) = id else { return Step::Draw };
        self.before = self.view;
        self.view = View::Principal(id);
        self.line = 0;
        self.snapshot.detail = None;
        Step::Ask
    }

    /// Moves the mark.
    fn mark(&mut self, to: impl Fn(usize) -> usize) -> Step {
        let within = |to: usize, rows: usize| to.min(rows.saturating_sub(1));
        match self.view {
            View::Principals => {
                let to = within(to(self.marked_line()), self.snapshot.principals.len());
                self.marked = self.snapshot.principals.get(to).map(|row| row.id);
                Step::Draw
            }
            View::Principal(_) => {
                let rows = self.detail().map_or(0, |detail| self.tab.rows(detail));
                self.line = within(to(self.line), rows);
                Step::Draw
            }
            View::Alerts => {
                let to = within(to(self.alert_line()), self.snapshot.alerts.len());
                self.mark_alert(to);
                Step::Ask
            }
        }
    }

    fn mark_alert(&mut self, line: usize) {
        self.alert = self.snapshot.alerts.get(line).map(|row| row.id.clone());
        self.snapshot.alert = None;
    }

    fn marked_line(&self) -> usize {
        let of = |id| {
            let mut rows = self.snapshot.principals.iter();
            rows.position(|row| row.id == id)
        };
        self.marked.and_then(of).unwrap_or(0)
    }

    fn alert_line(&self) -> usize {
        let marked = self.alert.as_deref();
        let mut rows = self.snapshot.alerts.iter();
        rows.position(|row| Some(&*row.id) == marked).unwrap_or(0)
    }

    /// Everything of the principal that is open, once it has come.
    fn detail(&self) -> Option<&Detail> {
        let View::Principal(id) = self.view else {
            return None;
        };
        let detail = self.snapshot.detail.as_ref();
        detail.filter(|detail| detail.principal.id == id)
    }
}

fn next(sort: Sort, back: bool) -> Sort {
    let at = Sort::ALL.iter().position(|one| *one == sort).unwrap_or(0);
    let step = if back { Sort::ALL.len() - 1 } else { 1 };
    Sort::ALL[(at + step) % Sort::ALL.len()]
}

#[cfg(test)]
mod tests;
