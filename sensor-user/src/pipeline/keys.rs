//! Keys that the kernel took out of statements, until their statements complete.
//!
//! A statement's keys come when it is asked for, its rows when it is answered. They are put together one execution after
//! the other: each key covers one row, rows beyond count as records of their own.

use std::collections::{HashMap, VecDeque};

use sensor_ebpf::{
    picked::{KEYS_CUT, KEYS_FIRST, KEYS_KEY},
    record::KeysRecord,
};

use crate::volume::Picked;

/// Executions of a connection's statement that may be under way.
const UNDER_WAY: usize = 4096;
/// Statements of all connections that may be under way.
const STATEMENTS: usize = 100_000;
/// Times in a row that a bound must rise or fall to be a walk …
const WALK: u8 = 3;
/// … and a key.
const KEY_WALK: u8 = 8;

/// One execution.
#[derive(Debug, Default)]
struct Execution {
    hashes: Vec<u64>,
    /// Rows that its keys still cover.
    covers: u64,
    /// Keys stand in an earlier access.
    told: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    executions: VecDeque<Execution>,
    walks: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Keys {
    waiting: HashMap<(u64, u64), Waiting>,
    /// Keys that found no place.
    pub lost: u64,
}

impl Keys {
    /// A key was taken out of a statement.
    pub fn observe(&mut self, record: &KeysRecord) {
        let place = (record.header.connection, record.fingerprint);
        if self.waiting.len() >= STATEMENTS && !self.waiting.contains_key(&place) {
            self.lost += 1;
            return;
        }
        let waiting = self.waiting.entry(place).or_default();
        let flags = record.header.flags;
        if flags & KEYS_FIRST != 0 || waiting.executions.is_empty() {
            if waiting.executions.len() >= UNDER_WAY {
                // Asked for and never run.
                waiting.executions.pop_front();
                self.lost += 1;
            }
            waiting.executions.push_back(Execution::default());
            let least = if flags & KEYS_KEY != 0 {
                KEY_WALK
            } else {
                WALK
            };
            waiting.walks = flags & KEYS_CUT == 0 && record.header.tag >= least;
        }
        if flags & KEYS_KEY != 0
            && let Some(execution) = waiting.executions.back_mut()
        {
            execution.hashes.push(record.hash);
            execution.covers += 1;
        }
    }

    /// Rows of a statement that goes on (`completed` is zero) or of so many that are over; `None`: nothing is known.
    pub fn take(
        &mut self,
        connection: u64,
        fingerprint: u64,
        completed: u64,
        rows: u64,
    ) -> Option<Picked> {
        let waiting = self.waiting.get_mut(&(connection, fingerprint))?;
        let mut picked = Picked {
            walks: waiting.walks,
            ..Picked::default()
        };
        let mut rest = rows;
        let mut tell = |execution: &mut Execution, rest: &mut u64| {
            if !execution.told {
                picked.hashes.append(&mut execution.hashes);
                execution.told = true;
            }
            let covered = execution.covers.min(*rest);
            execution.covers -= covered;
            *rest -= covered;
        };
        if completed == 0 {
            tell(waiting.executions.front_mut()?, &mut rest);
        } else {
            for _ in 0..completed {
                let Some(mut execution) = waiting.executions.pop_front() else {
                    break;
                };
                tell(&mut execution, &mut rest);
            }
        }
        picked.others = rest;
        if rows == 0 {
            // Asked for, and not there.
            picked.hashes.clear();
        }
        Some(picked)
    }

    /// Connections are over.
    pub fn closed(&mut self, is_open: impl Fn(u64) -> bool) {
        self.waiting.retain(|place, _| is_open(place.0));
    }

    /// Statements that wait or have waited.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// None does.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::{
        picked::KEYS_BOUND,
        record::{RecordHeader, RecordKind},
    };

    use super::*;

    fn key(keys: &mut Keys, flags: u8, run: u8, hash: u64) {
        keys.observe(&KeysRecord {
            header: RecordHeader {
                kind: RecordKind::Keys as u8,
                flags,
                tag: run,
                connection: 1,
                ..RecordHeader::default()
            },
            fingerprint: 5,
            hash,
        });
    }

    const ONE: u8 = KEYS_FIRST | KEYS_KEY;

    #[test]
    fn a_key_covers_one_row() {
        let mut keys = Keys::default();
        assert_eq!(keys.take(1, 5, 1, 1), None);
        for hash in 10..15 {
            key(&mut keys, ONE, 0, hash);
        }
        // Three are over, two under way.
        let picked = keys.take(1, 5, 3, 3).expect("known");
        assert_eq!((picked.hashes, picked.others), (vec![10, 11, 12], 0));
        // A join brings more rows than keys.
        let picked = keys.take(1, 5, 1, 7).expect("known");
        assert_eq!((picked.hashes, picked.others), (vec![13], 6));
        // Not there.
        let picked = keys.take(1, 5, 1, 0).expect("known");
        assert_eq!((picked.hashes, picked.others), (vec![], 0));
        // Run again without being asked for anew.
        assert_eq!(keys.take(1, 5, 1, 4).expect("known").others, 4);
    }

    #[test]
    fn a_list_that_streams_is_told_once() {
        let mut keys = Keys::default();
        key(&mut keys, ONE, 0, 1);
        key(&mut keys, KEYS_KEY, 0, 2);
        key(&mut keys, KEYS_KEY, 0, 3);
        let first = keys.take(1, 5, 0, 2).expect("known");
        assert_eq!((first.hashes, first.others), (vec![1, 2, 3], 0));
        let last = keys.take(1, 5, 1, 2).expect("known");
        assert_eq!((last.hashes, last.others), (vec![], 1));
    }

    #[test]
    fn walks_take_some_steps() {
        let mut keys = Keys::default();
        for run in 0..5 {
            key(&mut keys, KEYS_FIRST | KEYS_BOUND, run, 0);
            let picked = keys.take(1, 5, 1, 500).expect("known");
            assert_eq!((picked.walks, picked.others), (run >= 3, 500));
        }
        key(&mut keys, ONE, 7, 9);
        assert!(!keys.take(1, 5, 1, 1).expect("known").walks);
        key(&mut keys, ONE, 8, 9);
        assert!(keys.take(1, 5, 1, 1).expect("known").walks);
    }
}
