//! What others use, on the same records. Each has several operating points.

use std::{
    collections::{HashMap, VecDeque},
    ops::RangeInclusive,
};

use super::{
    alert::Alert,
    calendar::{self, HOUR, SECOND},
    record::Record,
};

/// One setting of a baseline.
#[derive(Clone, Debug)]
pub struct Point {
    pub name: String,
    pub family: &'static str,
    /// The setting that its inventors give, or the usual.
    pub usual: bool,
}

/// All baselines over one history.
#[derive(Debug)]
pub struct Baselines {
    z_score: ZScore,
    sentinel: Sentinel,
    limit: Limit,
    alerts: Vec<Vec<Alert>>,
}

const Z: [f64; 7] = [2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];
const SENTINEL: [f64; 5] = [0.5, 1.0, 2.0, 3.0, 5.0];
const ROWS_A_DAY: [u64; 7] = [200, 300, 400, 600, 1000, 2000, 5000];
/// The plain threshold: rows in ten minutes.
const ROWS_IN_TEN_MINUTES: u64 = 10_000;
const TRAINING_DAYS: usize = 14;

/// Names of all operating points, in the order of [`Baselines::finish`].
pub fn points() -> Vec<Point> {
    let z_score = Z.iter().map(|z| Point {
        name: format!("z-score, 14 own days, z > {z}"),
        family: "z-score",
        usual: (z - 3.0).abs() < 1e-9,
    });
    let sentinel = SENTINEL.iter().map(|z| Point {
        name: format!("Sentinel rule, z and Q > {z}"),
        family: "Sentinel rule",
        usual: (z - 3.0).abs() < 1e-9,
    });
    let limit = ROWS_A_DAY.iter().map(|rows| Point {
        name: format!("threshold, {rows} rows a day"),
        family: "threshold",
        usual: false,
    });
    z_score
        .chain(sentinel)
        .chain(limit)
        .chain([Point {
            name: format!("threshold, {ROWS_IN_TEN_MINUTES} rows in 10 min"),
            family: "threshold",
            usual: true,
        }])
        .collect()
}

impl Baselines {
    pub fn new() -> Self {
        Self {
            z_score: ZScore::default(),
            sentinel: Sentinel::default(),
            limit: Limit::default(),
            alerts: vec![Vec::new(); points().len()],
        }
    }

    /// Takes a record; they come in order of time.
    pub fn observe(&mut self, record: &Record) {
        let (z_score, rest) = self.alerts.split_at_mut(Z.len());
        let (sentinel, limit) = rest.split_at_mut(SENTINEL.len());
        self.z_score.observe(record, z_score);
        self.sentinel.observe(record, sentinel);
        self.limit.observe(record, limit);
    }

    /// The alerts of each operating point.
    pub fn finish(mut self) -> Vec<Vec<Alert>> {
        let sentinel = &mut self.alerts[Z.len()..Z.len() + SENTINEL.len()];
        self.sentinel.close(sentinel);
        self.alerts
    }
}

fn alert(lane: &str, time: u64, account: u32) -> Alert {
    Alert {
        time,
        lane: lane.to_owned(),
        accounts: vec![account],
        host: None,
        group: false,
        budgeted: true,
        odds: f64::INFINITY,
    }
}

/// Somebody's day so far, for detectors that look at sums of days.
#[derive(Debug, Default)]
struct Today {
    day: u32,
    rows: u64,
    /// How many operating points have fired today.
    fired: usize,
}

/// Rows a day against mean and deviation of the last 14 own active days. It alerts as soon as the day's sum is beyond,
/// which is kinder than the usual evaluation at night.
#[derive(Debug, Default)]
struct ZScore {
    people: HashMap<u32, Days>,
}

/// Somebody's day so far, rows of the active days before it, and the limits these give at each operating point.
type Days = (Today, VecDeque<f64>, Option<[f64; Z.len()]>);

impl ZScore {
    fn observe(&mut self, record: &Record, alerts: &mut [Vec<Alert>]) {
        const LEAST_DAYS: usize = 7;
        let day = calendar::day(record.time);
        let (today, past, limits) = self.people.entry(record.account).or_default();
        if day > today.day || past.is_empty() && today.rows == 0 {
            if today.rows > 0 {
                past.push_back(today.rows as f64);
                if past.len() > TRAINING_DAYS {
                    past.pop_front();
                }
            }
            *today = Today {
                day,
                ..Today::default()
            };
            *limits = (past.len() >= LEAST_DAYS).then(|| {
                let (mean, deviation) = moments(past);
                Z.map(|z| mean + z * deviation)
            });
        }
        today.rows += record.rows;
        if let Some(limits) = limits {
            while today.fired < limits.len() && today.rows as f64 > limits[today.fired] {
                alerts[today.fired].push(alert("z-score", record.time, record.account));
                today.fired += 1;
            }
        }
    }
}

fn moments(values: &VecDeque<f64>) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>();
    (mean, (squares / (count - 1.0)).sqrt())
}

/// Microsoft's "Response rows stateful anomaly on database": a statement whose rows are more than so many standard
/// deviations above the database's mean, so many times the distance of its median and 99th percentile above the latter,
/// and more than 500; 14 days' training, run each hour.
#[derive(Debug, Default)]
struct Sentinel {
    days: VecDeque<Histogram>,
    today: Histogram,
    day: u32,
    baseline: Option<Baseline>,
    hour: u64,
    /// Largest statement of each account in this hour.
    largest: HashMap<u32, u64>,
}

#[derive(Debug)]
struct Baseline {
    mean: f64,
    deviation: f64,
    p50: f64,
    p99: f64,
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    count: f64,
    sum: f64,
    squares: f64,
    /// Statements by logarithm of their rows.
    bins: Vec<f64>,
}

/// Bins a natural unit of the logarithm.
const RESOLUTION: f64 = 20.0;

impl Histogram {
    fn add(&mut self, rows: f64, queries: f64) {
        self.count += queries;
        self.sum += rows * queries;
        self.squares += rows * rows * queries;
        let bin = ((rows + 1.0).ln() * RESOLUTION) as usize;
        if self.bins.len() <= bin {
            self.bins.resize(bin + 1, 0.0);
        }
        self.bins[bin] += queries;
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
        if self.bins.len() < other.bins.len() {
            self.bins.resize(other.bins.len(), 0.0);
        }
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            *bin += more;
        }
    }

    fn quantile(&self, share: f64) -> f64 {
        let mut below = 0.0;
        for (bin, count) in self.bins.iter().enumerate() {
            below += count;
            if below >= share * self.count {
                return ((bin as f64 + 0.5) / RESOLUTION).exp() - 1.0;
            }
        }
        0.0
    }
}

impl Sentinel {
    fn observe(&mut self, record: &Record, alerts: &mut [Vec<Alert>]) {
        let (day, hour) = (calendar::day(record.time), record.time / HOUR);
        if hour > self.hour {
            self.close(alerts);
            self.hour = hour;
        }
        if day > self.day {
            self.days.push_back(std::mem::take(&mut self.today));
            if self.days.len() > TRAINING_DAYS {
                self.days.pop_front();
            }
            self.day = day;
            self.train();
        }
        // An audit log tells of statements when they end.
        if record.queries == 0 {
            return;
        }
        let queries = record.queries as f64;
        self.today.add(record.rows as f64 / queries, queries);
        let largest = self.largest.entry(record.account).or_default();
        *largest = (*largest).max(record.statement_rows);
    }

    fn train(&mut self) {
        let mut all = Histogram::default();
        for day in &self.days {
            all.merge(day);
        }
        let mean = all.sum / all.count.max(1.0);
        self.baseline = (all.count >= 20.0).then(|| Baseline {
            mean,
            deviation: (all.squares / all.count - mean * mean).max(0.0).sqrt(),
            p50: all.quantile(0.5),
            p99: all.quantile(0.99),
        });
    }

    /// Judges the hour that has ended.
    fn close(&mut self, alerts: &mut [Vec<Alert>]) {
        let Some(baseline) = &self.baseline else {
            self.largest.clear();
            return;
        };
        let mut largest: Vec<(u32, u64)> = self.largest.drain().collect();
        largest.sort_unstable();
        for (account, rows) in largest {
            if rows <= 500 {
                continue;
            }
            let z = (rows as f64 - baseline.mean) / (baseline.deviation + 1.0);
            let q = (rows as f64 - baseline.p99) / (baseline.p99 - baseline.p50 + 1.0);
            for (least, alerts) in SENTINEL.iter().zip(&mut *alerts) {
                if z > *least && q > *least {
                    alerts.push(alert("sentinel", (self.hour + 1) * HOUR, account));
                }
            }
        }
    }
}

/// Rows a day, and rows in ten minutes.
#[derive(Debug, Default)]
struct Limit {
    people: HashMap<u32, (Today, Window)>,
}

#[derive(Debug, Default)]
struct Window {
    records: VecDeque<(u64, u64)>,
    rows: u64,
    /// When it may fire again.
    silent_until: u64,
}

impl Limit {
    fn observe(&mut self, record: &Record, alerts: &mut [Vec<Alert>]) {
        const WINDOW: u64 = 600 * SECOND;
        let (today, window) = self.people.entry(record.account).or_default();
        let day = calendar::day(record.time);
        if day > today.day {
            *today = Today {
                day,
                ..Today::default()
            };
        }
        today.rows += record.rows;
        while today.fired < ROWS_A_DAY.len() && today.rows > ROWS_A_DAY[today.fired] {
            alerts[today.fired].push(alert("threshold", record.time, record.account));
            today.fired += 1;
        }
        window.records.push_back((record.time, record.rows));
        window.rows += record.rows;
        let past: RangeInclusive<u64> = 0..=record.time.saturating_sub(WINDOW);
        while let Some((at, rows)) = window.records.front() {
            if !past.contains(at) {
                break;
            }
            window.rows -= rows;
            window.records.pop_front();
        }
        if window.rows > ROWS_IN_TEN_MINUTES && record.time >= window.silent_until {
            alerts[ROWS_A_DAY.len()].push(alert("threshold", record.time, record.account));
            window.silent_until = record.time + WINDOW;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::record::{Host, Operation};

    fn record(time: u64, rows: u64, queries: u64) -> Record {
        Record {
            time,
            account: 1,
            host: Host(1),
            table: 0,
            operation: Operation::Select,
            fingerprint: 1,
            statement_rows: rows / queries.max(1),
            rows,
            bytes: rows,
            queries,
            keys: 0..0,
            ascending: false,
            attack: 0,
        }
    }

    fn noon(day: u32) -> u64 {
        calendar::begin(day) + 12 * HOUR
    }

    /// Alerts of an operating point over some records.
    fn alerts(name: &str, records: &[Record]) -> Vec<u64> {
        let mut baselines = Baselines::new();
        for record in records {
            baselines.observe(record);
        }
        let at = points()
            .iter()
            .position(|point| point.name == name)
            .expect("there");
        baselines.finish()[at]
            .iter()
            .map(|alert| alert.time)
            .collect()
    }

    #[test]
    fn z_score_fires_beyond_three_deviations_of_fourteen_days() {
        // 90 and 110 in turn: mean 100, deviation 10.4.
        let mut records: Vec<Record> = (0..20)
            .map(|day| record(noon(day), if day % 2 == 0 { 90 } else { 110 }, 1))
            .collect();
        records.push(record(noon(20), 130, 1));
        assert!(alerts("z-score, 14 own days, z > 3", &records).is_empty());
        records.push(record(noon(20) + HOUR, 2, 1));
        assert_eq!(
            alerts("z-score, 14 own days, z > 3", &records),
            [noon(20) + HOUR]
        );
        assert_eq!(alerts("z-score, 14 own days, z > 2", &records), [noon(20)]);
    }

    #[test]
    fn z_score_says_nothing_before_a_week() {
        let records: Vec<Record> = (0..7)
            .map(|day| record(noon(day), 10u64.pow(day + 1), 1))
            .collect();
        assert!(alerts("z-score, 14 own days, z > 2", &records).is_empty());
    }

    #[test]
    fn the_sentinel_rule_wants_all_three() {
        let day = |at: u32| (0..100).map(move |n| record(noon(at) + n * 1000, 100 + n, 1));
        let mut records: Vec<Record> = (0..15).flat_map(day).collect();
        let name = "Sentinel rule, z and Q > 3";
        // Mean 150, deviation 29, p99 198, p50 150: beyond both, but not 500.
        records.push(record(noon(15), 450, 1));
        assert!(alerts(name, &records).is_empty());
        // A hundred look-ups of five rows are no large statement.
        records.push(record(noon(15) + 1, 50_000, 100));
        assert!(alerts(name, &records).is_empty());
        records.push(record(noon(15) + 2, 600, 1));
        assert_eq!(alerts(name, &records), [noon(15) + HOUR]);
    }

    #[test]
    fn limits_fire_when_they_are_crossed() {
        let records = [
            record(noon(1), 6000, 1),
            record(noon(1) + 599 * SECOND, 4001, 1),
            record(noon(1) + 600 * SECOND, 1, 1),
        ];
        let name = "threshold, 10000 rows in 10 min";
        assert_eq!(alerts(name, &records), [noon(1) + 599 * SECOND]);
        let apart = [
            record(noon(1), 6000, 1),
            record(noon(1) + 600 * SECOND, 4001, 1),
        ];
        assert!(alerts(name, &apart).is_empty());
        assert_eq!(alerts("threshold, 5000 rows a day", &apart), [noon(1)]);
    }
}
