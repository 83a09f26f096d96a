//! `cargo xtask bench latency`: how long from a row that crosses a limit until its alert is handed to the exporter, while
//! the database keeps all processors busy.

use std::{
    fmt::Write as _,
    fs, thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{
    bed::Bed,
    load::{self, DATABASE, Way},
    machine::Machine,
    tool::{self, Attached, Tool},
    variant::Variant,
};
use crate::{postgresql::Server, progress::Progress, signal, workspace};

/// Rows a statement may return.
const LIMIT: u64 = 1000;
/// Rows that it returns: the limit is crossed near its end.
const ROWS: u64 = 1100;
/// The rule that is crossed, and the user who does it.
const RULE: &str = "latency";
const USER: &str = "postgres";

/// Arguments of `cargo xtask bench latency`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Statements that cross the limit.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    statements: u64,
}

/// Measures, prints and writes target/bench/latency.json.
pub fn latency(arguments: &Arguments) -> Result<()> {
    let progress = Progress::new();
    let bed = Bed::make("bench latency", &progress, &[Variant::Sensor], &[])?;
    let rule = format!(
        "[[threshold]]\nname = \"{RULE}\"\nper = \"statement\"\nlimit = {LIMIT}\nuser = \"{USER}\"\n"
    );
    let sensor = Tool::sensor_with(bed.sensor()?, &rule, Attached::ByItself)?;
    let server = bed.plain();
    let count = arguments.statements;
    // Long enough for all statements; ended when they are done.
    let length = Duration::from_secs(count / 5 + 10);
    let asked = thread::scope(|scope| {
        let load = scope.spawn(move || load::timed(server, Way::Unix, length, &["--select-only"]));
        thread::sleep(Duration::from_secs(2));
        let asked = ask(server, count);
        let rate = load
            .join()
            .map_err(|_| anyhow::anyhow!("the load panicked"))??
            .rate;
        anyhow::Ok((asked?, rate))
    });
    sensor.end()?;
    drop(bed);
    let (asked, rate) = asked?;
    let handed_over = handed_over()?;
    if handed_over.len() != asked.len() {
        bail!(
            "{} statements crossed the limit, {} alerts came",
            asked.len(),
            handed_over.len()
        );
    }
    let mut latencies: Vec<u64> = asked
        .iter()
        .zip(&handed_over)
        .map(|(asked, handed)| handed.saturating_sub(*asked))
        .collect();
    latencies.sort_unstable();
    report(&latencies, rate)
}

/// Crosses the limit again and again; returns when each statement was sent, in nanoseconds since 1970.
fn ask(server: &Server, count: u64) -> Result<Vec<u64>> {
    let mut client = server.connect(USER, DATABASE, true)?;
    let mut sent = Vec::new();
    for number in 0..count {
        signal::check()?;
        sent.push(now()?);
        client
            .simple_query(&format!("SELECT * FROM pgbench_accounts LIMIT {ROWS}"))
            .context("the server refuses a statement")?;
        // Not in step with any timer of the sensor.
        thread::sleep(Duration::from_micros(100_000 + number * 7919 % 50_000));
    }
    Ok(sent)
}

fn now() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    u64::try_from(since.as_nanos()).context("a clock before the year 2554")
}

/// When each alert was handed to the exporter, in that order.
fn handed_over() -> Result<Vec<u64>> {
    let export = tool::export()?;
    let text =
        fs::read_to_string(&export).with_context(|| format!("cannot read {}", export.display()))?;
    let mut times = Vec::new();
    for line in text.lines().filter(|line| line.contains("resourceLogs")) {
        let value: Value = serde_json::from_str(line).context("a line is no JSON")?;
        for record in records(&value) {
            let rule = record["attributes"].as_array().into_iter().flatten();
            if !rule
                .into_iter()
                .any(|one| one["value"]["stringValue"] == RULE)
            {
                continue;
            }
            let time = record["observedTimeUnixNano"]
                .as_str()
                .and_then(|text| text.parse().ok())
                .or_else(|| record["observedTimeUnixNano"].as_u64());
            times.push(time.context("an alert without a time")?);
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn records(export: &Value) -> impl Iterator<Item = &Value> {
    export["resourceLogs"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|resource| resource["scopeLogs"].as_array().into_iter().flatten())
        .flat_map(|scope| scope["logRecords"].as_array().into_iter().flatten())
}

fn report(latencies: &[u64], rate: f64) -> Result<()> {
    let at = |share: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a position in a list of some hundreds"
        )]
        let at = (share * latencies.len() as f64).ceil() as usize;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds")]
        let milliseconds = latencies[at.clamp(1, latencies.len()) - 1] as f64 / 1e6;
        milliseconds
    };
    let shares = [0.5, 0.9, 0.99, 1.0];
    let mut text = format!(
        "{} statements, each from being sent until its alert is handed to the exporter, beside {rate:.0} queries a second:\n",
        latencies.len()
    );
    for share in shares {
        let _ = writeln!(text, "{:>5} % within {:>8.1} ms", share * 100.0, at(share));
    }
    let machine = Machine::read();
    let written = json!({
        "date": machine.date, "commit": machine.commit, "processor": machine.processor, "processors": machine.processors,
        "kernel": machine.kernel, "statements": latencies.len(), "queries_per_second": rate,
        "milliseconds": { "median": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0) },
    });
    let folder = workspace::bench();
    let place = workspace::directory(&folder)?.join("latency.json");
    fs::write(&place, format!("{written:#}\n"))
        .with_context(|| format!("cannot write {}", place.display()))?;
    println!("{text}");
    Ok(())
}
