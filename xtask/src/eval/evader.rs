//! Attack H: strategies of a thief who has read the documentation, each made as large as goes unseen.

use anyhow::Result;
use serde::Serialize;

use super::{
    calendar::{self, DAY},
    campaign::{SENSOR, Teller, parallel},
    metrics::quantile,
    scenario::{Plan, Reads},
    truth,
    world::Telling,
};

/// What a strategy came to.
#[derive(Clone, Debug, Serialize)]
pub struct Evaded {
    pub strategy: String,
    /// Its size, in words.
    pub size: String,
    pub runs: usize,
    pub unseen: usize,
    /// Median of the rows that those took who were not seen.
    pub rows_unseen: u64,
    /// Median of the rows that were out by the alert, or by the end.
    pub rows_of_all: u64,
}

/// How the search goes.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    pub seed: u64,
    /// Steps of halving the interval of sizes.
    pub rounds: u32,
    /// Populations a step.
    pub populations: usize,
    /// Populations by which the result is measured; others than those of the search.
    pub last: usize,
}

/// A run: rows by the alert or the end, and whether it went unseen.
type Run = (u64, bool);

fn measure(
    teller: &Teller<'_>,
    search: Search,
    plans: &[Plan],
    populations: std::ops::Range<u64>,
) -> Result<Vec<Vec<Run>>> {
    /// Populations of their own.
    const APART: u64 = 2 << 32;
    let scenario = teller.scenario;
    let days = scenario.evaders.calendar_days;
    let count = (populations.end - populations.start) as usize;
    let found = parallel(count, |at| {
        let telling = Telling {
            seed: search.seed,
            population: APART + populations.start + at as u64,
            days: scenario.evaluation.attacks_from + scenario.evaluation.attacks_within + days,
            fine: false,
        };
        let tale = teller.tell(telling, plans)?;
        let mut runs = Vec::new();
        for attack in &tale.world.attacks {
            let until = calendar::begin(attack.begin) + u64::from(days) * DAY;
            let alerts = tale.alerts[SENSOR]
                .iter()
                .filter(|alert| alert.time <= until);
            let outcome = truth::outcome(attack, alerts, scenario.evaluation.grace_days);
            if let Some(outcome) = outcome {
                let unseen = outcome.lane.is_none();
                let rows = if unseen {
                    attack.ledger.until(until)
                } else {
                    outcome.rows
                };
                runs.push((attack.plan.name.clone(), (rows, unseen)));
            }
        }
        Ok(runs)
    })?;
    let mut by_plan = vec![Vec::new(); plans.len()];
    for (name, run) in found.into_iter().flatten() {
        if let Some(at) = plans.iter().position(|plan| plan.name == name) {
            by_plan[at].push(run);
        }
    }
    Ok(by_plan)
}

/// A strategy at another size.
fn sized(plan: &Plan, factor: f64) -> Plan {
    let mut plan = plan.clone();
    match plan.reads {
        Reads::Ramp => plan.weekly *= factor,
        _ => plan.rows = (plan.rows as f64 * factor).round().max(1.0) as u64,
    }
    plan
}

fn size(plan: &Plan) -> String {
    match plan.reads {
        Reads::Ramp => format!("{:.1} % a week", plan.weekly * 100.0),
        _ if plan.accounts > 1 => format!("{} × {} a day", plan.accounts, plan.rows),
        _ => format!("{} a day", plan.rows),
    }
}

/// Searches for the size of each strategy that every second thief gets away with.
pub fn search(teller: &Teller<'_>, search: Search) -> Result<Vec<Evaded>> {
    let strategies = &teller.scenario.evaders_tried;
    // Factors of the size given: seen by fewer than half, and by more than half.
    let mut bounds = vec![(0.25f64, 8.0f64); strategies.len()];
    let step = search.populations as u64;
    for round in 0..u64::from(search.rounds) {
        let plans: Vec<Plan> = strategies
            .iter()
            .zip(&bounds)
            .map(|(plan, (low, high))| sized(plan, (low * high).sqrt()))
            .collect();
        let runs = measure(teller, search, &plans, round * step..(round + 1) * step)?;
        for (bound, runs) in bounds.iter_mut().zip(runs) {
            let unseen = runs.iter().filter(|(_, unseen)| *unseen).count();
            let middle = (bound.0 * bound.1).sqrt();
            if unseen * 2 >= runs.len() {
                bound.0 = middle;
            } else {
                bound.1 = middle;
            }
        }
    }
    let plans: Vec<Plan> = strategies
        .iter()
        .zip(&bounds)
        .map(|(plan, (low, _))| sized(plan, *low))
        .collect();
    let from = u64::from(search.rounds) * step;
    let runs = measure(teller, search, &plans, from..from + search.last as u64)?;
    Ok(plans
        .iter()
        .zip(runs)
        .map(|(plan, runs)| evaded(plan, &runs))
        .collect())
}

fn evaded(plan: &Plan, runs: &[Run]) -> Evaded {
    let rows = |which: &dyn Fn(&Run) -> bool| {
        let rows: Vec<f64> = runs
            .iter()
            .filter(|run| which(run))
            .map(|(rows, _)| *rows as f64)
            .collect();
        quantile(&rows, 0.5).unwrap_or(0.0) as u64
    };
    Evaded {
        strategy: plan.name.clone(),
        size: size(plan),
        runs: runs.len(),
        unseen: runs.iter().filter(|(_, unseen)| *unseen).count(),
        rows_unseen: rows(&|(_, unseen)| *unseen),
        rows_of_all: rows(&|_| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::scenario::Scenario;

    #[test]
    fn strategies_grow_by_what_makes_them_large() {
        let scenario = Scenario::load(None).expect("valid");
        let by_name = |name: &str| {
            scenario
                .evaders_tried
                .iter()
                .find(|plan| plan.name == name)
                .expect("there")
        };
        assert_eq!(size(&sized(by_name("30 a day"), 2.0)), "60 a day");
        assert_eq!(
            size(&sized(by_name("ramp of 2 % a week"), 1.5)),
            "3.0 % a week"
        );
        let accounts = sized(by_name("5 accounts × 20, own hosts"), 0.5);
        assert_eq!(size(&accounts), "5 × 10 a day");
    }

    #[test]
    fn the_unseen_are_counted_apart() {
        let plan = Scenario::load(None).expect("valid").evaders_tried[0].clone();
        let found = evaded(
            &plan,
            &[(600, true), (900, true), (100, false), (800, true)],
        );
        assert_eq!(
            (found.unseen, found.rows_unseen, found.rows_of_all),
            (3, 800, 600)
        );
    }
}
