//! The same desk where an assumption does not hold.

use anyhow::Result;
use serde::Serialize;

use super::{
    alert::Alert,
    calendar,
    campaign::{self, BUDGETED, SENSOR, Teller},
    disturb::Kind,
    metrics::Rate,
    scenario::{Plan, Scenario},
    sensor::Sensor,
    summary::{self, Speed},
    world::Telling,
};

/// What a variant came to.
#[derive(Clone, Debug, Serialize)]
pub struct Robust {
    pub name: String,
    /// Over all accounts.
    pub rate: Rate,
    pub budgeted: Rate,
    /// Median, p90 and misses of some attacks.
    pub speeds: Vec<(String, Speed)>,
    /// For disturbances: how many alerts are the same as without.
    pub same: String,
}

struct Variant {
    name: &'static str,
    change: fn(&mut Scenario),
    disturbance: Kind,
    restart_every: Option<u64>,
}

/// Events between two kills: some thirty a history.
const KILL_EVERY: u64 = 100_003;

const VARIANTS: [Variant; 11] = [
    Variant {
        name: "as it is",
        change: |_| {},
        disturbance: Kind::None,
        restart_every: None,
    },
    Variant {
        name: "AR(0.9), spread 0.4",
        change: |scenario| {
            scenario.agents.personal_ar = 0.9;
            scenario.agents.personal_sd = 0.4;
        },
        disturbance: Kind::None,
        restart_every: None,
    },
    Variant {
        name: "random walk of 0.03 a day",
        change: |scenario| scenario.agents.drift = 0.03,
        disturbance: Kind::None,
        restart_every: None,
    },
    Variant {
        name: "half the people change their role in a year",
        change: |scenario| scenario.agents.role_changes_a_year = 0.5,
        disturbance: Kind::None,
        restart_every: None,
    },
    Variant {
        name: "three quarter's ends, three migrations, storms of 0.3",
        change: |scenario| {
            scenario.events.quarter_ends = 3;
            scenario.events.migrations = 3;
            scenario.agents.storm_sd = 0.3;
        },
        disturbance: Kind::None,
        restart_every: None,
    },
    Variant {
        name: "6 % a month come and go",
        change: |scenario| scenario.agents.hires_a_month = 0.06,
        disturbance: Kind::None,
        restart_every: None,
    },
    Variant {
        name: "clocks step",
        change: |_| {},
        disturbance: Kind::ClockSteps,
        restart_every: None,
    },
    Variant {
        name: "late records",
        change: |_| {},
        disturbance: Kind::Late,
        restart_every: None,
    },
    Variant {
        name: "one record in a hundred twice",
        change: |_| {},
        disturbance: Kind::Duplicates,
        restart_every: None,
    },
    Variant {
        name: "three hosts merged",
        change: |_| {},
        disturbance: Kind::ThreeHosts,
        restart_every: None,
    },
    Variant {
        name: "killed and started again every 100,000 events",
        change: |_| {},
        disturbance: Kind::None,
        restart_every: Some(KILL_EVERY),
    },
];

/// Attacks that are run in each variant.
const ATTACKS: [&str; 3] = ["C50", "C200", "Cramp"];

/// Runs the first variant, and those whose names hold one of these words: all when there are none.
pub fn robust(
    sensor: &Sensor,
    scenario: &Scenario,
    seed: u64,
    runs: u32,
    words: &[String],
    mut tell: impl FnMut(&str),
) -> Result<Vec<Robust>> {
    let plans: Vec<Plan> = scenario
        .attacks
        .iter()
        .filter(|plan| ATTACKS.contains(&plan.name.as_str()))
        .cloned()
        .collect();
    let detectors = campaign::detectors();
    let mut undisturbed: Option<Vec<Alert>> = None;
    let mut found = Vec::new();
    let named = |variant: &Variant| {
        words
            .iter()
            .any(|word| variant.name.contains(word.as_str()))
    };
    for (at, variant) in VARIANTS.iter().enumerate() {
        if at > 0 && !words.is_empty() && !named(variant) {
            continue;
        }
        tell(variant.name);
        let mut changed = scenario.clone();
        (variant.change)(&mut changed);
        // Few populations with several attackers each: a sketch, not the measurement.
        changed.evaluation.attackers_of_a_kind = 4;
        changed.evaluation.clean_populations = 2;
        changed.evaluation.fine_clean_populations = 0;
        changed.evaluation.clean_days = changed.evaluation.days;
        let teller = Teller {
            sensor,
            scenario: &changed,
            disturbance: variant.disturbance,
            restart_every: variant.restart_every,
            count_from: changed.evaluation.clean_from,
        };
        let detections = campaign::attacked(&teller, seed, &plans, runs)?;
        let peace = campaign::peaceful(&teller, seed)?;
        let falsehoods = summary::falsehoods(&peace, &detectors);
        let telling = Telling {
            seed,
            population: 0,
            days: 200,
            fine: false,
        };
        let mut same = String::new();
        let is_same_desk = variant.disturbance != Kind::None || variant.restart_every.is_some();
        if is_same_desk || undisturbed.is_none() {
            let alerts = teller.tell(telling, &plans)?.alerts.swap_remove(SENSOR);
            match &undisturbed {
                None => undisturbed = Some(alerts),
                Some(before) => same = compare(before, &alerts),
            }
        }
        found.push(Robust {
            name: variant.name.to_owned(),
            rate: falsehoods[SENSOR].all,
            budgeted: falsehoods[BUDGETED].all,
            speeds: detections
                .iter()
                .map(|detection| {
                    let outcomes = &detection.outcomes[SENSOR];
                    let speed = summary::speed(&detectors[SENSOR], outcomes, seed);
                    (detection.plan.name.clone(), speed)
                })
                .collect(),
            same,
        });
    }
    Ok(found)
}

/// How many alerts of the lanes are about the same accounts, by the same lane, on the same day.
fn compare(before: &[Alert], after: &[Alert]) -> String {
    let essence = |alerts: &[Alert]| {
        let mut all: Vec<(u32, String, Vec<u32>)> = alerts
            .iter()
            .map(|alert| {
                (
                    calendar::day(alert.time),
                    alert.lane.clone(),
                    alert.accounts.clone(),
                )
            })
            .collect();
        all.sort();
        all
    };
    let (before, after) = (essence(before), essence(after));
    let mut rest = after.clone();
    let mut both = 0;
    for alert in &before {
        if let Some(at) = rest.iter().position(|other| other == alert) {
            rest.swap_remove(at);
            both += 1;
        }
    }
    format!("{both} of {}, {} more", before.len(), after.len() - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_compared_by_day_lane_and_account() {
        let alert = |day: u32, account: u32| Alert {
            time: calendar::begin(day) + 7,
            lane: "drift".to_owned(),
            accounts: vec![account],
            host: None,
            group: false,
            budgeted: true,
            odds: 1.0,
        };
        let before = [alert(3, 1), alert(4, 1), alert(4, 1)];
        assert_eq!(compare(&before, &before), "3 of 3, 0 more");
        let after = [alert(3, 1), alert(4, 1), alert(4, 2)];
        assert_eq!(compare(&before, &after), "2 of 3, 1 more");
    }
}
