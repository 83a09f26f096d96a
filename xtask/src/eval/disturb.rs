//! What happens to records on their way: wrong clocks, delays, doubles, several hosts.

use rand::Rng as _;

use super::{
    calendar::{self, DAY, HOUR, SECOND},
    random::{Purpose, Random, mix, stream},
    record::{Day, Record},
};

/// A kind of disturbance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    None,
    /// One server's clock, which a third of the records come from, is an hour ahead for two hours of day 130, an hour
    /// behind for two hours of day 150, and on day 170 some records are stamped a month ahead.
    ClockSteps,
    /// One record in twenty arrives up to 90 minutes late, one in 500 up to three days.
    Late,
    /// One record in a hundred comes twice.
    Duplicates,
    /// Three database hosts hold a third of each record's rows.
    ThreeHosts,
}

/// See the module.
#[derive(Debug)]
pub struct Disturbance {
    kind: Kind,
    random: Random,
    /// Records that have not arrived: when they will, the record, its keys.
    under_way: Vec<(u64, Record, Vec<u64>)>,
}

impl Disturbance {
    pub fn new(kind: Kind, seed: u64, population: u64) -> Self {
        Self {
            kind,
            random: stream(seed, population, Purpose::Disturbance, 0),
            under_way: Vec::new(),
        }
    }

    /// Disturbs a day's records, which are in order of time.
    pub fn day(&mut self, day: u32, records: &mut Day) {
        match self.kind {
            Kind::None => {}
            Kind::ClockSteps => self.step_clocks(day, records),
            Kind::Late => self.delay(day, records),
            Kind::Duplicates => {
                let doubled = std::mem::take(&mut records.records);
                for record in doubled {
                    if self.random.random::<f64>() < 0.01 {
                        records.records.push(record.clone());
                    }
                    records.records.push(record);
                }
            }
            Kind::ThreeHosts => {
                let whole = std::mem::take(&mut records.records);
                for record in whole {
                    split(&record, &mut records.records);
                }
            }
        }
    }

    fn step_clocks(&mut self, day: u32, records: &mut Day) {
        let steps = [(130, 1i64), (150, -1)];
        let begin = calendar::begin(day) + 10 * HOUR;
        let mut stray = 0;
        for record in &mut records.records {
            let on_the_server = mix(u64::from(record.account)).is_multiple_of(3);
            let wrong = (begin..begin + 2 * HOUR).contains(&record.time);
            for (at, hours) in steps {
                if day == at && on_the_server && wrong {
                    record.time = record.time.saturating_add_signed(hours * HOUR as i64);
                }
            }
            if day == 170 && wrong && stray < 5 {
                record.time += 30 * DAY;
                stray += 1;
            }
        }
    }

    fn delay(&mut self, day: u32, records: &mut Day) {
        let mut arriving: Vec<(u64, Record)> = Vec::with_capacity(records.records.len());
        for record in std::mem::take(&mut records.records) {
            let luck: f64 = self.random.random();
            let late = if luck < 0.002 {
                self.random.random_range(0..3 * DAY)
            } else if luck < 0.05 {
                self.random.random_range(0..5400 * SECOND)
            } else {
                0
            };
            arriving.push((record.time + late, record));
        }
        let end = calendar::begin(day + 1);
        let (now, later): (Vec<_>, Vec<_>) = arriving.into_iter().partition(|(at, _)| *at < end);
        let mut now = now;
        let before = std::mem::take(&mut self.under_way);
        for (at, mut record, keys) in before {
            if at < end {
                let mark = records.mark();
                records.keys.extend(keys);
                record.keys = mark..records.mark();
                now.push((at, record));
            } else {
                self.under_way.push((at, record, keys));
            }
        }
        for (at, record) in later {
            let keys = records.keys(&record).to_vec();
            self.under_way.push((at, record, keys));
        }
        now.sort_by_key(|(at, record)| (*at, record.account));
        records.records = now.into_iter().map(|(_, record)| record).collect();
    }
}

/// A record as three hosts would tell it: rows, bytes and keys in three parts of one sum.
fn split(record: &Record, out: &mut Vec<Record>) {
    let third = |value: u64, part: u64| value * (part + 1) / 3 - value * part / 3;
    let keys = u64::from(record.keys.end - record.keys.start);
    let mut begin = record.keys.start;
    for part in 0..3 {
        let end = begin + third(keys, part) as u32;
        out.push(Record {
            rows: if keys > 0 {
                u64::from(end - begin)
            } else {
                third(record.rows, part)
            },
            bytes: third(record.bytes, part),
            queries: third(record.queries, part),
            keys: begin..end,
            ..record.clone()
        });
        begin = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{
        scenario::Scenario,
        world::{Telling, World},
    };

    fn sums(kind: Kind) -> (usize, u64, usize, bool) {
        let scenario = Scenario::load(None).expect("valid").scaled(100);
        let telling = Telling {
            seed: 1,
            population: 0,
            days: 90,
            fine: false,
        };
        let mut world = World::new(&scenario, telling, &[]);
        let mut disturbance = Disturbance::new(kind, 1, 0);
        let mut out = Day::default();
        let (mut records, mut rows, mut keys, mut ordered) = (0, 0, 0, true);
        let mut last = 0;
        for day in 0..world.days() {
            world.day(day, &mut out);
            disturbance.day(day, &mut out);
            for record in &out.records {
                records += 1;
                rows += record.rows;
                keys += out.keys(record).len();
                ordered &= record.time >= last;
                last = record.time;
            }
        }
        let under_way = &disturbance.under_way;
        records += under_way.len();
        rows += under_way
            .iter()
            .map(|(_, record, _)| record.rows)
            .sum::<u64>();
        keys += under_way
            .iter()
            .map(|(_, _, keys)| keys.len())
            .sum::<usize>();
        (records, rows, keys, ordered)
    }

    #[test]
    fn what_is_late_or_split_is_neither_lost_nor_doubled() {
        let (records, rows, keys, ordered) = sums(Kind::None);
        assert!(ordered);
        let late = sums(Kind::Late);
        assert_eq!((late.0, late.1, late.2), (records, rows, keys));
        assert!(!late.3, "something is out of order");
        let split = sums(Kind::ThreeHosts);
        assert_eq!((split.0, split.1, split.2), (3 * records, rows, keys));
        let doubled = sums(Kind::Duplicates);
        let share = doubled.0 as f64 / records as f64;
        assert!((1.008..1.012).contains(&share), "{share}");
    }
}
