//! `cargo xtask bench soak`: does the sensor stay as it is? Mixed load for as long as one likes, with connections, users
//! and statements that come and go; its memory and its losses by the minute.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{
    bed::Bed,
    load::{self, DATABASE, Way},
    machine::Machine,
    tool::{self, Tool},
    variant::Variant,
};
use crate::{
    postgresql::Server,
    progress::{Progress, thousands},
    signal, workspace,
};

/// Between two connections of the part that comes and goes.
const CHURN: Duration = Duration::from_millis(50);
/// Users that come and go.
const USERS: u64 = 2000;
/// Between two looks at the sensor.
const LOOK: Duration = Duration::from_secs(10);
/// Memory is compared from here on: until then tables are filled.
const WARM: Duration = Duration::from_secs(120);
/// Rows that pgbench asks for before its load begins: the number of branches, and how the accounts are partitioned.
const PGBENCH_ITSELF: u64 = 2;
/// Of the export, what is read at the end: more than any one export takes.
const LAST: u64 = 64 << 20;

/// Arguments of `cargo xtask bench soak`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// Queries a second.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
}

/// One look at the sensor.
struct Look {
    seconds: u64,
    resident: u64,
    processor: f64,
}

/// Runs it, prints what it found and writes target/bench/soak.json.
pub fn soak(arguments: &Arguments) -> Result<()> {
    let progress = Progress::new();
    let bed = Bed::make("bench soak", &progress, &[Variant::Sensor], &[])?;
    let server = bed.plain();
    let sensor = Tool::sensor(bed.sensor()?)?;
    let pid = sensor.pid();
    let length = Duration::from_secs(arguments.minutes * 60);
    let began = Instant::now();
    let churn = Churn::begin(server)?;
    let mut looks = Vec::new();
    let done = thread::scope(|scope| {
        let rate = arguments.rate.to_string();
        let steady = scope.spawn(move || {
            load::timed(
                server,
                Way::Unix,
                length,
                &["--select-only", "--rate", &rate],
            )
        });
        while !steady.is_finished() {
            thread::sleep(Duration::from_millis(100));
            if began.elapsed().as_secs() / LOOK.as_secs() > looks.len() as u64 {
                let look = look(pid, began)?;
                eprintln!(
                    "{:>6} s  {:>4} MiB resident  {:>5.1} s of processor time  {} connections came and went",
                    look.seconds,
                    look.resident >> 20,
                    look.processor,
                    thousands(churn.count.load(Ordering::Relaxed)),
                );
                looks.push(look);
            }
            signal::check()?;
        }
        steady
            .join()
            .map_err(|_| anyhow::anyhow!("the load panicked"))?
    })?;
    let churned = churn.end()?;
    sensor.end()?;
    let counted = counted(&tool::export()?)?;
    drop(bed);
    report(arguments, &looks, done.count, churned, &counted)
}

/// What the sensor exported last.
struct Counted {
    rows: u64,
    queries: u64,
    lost_detail: u64,
    lost_rows: u64,
}

fn report(
    arguments: &Arguments,
    looks: &[Look],
    queries: u64,
    churned: u64,
    counted: &Counted,
) -> Result<()> {
    let warm: Vec<&Look> = looks
        .iter()
        .filter(|look| look.seconds >= WARM.as_secs())
        .collect();
    let (first, last) = match (warm.first(), warm.last()) {
        (Some(first), Some(last)) => (first.resident, last.resident),
        _ => bail!("too short: memory is compared after {} s", WARM.as_secs()),
    };
    let most = looks.iter().map(|look| look.resident).max().unwrap_or(0);
    let machine = Machine::read();
    let written = json!({
        "machine": {
            "date": machine.date,
            "commit": machine.commit,
            "kernel": machine.kernel,
            "processor": machine.processor,
            "processors": machine.processors,
            "postgresql": machine.postgresql,
        },
        "minutes": arguments.minutes,
        "rate": arguments.rate,
        "queries_of_the_steady_load": queries,
        "connections_that_came_and_went": churned,
        "rows_counted": counted.rows,
        "queries_counted": counted.queries,
        "lost_detail": counted.lost_detail,
        "lost_rows": counted.lost_rows,
        "looks": looks.iter().map(|look| json!({
            "seconds": look.seconds,
            "resident_bytes": look.resident,
            "processor_seconds": look.processor,
        })).collect::<Vec<_>>(),
    });
    let place = workspace::directory(&workspace::bench())?.join("soak.json");
    fs::write(&place, serde_json::to_string_pretty(&written)?)
        .with_context(|| format!("cannot write {}", place.display()))?;
    let sent = queries + churned + PGBENCH_ITSELF;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "queries of the steady load      {}\n\
         connections that came and went  {}, each with a statement of its own\n\
         rows counted                    {} (sent: {})\n\
         records whose detail was lost   {}\n\
         rows lost                       {}\n\
         resident after {} s            {} MiB, at the end {} MiB, most {} MiB",
        thousands(queries),
        thousands(churned),
        thousands(counted.rows),
        thousands(sent),
        counted.lost_detail,
        counted.lost_rows,
        WARM.as_secs(),
        first >> 20,
        last >> 20,
        most >> 20,
    );
    println!("{text}");
    if counted.rows != sent {
        bail!("{} rows were sent, {} counted", sent, counted.rows);
    }
    Ok(())
}

fn look(pid: u32, began: Instant) -> Result<Look> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the sensor ended on its own")?;
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
        .context("no resident size in /proc")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the sensor ended")?;
    // Behind the command's closing bracket: state is field 3, user and system time are 14 and 15.
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let processor = ticks as f64 / 100.0;
    Ok(Look {
        seconds: began.elapsed().as_secs(),
        resident: kilobytes << 10,
        processor,
    })
}

/// Clients that connect, ask something nobody has asked before, and go.
struct Churn {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    thread: JoinHandle<Result<()>>,
}

impl Churn {
    fn begin(server: &Server) -> Result<Self> {
        let mut users = String::new();
        for user in 0..USERS {
            let _ = write!(users, "CREATE ROLE soak_{user} LOGIN; ");
        }
        server
            .connect("postgres", "postgres", true)?
            .batch_execute(&users)
            .context("cannot make users")?;
        let address = server.address();
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(AtomicU64::new(0));
        let thread = {
            let (stop, count) = (stop.clone(), count.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let number = count.load(Ordering::Relaxed);
                    let user = format!("soak_{}", number % USERS);
                    let mut client = address.connect(&user, DATABASE, "", number % 2 == 0)?;
                    client
                        .simple_query(&format!("SELECT 1 AS column_x{number}x"))
                        .context("the server refuses a statement")?;
                    drop(client);
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(CHURN);
                }
                Ok(())
            })
        };
        Ok(Self {
            stop,
            count,
            thread,
        })
    }

    fn end(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the churn panicked"))??;
        Ok(self.count.load(Ordering::Relaxed))
    }
}

/// Sums of the last export of metrics in a file of OTLP JSON lines.
fn counted(export: &Path) -> Result<Counted> {
    let mut file =
        fs::File::open(export).with_context(|| format!("cannot open {}", export.display()))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let mut found = std::collections::BTreeMap::new();
    // The newest first: a metric may be spread over several lines of one export, all with the same time.
    let mut newest = None;
    for line in text.lines().rev() {
        let Ok(value) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        for metric in metrics(&value) {
            for point in points(metric) {
                let time = point["timeUnixNano"].as_str().unwrap_or("").to_owned();
                if *newest.get_or_insert(time.clone()) != time {
                    continue;
                }
                let amount = point["asInt"]
                    .as_str()
                    .and_then(|text| text.parse::<u64>().ok())
                    .or_else(|| point["asInt"].as_u64())
                    .unwrap_or(0);
                let name = metric["name"].as_str().unwrap_or("").to_owned();
                *found.entry(name).or_insert(0) += amount;
            }
        }
    }
    let sum = |name: &str| found.get(name).copied();
    Ok(Counted {
        rows: sum("data_access.rows").context("no rows in the export")?,
        queries: sum("data_access.queries").unwrap_or(0),
        lost_detail: sum("data_access.sensor.lost_detail").unwrap_or(0),
        lost_rows: sum("data_access.sensor.lost_rows").unwrap_or(0),
    })
}

fn metrics(export: &Value) -> impl Iterator<Item = &Value> {
    array(&export["resourceMetrics"])
        .flat_map(|resource| array(&resource["scopeMetrics"]))
        .flat_map(|scope| array(&scope["metrics"]))
}

fn points(metric: &Value) -> impl Iterator<Item = &Value> {
    array(&metric["sum"]["dataPoints"]).chain(array(&metric["gauge"]["dataPoints"]))
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
