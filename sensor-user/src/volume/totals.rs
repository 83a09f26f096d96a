//! Cumulative volumes by principal, database, table and operation, and by statement; bounded.

use std::{
    hash::{BuildHasher as _, Hash},
    sync::Arc,
};

use hashbrown::HashTable;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::{Access, Volume};
use crate::{principal::PrincipalId, time::Timestamp};

/// What a series is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    /// Whose; `None`: folded series of all principals.
    pub principal: Option<PrincipalId>,
    /// `db.namespace`.
    pub database: Arc<str>,
    /// `db.collection.name`: the statement's tables, joined by commas, so that each row is counted in one series.
    pub table: Arc<str>,
    /// `db.operation.name`.
    pub operation: Arc<str>,
}

/// What a statement series is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StatementKey {
    /// Whose; `None`: folded.
    pub principal: Option<PrincipalId>,
    /// Shape.
    pub shape_id: u32,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series<K> {
    /// What it is of.
    pub key: K,
    /// How much.
    pub volume: Volume,
    /// Since when.
    pub first: Timestamp,
    /// How much of it has been accounted for by the one [`Ledger`](super::ledger::Ledger) that exports it.
    pub accounted: Volume,
}

impl<K> Series<K> {
    /// Nothing yet.
    pub fn new(key: K, first: Timestamp) -> Self {
        Self {
            key,
            volume: Volume::default(),
            first,
            accounted: Volume::default(),
        }
    }

    /// What has been added since this was last called.
    pub fn account(&mut self) -> Volume {
        let increment = self.volume - self.accounted;
        self.accounted = self.volume;
        increment
    }
}

/// A bounded set of series: the sum over all of them is always the sum of all that was added.
#[derive(Debug)]
struct Table<K> {
    series: Vec<Series<K>>,
    /// Positions in `series`, by the hash of their keys: a key is large, and kept once.
    index: HashTable<u32>,
    max: usize,
    folded: u64,
}

impl<K: Eq + Hash> Table<K> {
    fn new(max: usize, other: K) -> Self {
        Self {
            // Where folded series go; shown once something has been.
            series: vec![Series::new(other, Timestamp::default())],
            index: HashTable::new(),
            max: max.clamp(2, u32::MAX as usize - 1),
            folded: 0,
        }
    }

    /// Position of a series, made when it is new. True when others moved to make room.
    fn position(&mut self, key: K, time: Timestamp) -> (usize, bool) {
        let hash = hash(&key);
        let series = &self.series;
        if let Some(at) = self.index.find(hash, |at| series[*at as usize].key == key) {
            return (*at as usize, false);
        }
        let moved = self.series.len() > self.max;
        if moved {
            self.fold();
        }
        let at = self.series.len();
        if at == self.series.capacity() {
            // By a quarter, not by as much again.
            self.series.reserve_exact((at / 4).max(16));
        }
        self.series.push(Series::new(key, time));
        self.enter(hash, at);
        (at, moved)
    }

    fn enter(&mut self, hashed: u64, at: usize) {
        let series = &self.series;
        // Fits: `max` does.
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.index
            .insert_unique(hashed, at, |at| hash(&series[*at as usize].key));
    }

    /// Folds the smallest tenth into "other".
    fn fold(&mut self) {
        let mut rest = self.series.split_off(1);
        rest.sort_by_key(|series| {
            std::cmp::Reverse((
                series.volume.rows_returned + series.volume.rows_written,
                series.volume.bytes_sent,
            ))
        });
        let keep = self.max - self.max.div_ceil(10);
        let other = &mut self.series[0];
        for series in rest.drain(keep.min(rest.len())..) {
            other.volume += series.volume;
            if other.first == Timestamp::default() {
                other.first = series.first;
            }
            self.folded += 1;
        }
        self.series.append(&mut rest);
        self.index.clear();
        for at in 1..self.series.len() {
            self.enter(hash(&self.series[at].key), at);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Series<K>> {
        self.series
            .iter()
            .filter(|series| series.volume != Volume::default())
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Series<K>> {
        self.series
            .iter_mut()
            .filter(|series| series.volume != Volume::default())
    }
}

fn hash<K: Hash>(key: &K) -> u64 {
    FxBuildHasher.hash_one(key)
}

/// See the module.
#[derive(Debug)]
pub struct Totals {
    series: Table<SeriesKey>,
    statements: Table<StatementKey>,
    /// Where an access goes, by principal, shape and database: saves building its key each time.
    cache: FxHashMap<(PrincipalId, u32, Arc<str>), (usize, usize)>,
}

/// Accesses whose place is remembered.
const CACHE: usize = 16_384;
/// Tables named in one series at most.
const TABLES: usize = 4;

impl Totals {
    /// At most `max_keys` series and `max_statements` statement series.
    pub fn new(max_keys: usize, max_statements: usize) -> Self {
        let other: Arc<str> = "other".into();
        Self {
            series: Table::new(
                max_keys,
                SeriesKey {
                    principal: None,
                    database: other.clone(),
                    table: other.clone(),
                    operation: other,
                },
            ),
            statements: Table::new(
                max_statements,
                StatementKey {
                    principal: None,
                    shape_id: crate::sql::shapes::NONE,
                },
            ),
            cache: FxHashMap::default(),
        }
    }

    /// Adds one access.
    pub fn observe(&mut self, access: &Access<'_>) {
        let key = (
            access.principal,
            access.shape_id,
            access.session.database.clone(),
        );
        let (series, statement) = match self.cache.get(&key) {
            Some(found) => *found,
            None => self.place(key, access),
        };
        self.series.series[series].volume += access.volume;
        self.statements.series[statement].volume += access.volume;
    }

    fn place(&mut self, key: (PrincipalId, u32, Arc<str>), access: &Access<'_>) -> (usize, usize) {
        let (series, moved) = self.series.position(
            SeriesKey {
                principal: Some(access.principal),
                database: access.session.database.clone(),
                table: joined(&access.shape.tables),
                operation: access.shape.operation.clone(),
            },
            access.time,
        );
        let (statement, moved_too) = self.statements.position(
            StatementKey {
                principal: Some(access.principal),
                shape_id: access.shape_id,
            },
            access.time,
        );
        if moved || moved_too || self.cache.len() >= CACHE {
            // Positions changed, or it has become larger than what it saves.
            self.cache.clear();
        }
        self.cache.insert(key, (series, statement));
        (series, statement)
    }

    /// Series that hold anything.
    pub fn series(&self) -> impl Iterator<Item = &Series<SeriesKey>> {
        self.series.iter()
    }

    /// Statement series that hold anything.
    pub fn statements(&self) -> impl Iterator<Item = &Series<StatementKey>> {
        self.statements.iter()
    }

    /// The same, to be accounted for.
    pub fn series_mut(&mut self) -> impl Iterator<Item = &mut Series<SeriesKey>> {
        self.series.iter_mut()
    }

    /// The same, to be accounted for.
    pub fn statements_mut(&mut self) -> impl Iterator<Item = &mut Series<StatementKey>> {
        self.statements.iter_mut()
    }

    /// Series folded into "other" so far.
    pub fn folded(&self) -> u64 {
        self.series.folded + self.statements.folded
    }
}

/// Tables as one name.
fn joined(tables: &[Arc<str>]) -> Arc<str> {
    match tables {
        [] => "".into(),
        [one] => one.clone(),
        few if few.len() <= TABLES => few.join(",").into(),
        many => format!("{},…", many[..TABLES].join(",")).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        principal::{ConnectionId, Session},
        sql::Shape,
        volume::AccessKind,
    };

    #[test]
    fn sums_hold_whatever_is_folded() {
        let session = Session::for_tests(ConnectionId(1), PrincipalId(0), "db");
        let mut totals = Totals::new(20, 10);
        let mut truth = Volume::default();
        let mut state = 1u64;
        for i in 0..5_000u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let id = u32::try_from(state >> 55).expect("small");
            let shape = Shape {
                tables: vec![format!("t{id}").into()],
                ..Shape::default()
            };
            let volume = Volume {
                rows_returned: i,
                bytes_sent: state >> 50,
                queries: 1,
                ..Volume::default()
            };
            truth += volume;
            totals.observe(&Access {
                time: Timestamp(i),
                started: Timestamp(i),
                principal: PrincipalId(id % 7),
                session: &session,
                shape_id: id,
                shape: &shape,
                volume,
                kind: AccessKind::Completed,
                largest: None,
                picked: None,
            });
        }
        for sum in [
            totals
                .series()
                .map(|s| s.volume)
                .fold(Volume::default(), add),
            totals
                .statements()
                .map(|s| s.volume)
                .fold(Volume::default(), add),
        ] {
            assert_eq!(sum, truth);
        }
        assert!(totals.series().count() <= 21);
        assert!(totals.statements().count() <= 11);
        assert!(totals.folded() > 0);
    }

    fn add(mut sum: Volume, volume: Volume) -> Volume {
        sum += volume;
        sum
    }

    #[test]
    fn several_tables_are_one_series() {
        let names: Vec<Arc<str>> = ["a", "b", "c", "d", "e"].map(Into::into).to_vec();
        assert_eq!(&*joined(&names[..1]), "a");
        assert_eq!(&*joined(&names[..2]), "a,b");
        assert_eq!(&*joined(&names), "a,b,c,d,…");
    }
}
