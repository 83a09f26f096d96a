//! What was measured, in figures beside the targets. Pure.

use serde::Serialize;

use super::{
    baseline::Point,
    campaign::{BUDGETED, Detection, Peace, SENSOR},
    metrics::{Rate, quantile, quantile_interval},
    scenario::{Plan, Reads, Target},
    truth::{Outcome, Situation},
};

/// How one detector did against one attack.
#[derive(Clone, Debug, Serialize)]
pub struct Speed {
    pub detector: String,
    pub runs: usize,
    /// In the unit of the target; `None`: more are missed than caught.
    pub median: Option<f64>,
    pub median_interval: [Option<f64>; 2],
    pub p90: Option<f64>,
    pub missed: usize,
    /// Median rows out by the alert (or in all, when missed), and nine of ten.
    pub rows: u64,
    pub rows_p90: u64,
    /// Median share of what the thief would have taken in all.
    pub share: f64,
    /// Lanes that alerted first.
    pub lanes: Vec<(String, usize)>,
    /// Run by run; `None`: missed.
    pub delays: Vec<Option<f64>>,
}

/// One attack's line.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub attack: String,
    pub title: String,
    pub unit: &'static str,
    pub target: String,
    /// Whether the sensor, all alerts, met it; `None` without a target.
    pub met: Option<bool>,
    /// By how much not.
    pub verdict: String,
    /// By detector.
    pub speeds: Vec<Speed>,
}

/// A detector's false alerts.
#[derive(Clone, Debug, Serialize)]
pub struct Falsehood {
    pub detector: String,
    pub family: &'static str,
    pub usual: bool,
    /// Over all accounts.
    pub all: Rate,
    /// Over agents and shared accounts only.
    pub people: Rate,
    pub lanes: Vec<(String, Rate)>,
    pub situations: Vec<(&'static str, Rate)>,
    pub near_quarter_end: u64,
    pub near_deployment: u64,
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

/// A detector's speed against an attack.
pub fn speed(detector: &Point, outcomes: &[Outcome], seed: u64) -> Speed {
    let delays: Vec<f64> = outcomes.iter().map(|outcome| outcome.delay).collect();
    let rows: Vec<f64> = outcomes.iter().map(|outcome| outcome.rows as f64).collect();
    let shares: Vec<f64> = outcomes.iter().map(|outcome| outcome.share).collect();
    let mut lanes: Vec<(String, usize)> = Vec::new();
    for lane in outcomes.iter().filter_map(|outcome| outcome.lane.as_ref()) {
        match lanes.iter_mut().find(|(name, _)| name == lane) {
            Some((_, count)) => *count += 1,
            None => lanes.push((lane.clone(), 1)),
        }
    }
    lanes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let interval = quantile_interval(&delays, 0.5, seed);
    Speed {
        detector: detector.name.clone(),
        runs: outcomes.len(),
        median: finite(quantile(&delays, 0.5)),
        median_interval: [
            interval.and_then(|[low, _]| finite(Some(low))),
            interval.and_then(|[_, high]| finite(Some(high))),
        ],
        p90: finite(quantile(&delays, 0.9)),
        missed: delays.iter().filter(|delay| delay.is_infinite()).count(),
        rows: quantile(&rows, 0.5).unwrap_or(0.0) as u64,
        rows_p90: quantile(&rows, 0.9).unwrap_or(0.0) as u64,
        share: quantile(&shares, 0.5).unwrap_or(0.0),
        lanes,
        delays: delays.iter().map(|delay| finite(Some(*delay))).collect(),
    }
}

/// An attack's line, for all detectors.
pub fn line(detection: &Detection, detectors: &[Point], seed: u64) -> Line {
    let plan = &detection.plan;
    let speeds: Vec<Speed> = detectors
        .iter()
        .zip(&detection.outcomes)
        .map(|(detector, outcomes)| speed(detector, outcomes, seed))
        .collect();
    let (met, verdict) = verdict(plan, &speeds[SENSOR]);
    Line {
        attack: plan.name.clone(),
        title: plan.title.clone(),
        unit: plan.target.unit.as_str(),
        target: target(plan),
        met,
        verdict,
        speeds,
    }
}

/// Rows that may be out by the alert.
fn most_rows(plan: &Plan) -> Option<u64> {
    let Target { most, rows, .. } = plan.target;
    let flowing = match (plan.reads, most) {
        (Reads::Whole, Some(seconds)) => (plan.rows_a_second as f64 * seconds) as u64,
        _ => 0,
    };
    rows.map(|rows| rows + flowing)
}

fn limits(plan: &Plan) -> Vec<(&'static str, f64)> {
    let Target {
        median, p90, most, ..
    } = plan.target;
    [("median", median), ("p90", p90), ("p90", most)]
        .into_iter()
        .filter_map(|(name, limit)| Some((name, limit?)))
        .collect()
}

fn target(plan: &Plan) -> String {
    let unit = plan.target.unit.as_str();
    let mut parts: Vec<String> = limits(plan)
        .into_iter()
        .map(|(name, limit)| format!("{name} ≤ {limit}"))
        .collect();
    if let Some(last) = parts.last_mut() {
        *last = format!("{last} {unit}");
    }
    if let Some(rows) = most_rows(plan) {
        parts.push(format!("≤ {rows} rows"));
    }
    parts.join(", ")
}

fn verdict(plan: &Plan, speed: &Speed) -> (Option<bool>, String) {
    let mut problems = Vec::new();
    let limits = limits(plan);
    for (name, limit) in &limits {
        let value = if *name == "median" {
            speed.median
        } else {
            speed.p90
        };
        match value {
            Some(value) if value <= *limit => {}
            Some(value) => problems.push(format!("{name} {value} (+{})", round(value - limit))),
            None => problems.push(format!("{name} missed")),
        }
    }
    if let Some(most) = most_rows(plan)
        && speed.rows_p90 > most
    {
        problems.push(format!(
            "{} rows (+{})",
            speed.rows_p90,
            speed.rows_p90 - most
        ));
    }
    if limits.is_empty() {
        (None, String::new())
    } else if problems.is_empty() {
        (Some(true), "met".to_owned())
    } else {
        (Some(false), format!("missed: {}", problems.join(", ")))
    }
}

/// A value as it is read: seconds with a digit, days whole.
pub fn round(value: f64) -> String {
    if (value - value.round()).abs() < 0.05 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// Whether somebody is a person of the support desk.
fn is_person(situation: Situation) -> bool {
    matches!(
        situation,
        Situation::Agent | Situation::RoleChange | Situation::Hire | Situation::Shared
    )
}

/// All detectors' false alerts.
pub fn falsehoods(peace: &Peace, detectors: &[Point]) -> Vec<Falsehood> {
    let days = peace.principal_days(|_| true);
    let person_days = peace.principal_days(is_person);
    detectors
        .iter()
        .zip(&peace.alerts)
        .map(|(detector, alerts)| {
            let mut lanes: Vec<String> =
                alerts.counts.keys().map(|(lane, _)| lane.clone()).collect();
            lanes.dedup();
            Falsehood {
                detector: detector.name.clone(),
                family: detector.family,
                usual: detector.usual,
                all: Rate::new(alerts.count(false, |_, _| true), days),
                people: Rate::new(
                    alerts.count(false, |_, situation| {
                        is_person(situation) || situation == Situation::Group
                    }),
                    person_days,
                ),
                lanes: lanes
                    .into_iter()
                    .map(|lane| {
                        let count = alerts.count(false, |name, _| name == lane);
                        (lane, Rate::new(count, days))
                    })
                    .collect(),
                situations: Situation::ALL
                    .into_iter()
                    .map(|situation| {
                        let days = match situation {
                            Situation::Group => days,
                            _ => peace.principal_days(|other| other == situation),
                        };
                        let count = alerts.count(false, |_, other| other == situation);
                        (situation.as_str(), Rate::new(count, days))
                    })
                    .collect(),
                near_quarter_end: alerts.near_quarter_end,
                near_deployment: alerts.near_deployment,
            }
        })
        .collect()
}

/// What the sensor costs the reader of its alerts: shown a day for so many accounts.
pub fn alerts_a_day(falsehoods: &[Falsehood], peace: &Peace, accounts: f64) -> [f64; 2] {
    let per_account_and_day = |at: usize| {
        let count = falsehoods.get(at).map_or(0, |one| one.all.count) as f64;
        let account_days: f64 = peace
            .stats
            .iter()
            .map(|stats| stats.principals as f64)
            .sum::<f64>()
            / peace.stats.len().max(1) as f64
            * peace.calendar_days as f64;
        count / account_days.max(1.0) * accounts
    };
    [per_account_and_day(SENSOR), per_account_and_day(BUDGETED)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::scenario::{Scenario, Unit};

    fn point() -> Point {
        Point {
            name: "sensor".to_owned(),
            family: "sensor",
            usual: true,
        }
    }

    fn outcomes(delays: &[f64]) -> Vec<Outcome> {
        delays
            .iter()
            .map(|delay| Outcome {
                delay: *delay,
                lane: delay.is_finite().then(|| "drift".to_owned()),
                rows: if delay.is_finite() {
                    *delay as u64 * 200
                } else {
                    8000
                },
                share: 0.1,
            })
            .collect()
    }

    fn plan(name: &str) -> Plan {
        let scenario = Scenario::load(None).expect("valid");
        let mut plans = scenario.attacks.into_iter();
        plans.find(|plan| plan.name == name).expect("there")
    }

    #[test]
    fn a_target_is_met_or_missed_by_so_much() {
        let seen = speed(&point(), &outcomes(&[3.0, 4.0, 5.0, 5.0, 8.0]), 1);
        assert_eq!(
            (seen.median, seen.p90, seen.missed),
            (Some(5.0), Some(8.0), 0)
        );
        assert_eq!(
            verdict(&plan("C200"), &seen),
            (Some(true), "met".to_owned())
        );
        let seen = speed(&point(), &outcomes(&[3.0, 6.0, 6.0, 7.0, f64::INFINITY]), 1);
        assert_eq!(
            verdict(&plan("C200"), &seen),
            (Some(false), "missed: median 6 (+1), p90 missed".to_owned())
        );
        assert_eq!(seen.missed, 1);
        assert_eq!(seen.lanes, [("drift".to_owned(), 4)]);
        assert_eq!(verdict(&plan("C100"), &seen).0, None);
    }

    #[test]
    fn rows_that_flow_while_the_alert_is_allowed_to_take_are_allowed() {
        assert_eq!(most_rows(&plan("A")), Some(410_000));
        assert_eq!(most_rows(&plan("B")), Some(12_000));
        assert_eq!(plan("B").target.unit, Unit::Seconds);
        assert_eq!(target(&plan("C200")), "median ≤ 5, p90 ≤ 8 days");
    }
}
