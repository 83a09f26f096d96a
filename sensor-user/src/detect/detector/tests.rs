//! The lanes together, over weeks and months of made-up people.

use std::collections::BTreeMap;

use super::*;
use crate::{config::Config, detect::observation::Keys};

mod claims;
mod merged;
mod mixture;
mod sums;
mod time;

/// A Monday.
const FIRST: u32 = 19_723;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        crate::detect::mix(self.0)
    }

    fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// A day of one person: what it reads, in the morning and in the afternoon.
#[derive(Clone, Copy)]
struct Read<'a> {
    who: &'a str,
    group: &'a str,
    host: &'a str,
    day: u32,
    hour: u32,
    rows: u64,
}

impl Read<'_> {
    fn time(self) -> Timestamp {
        Timestamp((u64::from(self.day) * 86_400 + u64::from(self.hour) * 3600) * 1_000_000_000)
    }

    fn feed(self, detector: &mut Detector, verdicts: &mut Vec<Verdict>) {
        detector.observe(
            &Observation {
                time: self.time(),
                principal: self.who,
                group: self.group,
                host: self.host,
                os_user: "",
                database: "support",
                tables: &["customers"],
                operation: "SELECT",
                fingerprint: 7,
                rows: self.rows,
                statement_rows: None,
                bytes: self.rows * 150,
                queries: self.rows.div_ceil(2),
                keys: Keys::Count(self.rows),
                key_order: Default::default(),
            },
            verdicts,
        );
    }
}

fn detector() -> Detector {
    let text = "[tables]\ncustomers = 1200000\n[detection]\nalerts_per_day = 1000\n";
    let config =
        Config::parse(text, std::path::Path::new("test.toml")).expect("a valid configuration");
    Detector::new(&config.detection, &config.tables)
}

/// People with a level each, five days a week, and what changes it.
struct People {
    random: Random,
    levels: Vec<f64>,
    states: Vec<f64>,
    /// Autocorrelation, and spread of a day.
    memory: f64,
    spread: f64,
}

impl People {
    fn new(count: usize, memory: f64, spread: f64, seed: u64) -> Self {
        let mut random = Random(seed);
        let levels = (0..count).map(|_| 4.2 + 0.4 * random.normal()).collect();
        let states = (0..count).map(|_| spread * random.normal()).collect();
        Self {
            random,
            levels,
            states,
            memory,
            spread,
        }
    }

    /// Feeds a day; `change` says what is done to somebody's amount.
    fn day(
        &mut self,
        day: u32,
        detector: &mut Detector,
        verdicts: &mut Vec<Verdict>,
        change: impl Fn(usize, u32, f64) -> f64,
    ) {
        if (FIRST + day + 3) % 7 >= 5 {
            return;
        }
        for who in 0..self.levels.len() {
            let fresh = (1.0 - self.memory * self.memory).sqrt() * self.spread;
            self.states[who] = self.memory * self.states[who] + fresh * self.random.normal();
            let usual = (self.levels[who] + self.states[who]).exp();
            let rows = change(who, day, usual).round().max(0.0) as u64;
            if rows == 0 {
                continue;
            }
            let (name, group) = (format!("p{who:03}"), format!("g{}", who % 4));
            let host = format!("h{who}");
            for (hour, rows) in [(9, rows / 2), (14, rows - rows / 2)] {
                Read {
                    who: &name,
                    group: &group,
                    host: &host,
                    day: FIRST + day,
                    hour,
                    rows,
                }
                .feed(detector, verdicts);
            }
        }
    }

    /// Feeds many days; the verdicts.
    fn days(&mut self, days: u32, change: impl Fn(usize, u32, f64) -> f64) -> Vec<Verdict> {
        let mut detector = detector();
        let mut verdicts = Vec::new();
        for day in 0..days {
            self.day(day, &mut detector, &mut verdicts, &change);
        }
        detector.finish(&mut verdicts);
        verdicts
    }
}

/// First day of a verdict about each principal, counted from the first of all.
fn told(verdicts: &[Verdict]) -> BTreeMap<String, (u32, &'static str)> {
    let mut told = BTreeMap::new();
    for verdict in verdicts {
        // A day's verdict carries the moment of its end.
        let day = u32::try_from((verdict.time.0 - 1) / 86_400_000_000_000).expect("a day") - FIRST;
        for name in verdict.principal.iter().chain(&verdict.principals) {
            told.entry(name.to_string()).or_insert((day, verdict.lane));
        }
    }
    told
}

/// Working days from one day to another, both counted.
fn working_days(from: u32, to: u32) -> u32 {
    (from..=to).filter(|day| (FIRST + day + 3) % 7 < 5).count() as u32
}
