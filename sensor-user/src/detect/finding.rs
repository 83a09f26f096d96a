//! What a lane has found, before anybody is alerted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::drift::Quantity;
use crate::time::Timestamp;

/// Which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Lane {
    /// Seconds to an hour, against own, peers' and the statement's past.
    Fast,
    /// Hours to weeks: the sequential test.
    Drift,
    /// Distinct records of a sensitive table over days to months.
    Coverage,
    /// Sums over several principals.
    Group,
}

impl Lane {
    /// All, in the order of arrays.
    pub const ALL: [Self; 4] = [Self::Fast, Self::Drift, Self::Coverage, Self::Group];

    /// As it stands in alerts and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Drift => "drift",
            Self::Coverage => "coverage",
            Self::Group => "group",
        }
    }
}

/// Whom it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A principal, by its number.
    Principal(u32),
    /// Everybody at a client host, by the host's number.
    Host(u32),
    /// Everybody who is an OS user.
    OsUser(u32),
    /// A team.
    Team(u32),
}

/// What a lane has found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which lane.
    pub lane: Lane,
    /// About whom.
    pub subject: Subject,
    /// Event time.
    pub time: Timestamp,
    /// What was counted.
    pub quantity: Quantity,
    /// How much.
    pub observed: f64,
    /// How much was to be expected.
    pub expected: f64,
    /// How much the middle one of the peers had; `None` without peers.
    pub peers: Option<f64>,
    /// Over which time (seconds).
    pub window: u64,
    /// Active days in it.
    pub days: u16,
    /// Natural logarithm of N in "1 in N by chance, if the assumptions hold".
    pub log_odds: f32,
    /// The table in question (database and table, numbers), for lanes that look at one.
    pub table: Option<(u32, u32)>,
    /// Share of the table (0–1), where its size is known.
    pub share: Option<f64>,
    /// The principals who contributed most, for sums over several.
    pub members: Vec<u32>,
    /// A sentence on what is special about it.
    pub remark: Option<Arc<str>>,
}
