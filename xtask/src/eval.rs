//! `cargo xtask eval`: how soon the detector tells of thieves, and how often of nobody, on a simulated support desk.
//! docs/detection.md has the method. Nothing here shares a number with the detector: the sensor is run as anybody would run
//! it, over a CSV of events.

use std::{fs, fs::File, io::BufWriter, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{build, progress::Progress, workspace};

mod agent;
mod alert;
mod attack;
mod baseline;
mod calendar;
mod campaign;
mod check;
mod csv;
mod disturb;
mod evader;
mod metrics;
mod own;
mod picture;
mod program;
pub mod random;
mod record;
mod report;
mod robust;
mod scale;
mod scenario;
mod sensor;
mod statements;
mod summary;
mod truth;
mod world;

use campaign::Teller;
pub use check::check;
use evader::Search;
use report::Report;
use scenario::{Plan, Scenario};
use sensor::Sensor;
use world::{Telling, World};

/// Arguments of `cargo xtask eval`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Parameters; all of them, as --print-scenario shows.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Print the default parameters, with what they mean, and stop.
    #[arg(long)]
    print_scenario: bool,
    /// Evaluate a history of your own instead: alerts only, since nobody knows the truth.
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    events: Option<PathBuf>,
    /// Configuration of the sensor, instead of one that fits the simulated desk.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another seed is another world.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs of each attack; 200 is the whole measurement.
    #[arg(long, default_value_t = 40)]
    runs: u32,
    /// Attacks by name: A,C200,…; H is the search for what goes unseen (alone: nothing else); none: false alerts only.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// About so many accounts instead of the scenario's.
    #[arg(long, value_name = "COUNT")]
    principals: Option<u32>,
    /// A smaller measurement: a dozen runs, two populations without thieves, no search.
    #[arg(long)]
    quick: bool,
    /// The few minutes of `cargo xtask test` instead: fails when the detector has become worse.
    #[arg(long)]
    check: bool,
    /// Variants of the desk where assumptions do not hold, instead.
    #[arg(long)]
    robustness: bool,
    /// With `--robustness`: only the desk as it is, and variants whose names hold one of these words.
    #[arg(
        long,
        value_name = "WORD,…",
        value_delimiter = ',',
        requires = "robustness"
    )]
    variant: Vec<String>,
    /// Time and memory for a population of 100,000 (or --principals) over so many days, instead.
    #[arg(long, value_name = "DAYS")]
    scale: Option<u32>,
    /// Write the events of one population with attackers to a file, print who they are, and stop.
    #[arg(long, value_name = "FILE")]
    export_events: Option<PathBuf>,
    /// A sensor that is built already.
    #[arg(long, value_name = "BINARY")]
    sensor: Option<PathBuf>,
}

/// Runs it.
pub fn eval(arguments: &Arguments) -> Result<()> {
    if arguments.print_scenario {
        print!("{}", scenario::DEFAULT);
        return Ok(());
    }
    let mut scenario = Scenario::load(arguments.scenario.as_deref())?;
    let principals = match (arguments.principals, arguments.scale) {
        (None, Some(_)) => Some(100_000),
        (principals, _) => principals,
    };
    if let Some(principals) = principals {
        scenario = scenario.scaled(principals);
    }
    if let Some(path) = &arguments.export_events {
        return export(&scenario, arguments.seed, path);
    }
    let progress = Progress::new();
    let binary = match &arguments.sensor {
        Some(binary) => binary.clone(),
        None => build::build(&build::Arguments::default())?,
    };
    if arguments.check {
        return check(&progress, &binary);
    }
    let folder = workspace::eval();
    workspace::directory(&folder)?;
    let sensor = Sensor::new(binary, arguments.config.as_deref(), &folder, &scenario)?;
    if let Some(events) = &arguments.events {
        let text = own::evaluate(&sensor, events, &scenario)?;
        print!("{text}");
        return Ok(());
    }
    let mut report = Report {
        seed: arguments.seed,
        accounts: scenario.agents.count
            + scenario.analysts.count
            + scenario.services.count
            + scenario.shared.accounts,
        ..Report::default()
    };
    if let Some(days) = arguments.scale {
        progress.quiet("a large population", || {
            let found = scale::scale(&sensor, &scenario, arguments.seed, days, true)?;
            report.scale = Some(found);
            Ok(String::new())
        })?;
    } else if arguments.robustness {
        report.runs = arguments.runs.min(20);
        report.robust = robust::robust(
            &sensor,
            &scenario,
            arguments.seed,
            report.runs,
            &arguments.variant,
            |name| {
                eprintln!("▸ {name}");
            },
        )?;
    } else {
        measure(arguments, &progress, &sensor, &mut scenario, &mut report)?;
    }
    write(&report)
}

/// Thieves, false alerts, and what goes unseen.
fn measure(
    arguments: &Arguments,
    progress: &Progress,
    sensor: &Sensor,
    scenario: &mut Scenario,
    report: &mut Report,
) -> Result<()> {
    report.runs = arguments.runs;
    let mut search = Search {
        seed: arguments.seed,
        rounds: 5,
        populations: 10,
        last: 24,
    };
    if arguments.quick {
        report.runs = report.runs.min(12);
        scenario.evaluation.attackers_of_a_kind = 3;
        scenario.evaluation.clean_populations = 2;
        scenario.evaluation.fine_clean_populations = 0;
        scenario.evaluation.clean_days = 240;
        search.rounds = 0;
    }
    if arguments.runs < 60 {
        search.populations = 4;
        search.last = 8;
    }
    let plans = chosen(scenario, &arguments.only)?;
    let teller = Teller {
        sensor,
        scenario,
        disturbance: disturb::Kind::None,
        restart_every: None,
        count_from: scenario.evaluation.clean_from,
    };
    let detectors = campaign::detectors();
    if !plans.is_empty() {
        progress.quiet(&format!("thieves, {} runs of each", report.runs), || {
            let detections = campaign::attacked(&teller, arguments.seed, &plans, report.runs)?;
            report.lines = detections
                .iter()
                .map(|detection| summary::line(detection, &detectors, arguments.seed))
                .collect();
            Ok(String::new())
        })?;
    }
    if arguments.only == ["H"] {
        return hidden(arguments, progress, &teller, search, report);
    }
    progress.quiet("populations without thieves", || {
        let peace = campaign::peaceful(&teller, arguments.seed)?;
        report.falsehoods = summary::falsehoods(&peace, &detectors);
        report.state_bytes_per_principal = peace
            .stats
            .first()
            .map(|stats| stats.state_bytes_per_principal);
        let a_day = |accounts| summary::alerts_a_day(&report.falsehoods, &peace, accounts);
        report.alerts_a_day = Some([a_day(f64::from(report.accounts)), a_day(100_000.0)]);
        Ok(format!(
            "{:.0} principal-days",
            peace.principal_days(|_| true)
        ))
    })?;
    hidden(arguments, progress, &teller, search, report)
}

/// The search for what goes unseen, if it was asked for.
fn hidden(
    arguments: &Arguments,
    progress: &Progress,
    teller: &Teller<'_>,
    search: Search,
    report: &mut Report,
) -> Result<()> {
    let wanted = arguments.only.is_empty() || arguments.only.iter().any(|name| name == "H");
    if wanted && search.rounds > 0 && !teller.scenario.evaders_tried.is_empty() {
        progress.quiet("H: what goes unseen", || {
            report.evaded = evader::search(teller, search)?;
            Ok(String::new())
        })?;
    }
    Ok(())
}

/// The attacks asked for.
fn chosen(scenario: &Scenario, only: &[String]) -> Result<Vec<Plan>> {
    let known = |name: &String| {
        name == "none" || name == "H" || scenario.attacks.iter().any(|plan| plan.name == *name)
    };
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        let names: Vec<&str> = scenario
            .attacks
            .iter()
            .map(|plan| plan.name.as_str())
            .collect();
        bail!(
            "there is no attack `{unknown}`\ndo: choose from {}, H, none",
            names.join(", ")
        );
    }
    Ok(scenario
        .attacks
        .iter()
        .filter(|plan| only.is_empty() || only.contains(&plan.name))
        .cloned()
        .collect())
}

/// Prints the tables, and writes them with everything behind them.
fn write(report: &Report) -> Result<()> {
    let folder = workspace::eval();
    let text = report::markdown(report);
    print!("\n{text}");
    let json = serde_json::to_string_pretty(report).context("cannot write the report as JSON")?;
    let mut files = vec![("report.md", text), ("report.json", json)];
    if let Some(picture) = picture::svg(report) {
        files.push(("detection.svg", picture));
    }
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn export(scenario: &Scenario, seed: u64, path: &PathBuf) -> Result<()> {
    let telling = Telling {
        seed,
        population: 0,
        days: scenario.evaluation.days,
        fine: false,
    };
    let mut world = World::new(scenario, telling, &scenario.attacks);
    let problem = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(problem)?;
    let mut writer =
        csv::Writer::new(BufWriter::with_capacity(1 << 20, file), true).with_context(problem)?;
    let mut day = record::Day::default();
    for at in 0..world.days() {
        world.day(at, &mut day);
        for record in &day.records {
            writer.write(&world, &day, record).with_context(problem)?;
        }
    }
    writer.finish().with_context(problem)?;
    for attack in &world.attacks {
        let names: Vec<&str> = attack
            .accounts
            .iter()
            .map(|account| world.accounts[*account as usize].name.as_str())
            .collect();
        println!(
            "{}: {} from day {}, {} rows on {} days",
            attack.plan.name,
            names.join(", "),
            attack.begin,
            attack.ledger.total(),
            attack.ledger.days(u64::MAX)
        );
    }
    Ok(())
}
