//! `sensor history`: who read what, from the store.

use std::{
    collections::HashMap, fmt::Write as _, fs::File, io::Write as _, path::PathBuf, sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::Subcommand;

use super::{
    Failure,
    place::{Place, Times},
    replay::event::Columns,
};
use crate::{
    console::size,
    detect::{observation::Keys, sketch::Distinct},
    export::visible,
    history::{self, Amount, Asked, Batch, Entry, Key, Reader, Reading, Store},
    principal::{ClientAddress, DbSystem, OsUser, Principal, PrincipalId},
    sql::Shape,
    volume::Volume,
};

/// Verbs of `sensor history`.
#[derive(Debug, Subcommand)]
pub enum HistoryVerb {
    /// Who read a table: rows, distinct records, times, client hosts, statements.
    Who(WhoArguments),
    /// What the history holds, and since when.
    Status(Place),
    /// Take in events from a CSV file (columns as for `sensor replay --events`).
    Import(ImportArguments),
}

/// Arguments of `sensor history who`.
#[derive(Debug, clap::Args)]
pub struct WhoArguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    times: Times,
    /// Table, with or without its schema.
    #[arg(long)]
    table: Option<String>,
    /// Database.
    #[arg(long = "db", value_name = "NAME")]
    database_name: Option<String>,
    /// Database user.
    #[arg(long)]
    user: Option<String>,
    /// Statement shapes shown of each user.
    #[arg(long, default_value_t = 3, value_name = "NUMBER")]
    statements: usize,
    /// JSON lines instead of a table.
    #[arg(long)]
    json: bool,
}

/// Arguments of `sensor history import`.
#[derive(Debug, clap::Args)]
pub struct ImportArguments {
    #[command(flatten)]
    place: Place,
    /// The file.
    #[arg(long, value_name = "FILE")]
    events: PathBuf,
}

/// A month: what `who` looks at when no time is given.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Runs a verb.
pub fn history(verb: &HistoryVerb) -> Result<(), Failure> {
    match verb {
        HistoryVerb::Who(arguments) => who(arguments),
        HistoryVerb::Status(place) => status(place),
        HistoryVerb::Import(arguments) => import(arguments),
    }
}

fn who(arguments: &WhoArguments) -> Result<(), Failure> {
    let (since, until) = arguments.times.resolve(MONTH)?;
    let connection = arguments.place.open(false)?;
    let asked = Asked {
        table: arguments.table.clone(),
        database: arguments.database_name.clone(),
        user: arguments.user.clone(),
        since,
        until,
    };
    let mut answer = asked.answer(&connection)?;
    for reading in &mut answer {
        reading.statements.truncate(arguments.statements);
    }
    let mut out = std::io::stdout().lock();
    if arguments.json {
        for reading in &answer {
            let line = serde_json::to_string(reading).context("cannot write JSON")?;
            writeln!(out, "{line}").context("cannot write")?;
        }
        return Ok(());
    }
    let of = arguments.table.as_deref().unwrap_or("any table");
    let mut text = format!("{of} from {since} to {until}, by statements that name it\n\n");
    if answer.is_empty() {
        text.push_str("nobody\n");
    } else {
        let _ = writeln!(
            text,
            "{:<16} {:>12} {:>12} {:>10} {:>11} {:<17} {:<17} CLIENTS",
            "USER", "ROWS READ", "RECORDS", "QUERIES", "SENT", "FIRST", "LAST"
        );
    }
    for reading in &answer {
        line(&mut text, reading);
    }
    out.write_all(text.as_bytes()).context("cannot write")?;
    Ok(())
}

fn line(text: &mut String, reading: &Reading) {
    let minute = |time: crate::time::Timestamp| time.to_string()[..16].replace('T', " ");
    // Without keys each row may be a record of its own, or the same one again.
    let records = match (reading.records, reading.rows_without_keys) {
        (Some(records), 0) => records.to_string(),
        (Some(records), _) => format!("≥{records}"),
        (None, 0) => "0".to_owned(),
        (None, rows) => format!("≤{rows}"),
    };
    let clients: Vec<&str> = reading.clients.iter().map(String::as_str).collect();
    let os_users: Vec<&str> = reading.os_users.iter().map(String::as_str).collect();
    let _ = write!(
        text,
        "{:<16} {:>12} {records:>12} {:>10} {:>11} {:<17} {:<17} {}",
        visible(reading.user.as_deref().unwrap_or("(unknown)")),
        reading.rows_read,
        reading.queries,
        size(reading.bytes_sent),
        minute(reading.first),
        minute(reading.last),
        clients.join(" "),
    );
    if !os_users.is_empty() {
        let _ = write!(text, " (OS {})", visible(&os_users.join(" ")));
    }
    let _ = writeln!(text);
    if reading.rows_estimated > 0 {
        let _ = writeln!(
            text,
            "{:>29} of the rows are an estimate: their exact count never came",
            reading.rows_estimated
        );
    }
    for statement in &reading.statements {
        let shown = if statement.text.is_empty() {
            &statement.summary
        } else {
            &statement.text
        };
        let shown: String = visible(shown).chars().take(140).collect();
        let _ = write!(text, "{:>29}   {shown}", statement.rows_read);
        if let Some(egress) = &statement.egress {
            let _ = write!(text, "  → {}", visible(egress));
        }
        let _ = writeln!(text);
    }
}

fn status(place: &Place) -> Result<(), Failure> {
    let config = place.config()?;
    let connection = place.open(false)?;
    let reader = Reader::new(&connection)?;
    let mut text = format!("{}\n", config.history.path.display());
    match reader.span()? {
        Some((first, last)) => {
            let _ = writeln!(text, "  volumes from {first} to {last}");
        }
        None => text.push_str("  no volumes yet\n"),
    }
    for (what, table) in [
        ("sums by minute", "minute"),
        ("sums by hour", "hour"),
        ("sums by day", "day"),
        ("principals", "principal"),
        ("statement shapes", "statement"),
        ("alerts", "alert"),
        ("acknowledgements", "fate"),
        ("states of the detector", "detector"),
    ] {
        let count: i64 = connection
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                row.get(0)
            })
            .context("cannot count")?;
        let _ = writeln!(text, "  {count:>10} {what}");
    }
    let bytes = std::fs::metadata(&config.history.path).map_or(0, |file| file.len());
    let _ = writeln!(
        text,
        "  {:>10} of at most {}",
        size(bytes),
        size(config.history.bounds.max_bytes)
    );
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write")?;
    Ok(())
}

/// Sums in one transaction.
const AT_ONCE: usize = 20_000;

fn import(arguments: &ImportArguments) -> Result<(), Failure> {
    let config = arguments.place.config()?;
    let file = File::open(&arguments.events)
        .with_context(|| format!("cannot open {}", arguments.events.display()))?;
    let mut reader = csv::ReaderBuilder::new()
        .buffer_capacity(1 << 20)
        .from_reader(file);
    let header = reader
        .byte_headers()
        .map_err(|error| anyhow!("cannot read the header row: {error}"))?;
    let mut columns = Columns::new(header).map_err(Failure::Usage)?;
    let mut store = Store::open(&config.history.path)?;
    let mut names = Names::default();
    let mut batch = Batch::default();
    let (mut events, mut lost) = (0u64, 0);
    let mut record = csv::ByteRecord::new();
    while reader
        .read_byte_record(&mut record)
        .map_err(|error| anyhow!("cannot read the events: {error}"))?
    {
        let line = record.position().map_or(0, csv::Position::line);
        columns
            .read(&record, |observation| {
                events += 1;
                lost += batch.absorb(names.batch(&observation), usize::MAX);
            })
            .map_err(|problem| anyhow!("events, line {line}: {problem}"))?;
        if batch.entries.len() >= AT_ONCE {
            store.write(&std::mem::take(&mut batch))?;
        }
    }
    store.write(&batch)?;
    while store
        .upkeep(&config.history.bounds, crate::time::Timestamp::now())?
        .more
    {}
    writeln!(
        std::io::stdout(),
        "{events} events are in {}",
        config.history.path.display()
    )
    .context("cannot write")?;
    Ok(())
}

/// Numbers of what the events name.
#[derive(Default)]
struct Names {
    principals: HashMap<(String, String, String), (PrincipalId, Arc<Principal>)>,
    shapes: HashMap<(String, String, u64), (u32, Arc<Shape>)>,
    databases: HashMap<String, Arc<str>>,
}

impl Names {
    fn batch(&mut self, event: &crate::detect::observation::Observation<'_>) -> Batch {
        let number = PrincipalId(u32::try_from(self.principals.len()).unwrap_or(u32::MAX));
        let (id, principal) = self
            .principals
            .entry((
                event.principal.to_owned(),
                event.host.to_owned(),
                event.os_user.to_owned(),
            ))
            .or_insert_with(|| {
                let principal = Principal {
                    system: DbSystem::PostgreSql,
                    server: "imported".into(),
                    server_port: 0,
                    user: Some(event.principal.into()),
                    client: match (event.host, event.host.parse()) {
                        (_, Ok(address)) => ClientAddress::Ip(address),
                        ("local", _) => ClientAddress::Unix,
                        _ => ClientAddress::Unknown,
                    },
                    os_user: (!event.os_user.is_empty()).then(|| OsUser {
                        uid: u32::MAX,
                        name: event.os_user.into(),
                    }),
                    login_user: None,
                    ..Principal::default()
                };
                (number, Arc::new(principal))
            })
            .clone();
        let number = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        let tables: Vec<Arc<str>> = event
            .tables
            .iter()
            .filter(|table| !table.is_empty())
            .map(|table| Arc::from(*table))
            .collect();
        let summary = format!("{} {}", event.operation, tables.join(" "));
        let (shape_id, shape) = self
            .shapes
            .entry((
                event.operation.to_owned(),
                summary.clone(),
                event.fingerprint,
            ))
            .or_insert_with(|| {
                let shape = Shape {
                    operation: event.operation.into(),
                    tables,
                    text: format!("{summary} /* {:016x} */", event.fingerprint).into(),
                    summary: summary.into(),
                    ..Shape::default()
                };
                (number, Arc::new(shape))
            })
            .clone();
        let records = match event.keys {
            Keys::Hashes(hashes) => {
                let mut sketch = Distinct::default();
                history::insert_records(&mut sketch, hashes);
                Some(sketch)
            }
            _ => None,
        };
        let amount = Amount {
            volume: Volume {
                rows_returned: event.rows,
                bytes_sent: event.bytes,
                queries: event.queries,
                ..Volume::default()
            },
            statement_rows: event.statement_rows.unwrap_or(event.rows),
            statement_bytes: event.bytes,
            first: event.time,
            last: event.time,
            records,
            ..Amount::default()
        };
        let mut batch = Batch::default();
        batch.entries.insert(
            Key {
                minute: event.time.0 / 60_000_000_000,
                principal: id,
                database: self
                    .databases
                    .entry(event.database.to_owned())
                    .or_insert_with(|| event.database.into())
                    .clone(),
                shape_id,
            },
            Entry {
                principal,
                shape,
                amount,
            },
        );
        batch
    }
}
