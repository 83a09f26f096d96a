//! How much one core takes, and how much memory.

use anyhow::Result;
use serde::Serialize;

use super::{
    alert::Names,
    calendar, csv,
    record::Day,
    scenario::Scenario,
    sensor::{Sensor, Stats},
    world::{Telling, World},
};

/// What a large population took.
#[derive(Clone, Debug, Serialize)]
pub struct Scale {
    pub accounts: u64,
    pub days: u32,
    pub keys: bool,
    pub stats: Stats,
    pub alerts: usize,
    /// In the second half of the days, told within the budget or not: the first half is learning.
    pub alerts_a_day: f64,
}

/// Tells a population without attackers to the sensor, for its time and memory.
pub fn scale(
    sensor: &Sensor,
    scenario: &Scenario,
    seed: u64,
    days: u32,
    keys: bool,
) -> Result<Scale> {
    let telling = Telling {
        seed,
        population: 3 << 32,
        days,
        fine: false,
    };
    let mut world = World::new(scenario, telling, &[]);
    let names = Names::new(&world);
    let mut replay = sensor.start("scale", None, None)?;
    let input = replay.input()?;
    let fed = (|| -> Result<()> {
        let mut writer = csv::Writer::new(input, keys)?;
        let mut out = Day::default();
        for day in 0..days {
            world.day(day, &mut out);
            for record in &out.records {
                writer.write(&world, &out, record)?;
            }
        }
        writer.finish()?;
        Ok(())
    })();
    let found = replay.finish(&names, fed)?;
    let half = days / 2;
    let late = found
        .alerts
        .iter()
        .filter(|alert| calendar::day(alert.time) >= half);
    Ok(Scale {
        alerts_a_day: late.count() as f64 / f64::from((days - half).max(1)),
        accounts: world.accounts.len() as u64,
        days,
        keys,
        alerts: found.alerts.len(),
        stats: found.stats,
    })
}

impl Scale {
    /// In a sentence.
    pub fn text(&self) -> String {
        let stats = &self.stats;
        let seconds = stats.processor_seconds.max(f64::MIN_POSITIVE);
        format!(
            "{} principals over {} days ({}): {} events and {} window updates in {:.1} s of one core, reading them included: \
             {:.2} million updates and {:.2} million events a second. Most memory: {:.0} MiB, {:.0} bytes a principal, of which {} \
             are fixed state. {} alerts, withheld ones included; {:.1} a day in the second half of the days.",
            stats.principals,
            self.days,
            if self.keys {
                "with keys"
            } else {
                "without keys"
            },
            stats.events,
            stats.window_updates,
            seconds,
            stats.window_updates as f64 / seconds / 1e6,
            stats.events as f64 / seconds / 1e6,
            stats.peak_memory as f64 / f64::from(1 << 20),
            stats.peak_memory as f64 / (stats.principals.max(1) as f64),
            stats.state_bytes_per_principal,
            self.alerts,
            self.alerts_a_day,
        )
    }
}
