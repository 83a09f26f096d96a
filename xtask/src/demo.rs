//! `cargo xtask demo`: a day of a support team on a throwaway PostgreSQL, MariaDB or Redis, in fast motion, with the sensor beside it.
//! At the end the sensor's numbers are held against the server's own, user by user.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};

use crate::{
    build,
    mariadb::Server as MariaDb,
    postgresql::Server,
    progress::{Progress, thousands},
    redis::Server as Redis,
    setup::{self, For},
    signal, workspace,
};

mod client;
mod data;
mod database;
mod day;
mod desk;
mod mariadb;
mod past;
mod postgresql;
mod redis;
mod screen;
mod sensor;
mod slow;
mod truth;

use database::Database;
use day::Theft;
use screen::Screen;
use sensor::{Alert, Sensor};

/// Agents of the support team.
const AGENTS: usize = 20;
/// The one who takes all.
const INSIDER: &str = "agent07";
/// Rows that anybody may read of customers in ten minutes.
const LIMIT: u64 = 10_000;
/// How long the alert may take from the row that crosses the limit.
const LATENCY: Duration = Duration::from_secs(2);

/// Settings by which the server counts for itself.
const STATISTICS: &[&str] = &[
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track=top",
    "pg_stat_statements.save=off",
];

/// Arguments of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Rows of the table that is stolen.
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(20_000..=12_000_000))]
    customers: u64,
    /// Leave the server running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// On which database.
    #[arg(long, value_enum, default_value_t = Which::Postgresql)]
    database: Which,
    /// What the insider does; the slow one is played on PostgreSQL only.
    #[arg(long, value_enum, default_value_t = Insider::Bulk)]
    insider: Insider,
    /// Length of the day of the insider who reads it all.
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=3_600))]
    fast_seconds: u64,
}

/// On which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Postgresql,
    Mariadb,
    Redis,
}

/// What the insider does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Insider {
    /// Reads the whole table with one statement.
    Bulk,
    /// Looks up a hundred customers more than the job needs, day after day. Weeks go by in a minute.
    Slow,
}

/// How many rows there are.
#[derive(Clone, Copy, Debug)]
struct Size {
    customers: u64,
    tickets: u64,
}

/// Plays it. An error unless all numbers agree and the insider was reported in time.
pub fn demo(arguments: &Arguments) -> Result<()> {
    workspace::require_root_and_btf("demo")?;
    let size = Size {
        customers: arguments.customers,
        tickets: (arguments.customers / 4).min(500_000),
    };
    if arguments.database != Which::Postgresql && arguments.insider == Insider::Slow {
        bail!(
            "the slow insider is told of by distinct records, which are known of PostgreSQL only: leave out --database"
        );
    }
    let progress = Progress::new();
    let purpose = match arguments.database {
        Which::Postgresql => For::Demo,
        Which::Mariadb => For::DemoMariadb,
        Which::Redis => For::DemoRedis,
    };
    setup::install(&progress, purpose)?;
    let binary = build::sensor(&progress)?;

    signal::catch();
    let place = workspace::demo();
    match arguments.database {
        Which::Postgresql => {
            let server = started(&progress, "PostgreSQL", || {
                let server = Server::start(&place, STATISTICS)?;
                Ok((server.port, server))
            })?;
            let slow = arguments.insider == Insider::Slow;
            play(arguments, &binary, server, |server| {
                if slow {
                    slow::show(size, &binary, server, &progress)
                } else {
                    show(arguments, size, &binary, server, &progress)
                }
            })
        }
        Which::Mariadb => {
            let server = started(&progress, "MariaDB", || {
                let server = MariaDb::start(&place, mariadb::STATISTICS)?;
                Ok((server.port, server))
            })?;
            play(arguments, &binary, server, |server| {
                show(arguments, size, &binary, server, &progress)
            })
        }
        Which::Redis => {
            let server = started(&progress, "Redis", || {
                let server = Redis::start(&place)?;
                Ok((server.port, redis::Desk::new(server)))
            })?;
            play(arguments, &binary, server, |server| {
                show(arguments, size, &binary, server, &progress)
            })
        }
    }
}

/// A server, as a step that is told of.
fn started<S>(
    progress: &Progress,
    name: &str,
    start: impl FnOnce() -> Result<(u16, S)>,
) -> Result<S> {
    let mut server = None;
    progress.quiet(&format!("{name}, a throwaway server"), || {
        let (port, started) = start()?;
        server = Some(started);
        Ok(format!("port {port}"))
    })?;
    server.ok_or_else(|| anyhow!("no server"))
}

/// Plays it on a server, and cleans up as far as nothing is to be looked at.
fn play<S: Database>(
    arguments: &Arguments,
    binary: &Path,
    server: S,
    show: impl FnOnce(&S) -> Result<()>,
) -> Result<()> {
    let guard = Guard::start(server.pid(), server.ends_by());
    let result = show(&server);
    if !signal::interrupted() && arguments.keep {
        keep(binary, &server);
    }
    // After a failure, configuration and export stay to be looked at.
    let looked_at = result.is_err() && !signal::interrupted();
    drop(guard);
    drop(server);
    if !looked_at {
        let _ = fs::remove_dir_all(workspace::demo());
    }
    if signal::interrupted() && !arguments.keep {
        bail!("interrupted; nothing is left behind");
    }
    result
}

fn show(
    arguments: &Arguments,
    size: Size,
    binary: &Path,
    server: &dyn Database,
    progress: &Progress,
) -> Result<()> {
    let what = format!(
        "database support: {} customers, {} tickets, {AGENTS} agents",
        thousands(size.customers),
        thousands(size.tickets)
    );
    progress.quiet(&what, || server.load(size).map(|()| String::new()))?;
    server.reset()?;

    let configuration = sensor::configure(server.customers(), &server.sizes(size))?;
    let screen = Screen::default();
    let mut sensor = None;
    progress.loud("the sensor", || {
        sensor = Some(Sensor::start(binary, &configuration, &screen, true)?);
        Ok(format!(
            "watches, configured by {}",
            configuration.display()
        ))
    })?;
    let sensor = sensor.ok_or_else(|| anyhow!("no sensor"))?;

    let length = Duration::from_secs(arguments.fast_seconds);
    screen.line(format!(
        "\nA day of the support team in {} seconds\n",
        arguments.fast_seconds
    ));
    let theft = day::play(server, size, length, &sensor, &screen)?;
    screen.line("24:00  the day is over");
    let alerts = sensor.alerts();
    let otlp = sensor.otlp.clone();
    let status = sensor.stop()?;
    if !status.success() {
        bail!("the sensor ended with {status} instead of success");
    }

    let (table, agree) = truth::compare(&server.counts()?, &truth::sensor(&otlp)?);
    println!(
        "\nWhat the server counted itself ({}) and what the sensor saw\n\n{table}\n",
        server.statistics()
    );
    let caught = verdict(&theft, &alerts);
    if !agree {
        bail!(
            "the sensor's numbers differ from the server's (✗ above); its export is in {}",
            otlp.display()
        );
    }
    caught?;
    println!("✓ every number agrees");
    Ok(())
}

/// Prints the insider's alert and how long it took; an error when there is none in time, or one for somebody else.
fn verdict(theft: &Theft, alerts: &[Alert]) -> Result<()> {
    if let Some(other) = alerts.iter().find(|alert| !alert.names(INSIDER)) {
        bail!(
            "an alert for somebody who did nothing wrong:\n{}",
            other.text
        );
    }
    let Some(alert) = alerts.first() else {
        bail!(
            "no alert for {INSIDER}, who took {} rows",
            thousands(theft.rows)
        );
    };
    let Some(exported) = theft.exported else {
        bail!(
            "the alert for {INSIDER} was printed but not exported:\n{}",
            alert.text
        );
    };
    let printed = alert.at.saturating_duration_since(theft.crossed);
    let exported = exported.saturating_duration_since(theft.crossed);
    println!("{}", alert.text);
    if printed.max(exported) > LATENCY {
        bail!(
            "the alert came {printed:.1?} (exported {exported:.1?}) after the limit was crossed, more than {LATENCY:?}"
        );
    }
    let row = thousands(LIMIT + 1);
    if alert.at < theft.crossed {
        print!("✓ alert before {INSIDER} had even received row {row}");
    } else {
        print!(
            "✓ alert {} ms after {INSIDER} had received row {row}",
            printed.as_millis()
        );
    }
    println!(", exported after {} ms", exported.as_millis());
    Ok(())
}

/// With `--keep`: says how to get at the server, and waits for Ctrl-C.
fn keep(binary: &Path, server: &dyn Database) {
    println!(
        "\nthe server stays until Ctrl-C:\n  {}\n  {} run --console --config {}",
        server.shell(),
        binary.display(),
        workspace::demo().join("sensor.toml").display()
    );
    while !signal::interrupted() {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Stops the server on Ctrl-C, so that whoever waits for it gives up.
struct Guard {
    done: std::sync::Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Guard {
    fn start(server: u32, ends_by: libc::c_int) -> Self {
        let done = std::sync::Arc::new(AtomicBool::new(false));
        let stopped = done.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if signal::interrupted() {
                    // Again until it is done with.
                    signal::send(server, ends_by);
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_secs(1)
                        && !stopped.load(Ordering::Relaxed)
                    {
                        thread::sleep(Duration::from_millis(20));
                    }
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self {
            done,
            thread: Some(thread),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
