//! The kernel stamps records with `CLOCK_BOOTTIME`; everything behind ingest wants wall-clock time.

use crate::{kernel::load::boot_time, time::Timestamp};

/// Converts, with the difference of the clocks as of its making.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Unix time at boot, nanoseconds.
    booted: u64,
}

impl Clock {
    /// Reads both clocks. Made anew for each drain, so that a stepped wall clock is followed.
    pub fn now() -> Self {
        Self {
            booted: Timestamp::now().0.saturating_sub(boot_time()),
        }
    }

    /// Wall-clock time of a kernel time; zero (unknown) stays "now".
    pub fn convert(self, boot: u64) -> Timestamp {
        if boot == 0 {
            Timestamp::now()
        } else {
            Timestamp(self.booted.saturating_add(boot))
        }
    }
}
