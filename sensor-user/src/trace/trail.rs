//! One connection's trace: which part of the session it is in, and what is under way.

use std::sync::Arc;

use super::told::{SessionSpan, SpanContext};
use crate::{
    principal::{Principal, Session},
    time::Timestamp,
    volume::Volume,
};

/// See the module.
#[derive(Debug)]
pub struct Trail {
    pub principal: Arc<Principal>,
    pub session: Arc<Session>,
    pub part: u64,
    pub part_began: Timestamp,
    pub previous: Option<SpanContext>,
    /// Statements of this part.
    pub volume: Volume,
    /// Fingerprint of a statement that is under way.
    pub under_way: Option<u64>,
    /// The statement with this fingerprint, under way, belongs to this alert.
    pub alert: Option<(u64, Arc<str>)>,
    /// Spans of this part.
    pub told: u32,
    /// Number of the last link that a statement had, and where to: several statements of one text share it.
    pub link: Option<(u8, SpanContext)>,
}

impl Trail {
    /// The span of this part of the session.
    pub fn context(&self, seed: u64) -> SpanContext {
        let connection = self.session.connection.0;
        let high = mix(seed ^ self.part, connection);
        let low = mix(seed.rotate_left(32) ^ self.part, connection ^ 1);
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&high.to_be_bytes());
        trace[8..].copy_from_slice(&(low | 1).to_be_bytes());
        SpanContext {
            trace,
            span: id(mix(high, low)),
        }
    }

    /// This part of the session as a span, if anything of it was told.
    pub fn part(&self, seed: u64, ended: Timestamp) -> Option<SessionSpan> {
        (self.told > 0).then(|| SessionSpan {
            context: self.context(seed),
            previous: self.previous,
            principal: self.principal.clone(),
            session: self.session.clone(),
            started: self.part_began,
            ended: ended.max(self.part_began),
            volume: self.volume,
        })
    }
}

/// Never all zeros, which is no id.
pub fn id(number: u64) -> [u8; 8] {
    (number | 1).to_be_bytes()
}

/// MurmurHash3's finaliser over both: samplers look at parts of an id.
pub fn mix(seed: u64, number: u64) -> u64 {
    let mut hash = seed.rotate_left(17) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash ^= hash >> 33;
        hash = u64::wrapping_mul(hash, factor);
    }
    hash ^ hash >> 33
}
