//! Volumes that found the ring full: the kernel only adds, so that differences lose nothing.

use std::collections::HashMap;

use sensor_ebpf::record::{OverflowKey, OverflowVolume};

/// What was taken in so far.
#[derive(Debug, Default)]
pub struct Overflow {
    taken: HashMap<OverflowKey, OverflowVolume>,
}

impl Overflow {
    /// What has come since the last call; `None` when nothing has.
    pub fn difference(&mut self, key: OverflowKey, now: OverflowVolume) -> Option<OverflowVolume> {
        let before = self.taken.insert(key, now).unwrap_or_default();
        let delta = OverflowVolume {
            rows_returned: now.rows_returned.wrapping_sub(before.rows_returned),
            rows_written: now.rows_written.wrapping_sub(before.rows_written),
            bytes_sent: now.bytes_sent.wrapping_sub(before.bytes_sent),
            bytes_received: now.bytes_received.wrapping_sub(before.bytes_received),
            queries: now.queries.wrapping_sub(before.queries),
            records: now.records.wrapping_sub(before.records),
            time: now.time,
            flags: now.flags,
        };
        (delta.records > 0).then_some(delta)
    }

    /// The kernel's entry is gone.
    pub fn forget(&mut self, key: OverflowKey) {
        self.taken.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_add_up() {
        let mut overflow = Overflow::default();
        let key = OverflowKey {
            connection: 1,
            fingerprint: 3,
        };
        let at = |rows, records| OverflowVolume {
            rows_returned: rows,
            records,
            ..OverflowVolume::default()
        };
        assert_eq!(
            overflow.difference(key, at(5, 1)).map(|d| d.rows_returned),
            Some(5)
        );
        assert_eq!(overflow.difference(key, at(5, 1)), None);
        assert_eq!(
            overflow
                .difference(key, at(9, 3))
                .map(|d| (d.rows_returned, d.records)),
            Some((4, 2))
        );
    }
}
