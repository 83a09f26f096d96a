//! A short measurement with assertions, part of `cargo xtask test`: it shows when a change makes the detector worse. The
//! margins are wide: what fails here is broken, what passes may still miss a target.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{
    campaign::{self, SENSOR, Teller},
    disturb,
    scenario::{Plan, Scenario},
    sensor::Sensor,
    summary::{self, Falsehood, Line},
};
use crate::{progress::Progress, workspace};

const SEED: u64 = 1;
/// Runs of each attack.
const RUNS: u32 = 12;
/// Attacks, and the most that the median may take, in their unit, and how many of the runs may be missed.
const ATTACKS: [(&str, f64, usize); 5] = [
    ("A", 2.0, 0),
    ("B", 600.0, 0),
    ("C200", 8.0, 1),
    ("F", 4.0, 1),
    // Four of a kind hide each other: the first ones' days are what the others' are ranked against.
    ("Ehost", 6.0, 1),
];
/// False alerts in 1,000 principal-days.
const FALSE_ALERTS: f64 = 1.0;
/// The baseline that has to be worse.
const BASELINE: &str = "z-score, 14 own days, z > 3";

/// Measures and asserts.
pub fn check(progress: &Progress, binary: &Path) -> Result<()> {
    progress.quiet("the detector on a simulated support desk", || {
        let mut scenario = Scenario::load(None)?;
        scenario.evaluation.attackers_of_a_kind = 4;
        scenario.evaluation.days = 200;
        scenario.evaluation.clean_populations = 1;
        scenario.evaluation.fine_clean_populations = 0;
        scenario.evaluation.clean_days = 240;
        let plans: Vec<Plan> = scenario
            .attacks
            .iter()
            .filter(|plan| ATTACKS.iter().any(|(name, ..)| *name == plan.name))
            .cloned()
            .collect();
        let folder: PathBuf = workspace::eval();
        workspace::directory(&folder)?;
        let sensor = Sensor::new(binary.to_owned(), None, &folder, &scenario)?;
        let teller = Teller {
            sensor: &sensor,
            scenario: &scenario,
            disturbance: disturb::Kind::None,
            restart_every: None,
            count_from: scenario.evaluation.clean_from,
        };
        let detectors = campaign::detectors();
        let lines: Vec<Line> = campaign::attacked(&teller, SEED, &plans, RUNS)?
            .iter()
            .map(|detection| summary::line(detection, &detectors, SEED))
            .collect();
        let peace = campaign::peaceful(&teller, SEED)?;
        let falsehoods = summary::falsehoods(&peace, &detectors);
        let problems = problems(&lines, &falsehoods);
        if !problems.is_empty() {
            bail!(
                "{}\ndo: `cargo xtask eval --quick` for the whole of it",
                problems.join("\n")
            );
        }
        Ok(summed_up(&lines, &falsehoods))
    })
}

fn problems(lines: &[Line], falsehoods: &[Falsehood]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, most, may_be_missed) in ATTACKS {
        let Some(line) = lines.iter().find(|line| line.attack == name) else {
            problems.push(format!("attack {name} was not run"));
            continue;
        };
        let speed = &line.speeds[SENSOR];
        let late = speed.median.is_none_or(|median| median > most);
        if late || speed.missed > may_be_missed || speed.runs < RUNS as usize {
            problems.push(format!(
                "{name} ({}): median {} {} of at most {most}, {} of {} missed, at most {may_be_missed} allowed",
                line.title,
                speed.median.map_or_else(|| "–".to_owned(), summary::round),
                line.unit,
                speed.missed,
                speed.runs
            ));
        }
    }
    let rate = falsehoods[SENSOR].all;
    if rate.rate > FALSE_ALERTS {
        problems.push(format!(
            "{:.2} false alerts in 1,000 principal-days, at most {FALSE_ALERTS} allowed",
            rate.rate
        ));
    }
    let baseline = falsehoods.iter().find(|one| one.detector == BASELINE);
    if baseline.is_none_or(|one| one.all.rate < 3.0 * rate.rate) {
        problems.push(format!("\"{BASELINE}\" has hardly more false alerts"));
    }
    problems
}

fn summed_up(lines: &[Line], falsehoods: &[Falsehood]) -> String {
    let mut text: Vec<String> = lines
        .iter()
        .map(|line| {
            let median = line.speeds[SENSOR]
                .median
                .map_or_else(String::new, summary::round);
            format!("{} {median} {}", line.attack, line.unit)
        })
        .collect();
    text.push(format!(
        "{:.2} false alerts in 1,000 days",
        falsehoods[SENSOR].all.rate
    ));
    text.join(", ")
}
