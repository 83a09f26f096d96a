//! `sensor replay`: the detector over a file of events; the same code as live, and the same alerts each time.

use std::{
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

use super::{Failure, load};
use crate::detect::{arbitration::Verdict, detector::Detector};

mod event;
mod limits;
mod statistics;

use event::Columns;
use limits::Limits;
use statistics::Statistics;

/// Arguments of `sensor replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {
    /// Events as CSV with a header row; `-` for standard input. docs/detection.md describes the columns.
    #[arg(long, value_name = "FILE|-")]
    events: PathBuf,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Hold the limits of [[threshold]] as well; each row counts as one statement.
    #[arg(long)]
    limits: bool,
    /// Write alerts as JSON lines to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// Write what it took, and alerts by lane, as JSON to this file.
    #[arg(long, value_name = "FILE")]
    stats: Option<PathBuf>,
}

/// Replays the whole file.
pub fn replay(arguments: &ReplayArguments) -> Result<(), Failure> {
    let config = load(arguments.config.as_deref())?;
    let input: Box<dyn Read> = if arguments.events.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&arguments.events).with_context(|| {
            format!("cannot open the events file {}", arguments.events.display())
        })?)
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
