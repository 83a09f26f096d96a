//! `sensor replay`: the detector over a file of events; the same code as live, and the same alerts each time.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

use super::{Failure, load, place::when};
use crate::{
    detect::{arbitration::Verdict, detector::Detector},
    time::Timestamp,
};

pub mod event;
mod limits;
mod past;
mod statistics;

use event::Columns;
use limits::Limits;
use statistics::Statistics;

/// Arguments of `sensor replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {
    /// Events as CSV with a header row; `-` for standard input. docs/detection.md describes the columns.
    #[arg(long, value_name = "FILE|-", required_unless_present = "from")]
    events: Option<PathBuf>,
    /// Instead of events: the history from then on (2026-11-01, 2026-11-01T08:00:00Z, or how long ago: 7d).
    #[arg(long, value_name = "TIME", conflicts_with_all = ["events", "limits", "alerts", "stats"])]
    from: Option<String>,
    /// The history before then; now when left out.
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// The history's file, instead of the configuration's.
    #[arg(long, value_name = "FILE", requires = "from")]
    database: Option<PathBuf>,
    /// JSON lines instead of a table, of a replay of the history.
    #[arg(long, requires = "from")]
    json: bool,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Hold the limits of [[threshold]] as well; each row counts as one statement.
    #[arg(long)]
    limits: bool,
    /// Store the detector's state and take it up again after each so many events, as after a kill: the alerts stay the same.
    #[arg(long, value_name = "EVENTS", conflicts_with = "from", value_parser = clap::value_parser!(u64).range(1..))]
    restart_every: Option<u64>,
    /// Write alerts as JSON lines to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// Write what it took, and alerts by lane, as JSON to this file.
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
}

/// Replays the whole file, or a part of the history.
pub fn replay(arguments: &ReplayArguments) -> Result<(), Failure> {
    let mut config = load(arguments.config.as_deref())?;
    if let Some(from) = &arguments.from {
        if let Some(path) = &arguments.database {
            config.history.path.clone_from(path);
        }
        let now = Timestamp::now();
        let from = when("--from", from, now)?;
        let to = match &arguments.to {
            Some(to) => when("--to", to, now)?,
            None => now,
        };
        let text = past::replay(&config, from, to, arguments.json)?;
        io::stdout()
            .write_all(text.as_bytes())
            .context("cannot write")?;
        return Ok(());
    }
    let input: Box<dyn Read> = match &arguments.events {
        Some(path) if path.as_os_str() != "-" => Box::new(
            File::open(path)
                .with_context(|| format!("cannot open the events file {}", path.display()))?,
        ),
        _ => Box::new(io::stdin().lock()),
    };
    let mut alerts: Box<dyn Write> = match &arguments.alerts {
        Some(path) => Box::new(BufWriter::new(create(path)?)),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(true)
        .buffer_capacity(1 << 20)
        .from_reader(input);
    let header = reader
        .byte_headers()
        .map_err(|error| anyhow!("cannot read the header row of the events: {error}"))?;
    let mut columns = Columns::new(header).map_err(Failure::Usage)?;
    let mut detector = Detector::new(&config.detection, &config.tables);
    let mut limits = arguments.limits.then(|| Limits::new(&config));
    let mut statistics = Statistics::default();
    let mut verdicts = Vec::new();
    let mut events = 0u64;
    let mut record = csv::ByteRecord::new();
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                return Err(anyhow!("cannot read the events: {error}").into());
            }
        }
        let line = record.position().map_or(0, csv::Position::line);
        columns
            .read(&record, |observation| {
                if let Some(limits) = &mut limits {
                    limits.observe(&observation, &config, &mut verdicts);
                }
                detector.observe(&observation, &mut verdicts);
            })
            .map_err(|problem| anyhow!("events, line {line}: {problem}"))?;
        write(&mut alerts, &mut verdicts, &mut statistics)?;
        events += 1;
        if arguments
            .restart_every
            .is_some_and(|every| events.is_multiple_of(every))
        {
            detector = Detector::restore(&config.detection, &config.tables, &detector.snapshot())
                .map_err(|error| anyhow!("events, line {line}: {error}"))?;
        }
    }
    detector.finish(&mut verdicts);
    write(&mut alerts, &mut verdicts, &mut statistics)?;
    alerts.flush().context("cannot write the alerts")?;
    if let Some(path) = &arguments.stats {
        let mut file = create(path)?;
        serde_json::to_writer_pretty(&mut file, &statistics.finish(&detector))
            .map_err(io::Error::from)
            .and_then(|()| writeln!(file))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn create(path: &Path) -> Result<File, Failure> {
    Ok(File::create(path).with_context(|| format!("cannot create {}", path.display()))?)
}

fn write(
    alerts: &mut dyn Write,
    verdicts: &mut Vec<Verdict>,
    statistics: &mut Statistics,
) -> Result<(), Failure> {
    for verdict in verdicts.drain(..) {
        statistics.count(&verdict);
        serde_json::to_writer(&mut *alerts, &verdict)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(alerts))
            .context("cannot write the alerts")?;
    }
    Ok(())
}
