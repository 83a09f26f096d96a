//! How far windows are filled, for whoever looks on.

use std::sync::Arc;

use super::ThresholdLane;
use crate::{
    config::threshold::{Limit, Threshold},
    principal::PrincipalId,
    time::Timestamp,
};

/// One window of one principal.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// Whose.
    pub principal: PrincipalId,
    /// Of which limit.
    pub rule: &'a Threshold,
    /// For a share of a table: that table.
    pub table: Option<&'a Arc<str>>,
    /// What it holds, in the rule's measure; rows in flight included.
    pub used: u64,
    /// The limit in the rule's measure; that of a share as of the last access.
    pub limit: u64,
}

impl ThresholdLane {
    /// All windows that hold anything by `now`, in no order. Those of shares whose table's size is unknown have no limit to
    /// be held against, and are left out.
    pub fn levels(&self, now: Timestamp) -> impl Iterator<Item = Level<'_>> {
        self.states.iter().filter_map(move |(key, state)| {
            let in_flight: u64 = state.in_flight.iter().map(|(_, rows)| rows).sum();
            let used = state.window.sum_at(now) + in_flight;
            let rule = &self.rules[key.rule];
            let limit = match rule.limit {
                Limit::Absolute(limit) => limit,
                Limit::Share(_) => state.limit,
            };
            (used > 0 && limit < u64::MAX).then_some(Level {
                principal: key.principal,
                rule,
                table: key.table.as_ref(),
                used,
                limit,
            })
        })
    }
}
