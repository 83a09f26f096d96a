//! What a replay took and found.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::detect::{arbitration::Verdict, detector::Detector};

/// See the module.
#[derive(Debug, Default, Serialize)]
pub struct Statistics {
    events: u64,
    window_updates: u64,
    principals: usize,
    days: u64,
    processor_seconds: f64,
    state_bytes_per_principal: usize,
    late_records: u64,
    records_ahead: u64,
    alerts: u64,
    /// By lane: shown, and withheld by the budget.
    alerts_by_lane: BTreeMap<&'static str, Counts>,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    budgeted: u64,
    withheld: u64,
}

impl Statistics {
    /// Counts an alert.
    pub fn count(&mut self, verdict: &Verdict) {
        self.alerts += 1;
        let counts = self.alerts_by_lane.entry(verdict.lane).or_default();
        if verdict.budgeted {
            counts.budgeted += 1;
        } else {
            counts.withheld += 1;
        }
    }

    /// With what the detector has counted.
    pub fn finish(mut self, detector: &Detector) -> Self {
        let counters = detector.counters();
        self.events = counters.observations;
        self.window_updates = counters.updates;
        self.principals = detector.principals();
        self.days = counters.days;
        self.processor_seconds = processor_seconds();
        self.state_bytes_per_principal = Detector::fixed_bytes_per_principal();
        self.late_records = counters.late;
        self.records_ahead = counters.ahead;
        self
    }
}

/// Processor time of this process so far.
fn processor_seconds() -> f64 {
    // SAFETY: all zeros are a valid `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live `rusage`.
    if unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) } != 0 {
        return 0.0;
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
