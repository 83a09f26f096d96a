//! Windows filled from history after a restart: a budget of ninety days is one, however often the sensor starts.

use std::{sync::Arc, time::Duration};

use super::{TableSizes, ThresholdLane};
use crate::{
    config::threshold::Window,
    principal::{Principal, PrincipalId},
    time::Timestamp,
    volume::Access,
};

/// An alert from before the restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The threshold's name.
    pub rule: Arc<str>,
    /// Whom it was about.
    pub principal: PrincipalId,
    /// The table with the largest part.
    pub table: Option<Arc<str>>,
    /// When.
    pub time: Timestamp,
    /// How much it was.
    pub observed: u64,
}

impl ThresholdLane {
    /// How far back any window reaches.
    pub fn longest_window(&self) -> Duration {
        self.rules
            .iter()
            .filter_map(|rule| match rule.window {
                Window::Sliding(span) => Some(span),
                Window::Statement => None,
            })
            .max()
            .unwrap_or_default()
    }

    /// Takes in an access from before the restart, or a sum of them: windows fill, nobody is alerted.
    pub fn recall(&mut self, access: &Access<'_>, principal: &Principal, sizes: &TableSizes) {
        let mut told_already = Vec::new();
        self.observe(access, principal, sizes, &mut told_already);
    }

    /// Ends the recalling: what was alerted before the restart is silent as if there had been none, oldest first.
    pub fn recalled(&mut self, raised: &[Raised]) {
        for state in self.states.values_mut() {
            state.alerted = None;
        }
        for one in raised {
            let Some(rule) = self.rules.iter().position(|rule| *rule.name == *one.rule) else {
                continue;
            };
            for (key, state) in &mut self.states {
                if key.rule == rule
                    && key.principal == one.principal
                    && (key.table.is_none() || key.table == one.table)
                {
                    state.alerted = Some((one.time, one.observed));
                }
            }
        }
    }
}
