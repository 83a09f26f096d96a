//! A thief in the population: which accounts and hosts he uses, and what he takes each day.

use std::collections::BTreeMap;

use rand::Rng as _;

use super::{
    agent::{Agent, Worked, key},
    calendar::{self, HOUR, SECOND},
    random::{Random, mix},
    record::{Day, Host, Operation, Record},
    scenario::{From, Plan, Reads, Scenario, Target, Unit, When},
    statements::Statements,
};

/// See the module.
#[derive(Debug)]
pub struct Attack {
    /// From one; records carry it.
    pub number: u32,
    pub plan: Plan,
    pub accounts: Vec<u32>,
    /// Client hosts that are the thief's own.
    pub hosts: Vec<Host>,
    pub begin: u32,
    /// Agents behind each account.
    people: Vec<Vec<usize>>,
    random: Random,
    fingerprint: u64,
    active: u32,
    taken: u64,
    pub ledger: Ledger,
}

/// When how much went out.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Time and rows, in order of time within a day.
    entries: Vec<(u64, u64)>,
}

impl Ledger {
    fn add(&mut self, time: u64, rows: u64) {
        self.entries.push((time, rows));
    }

    pub fn total(&self) -> u64 {
        self.entries.iter().map(|(_, rows)| rows).sum()
    }

    /// Rows out by a time.
    pub fn until(&self, time: u64) -> u64 {
        self.entries
            .iter()
            .filter(|(at, _)| *at <= time)
            .map(|(_, rows)| rows)
            .sum()
    }

    /// Days with a theft that began by a time.
    pub fn days(&self, time: u64) -> u32 {
        let mut days: Vec<u32> = self
            .entries
            .iter()
            .filter(|(at, _)| *at <= time)
            .map(|(at, _)| calendar::day(*at))
            .collect();
        days.sort_unstable();
        days.dedup();
        days.len() as u32
    }

    pub fn first(&self) -> Option<u64> {
        self.entries.iter().map(|(at, _)| *at).min()
    }

    pub fn last(&self) -> Option<u64> {
        self.entries.iter().map(|(at, _)| *at).max()
    }

    /// When so many rows were out.
    fn crossed(&self, rows: u64) -> Option<u64> {
        let mut entries = self.entries.clone();
        entries.sort_unstable();
        let mut sum = 0;
        entries.iter().find_map(|(at, more)| {
            sum += more;
            (sum >= rows).then_some(*at)
        })
    }
}

impl Attack {
    pub fn new(
        number: u32,
        plan: &Plan,
        begin: u32,
        people: Vec<(u32, Vec<usize>)>,
        mut random: Random,
    ) -> Self {
        let own = match plan.from {
            _ if plan.hosts > 0 => plan.hosts,
            From::New => 1,
            From::Own => 0,
        };
        let fingerprint = random.random();
        Self {
            number,
            plan: plan.clone(),
            accounts: people.iter().map(|(account, _)| *account).collect(),
            hosts: (0..own)
                .map(|at| Host((1 << 23) + number * 64 + at))
                .collect(),
            begin,
            people: people.into_iter().map(|(_, people)| people).collect(),
            random,
            fingerprint,
            active: 0,
            taken: 0,
            ledger: Ledger::default(),
        }
    }

    /// How long it took until an alert, in the unit of the target.
    pub fn delay(&self, alert: u64) -> f64 {
        let Target { unit, rows, .. } = self.plan.target;
        match unit {
            Unit::Days | Unit::Nights => f64::from(self.ledger.days(alert).max(1)),
            Unit::Seconds => {
                let from = match (self.plan.reads, rows) {
                    // Counted from when the limit was crossed: no sensor can tell before.
                    (Reads::Whole, Some(rows)) => self.ledger.crossed(rows),
                    _ => self.ledger.first(),
                };
                from.map_or(f64::INFINITY, |from| {
                    alert.saturating_sub(from) as f64 / SECOND as f64
                })
            }
        }
    }

    /// Takes what he takes on a day.
    pub fn day(
        &mut self,
        scenario: &Scenario,
        statements: &Statements,
        (day, fine): (u32, bool),
        (agents, worked): (&[Agent], &[Worked]),
        out: &mut Day,
    ) {
        if day < self.begin || self.active >= self.plan.days {
            return;
        }
        let taken = match self.plan.reads {
            Reads::Whole => self.dump(scenario, day, agents, out),
            Reads::Paging => self.page(day, agents, out),
            Reads::Steady | Reads::Times | Reads::Ramp => {
                let mut any = false;
                for at in 0..self.accounts.len() {
                    let rows = self.wanted(scenario, day, at, (agents, worked));
                    if rows > 0 {
                        self.look_up(scenario, statements, (day, fine), at, rows, agents, out);
                        any = true;
                    }
                }
                any
            }
        };
        self.active += u32::from(taken);
    }

    /// Rows to take with one of the accounts today.
    fn wanted(
        &self,
        scenario: &Scenario,
        day: u32,
        at: usize,
        (agents, worked): (&[Agent], &[Worked]),
    ) -> u64 {
        let people = &self.people[at];
        let tickets: u64 = people.iter().map(|person| worked[*person].tickets).sum();
        let usual: f64 = people.iter().map(|person| worked[*person].usual).sum();
        let goes = match self.plan.when {
            When::Work => tickets > 0,
            When::Busy => tickets > 0 && tickets as f64 >= self.plan.busy * usual,
            When::Night => !calendar::is_weekend(day),
        };
        if !goes {
            return 0;
        }
        let usual_rows: f64 = people
            .iter()
            .map(|person| agents[*person].usual_rows(scenario, day))
            .sum();
        match self.plan.reads {
            Reads::Steady => self.plan.rows,
            Reads::Times => (usual_rows * self.plan.factor).round() as u64,
            Reads::Ramp => {
                let weeks = f64::from(day - self.begin) / 7.0;
                (usual_rows * ((1.0 + self.plan.weekly).powf(weeks) - 1.0)).round() as u64
            }
            Reads::Whole | Reads::Paging => 0,
        }
    }

    fn host(&self, at: usize, day: u32, agents: &[Agent]) -> Host {
        if self.hosts.is_empty() {
            agents[self.people[at][0]].host(day)
        } else {
            self.hosts[at % self.hosts.len()]
        }
    }

    /// Look-ups of the size that everybody's have, by the application's most used statement or by all of them.
    #[expect(clippy::too_many_arguments, reason = "what a day consists of")]
    fn look_up(
        &mut self,
        scenario: &Scenario,
        statements: &Statements,
        (day, fine): (u32, bool),
        at: usize,
        rows: u64,
        agents: &[Agent],
        out: &mut Day,
    ) {
        let each = scenario.mean_rows().round().max(1.0) as u64;
        let mut by_hour: BTreeMap<(u64, u8), u64> = BTreeMap::new();
        for _ in 0..rows.div_ceil(each) {
            let hour = if self.plan.when == When::Night {
                self.random.random_range(1..4)
            } else {
                self.working_hour(&scenario.agents.hours)
            };
            let statement = if self.plan.mixed {
                statements.choose(&mut self.random)
            } else {
                0
            };
            *by_hour.entry((hour, statement)).or_default() += 1;
        }
        let host = self.host(at, day, agents);
        let mut left = rows;
        for ((hour, statement), queries) in by_hour {
            let records = if fine { queries } else { queries.min(1) };
            for _ in 0..records {
                let queries = queries / records;
                let taken = (queries * each).min(left);
                left -= taken;
                let within = if fine {
                    self.random.random_range(0..HOUR)
                } else {
                    HOUR - 60 * SECOND + self.random.random_range(0..60 * SECOND)
                };
                let mark = out.mark();
                for _ in 0..taken {
                    self.taken += 1;
                    let choice = mix(self.fingerprint) ^ self.taken;
                    out.keys.push(key(choice, scenario.table.rows));
                }
                let record = Record {
                    time: calendar::begin(day) + hour * HOUR + within,
                    account: self.accounts[at],
                    host,
                    table: 0,
                    operation: Operation::Select,
                    fingerprint: statements.fingerprint(statement),
                    statement_rows: each.min(taken),
                    rows: taken,
                    bytes: taken * Statements::width(statement) + queries * 90,
                    queries,
                    keys: mark..out.mark(),
                    ascending: false,
                    attack: self.number,
                };
                self.ledger.add(record.time, taken);
                out.records.push(record);
            }
        }
    }

    fn working_hour(&mut self, weights: &[f64; 24]) -> u64 {
        let mut at = self.random.random::<f64>() * weights.iter().sum::<f64>();
        (0..)
            .zip(weights)
            .find(|(_, weight)| {
                at -= *weight;
                at < 0.0
            })
            .map_or(12, |(hour, _)| hour)
    }

    /// A bulk statement's record.
    fn bulk(&self, time: u64, host: Host, rows: u64) -> Record {
        Record {
            time,
            account: self.accounts[0],
            host,
            table: 0,
            operation: Operation::Select,
            fingerprint: self.fingerprint,
            statement_rows: rows,
            rows,
            bytes: rows * 110,
            queries: 1,
            keys: 0..0,
            ascending: false,
            attack: self.number,
        }
    }

    /// One statement that returns the table, told every tenth of a second while it streams.
    fn dump(&mut self, scenario: &Scenario, day: u32, agents: &[Agent], out: &mut Day) -> bool {
        const STEP: u64 = 100;
        if calendar::is_weekend(day) {
            return false;
        }
        let host = self.host(0, day, agents);
        let operation = if self.random.random() {
            Operation::Select
        } else {
            Operation::Copy
        };
        let mut time = calendar::begin(day) + 9 * HOUR + self.random.random_range(0..8 * HOUR);
        let mut sum = 0;
        while sum < scenario.table.rows {
            let rows = (self.plan.rows_a_second * STEP / SECOND)
                .max(1)
                .min(scenario.table.rows - sum);
            sum += rows;
            time += STEP;
            self.ledger.add(time, rows);
            out.records.push(Record {
                operation,
                statement_rows: sum,
                queries: u64::from(sum == scenario.table.rows),
                ..self.bulk(time, host, rows)
            });
        }
        true
    }

    /// A page every so many seconds.
    fn page(&mut self, day: u32, agents: &[Agent], out: &mut Day) -> bool {
        if calendar::is_weekend(day) {
            return false;
        }
        let host = self.host(0, day, agents);
        let begin = calendar::begin(day) + 9 * HOUR + self.random.random_range(0..2 * HOUR);
        for page in 0..self.plan.hours * 3600 / self.plan.seconds {
            let time = begin + page * self.plan.seconds * SECOND;
            self.ledger.add(time, self.plan.rows);
            out.records.push(Record {
                ascending: true,
                ..self.bulk(time, host, self.plan.rows)
            });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_knows_what_was_out_when() {
        let mut ledger = Ledger::default();
        for day in [3, 4, 9] {
            ledger.add(calendar::begin(day) + 9 * HOUR, 50);
            ledger.add(calendar::begin(day) + 10 * HOUR, 30);
        }
        assert_eq!(ledger.total(), 240);
        assert_eq!(ledger.until(calendar::begin(4) + 9 * HOUR), 130);
        assert_eq!(ledger.days(calendar::begin(5) + 2 * HOUR), 2);
        assert_eq!(ledger.days(calendar::begin(9) + 9 * HOUR), 3);
        assert_eq!(ledger.crossed(81), Some(calendar::begin(4) + 9 * HOUR));
        assert_eq!(ledger.crossed(241), None);
    }
}
