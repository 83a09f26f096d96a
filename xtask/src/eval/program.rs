//! Accounts that are not support agents: analysts, backups, ETL, a migration.

use rand::Rng as _;

use super::{
    calendar::{self, HOUR, SECOND},
    random::{Purpose, Random, between, log_uniform, lognormal, stream},
    record::{Day, Host, Operation, Record},
    scenario::Scenario,
};

/// What an account does.
#[derive(Clone, Copy, Debug)]
enum Job {
    Analyst,
    Backup { hour: u32 },
    Etl { rows: f64, fingerprint: u64 },
    Migration { day: u32 },
}

/// See the module.
#[derive(Debug)]
pub struct Program {
    account: u32,
    host: Host,
    job: Job,
    own: [u64; 10],
    random: Random,
}

/// Rows of the tables beside the sensitive one, by which their records are written.
const OTHER_TABLES: u8 = 2;

impl Program {
    fn new(population: (u64, u64), account: u32) -> Self {
        let (seed, population) = population;
        let mut random = stream(seed, population, Purpose::Service, u64::from(account));
        Self {
            account,
            // Beyond the agents' computers.
            host: Host((1 << 22) + account),
            job: Job::Analyst,
            own: std::array::from_fn(|_| random.random()),
            random,
        }
    }

    pub fn analyst(population: (u64, u64), account: u32) -> Self {
        Self::new(population, account)
    }

    pub fn backup(population: (u64, u64), account: u32) -> Self {
        let mut program = Self::new(population, account);
        program.job = Job::Backup {
            hour: program.random.random_range(0..4),
        };
        program
    }

    pub fn etl(scenario: &Scenario, population: (u64, u64), account: u32) -> Self {
        let mut program = Self::new(population, account);
        program.job = Job::Etl {
            rows: log_uniform(&mut program.random, scenario.services.etl_rows),
            fingerprint: program.own[0],
        };
        program
    }

    pub fn migration(population: (u64, u64), account: u32, day: u32) -> Self {
        let mut program = Self::new(population, account);
        program.job = Job::Migration { day };
        program
    }

    /// Its records of a day.
    pub fn day(&mut self, scenario: &Scenario, day: u32, out: &mut Day) {
        match self.job {
            Job::Analyst => self.analyse(scenario, day, out),
            Job::Backup { hour } => self.back_up(scenario, day, hour, out),
            Job::Etl { rows, fingerprint } => self.extract(scenario, day, rows, fingerprint, out),
            Job::Migration { day: at } if at == day => self.migrate(scenario, day, out),
            Job::Migration { .. } => {}
        }
    }

    fn analyse(&mut self, scenario: &Scenario, day: u32, out: &mut Day) {
        let analysts = &scenario.analysts;
        if calendar::is_weekend(day) || self.random.random::<f64>() < analysts.absent {
            return;
        }
        for _ in 0..between(&mut self.random, analysts.queries) {
            let rows = log_uniform(&mut self.random, analysts.rows) as u64;
            let fingerprint = if self.random.random::<f64>() < analysts.own_statements {
                self.own[self.random.random_range(0..self.own.len())]
            } else {
                self.random.random()
            };
            let time = calendar::begin(day) + 9 * HOUR + self.random.random_range(0..9 * HOUR);
            let table = self.random.random_range(0..=OTHER_TABLES);
            out.records.push(Record {
                table,
                ..self.record(time, fingerprint, rows)
            });
        }
    }

    fn record(&self, time: u64, fingerprint: u64, rows: u64) -> Record {
        Record {
            time,
            account: self.account,
            host: self.host,
            table: 0,
            operation: Operation::Select,
            fingerprint,
            statement_rows: rows,
            rows,
            bytes: rows * 100 + 90,
            queries: 1,
            keys: 0..0,
            ascending: false,
            attack: 0,
        }
    }

    /// Whether a run slips today, and by how many hours.
    fn slip(&mut self, scenario: &Scenario) -> Option<u32> {
        let services = &scenario.services;
        let share = services.slips_a_month * 12.0 / 365.0;
        let hours = between(&mut self.random, services.slip_hours);
        (self.random.random::<f64>() < share).then_some(hours)
    }

    fn back_up(&mut self, scenario: &Scenario, day: u32, hour: u32, out: &mut Day) {
        const PARTS: u64 = 20;
        let hour = hour + self.slip(scenario).unwrap_or(0);
        let begin = calendar::begin(day)
            + u64::from(hour) * HOUR
            + self.random.random_range(0..120 * SECOND);
        let step = u64::from(scenario.services.backup_minutes) * 60 * SECOND / PARTS;
        for part in 1..=PARTS {
            let rows = scenario.table.rows / PARTS;
            out.records.push(Record {
                operation: Operation::Copy,
                statement_rows: rows * part,
                queries: u64::from(part == PARTS),
                ..self.record(begin + part * step, self.own[0], rows)
            });
        }
    }

    fn extract(
        &mut self,
        scenario: &Scenario,
        day: u32,
        rows: f64,
        fingerprint: u64,
        out: &mut Day,
    ) {
        let slip = self
            .slip(scenario)
            .map(|hours| (self.random.random_range(0..24 - hours.min(23)), hours));
        let mut late = 0.0;
        for hour in 0..24 {
            let read = lognormal(&mut self.random, rows, scenario.services.etl_sigma) + late;
            if slip.is_some_and(|(from, hours)| (from..from + hours).contains(&hour)) {
                late = read;
                continue;
            }
            late = 0.0;
            let time = calendar::begin(day)
                + u64::from(hour) * HOUR
                + 300 * SECOND
                + self.random.random_range(0..60 * SECOND);
            let table = self.own[1] as u8 % (OTHER_TABLES + 1);
            out.records.push(Record {
                table,
                ..self.record(time, fingerprint, read as u64)
            });
        }
    }

    fn migrate(&mut self, scenario: &Scenario, day: u32, out: &mut Day) {
        const BATCH: u64 = 10_000;
        let begin = calendar::begin(day) + 22 * HOUR;
        for batch in 0..scenario.table.rows.div_ceil(BATCH) {
            out.records.push(Record {
                operation: Operation::Update,
                ..self.record(begin + batch * 2 * SECOND, self.own[0], BATCH)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(mut program: Program, days: std::ops::Range<u32>) -> Vec<Record> {
        let scenario = Scenario::load(None).expect("valid");
        let mut out = Day::default();
        for day in days {
            program.day(&scenario, day, &mut out);
        }
        out.records
    }

    #[test]
    fn a_backup_reads_the_whole_table_each_night_and_slips_once_a_month() {
        let records = days(Program::backup((1, 0), 7), 0..365);
        let rows: u64 = records.iter().map(|record| record.rows).sum();
        assert_eq!(rows, 365 * 12_000_000);
        assert_eq!(
            records.iter().map(|record| record.queries).sum::<u64>(),
            365
        );
        let hour = |record: &Record| (record.time / HOUR) % 24;
        let usual = hour(&records[0]).min(hour(&records[20]));
        let late = records
            .chunks(20)
            .filter(|night| hour(&night[0]) > usual + 1)
            .count();
        assert!((5..=22).contains(&late), "{late}");
    }

    #[test]
    fn an_etl_catches_up_what_slipped() {
        let scenario = Scenario::load(None).expect("valid");
        let records = days(Program::etl(&scenario, (1, 0), 8), 0..365);
        assert!((8300..8760).contains(&records.len()), "{}", records.len());
        let mean = records.iter().map(|record| record.rows).sum::<u64>() as f64 / (365.0 * 24.0);
        let typical = records[0].rows as f64;
        assert!((0.4..2.5).contains(&(mean / typical)), "{mean} {typical}");
    }

    #[test]
    fn analysts_ask_as_often_and_as_much_as_described() {
        let records = days(Program::analyst((1, 0), 9), 0..364);
        let a_day = records.len() as f64 / (260.0 * 0.9);
        assert!((11.5..13.5).contains(&a_day), "{a_day}");
        assert!(
            records
                .iter()
                .all(|record| (100..=100_000).contains(&record.rows))
        );
    }

    #[test]
    fn a_migration_touches_every_row_once() {
        let records = days(Program::migration((1, 0), 9, 100), 0..364);
        assert_eq!(
            records.iter().map(|record| record.rows).sum::<u64>(),
            12_000_000
        );
    }
}
