//! The threshold lane: hard limits, judged while rows stream.

use std::{sync::Arc, time::Duration};

use rustc_hash::FxHashMap;

use super::{Alert, Measure, StatementShare};
pub use crate::config::tables::TableSizes;
use crate::{
    config::threshold::{Limit, Selector, Threshold, Window},
    principal::{ConnectionId, Principal, PrincipalId},
    time::Timestamp,
    volume::{Access, AccessKind},
};

mod buckets;
mod classes;
pub mod id;
mod levels;
pub mod recall;
mod window;

use classes::Classes;
pub use levels::Level;
use window::Sliding;

/// All thresholds and their windows.
#[derive(Debug)]
pub struct ThresholdLane {
    rules: Vec<Threshold>,
    /// Principals and shapes that all selectors treat alike: globs are matched once for each.
    classes: Classes,
    /// Which rules an access falls under, by classes of principal and shape and by database.
    matches: FxHashMap<(u32, u32, Arc<str>), Arc<[Match]>>,
    /// Apart: there are hundreds of thousands of them, and a table is as large as twice its entries.
    states: FxHashMap<StateKey, Box<State>>,
    /// Windows that hold an estimate of each connection's streaming rows.
    streaming: FxHashMap<ConnectionId, Vec<StateKey>>,
    max_states: usize,
    seed: u64,
    raised: u64,
    /// Windows given up because there were too many.
    pub evicted: u64,
}

/// A rule that an access falls under.
#[derive(Debug)]
struct Match {
    rule: usize,
    /// For a share of a table: that table, and a window for it alone.
    table: Option<Arc<str>>,
    /// Exceptions that let it off, until then.
    excused_until: Timestamp,
}

/// What a window is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StateKey {
    rule: usize,
    principal: PrincipalId,
    table: Option<Arc<str>>,
    /// For limits of a single statement: the connection it runs on, and its shape, since several portals may be open.
    statement: Option<(ConnectionId, u32)>,
}

#[derive(Debug)]
struct State {
    window: Sliding,
    /// Estimated rows in flight, by connection.
    in_flight: Vec<(ConnectionId, u64)>,
    /// Time and amount of the last alert.
    alerted: Option<(Timestamp, u64)>,
    /// Somebody has said so of the last one.
    silence: Option<Silence>,
    /// What it was held against last; a share is that of a table's size.
    limit: u64,
}

/// What alerts are not to be told of: those of this amount, until then; `None` bounds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The highest amount.
    pub up_to: Option<u64>,
    /// The end.
    pub until: Option<Timestamp>,
}

impl Silence {
    /// Does it hold for this amount now?
    pub fn holds(&self, now: Timestamp, observed: u64) -> bool {
        self.until.is_none_or(|until| now < until)
            && self.up_to.is_none_or(|up_to| observed <= up_to)
    }
}

/// Matches remembered: classes are few, unless somebody works at it.
const MATCHES: usize = 20_000;
/// An alert is repeated before it is rearmed when the amount has grown this much: another order of magnitude is news.
const ESCALATION: u64 = 10;
/// Statement shapes in an alert.
const STATEMENTS: usize = 5;

impl ThresholdLane {
    /// `max_principals` bounds the windows of each rule; `seed` makes alert ids unique.
    pub fn new(rules: &[Threshold], max_principals: usize, seed: u64) -> Self {
        Self {
            max_states: max_principals.max(1) * rules.len().max(1),
            rules: rules.to_vec(),
            classes: Classes::default(),
            matches: FxHashMap::default(),
            states: FxHashMap::default(),
            streaming: FxHashMap::default(),
            seed,
            raised: 0,
            evicted: 0,
        }
    }

    /// Puts other rules in force. Windows of rules that are the same but for limit, severity and exceptions stay.
    pub fn reconfigure(&mut self, rules: &[Threshold]) {
        let kept: Vec<Option<usize>> = self
            .rules
            .iter()
            .map(|old| {
                rules.iter().position(|new| {
                    new.name == old.name
                        && new.window == old.window
                        && new.measure == old.measure
                        && new.selector == old.selector
                        && std::mem::discriminant(&new.limit) == std::mem::discriminant(&old.limit)
                })
            })
            .collect();
        let renumber = |mut key: StateKey| {
            key.rule = kept[key.rule]?;
            Some(key)
        };
        self.states = std::mem::take(&mut self.states)
            .into_iter()
            .filter_map(|(key, state)| Some((renumber(key)?, state)))
            .collect();
        for keys in self.streaming.values_mut() {
            *keys = std::mem::take(keys)
                .into_iter()
                .filter_map(renumber)
                .collect();
        }
        self.classes = Classes::default();
        self.matches.clear();
        self.rules = rules.to_vec();
    }

    /// How many windows there are.
    pub fn windows(&self) -> usize {
        self.states.len()
    }

    /// Judges one access; alerts are appended.
    pub fn observe(
        &mut self,
        access: &Access<'_>,
        principal: &Principal,
        sizes: &TableSizes,
        alerts: &mut Vec<Alert>,
    ) {
        if !matches!(
            access.kind,
            AccessKind::Streaming { .. } | AccessKind::Overhead
        ) {
            self.landed(access.session.connection);
        }
        for rule_match in self.matching(access, principal).iter() {
            if rule_match.excused_until < access.time {
                self.judge(rule_match, access, sizes, alerts);
            }
        }
    }

    fn matching(&mut self, access: &Access<'_>, principal: &Principal) -> Arc<[Match]> {
        let key = (
            self.classes.principal(&self.rules, access, principal),
            self.classes.shape(&self.rules, access),
            access.session.database.clone(),
        );
        if let Some(found) = self.matches.get(&key) {
            return found.clone();
        }
        if self.matches.len() >= MATCHES {
            self.matches.clear();
        }
        let found: Arc<[Match]> = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| selects(&rule.selector, access, principal))
            .flat_map(|(at, rule)| {
                let excused_until = rule
                    .exceptions
                    .iter()
                    .filter(|exception| selects(&exception.selector, access, principal))
                    .map(|exception| exception.until)
                    .max()
                    .unwrap_or_default();
                let tables: Vec<Option<Arc<str>>> = match rule.limit {
                    Limit::Absolute(_) => vec![None],
                    Limit::Share(_) => access
                        .shape
                        .tables
                        .iter()
                        .filter(|table| rule.selector.table.matches_table(table))
                        .map(|table| Some(table.clone()))
                        .collect(),
                };
                tables.into_iter().map(move |table| Match {
                    rule: at,
                    table,
                    excused_until,
                })
            })
            .collect();
        self.matches.insert(key, found.clone());
        found
    }

    fn judge(
        &mut self,
        rule_match: &Match,
        access: &Access<'_>,
        sizes: &TableSizes,
        alerts: &mut Vec<Alert>,
    ) {
        let rule = &self.rules[rule_match.rule];
        let limit = match (rule.limit, &rule_match.table) {
            (Limit::Absolute(limit), _) => limit,
            (Limit::Share(share), Some(table)) => {
                match sizes.rows(&access.session.database, table) {
                    Some(rows) => part(share, rows),
                    // What was read until the size is known counts once it is.
                    None => u64::MAX,
                }
            }
            (Limit::Share(_), None) => return,
        };
        let (span, statement) = match rule.window {
            Window::Sliding(span) => (span, None),
            Window::Statement => (
                Duration::ZERO,
                Some((access.session.connection, access.shape_id)),
            ),
        };
        let amount = match (rule.measure, access.largest, rule.window) {
            // Of statements that were put together, the largest is the one to judge.
            (Measure::Rows, Some(largest), Window::Statement) => largest.rows,
            (Measure::Bytes, Some(largest), Window::Statement) => largest.bytes_sent,
            (Measure::Queries, Some(_), Window::Statement) => 1,
            (Measure::Rows, ..) => access.volume.rows(),
            (Measure::Bytes, ..) => access.volume.bytes_sent,
            (Measure::Queries, ..) => access.volume.queries,
        };
        let (estimated, lasting) = match (rule.measure, access.kind) {
            (Measure::Rows, AccessKind::Streaming { estimated_rows }) => (estimated_rows, 0),
            (Measure::Rows, AccessKind::Failed { estimated_rows }) => (0, estimated_rows),
            _ => (0, 0),
        };
        let key = StateKey {
            rule: rule_match.rule,
            principal: access.principal,
            table: rule_match.table.clone(),
            statement,
        };
        let ended = statement.is_some()
            && !matches!(
                access.kind,
                AccessKind::Streaming { .. } | AccessKind::Suspended
            );
        if amount + estimated + lasting == 0 {
            if ended {
                self.states.remove(&key);
            }
            return;
        }
        self.make_room(&key, access.time);
        let rule = &self.rules[rule_match.rule];
        let state = self.states.entry(key.clone()).or_insert_with(|| {
            Box::new(State {
                window: Sliding::new(span),
                in_flight: Vec::new(),
                alerted: None,
                silence: None,
                limit,
            })
        });
        state.limit = limit;
        state.window.add(access, amount + lasting);
        if estimated > 0 {
            let connection = access.session.connection;
            match state.in_flight.iter_mut().find(|(of, _)| *of == connection) {
                Some((_, rows)) => *rows = estimated,
                None => {
                    state.in_flight.push((connection, estimated));
                    self.streaming
                        .entry(connection)
                        .or_default()
                        .push(key.clone());
                }
            }
        }
        let estimated: u64 = state.in_flight.iter().map(|(_, rows)| rows).sum();
        let observed = state.window.sum() + estimated;
        // The next time that the limit is crossed is another matter.
        let before = observed.saturating_sub(amount + lasting);
        state.silence = state.silence.filter(|_| before > limit);
        let is_silent = state
            .silence
            .is_some_and(|silence| silence.holds(access.time, observed));
        if observed > limit
            && !is_silent
            && rearmed(state.alerted, access.time, observed, rule.rearm)
        {
            state.alerted = Some((access.time, observed));
            let tables = state.window.tables();
            let share_of_table = tables.first().and_then(|(table, rows)| {
                let size = sizes.rows(&access.session.database, table)?;
                (rule.measure == Measure::Rows).then(|| ratio(rows + estimated, size))
            });
            self.raised += 1;
            alerts.push(Alert {
                id: id::ulid(access.time, self.seed, self.raised),
                time: access.time,
                threshold: rule.name.as_str().into(),
                severity: rule.severity,
                principal: access.principal,
                connection: access.session.connection,
                database: access.session.database.clone(),
                measure: rule.measure,
                observed,
                estimated,
                limit,
                window: span,
                since: state.window.since(),
                share_of_table,
                tables: tables.into_iter().map(|(table, _)| table).collect(),
                statements: statements(&state.window, access, estimated),
                verdict: None,
            });
        }
        if ended {
            self.states.remove(&key);
        }
    }

    /// An alert is not told, because somebody has said something of its like: what this holds for is not raised again, and what is
    /// beyond it is at once.
    pub fn silence(&mut self, alert: &Alert, silence: Silence) {
        for (key, state) in &mut self.states {
            if key.principal == alert.principal
                && self.rules[key.rule].name.as_str() == &*alert.threshold
                && state.alerted == Some((alert.time, alert.observed))
            {
                state.alerted = None;
                state.silence = Some(silence);
            }
        }
    }

    /// A connection's statement ended: its estimates are replaced by what was counted.
    fn landed(&mut self, connection: ConnectionId) {
        let Some(keys) = self.streaming.remove(&connection) else {
            return;
        };
        for key in keys {
            if let Some(state) = self.states.get_mut(&key) {
                state.in_flight.retain(|(of, _)| *of != connection);
            }
        }
    }

    /// Gives up windows that are empty, then small ones, when there are too many.
    fn make_room(&mut self, key: &StateKey, now: Timestamp) {
        if self.states.len() < self.max_states || self.states.contains_key(key) {
            return;
        }
        self.states
            .retain(|_, state| !state.in_flight.is_empty() || !state.window.is_over(now));
        if self.states.len() < self.max_states {
            return;
        }
        let mut sums: Vec<u64> = self
            .states
            .values()
            .map(|state| state.window.sum())
            .collect();
        sums.sort_unstable();
        let bound = sums[sums.len() / 100];
        let before = self.states.len();
        self.states
            .retain(|_, state| !state.in_flight.is_empty() || state.window.sum() > bound);
        self.evicted += (before - self.states.len()) as u64;
    }
}

/// May an alert be raised again?
fn rearmed(last: Option<(Timestamp, u64)>, now: Timestamp, observed: u64, rearm: Duration) -> bool {
    last.is_none_or(|(time, amount)| now >= time + rearm || observed / ESCALATION >= amount)
}

fn selects(selector: &Selector, access: &Access<'_>, principal: &Principal) -> bool {
    classes::selects_principal(selector, principal)
        && classes::selects_shape(selector, access.shape)
        && selector.database.matches(&access.session.database)
}

fn statements(window: &Sliding, access: &Access<'_>, estimated: u64) -> Vec<StatementShare> {
    let mut shares: Vec<StatementShare> = window.statements().to_vec();
    if estimated > 0 {
        let summary = access.shape.summary.clone();
        match shares
            .iter_mut()
            .find(|share| share.shape_id == access.shape_id)
        {
            Some(share) => share.amount += estimated,
            None => shares.push(StatementShare {
                shape_id: access.shape_id,
                summary,
                text: access.shape.text.clone(),
                amount: estimated,
                first: access.started,
                last: access.time,
            }),
        }
    }
    shares.sort_by_key(|share| std::cmp::Reverse(share.amount));
    shares.truncate(STATEMENTS);
    shares
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "row counts of tables stay below 2^53, and shares are within 0 and 1"
)]
fn part(share: f64, rows: u64) -> u64 {
    (share * rows as f64).ceil() as u64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more than 53 bits"
)]
fn ratio(rows: u64, size: u64) -> f64 {
    rows as f64 / size.max(1) as f64
}

#[cfg(test)]
mod tests;
