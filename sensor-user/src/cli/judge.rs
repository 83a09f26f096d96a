//! The thresholds over sums of the past: the lane that runs live, each rule fed with sums that are fine enough for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    config::{
        tables::TableSizes,
        threshold::{Threshold, Window},
    },
    detect::{Alert, threshold::ThresholdLane},
    history::{Bucket, Resolution},
    principal::Principal,
    volume::{Access, AccessKind, Volume},
};

/// See the module.
#[derive(Debug)]
pub struct Judge {
    /// Rules of a sliding window, by the coarsest sums that they take.
    sliding: Vec<(Resolution, ThresholdLane)>,
    /// Limits of single statements: judged by each sum's largest.
    statements: ThresholdLane,
    /// Rules that some sums are too coarse for, and the sums.
    coarse: BTreeMap<String, u64>,
    rules: Vec<(String, Option<Resolution>)>,
}

/// The coarsest sums that say what a window held: not longer than itself.
fn coarsest(window: Duration) -> Option<Resolution> {
    Resolution::ALL
        .into_iter()
        .rev()
        .find(|resolution| Duration::from_secs(resolution.seconds()) <= window)
}

impl Judge {
    /// With these rules; at most so many principals.
    pub fn new(rules: &[Threshold], max_principals: usize) -> Self {
        let lane = |chosen: &dyn Fn(&Threshold) -> bool| {
            let rules: Vec<Threshold> = rules.iter().filter(|rule| chosen(rule)).cloned().collect();
            ThresholdLane::new(&rules, max_principals, 0)
        };
        let takes = |rule: &Threshold| match rule.window {
            Window::Sliding(span) => coarsest(span),
            Window::Statement => None,
        };
        Self {
            sliding: Resolution::ALL
                .into_iter()
                .map(|resolution| (resolution, lane(&|rule| takes(rule) == Some(resolution))))
                .collect(),
            statements: lane(&|rule| rule.window == Window::Statement),
            coarse: BTreeMap::new(),
            rules: rules
                .iter()
                .filter(|rule| rule.window != Window::Statement)
                .map(|rule| (rule.name.clone(), takes(rule)))
                .collect(),
        }
    }

    /// Judges one sum; alerts are appended.
    pub fn observe(
        &mut self,
        bucket: &Bucket,
        access: &Access<'_>,
        principal: &Arc<Principal>,
        sizes: &TableSizes,
        alerts: &mut Vec<Alert>,
    ) {
        for (coarsest, lane) in &mut self.sliding {
            if bucket.resolution <= *coarsest {
                lane.observe(access, principal, sizes, alerts);
            }
        }
        for (name, takes) in &self.rules {
            if takes.is_none_or(|coarsest| bucket.resolution > coarsest) {
                *self.coarse.entry(name.clone()).or_default() += 1;
            }
        }
        let largest = Access {
            volume: Volume {
                rows_returned: bucket.amount.statement_rows,
                bytes_sent: bucket.amount.statement_bytes,
                queries: access.volume.queries.min(1),
                ..Volume::default()
            },
            kind: AccessKind::Completed,
            ..*access
        };
        self.statements.observe(&largest, principal, sizes, alerts);
    }

    /// What came so far only filled windows: how coarse it was does not matter.
    pub fn forget_coarse(&mut self) {
        self.coarse.clear();
    }

    /// Rules that could not be judged by some sums, and how many those were.
    pub fn coarse(&self) -> &BTreeMap<String, u64> {
        &self.coarse
    }
}
