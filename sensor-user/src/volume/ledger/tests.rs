use std::collections::BTreeMap;

use super::*;
use crate::{
    principal::{ConnectionId, PrincipalId, Session},
    sql::Shape,
    volume::{Access, AccessKind, totals::Totals},
};

fn rows(rows: u64) -> Volume {
    Volume {
        rows_returned: rows,
        bytes_sent: 10 * rows,
        queries: 1,
        ..Volume::default()
    }
}

fn series(key: u32, volume: Volume, first: u64) -> Series<u32> {
    Series {
        volume,
        ..Series::new(key, Timestamp(first))
    }
}

/// Small, fast, repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Many small ones, few large ones.
    fn volume(&mut self) -> Volume {
        let magnitude = self.below(20);
        Volume {
            rows_returned: self.below(1 << magnitude),
            rows_written: self.below(2) * self.below(50),
            bytes_sent: self.below(1 << magnitude) * 30,
            bytes_received: self.below(500),
            queries: 1,
        }
    }
}

/// True when no part of one is smaller than that of the other.
fn covers(one: &Volume, other: &Volume) -> bool {
    one.rows_returned >= other.rows_returned
        && one.rows_written >= other.rows_written
        && one.bytes_sent >= other.bytes_sent
        && one.bytes_received >= other.bytes_received
        && one.queries >= other.queries
}

/// What a receiver has got, held against the promises of the module.
#[derive(Default)]
struct Received<K> {
    apart: BTreeMap<K, (Volume, Timestamp)>,
    other: Volume,
}

impl<K: Clone + Eq + Hash + Ord + std::fmt::Debug> Received<K> {
    fn export(&mut self, ledger: &Ledger<K>, total: &Volume, truth: &BTreeMap<K, Volume>) {
        let mut sum = *ledger.other();
        let mut apart = BTreeMap::new();
        for account in ledger.apart() {
            sum += account.volume;
            let before = apart.insert(account.key.clone(), (account.volume, account.start));
            assert!(before.is_none(), "{:?} comes twice", account.key);
            assert!(covers(&truth[&account.key], &account.volume), "{account:?}");
        }
        assert_eq!(sum, *total);
        assert!(apart.len() <= ledger.max);
        assert!(covers(ledger.other(), &self.other), "other fell");
        for (key, (volume, start)) in &self.apart {
            let (now, still) = &apart[key];
            assert!(covers(now, volume) && still == start, "{key:?} fell");
        }
        (self.apart, self.other) = (apart, *ledger.other());
    }
}

#[test]
fn random_histories_add_up_and_never_fall() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let max = [0, 1, 2, 5, 20, 40][seed as usize % 6];
        let mut ledger = Ledger::new(max);
        // `None`: what is folded.
        let mut alive: BTreeMap<Option<u32>, Series<Option<u32>>> = BTreeMap::new();
        let mut truth: BTreeMap<Option<u32>, Volume> = BTreeMap::new();
        let mut total = Volume::default();
        let mut received = Received::default();
        for time in 1..1500 {
            match random.below(20) {
                0 => {
                    let now = Timestamp(time);
                    ledger.update(alive.values_mut(), Option::is_some, now);
                    received.export(&ledger, &total, &truth);
                }
                1 => {
                    let key = Some(random.below(60) as u32);
                    if let Some(folded) = alive.remove(&key) {
                        let other = alive
                            .entry(None)
                            .or_insert_with(|| Series::new(None, Timestamp(time)));
                        other.volume += folded.volume;
                    }
                }
                _ => {
                    // Later on, others are at it.
                    let key = Some((random.below(30) + time / 50) as u32);
                    let volume = random.volume();
                    total += volume;
                    *truth.entry(key).or_default() += volume;
                    let one = alive
                        .entry(key)
                        .or_insert_with(|| Series::new(key, Timestamp(time)));
                    one.volume += volume;
                }
            }
        }
    }
}

/// The same with the real table, which folds the smallest where there is no room.
#[test]
fn series_that_totals_fold_neither_fall_nor_count_twice() {
    let session = Session::for_tests(ConnectionId(1), PrincipalId(0), "db");
    let mut random = Random(1);
    let mut totals = Totals::new(30, 20);
    let (mut series, mut statements) = (Ledger::new(12), Ledger::new(5));
    let (mut total, mut last) = (Volume::default(), [Volume::default(); 2]);
    let mut exported: BTreeMap<String, Volume> = BTreeMap::new();
    for time in 0..20_000u64 {
        let id = (random.below(40) * random.below(4)) as u32;
        let shape = Shape {
            tables: vec![format!("t{id}").into()],
            ..Shape::default()
        };
        let volume = random.volume();
        total += volume;
        totals.observe(&Access {
            time: Timestamp(time),
            started: Timestamp(time),
            principal: PrincipalId(id % 3),
            session: &session,
            shape_id: id,
            shape: &shape,
            volume,
            kind: AccessKind::Completed,
            largest: None,
            picked: None,
        });
        if random.below(40) > 0 {
            continue;
        }
        let now = Timestamp(time);
        series.update(totals.series_mut(), |key| key.principal.is_some(), now);
        statements.update(totals.statements_mut(), |key| key.principal.is_some(), now);
        let mut sums = [*series.other(), *statements.other()];
        for (sum, last) in sums.iter().zip(&mut last) {
            assert!(covers(sum, last), "other fell");
            *last = *sum;
        }
        let one = series.apart().iter();
        let one = one.map(|account| (0, format!("{:?}", account.key), account.volume));
        let two = statements.apart().iter();
        let two = two.map(|account| (1, format!("{:?}", account.key), account.volume));
        for (ledger, key, volume) in one.chain(two) {
            sums[ledger] += volume;
            if let Some(before) = exported.insert(key.clone(), volume) {
                assert!(covers(&volume, &before), "{key} fell");
            }
        }
        assert_eq!(sums, [total; 2]);
    }
    assert!(totals.folded() > 100);
    assert!(series.apart().len() >= 9 && statements.apart().len() >= 4);
}

#[test]
fn with_room_for_all_each_series_is_what_it_is() {
    let mut ledger = Ledger::new(4);
    let mut all = vec![series(1, rows(5), 10), series(2, rows(7), 11)];
    ledger.update(all.iter_mut(), |_| true, Timestamp(20));
    all[0].volume = rows(6);
    // Its first access is older than the last export, and was taken in after it.
    let mut all = [all, vec![series(3, rows(9), 19)]].concat();
    ledger.update(all.iter_mut(), |_| true, Timestamp(30));
    let apart: Vec<_> = ledger
        .apart()
        .iter()
        .map(|account| (account.key, account.volume, account.start.0))
        .collect();
    assert_eq!(
        apart,
        [(1, rows(6), 10), (2, rows(7), 11), (3, rows(9), 19)]
    );
    assert_eq!(*ledger.other(), Volume::default());
}

#[test]
fn one_that_is_apart_late_has_what_came_since() {
    let mut ledger = Ledger::new(4);
    let mut all: Vec<_> = (0..9).map(|key| series(key, rows(1000), 1)).collect();
    all[8].volume = rows(5);
    ledger.update(all.iter_mut(), |_| true, Timestamp(20));
    // Three places for all, one for a fair share.
    assert_eq!(ledger.apart().len(), 3);
    all[8].volume = rows(90_005);
    ledger.update(all.iter_mut(), |_| true, Timestamp(30));
    let late = &ledger.apart()[3];
    assert_eq!((late.key, late.start), (8, Timestamp(20)));
    assert_eq!(late.volume.rows_returned, 90_000);
    assert_eq!(ledger.other().rows_returned, 5 * 1000 + 5);
}

#[test]
fn many_small_ones_do_not_keep_out_a_large_one() {
    let mut ledger = Ledger::new(100);
    let mut all: Vec<_> = (0..1000).map(|key| series(key, rows(3), 1)).collect();
    ledger.update(all.iter_mut(), |_| true, Timestamp(20));
    assert_eq!(ledger.apart().len(), 75);
    all.push(series(4711, rows(200), 25));
    ledger.update(all.iter_mut(), |_| true, Timestamp(30));
    let last = ledger.apart().last().expect("apart");
    assert_eq!((last.key, last.volume), (4711, rows(200)));
}

#[test]
fn the_largest_come_first() {
    let mut ledger = Ledger::new(4);
    let mut all: Vec<_> = (0..9)
        .map(|key| series(key, rows(1 + u64::from(key)), 1))
        .collect();
    ledger.update(all.iter_mut(), |key| *key != 8, Timestamp(20));
    let keys: Vec<_> = ledger.apart().iter().map(|account| account.key).collect();
    assert_eq!(keys[..3], [7, 6, 5]);
    assert!(!keys.contains(&8), "is not nameable");
}
