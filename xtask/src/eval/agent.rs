//! A support agent: when he works, and what a day of his reads.

use rand::Rng as _;

use super::{
    calendar::{self, HOUR, SECOND},
    random::{
        Autoregression, Purpose, Random, between, geometric, lognormal, mix, negative_binomial,
        normal, pareto, stream,
    },
    record::{Day, Host, Operation, Record},
    scenario::{self, Scenario},
    statements::Statements,
};

/// Somebody who answers tickets.
#[derive(Debug)]
pub struct Agent {
    /// Account he works with.
    pub account: u32,
    pub team: u32,
    /// First day, and the first day after the last.
    pub employed: std::ops::Range<u32>,
    /// Usual tickets a day.
    level: f64,
    /// Day of a change of role.
    pub role_change: Option<u32>,
    absences: Vec<(u32, u32)>,
    /// Which weekends he works.
    rota: (u32, u32),
    new_hosts: Vec<u32>,
    number: u32,
    personal: Autoregression,
    drift: f64,
    /// Records read for the first time so far.
    known: u64,
    random: Random,
    /// Tickets of a day, kept for the memory: hour, statement, rows.
    tickets: Vec<(u8, u8, u32)>,
}

/// What an agent's day was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worked {
    pub tickets: u64,
    /// Tickets of a usual day.
    pub usual: f64,
}

/// What all of a team have in common on a day.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub day: u32,
    /// The team's storm, the weekday and a quarter's end: tickets are multiplied by it.
    pub factor: f64,
    /// Whether each ticket is told, instead of sums of an hour.
    pub fine: bool,
}

impl Agent {
    /// `number` is unique in the population.
    pub fn new(
        scenario: &Scenario,
        (seed, population): (u64, u64),
        number: u32,
        account: u32,
        team: u32,
        employed: std::ops::Range<u32>,
    ) -> Self {
        let agents = &scenario.agents;
        let mut random = stream(seed, population, Purpose::Person, u64::from(number));
        let level = lognormal(&mut random, agents.tickets_median, agents.tickets_sigma);
        let personal = Autoregression::new(agents.personal_ar, agents.personal_sd, &mut random);
        let days = employed.end.saturating_sub(employed.start).max(1);
        let years = f64::from(days) / 365.0;
        let role_change = yearly(&mut random, agents.role_changes_a_year, years)
            .map(|at| employed.start + (at * f64::from(days)) as u32);
        let absences = (0..(f64::from(agents.absences_a_year) * years).round() as u32)
            .map(|_| {
                let from = employed.start + random.random_range(0..days);
                (from, from + between(&mut random, agents.absence_days))
            })
            .collect();
        let every = if agents.weekend_rota > 0.0 {
            (1.0 / agents.weekend_rota).round().max(1.0) as u32
        } else {
            0
        };
        let rota = (every, random.random_range(0..every.max(1)));
        let new_hosts = yearly(&mut random, agents.new_hosts_a_year, years)
            .map(|at| employed.start + (at * f64::from(days)) as u32)
            .into_iter()
            .collect();
        Self {
            account,
            team,
            employed,
            level,
            role_change,
            absences,
            rota,
            new_hosts,
            number,
            personal,
            drift: 0.0,
            known: 0,
            random,
            tickets: Vec::new(),
        }
    }

    /// His computer on a day.
    pub fn host(&self, day: u32) -> Host {
        let changes = self.new_hosts.iter().filter(|at| **at <= day).count() as u32;
        Host(self.number * 4 + changes.min(3))
    }

    /// Rows of a usual day.
    pub fn usual_rows(&self, scenario: &Scenario, day: u32) -> f64 {
        self.usual(&scenario.agents, day) * scenario.mean_rows()
    }

    fn usual(&self, agents: &scenario::Agents, day: u32) -> f64 {
        let role = match self.role_change {
            Some(at) if at <= day => agents.role_change_factor,
            _ => 1.0,
        };
        self.level * role
    }

    fn works(&self, day: u32) -> bool {
        let (every, which) = self.rota;
        self.employed.contains(&day)
            && !self
                .absences
                .iter()
                .any(|(from, until)| (*from..*until).contains(&day))
            && (!calendar::is_weekend(day) || (every > 0 && (day / 7) % every == which))
    }

    /// Lives a day: its records go to `out`.
    pub fn day(
        &mut self,
        scenario: &Scenario,
        statements: &Statements,
        weather: Weather,
        out: &mut Day,
    ) -> Worked {
        let agents = &scenario.agents;
        let own = self.personal.next(&mut self.random);
        self.drift += normal(&mut self.random, agents.drift);
        if !self.works(weather.day) {
            return Worked::default();
        }
        let usual = self.usual(agents, weather.day);
        let mean = usual * (own + self.drift).exp() * weather.factor;
        let count = negative_binomial(&mut self.random, mean, agents.tickets_dispersion);
        let overtime = self.random.random::<f64>() < agents.overtime;
        let hours: f64 = agents.hours.iter().sum();
        self.tickets.clear();
        for _ in 0..count {
            let hour = if overtime && self.random.random::<f64>() < 0.1 {
                self.random.random_range(18..22)
            } else {
                hour(&agents.hours, self.random.random::<f64>() * hours)
            };
            let size =
                agents.rows_base + agents.rows_scale * pareto(&mut self.random, agents.rows_shape);
            let size = (size.round() as u32).clamp(1, agents.rows_most);
            let statement = statements.choose(&mut self.random);
            self.tickets.push((hour, statement, size));
        }
        self.tickets
            .sort_unstable_by_key(|(hour, statement, _)| (*hour, *statement));
        self.write(scenario, statements, weather, out);
        Worked {
            tickets: count,
            usual,
        }
    }

    fn write(
        &mut self,
        scenario: &Scenario,
        statements: &Statements,
        weather: Weather,
        out: &mut Day,
    ) {
        let host = self.host(weather.day);
        let tickets = std::mem::take(&mut self.tickets);
        let together = |one: &(u8, u8, u32), next: &(u8, u8, u32)| {
            !weather.fine && (one.0, one.1) == (next.0, next.1)
        };
        for tickets in tickets.chunk_by(together) {
            let (hour, statement, _) = tickets[0];
            let within = if weather.fine {
                self.random.random_range(0..HOUR)
            } else {
                // Sums of an hour are told when it ends.
                HOUR - 60 * SECOND + self.random.random_range(0..60 * SECOND)
            };
            let mark = out.mark();
            let (mut rows, mut most) = (0, 0);
            for (_, _, size) in tickets {
                rows += u64::from(*size);
                most = most.max(u64::from(*size));
                for _ in 0..*size {
                    let key = self.key(&scenario.agents, scenario.table.rows);
                    out.keys.push(key);
                }
            }
            let queries = tickets.len() as u64;
            out.records.push(Record {
                time: calendar::begin(weather.day) + u64::from(hour) * HOUR + within,
                account: self.account,
                host,
                table: 0,
                operation: Operation::Select,
                fingerprint: statements.fingerprint(statement),
                statement_rows: most,
                rows,
                bytes: rows * Statements::width(statement) + queries * 90,
                queries,
                keys: mark..out.mark(),
                ascending: false,
                attack: 0,
            });
        }
        self.tickets = tickets;
    }

    /// The next record that he looks up: usually one that he has never seen.
    fn key(&mut self, agents: &scenario::Agents, table: u64) -> u64 {
        let number = if self.known > 0 && self.random.random::<f64>() < agents.revisits {
            let back = geometric(&mut self.random, agents.revisit_depth) % self.known;
            self.known - 1 - back
        } else {
            self.known += 1;
            self.known - 1
        };
        key(mix(u64::from(self.number)) ^ number, table)
    }
}

/// Keyed hash of one of the table's records.
pub fn key(choice: u64, table: u64) -> u64 {
    mix((mix(choice) % table.max(1)) ^ 0x5eed_0f6b_ea7e)
}

fn hour(weights: &[f64; 24], mut at: f64) -> u8 {
    for (hour, weight) in weights.iter().enumerate() {
        if at < *weight {
            return hour as u8;
        }
        at -= weight;
    }
    // Rounding: the last hour with work.
    weights
        .iter()
        .rposition(|weight| *weight > 0.0)
        .unwrap_or(12) as u8
}

/// Where in a span of years something happens, if it does.
fn yearly(random: &mut Random, a_year: f64, years: f64) -> Option<f64> {
    let at = random.random::<f64>();
    (random.random::<f64>() < a_year * years).then_some(at)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const CALM: f64 = 1.0;

    fn live(scenario: &Scenario, agents: u32, days: u32, fine: bool) -> (Vec<Worked>, Day) {
        let statements = Statements::new(&scenario.statements, 1, 0);
        let mut out = Day::default();
        let mut worked = Vec::new();
        for number in 0..agents {
            let mut agent = Agent::new(scenario, (1, 0), number, number, 0, 0..days);
            for day in 0..days {
                let weather = Weather {
                    day,
                    factor: CALM,
                    fine,
                };
                worked.push(agent.day(scenario, &statements, weather, &mut out));
            }
        }
        (worked, out)
    }

    #[test]
    fn a_usual_day_is_as_described() {
        let mut scenario = Scenario::load(None).expect("valid");
        scenario.agents.role_changes_a_year = 0.0;
        let (worked, out) = live(&scenario, 400, 70, false);
        let active: Vec<_> = worked.iter().filter(|day| day.tickets > 0).collect();
        let rows: u64 = out.records.iter().map(|record| record.rows).sum();
        let mean = rows as f64 / active.len() as f64;
        // 79 distinct of 93 rows, and what the personal course (σ 0.2) adds to a mean.
        assert!((88.0..104.0).contains(&mean), "{mean}");
        // Five days a week and a quarter of the weekends, less three absences a year.
        let share = active.len() as f64 / worked.len() as f64;
        assert!((0.70..0.78).contains(&share), "{share}");
        assert_eq!(rows, out.keys.len() as u64);
        let queries: u64 = out.records.iter().map(|record| record.queries).sum();
        assert_eq!(queries, worked.iter().map(|day| day.tickets).sum::<u64>());
    }

    #[test]
    fn revisits_are_the_share_asked_for() {
        let scenario = Scenario::load(None).expect("valid");
        let (_, out) = live(&scenario, 1, 200, false);
        let distinct: HashSet<u64> = out.keys.iter().copied().collect();
        let share = 1.0 - distinct.len() as f64 / out.keys.len() as f64;
        assert!((0.13..0.17).contains(&share), "{share}");
    }

    #[test]
    fn ticket_by_ticket_says_the_same_in_more_records() {
        let scenario = Scenario::load(None).expect("valid");
        let (_, coarse) = live(&scenario, 3, 30, false);
        let (worked, fine) = live(&scenario, 3, 30, true);
        assert_eq!(
            fine.records.len() as u64,
            worked.iter().map(|day| day.tickets).sum::<u64>()
        );
        assert!(coarse.records.len() < fine.records.len());
        assert!(coarse.records.iter().all(|record| {
            (record.time - calendar::begin(calendar::day(record.time))) % HOUR >= HOUR - 60_000
        }));
    }

    #[test]
    fn roles_change_for_a_fifth_a_year() {
        let scenario = Scenario::load(None).expect("valid");
        let changed = (0..5000)
            .filter(|number| {
                Agent::new(&scenario, (1, 0), *number, 0, 0, 0..365)
                    .role_change
                    .is_some()
            })
            .count();
        assert!((900..1100).contains(&changed), "{changed}");
    }
}
