//! The kernel stamps records with `CLOCK_MONOTONIC`; everything behind ingest wants wall-clock time.

use crate::{kernel::load::monotonic_time, time::Timestamp};

/// Converts, with the difference of the clocks as of its making.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Unix time when the kernel's clock was zero, nanoseconds.
    offset: u64,
}

impl Clock {
    /// Reads both clocks. Made anew for each drain, so that a stepped wall clock is followed.
    pub fn now() -> Self {
        Self {
            offset: Timestamp::now().0.saturating_sub(monotonic_time()),
        }
    }

    /// Wall-clock time of a kernel time; zero (unknown) stays "now".
    pub fn convert(self, monotonic: u64) -> Timestamp {
        if monotonic == 0 {
            Timestamp::now()
        } else {
            Timestamp(self.offset.saturating_add(monotonic))
        }
    }
}
