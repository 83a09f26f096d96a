//! Many populations: generated, told to the sensor and the baselines, and judged.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Result, anyhow};

use super::{
    alert::{Alert, Names},
    baseline::{self, Baselines, Point},
    csv,
    disturb::{Disturbance, Kind},
    record::Day,
    scenario::{Plan, Scenario},
    sensor::{Sensor, Stats},
    truth::{self, FalseAlerts, Outcome, Situation},
    world::{Telling, World},
};

/// Odds from which on alerts count, for the sensor's operating points beside the one it has.
const ODDS: [f64; 4] = [3e5, 1e6, 1e7, 1e9];
/// The sensor as it is: all alerts.
pub const SENSOR: usize = 0;
/// The sensor within its alert budget.
pub const BUDGETED: usize = 1;

/// All operating points of all detectors.
pub fn detectors() -> Vec<Point> {
    let own =
        [("sensor", true), ("sensor, within the alert budget", false)].map(|(name, usual)| Point {
            name: name.to_owned(),
            family: "sensor",
            usual,
        });
    let stricter = ODDS.map(|odds| Point {
        name: format!("sensor, odds of 1 in {odds:e} or less"),
        family: "sensor",
        usual: false,
    });
    own.into_iter()
        .chain(stricter)
        .chain(baseline::points())
        .collect()
}

/// A history and everything that was said about it.
#[derive(Debug)]
pub struct Tale {
    pub world: World,
    /// By detector.
    pub alerts: Vec<Vec<Alert>>,
    pub stats: Stats,
    /// Days on which somebody read something, by situation, from a day on.
    pub days: BTreeMap<Situation, u64>,
}

/// How tales are told.
#[derive(Debug)]
pub struct Teller<'a> {
    pub sensor: &'a Sensor,
    pub scenario: &'a Scenario,
    pub disturbance: Kind,
    /// The sensor is killed and started again after so many events.
    pub restart_every: Option<u64>,
    /// First day whose principal-days and false alerts count.
    pub count_from: u32,
}

impl Teller<'_> {
    /// Tells one and listens.
    pub fn tell(&self, telling: Telling, plans: &[Plan]) -> Result<Tale> {
        let mut world = World::new(self.scenario, telling, plans);
        let names = Names::new(&world);
        let mut disturbance = Disturbance::new(self.disturbance, telling.seed, telling.population);
        let mut baselines = Baselines::new();
        let mut days = BTreeMap::new();
        let mut seen: Vec<u32> = vec![u32::MAX; world.accounts.len()];
        let name = format!("population-{:?}-{}", self.disturbance, telling.population);
        let mut replay = self.sensor.start(&name, None, self.restart_every)?;
        let input = replay.input()?;
        let fed = (|| -> Result<()> {
            let mut writer = csv::Writer::new(input, true)?;
            let mut out = Day::default();
            for day in 0..world.days() {
                world.day(day, &mut out);
                for record in &out.records {
                    baselines.observe(record);
                    let last = &mut seen[record.account as usize];
                    if *last != day && day >= self.count_from && record.attack == 0 {
                        *last = day;
                        let account = &world.accounts[record.account as usize];
                        *days.entry(Situation::of(account, day)).or_default() += 1;
                    }
                }
                disturbance.day(day, &mut out);
                for record in &out.records {
                    writer.write(&world, &out, record)?;
                }
            }
            writer.finish()?;
            Ok(())
        })();
        let found = replay.finish(&names, fed)?;
        std::fs::remove_file(self.sensor.alerts(&name))?;
        let budgeted = found.alerts.iter().filter(|alert| alert.budgeted);
        let mut alerts = vec![found.alerts.clone(), budgeted.cloned().collect()];
        for odds in ODDS {
            let likely = found.alerts.iter().filter(|alert| alert.odds >= odds);
            alerts.push(likely.cloned().collect());
        }
        alerts.extend(baselines.finish());
        Ok(Tale {
            world,
            alerts,
            stats: found.stats,
            days,
        })
    }
}

/// Everything that was measured with attackers about.
#[derive(Clone, Debug)]
pub struct Detection {
    pub plan: Plan,
    /// By detector, an outcome a run.
    pub outcomes: Vec<Vec<Outcome>>,
}

/// Everything that was measured without attackers.
#[derive(Clone, Debug, Default)]
pub struct Peace {
    /// By detector.
    pub alerts: Vec<FalseAlerts>,
    pub days: BTreeMap<Situation, u64>,
    /// Most alerts of the sensor on one day, and calendar days in all.
    pub calendar_days: u64,
    pub stats: Vec<Stats>,
}

impl Peace {
    /// Principal-days of what a condition holds for.
    pub fn principal_days(&self, which: impl Fn(Situation) -> bool) -> f64 {
        self.days
            .iter()
            .filter(|(situation, _)| which(**situation))
            .map(|(_, days)| *days as f64)
            .sum()
    }
}

/// Runs of each plan, one population after the other on as many cores as there are.
pub fn attacked(
    teller: &Teller<'_>,
    seed: u64,
    plans: &[Plan],
    runs: u32,
) -> Result<Vec<Detection>> {
    let scenario = teller.scenario;
    let each = scenario.evaluation.attackers_of_a_kind;
    let populations = runs.div_ceil(each) as usize;
    let detectors = detectors().len();
    let found = parallel(populations, |population| {
        let telling = Telling {
            seed,
            population: population as u64,
            days: scenario.evaluation.days,
            fine: false,
        };
        let tale = teller.tell(telling, plans)?;
        let mut outcomes = Vec::new();
        for attack in &tale.world.attacks {
            let judged: Option<Vec<Outcome>> = tale
                .alerts
                .iter()
                .map(|alerts| truth::outcome(attack, alerts.iter(), scenario.evaluation.grace_days))
                .collect();
            if let Some(judged) = judged {
                outcomes.push((attack.plan.name.clone(), judged));
            }
        }
        Ok(outcomes)
    })?;
    let mut all: Vec<Detection> = plans
        .iter()
        .map(|plan| Detection {
            plan: plan.clone(),
            outcomes: vec![Vec::new(); detectors],
        })
        .collect();
    for (name, judged) in found.into_iter().flatten() {
        if let Some(detection) = all.iter_mut().find(|one| one.plan.name == name) {
            for (outcomes, outcome) in detection.outcomes.iter_mut().zip(judged) {
                if outcomes.len() < runs as usize {
                    outcomes.push(outcome);
                }
            }
        }
    }
    Ok(all)
}

/// Populations without attackers. Some are told ticket by ticket.
pub fn peaceful(teller: &Teller<'_>, seed: u64) -> Result<Peace> {
    /// Populations with and without attackers differ.
    const APART: u64 = 1 << 32;
    let evaluation = &teller.scenario.evaluation;
    let found = parallel(evaluation.clean_populations as usize, |population| {
        let telling = Telling {
            seed,
            population: APART + population as u64,
            days: evaluation.clean_days,
            fine: population < evaluation.fine_clean_populations as usize,
        };
        let tale = teller.tell(telling, &[])?;
        let from = super::calendar::begin(teller.count_from);
        let alerts: Vec<FalseAlerts> = tale
            .alerts
            .iter()
            .map(|alerts| {
                let mut counted = FalseAlerts::default();
                for alert in alerts.iter().filter(|alert| alert.time >= from) {
                    counted.add(&tale.world, alert);
                }
                counted
            })
            .collect();
        Ok((alerts, tale.days, tale.stats))
    })?;
    let mut peace = Peace {
        alerts: vec![FalseAlerts::default(); detectors().len()],
        ..Peace::default()
    };
    for (alerts, days, stats) in found {
        for (sum, more) in peace.alerts.iter_mut().zip(&alerts) {
            sum.merge(more);
        }
        for (situation, more) in days {
            *peace.days.entry(situation).or_default() += more;
        }
        peace.calendar_days += u64::from(evaluation.clean_days.saturating_sub(teller.count_from));
        peace.stats.push(stats);
    }
    Ok(peace)
}

/// Does pieces of work on all cores; results in order.
pub fn parallel<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<T>)>> = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let result = work(at);
                    if result.is_err() {
                        // Nobody needs the rest.
                        next.store(count, Ordering::Relaxed);
                    }
                    if let Ok(mut done) = done.lock() {
                        done.push((at, result));
                    }
                }
            });
        }
    });
    let mut done = done
        .into_inner()
        .map_err(|_| anyhow!("a worker has panicked"))?;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_each_and_in_order() {
        let squares = parallel(50, |at| Ok(at * at)).expect("done");
        assert_eq!(squares, (0..50).map(|at| at * at).collect::<Vec<_>>());
        let failed = parallel(50, |at| {
            if at == 7 {
                Err(anyhow!("seven"))
            } else {
                Ok(at)
            }
        });
        assert!(failed.is_err());
    }
}
