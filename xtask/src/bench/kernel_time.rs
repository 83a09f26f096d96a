//! `cargo xtask bench kernel-time`: the kernel programs' time a query, ours and empty ones side by side. Quick, for while
//! one makes them faster.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    bed::Bed,
    load::{self, Done, Way},
    programs::{self, Counting, Usages},
    report::figure,
    tool::{Attached, Tool},
    variant::Variant,
};
use crate::{progress::Progress, signal, workspace};

/// Literals in the long statement, and its length.
const LITERALS: usize = 35;
const LONG: usize = 1024;
/// The long result, for each second of measuring.
const ROWS: u64 = 800_000;
/// The program that sees what the server sends, as far as the kernel keeps its name.
const SEND: &str = "sock_send_lengt";

/// Arguments of `cargo xtask bench kernel-time`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Seconds for each load.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Only these loads.
    #[arg(long, value_enum)]
    load: Vec<Case>,
}

/// What the server does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Case {
    /// `pgbench -S`, simple protocol.
    Simple,
    /// `pgbench -S -M prepared`.
    Prepared,
    /// A statement of 1 KiB with 36 literals.
    Long,
    /// A long result: the time of a send in its middle.
    Result,
}

impl Case {
    const ALL: [Self; 4] = [Self::Simple, Self::Prepared, Self::Long, Self::Result];

    fn name(self) -> &'static str {
        match self {
            Self::Simple => "select, simple",
            Self::Prepared => "select, prepared",
            Self::Long => "statement of 1 KiB",
            Self::Result => "long result",
        }
    }

    fn run(self, bed: &Bed, length: Duration) -> Result<Done> {
        let timed = |more: &[&str]| load::timed(bed.plain(), Way::Unix, length, more);
        match self {
            Self::Simple => timed(&["--select-only"]),
            Self::Prepared => timed(&["--select-only", "--protocol", "prepared"]),
            Self::Long => {
                let script = workspace::directory(&workspace::bench())?.join("long.sql");
                fs::write(&script, long_statement())
                    .with_context(|| format!("cannot write {}", script.display()))?;
                timed(&["--file", &script.to_string_lossy()])
            }
            Self::Result => load::copy(bed.plain(), ROWS * length.as_secs()),
        }
    }
}

/// Measures and prints.
pub fn kernel_time(arguments: &Arguments) -> Result<()> {
    let progress = Progress::new();
    let bed = Bed::make(
        "bench kernel-time",
        &progress,
        &[Variant::Floor, Variant::Sensor],
        &[],
    )?;
    let length = Duration::from_secs(arguments.seconds);
    let cases: &[Case] = if arguments.load.is_empty() {
        &Case::ALL
    } else {
        &arguments.load
    };
    let ours = Tool::sensor(bed.sensor()?)?;
    let empty = Tool::fixture(bed.fixtures()?, &bed.fixtures()?.floor, Attached::ByItself)?;
    let counting = Counting::begin()?;
    let mut text = header();
    for case in cases {
        signal::check()?;
        // Texts have left the kernel and memory is warm before anything counts.
        case.run(&bed, Duration::from_secs(1))?;
        let read = || anyhow::Ok((programs::of(ours.pid())?, programs::of(empty.pid())?));
        let before = read()?;
        let done = case.run(&bed, length)?;
        let after = read()?;
        let used = (
            programs::between(&before.0, &after.0),
            programs::between(&before.1, &after.1),
        );
        text.push_str(&match case {
            Case::Result => sends(*case, &used.0, &used.1),
            _ => queries(*case, &used.0, &used.1, done.count),
        });
    }
    drop(counting);
    empty.end()?;
    ours.end()?;
    drop(bed);
    println!("{text}");
    Ok(())
}

fn header() -> String {
    line(
        "load",
        "program",
        ["runs", "sensor, ns", "empty, ns", "above empty"],
    )
}

fn line(load: &str, program: &str, figures: [&str; 4]) -> String {
    let [runs, ours, empty, above] = figures;
    format!("{load:<22} {program:<18} {runs:>8} {ours:>11} {empty:>11} {above:>12}\n")
}

/// By query: all programs, and each.
fn queries(case: Case, ours: &Usages, empty: &Usages, count: u64) -> String {
    let mut text = String::new();
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds in some seconds")]
    let each = |value: u64| value as f64 / count as f64;
    let row = |load: &str, program: &str, runs: u64, mine: u64, floor: u64| {
        let [mine, floor] = [mine, floor].map(each);
        line(
            load,
            program,
            [
                &format!("{:.2}", each(runs)),
                &figure(mine),
                &figure(floor),
                &figure(mine - floor),
            ],
        )
    };
    let runs = ours.values().map(|usage| usage.runs).sum();
    let [mine, floor] = [ours, empty].map(programs::nanoseconds);
    text.push_str(&row(case.name(), "a query", runs, mine, floor));
    for (name, usage) in ours {
        if usage.runs * 100 > count {
            let floor = empty.get(name).copied().unwrap_or_default();
            text.push_str(&row(
                "",
                name,
                usage.runs,
                usage.nanoseconds,
                floor.nanoseconds,
            ));
        }
    }
    text
}

/// By send: nearly all of them are in the middle of the result.
fn sends(case: Case, ours: &Usages, empty: &Usages) -> String {
    let send = |usages: &Usages| {
        let usage = usages.get(SEND).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds in some seconds")]
        let each = usage.nanoseconds as f64 / usage.runs as f64;
        each
    };
    let [mine, floor] = [ours, empty].map(send);
    let mut text = String::new();
    let _ = write!(
        text,
        "{}",
        line(
            case.name(),
            "a send",
            ["1.00", &figure(mine), &figure(floor), &figure(mine - floor)]
        )
    );
    text
}

/// A pgbench script: one look-up whose text is as long as it should be.
fn long_statement() -> String {
    const BEFORE: &str =
        "SELECT abalance FROM pgbench_accounts WHERE aid = :aid AND filler NOT IN (";
    let each = (LONG - BEFORE.len() - 1) / LITERALS;
    let literals: Vec<String> = (0..LITERALS)
        .map(|index| format!("'{index:0>width$}'", width = each - 4))
        .collect();
    let mut statement = format!("{BEFORE}{})", literals.join(", "));
    while statement.len() < LONG {
        statement.push(' ');
    }
    format!("\\set aid random(1, 100000 * :scale)\n{statement};\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::programs::Usage;

    #[test]
    fn the_long_statement_is_long() {
        let script = long_statement();
        let statement = script.lines().nth(1).expect("a statement");
        assert_eq!(statement.len(), LONG + 1);
        assert_eq!(statement.matches('\'').count(), 2 * LITERALS);
    }

    fn usages(nanoseconds: u64) -> Usages {
        Usages::from([(
            SEND.to_owned(),
            Usage {
                nanoseconds,
                runs: 200,
            },
        )])
    }

    #[test]
    fn time_is_told_by_query_and_by_send() {
        let text = queries(Case::Simple, &usages(180_000), &usages(60_000), 100);
        assert!(text.contains("1,800") && text.contains("1,200"), "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        let text = sends(Case::Result, &usages(50_000), &usages(20_000));
        assert!(text.contains("250") && text.contains("150"), "{text}");
    }
}
