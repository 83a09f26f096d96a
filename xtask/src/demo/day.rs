//! A day of the support team, in fast motion.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

use super::{
    AGENTS, INSIDER, LIMIT, Size, data::agent, database::Database, screen::Screen, sensor::Sensor,
};
use crate::{progress::thousands, signal};

/// When, as share of the day.
const REPORT: f64 = 0.2;
const BACKUP: f64 = 0.45;
const INSIDER_ACTS: f64 = 0.7;

/// What the insider did.
#[derive(Clone, Copy, Debug)]
pub struct Theft {
    /// Rows that it got with the one statement.
    pub rows: u64,
    /// When it had received one row more than the limit.
    pub crossed: Instant,
    /// When the sensor's alert was in its OpenTelemetry file.
    pub exported: Option<Instant>,
}

/// Plays it and returns what the insider did.
pub fn play(
    database: &dyn Database,
    size: Size,
    length: Duration,
    sensor: &Sensor,
    screen: &Screen,
) -> Result<Theft> {
    let day = Day {
        database,
        size,
        length,
        began: Instant::now(),
        over: AtomicBool::new(false),
        insider_rows: AtomicU64::new(0),
        failure: Mutex::new(None),
    };
    let theft = thread::scope(|scope| {
        let day = &day;
        screen.line(format!(
            "08:00  {AGENTS} agents begin to look up tickets, each as a database user of their own"
        ));
        for index in 1..=AGENTS {
            scope.spawn(move || day.watch(day.agent(index)));
        }
        let theft = day.others(sensor, screen);
        day.over.store(true, Ordering::Relaxed);
        theft
    });
    if let Some(error) = day
        .failure
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
    {
        return Err(error);
    }
    theft
}

struct Day<'a> {
    database: &'a dyn Database,
    size: Size,
    length: Duration,
    began: Instant,
    over: AtomicBool,
    /// Rows that the insider has got.
    insider_rows: AtomicU64,
    failure: Mutex<Option<anyhow::Error>>,
}

impl Day<'_> {
    /// Keeps the first failure and ends the day.
    fn watch(&self, result: Result<()>) {
        if let Err(error) = result {
            self.over.store(true, Ordering::Relaxed);
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || signal::interrupted()
    }

    fn wait_until(&self, share: f64) -> Result<()> {
        while self.began.elapsed() < self.length.mul_f64(share) {
            signal::check()?;
            if self.is_over() {
                return Err(anyhow!("the day ended early"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Looks up tickets until the day is over, and closes one now and then. The insider does so too.
    fn agent(&self, index: usize) -> Result<()> {
        let name = agent(index);
        let mut client = self.database.agent(&name, index.is_multiple_of(2))?;
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ ((index as u64) << 32));
        let mut turn = 0u64;
        while !self.is_over() {
            let ticket = random.below(self.size.tickets) + 1;
            let rows = client.look_up(ticket)?;
            if name == INSIDER {
                self.insider_rows.fetch_add(rows, Ordering::Relaxed);
            }
            turn += 1;
            if turn.is_multiple_of(10) {
                client.close(ticket)?;
            }
            thread::sleep(Duration::from_millis(20 + random.below(60)));
        }
        client.leave()
    }

    /// Analyst, backup and insider, one after the other.
    fn others(&self, sensor: &Sensor, screen: &Screen) -> Result<Theft> {
        self.wait_until(REPORT)?;
        screen.line("12:00  the analyst runs the monthly report: much is read, little leaves");
        self.database.report()?;

        self.wait_until(BACKUP)?;
        screen.line("22:00  the nightly backup copies both tables: an exception of the threshold, with reason and end");
        let bytes = self.database.backup()?;
        screen.line(format!("       {} MB copied", thousands(bytes / 1_000_000)));

        self.wait_until(INSIDER_ACTS)?;
        screen.line(format!("23:30  {INSIDER} runs `{}`", self.database.theft()));
        let theft = self.steal(sensor)?;
        screen.line(format!(
            "       {INSIDER} has {} rows",
            thousands(theft.rows)
        ));
        self.wait_until(1.0)?;
        Ok(theft)
    }

    /// Takes the whole table, and waits for the alert to be exported.
    fn steal(&self, sensor: &Sensor) -> Result<Theft> {
        let failed = AtomicBool::new(false);
        let began = Instant::now();
        // Long enough to tell a late alert from none.
        let patience = self.length.max(Duration::from_secs(10));
        thread::scope(|scope| {
            let exported = scope.spawn(|| {
                let mut offset = 0;
                while began.elapsed() < patience
                    && !failed.load(Ordering::Relaxed)
                    && !self.is_over()
                {
                    if sensor.exported(&mut offset) {
                        return Some(Instant::now());
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                None
            });
            let read = self.read_all();
            failed.store(read.is_err(), Ordering::Relaxed);
            let exported = exported.join().unwrap_or_default();
            let (rows, crossed) = read?;
            Ok(Theft {
                rows,
                crossed,
                exported,
            })
        })
    }

    /// How many rows the insider got, and when the limit was crossed.
    fn read_all(&self) -> Result<(u64, Instant)> {
        let mut count = 0;
        let mut crossed = None;
        self.database.steal(&mut || {
            count += 1;
            if crossed.is_none() && count + self.insider_rows.load(Ordering::Relaxed) > LIMIT {
                crossed = Some(Instant::now());
            }
        })?;
        let crossed = crossed
            .ok_or_else(|| anyhow!("the insider got only {count} rows, fewer than the limit"))?;
        Ok((count, crossed))
    }
}

/// Repeatable pseudo-random numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}
