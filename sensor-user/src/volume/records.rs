//! Distinct records by principal, database and table; bounded.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Access;
use crate::{detect::sketch::Distinct, principal::PrincipalId, time::Timestamp};

/// Hashes kept a series: exact up to here, within some 4 % beyond.
const CAPACITY: usize = 512;
/// Series; four kilobytes each at the most.
const MOST: usize = 4096;

/// What a series is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose.
    pub principal: PrincipalId,
    /// `db.namespace`.
    pub database: Arc<str>,
    /// `db.collection.name`: the statement's tables, joined by commas.
    pub table: Arc<str>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Records {
    series: FxHashMap<Key, (Distinct, Timestamp, u64)>,
    /// Those since the last look, where somebody looks: sketches of short times unite to any longer one.
    recent: Option<FxHashMap<Key, Distinct>>,
    /// Records that found no place.
    pub folded: u64,
}

impl Records {
    /// Takes in the records that an access picked.
    pub fn observe(&mut self, access: &Access<'_>) {
        let Some(picked) = access.picked.filter(|picked| !picked.hashes.is_empty()) else {
            return;
        };
        let key = Key {
            principal: access.principal,
            database: access.session.database.clone(),
            table: access.shape.tables.join(",").into(),
        };
        if self.series.len() >= MOST && !self.series.contains_key(&key) {
            self.folded += picked.hashes.len() as u64;
            return;
        }
        if let Some(recent) = &mut self.recent {
            let sketch = recent.entry(key.clone()).or_default();
            for hash in &picked.hashes {
                sketch.insert(*hash, 0, CAPACITY);
            }
        }
        let (sketch, _, most) = self
            .series
            .entry(key)
            .or_insert_with(|| (Distinct::default(), access.started, 0));
        for hash in &picked.hashes {
            sketch.insert(*hash, 0, CAPACITY);
        }
        // An estimate may fall a little; what was seen does not.
        *most = (*most).max(sketch.count(0).round() as u64);
    }

    /// From now on, what is picked between two looks is kept apart.
    pub fn keep_recent(&mut self) {
        self.recent.get_or_insert_default();
    }

    /// What was picked since the last look.
    pub fn take_recent(&mut self) -> impl Iterator<Item = (Key, Distinct)> + use<> {
        let recent = self.recent.as_mut().map(std::mem::take);
        recent.unwrap_or_default().into_iter()
    }

    /// Series, how many records, and since when.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, u64, Timestamp)> {
        self.series
            .iter()
            .map(|(key, (_, since, most))| (key, *most, *since))
    }
}
