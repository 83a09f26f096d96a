//! Links to applications' traces that wait for the end of their statement.

use std::collections::{HashMap, VecDeque};

use super::{
    comment::{parse, traceparent},
    told::SpanContext,
};

/// Links that wait: the oldest go first.
const WAITING: usize = 4_096;
/// Contexts out of texts that wait.
const TEXTS: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub struct Links {
    /// Of single executions, whose records say so by number.
    waiting: VecDeque<Waiting>,
    /// Out of texts, of which each leaves once: by connection and fingerprint.
    texts: HashMap<(u64, u64), SpanContext>,
    /// Executions whose link was not there any more.
    pub lost: u64,
}

#[derive(Debug)]
struct Waiting {
    connection: u64,
    number: u8,
    fingerprint: u64,
    context: SpanContext,
}

impl Links {
    /// A statement's text was seen, with its comments.
    pub fn text(&mut self, connection: u64, fingerprint: u64, text: &[u8]) {
        if self.texts.len() < TEXTS
            && let Some(context) = traceparent(text)
        {
            self.texts.insert((connection, fingerprint), context);
        }
    }

    /// The traceparent of the execution that has this number on its connection.
    pub fn link(&mut self, connection: u64, number: u8, fingerprint: u64, value: &[u8]) {
        let Some(context) = parse(value) else {
            return;
        };
        // Parsed and never executed: the number has come round since.
        if let Some(at) = self.position(connection, number) {
            self.waiting.remove(at);
        }
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting {
            connection,
            number,
            fingerprint,
            context,
        });
    }

    /// The link of a statement that ended, which has this number or none (zero).
    pub fn take(&mut self, connection: u64, number: u8, fingerprint: u64) -> Option<SpanContext> {
        let of_text = if self.texts.is_empty() {
            None
        } else {
            self.texts.remove(&(connection, fingerprint))
        };
        if number == 0 {
            return of_text;
        }
        let at = self.position(connection, number);
        match at.and_then(|at| self.waiting.remove(at)) {
            // Otherwise a statement parsed before others was executed behind them: it has none.
            Some(one) if one.fingerprint == fingerprint => Some(one.context),
            _ => {
                self.lost += 1;
                of_text
            }
        }
    }

    /// Mostly there are few.
    fn position(&self, connection: u64, number: u8) -> Option<usize> {
        self.waiting
            .iter()
            .position(|one| one.connection == connection && one.number == number)
    }

    /// A connection ended.
    pub fn closed(&mut self, connection: u64) {
        if !self.texts.is_empty() {
            self.texts.retain(|(of, _), _| *of != connection);
        }
        if !self.waiting.is_empty() {
            self.waiting.retain(|one| one.connection != connection);
        }
    }
}
