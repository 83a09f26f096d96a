//! `cargo xtask bench overhead`: slices with and without, in turn.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    alternate,
    bed::Bed,
    load::{Done, Load},
    machine::Machine,
    programs::{self, Counting},
    report::{self, InKernel, Measured, Report},
    statistics,
    tool::{Attached, Tool},
    variant::{On, Variant},
};
use crate::{
    progress::{self, Progress},
    signal,
};

/// Fewer pairs than this are a try, not a measurement.
const PUBLISHED: u32 = 20;
/// Slices in which the kernel counts the programs' time. It varies little.
const COUNTED: u32 = 3;
/// How long a load runs before a slice of it.
const SETTLE: Duration = Duration::from_secs(1);
/// Before anything is measured: memory is filled, tables are read.
const WARM_UP: Duration = Duration::from_secs(2);

/// Arguments of `cargo xtask bench overhead`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Pairs of slices for each load and variant [default: 20]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: Option<u32>,
    /// Seconds of each slice [default: 2]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
    slice: Option<u64>,
    /// Seconds under a running load that are a pair, where slices are of milliseconds [default: 10]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
    block: Option<u64>,
    /// Rows of the `COPY` [default: 10000000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    copy_rows: Option<u64>,
    /// Only these loads.
    #[arg(long, value_enum)]
    load: Vec<Load>,
    /// Only these variants.
    #[arg(long, value_enum)]
    variant: Vec<Variant>,
    /// What others do is measured with these loads only: it takes long, and its cost is large.
    #[arg(long, value_enum)]
    compare_on: Vec<Load>,
    /// A try: two pairs of short slices.
    #[arg(long)]
    quick: bool,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Size {
    pairs: u32,
    counted: u32,
    slice: Duration,
    block: Duration,
    copy_rows: u64,
}

impl Arguments {
    fn size(&self) -> Size {
        let or = |full, quick| if self.quick { quick } else { full };
        Size {
            pairs: self.pairs.unwrap_or(if self.quick { 2 } else { PUBLISHED }),
            counted: if self.quick { 1 } else { COUNTED },
            slice: Duration::from_secs(self.slice.unwrap_or(or(2, 1))),
            block: Duration::from_secs(self.block.unwrap_or(or(10, 2))),
            copy_rows: self.copy_rows.unwrap_or(or(10_000_000, 300_000)),
        }
    }
}

/// Measures, prints the table, and writes JSON and a picture to target/bench.
pub fn overhead(arguments: &Arguments) -> Result<()> {
    let progress = Progress::new();
    let loads = chosen(&arguments.load, &Load::ALL);
    let variants = chosen(&arguments.variant, &Variant::ALL);
    let size = arguments.size();
    let compared = chosen(&arguments.compare_on, loads);
    let plan: Vec<(Load, Vec<Variant>)> = loads
        .iter()
        .map(|load| {
            let wanted = |variant: &&Variant| {
                variant.is_ours() || compared.contains(load) && variant.suits(*load)
            };
            (*load, variants.iter().filter(wanted).copied().collect())
        })
        .collect();
    let bed = Bed::make("bench overhead", &progress, variants, loads)?;
    let mut report = Report {
        machine: Machine::read(),
        pairs: size.pairs,
        slice: size.slice,
        block: size.block,
        copy_rows: size.copy_rows,
        is_try: size.pairs < PUBLISHED,
        measured: Vec::new(),
    };
    eprintln!(
        "{} pairs for each load and variant: about {}",
        size.pairs,
        progress::duration(estimate(size, &plan))
    );
    let result = measure_all(&plan, size, &bed, &progress, &mut report);
    drop(bed);
    // What was measured before an interruption is worth seeing, too.
    println!("{}", report::table(&report));
    result
}

fn chosen<'a, T>(wanted: &'a [T], all: &'a [T]) -> &'a [T] {
    if wanted.is_empty() { all } else { wanted }
}

/// How long it may take, by experience: each process of a slice needs a moment to begin.
fn estimate(size: Size, plan: &[(Load, Vec<Variant>)]) -> Duration {
    let slice = SETTLE.as_secs_f64() + size.slice.as_secs_f64() + 0.4;
    let each = |load: Load, variant: Variant| {
        let counted = if variant.in_kernel() { size.counted } else { 0 };
        let pair = if is_alternated(load, variant) {
            size.block.as_secs_f64()
        } else {
            2.0 * slice + variant.switching()
        };
        f64::from(size.pairs) * pair + f64::from(counted) * (slice + variant.switching())
    };
    let all: f64 = plan
        .iter()
        .flat_map(|(load, variants)| variants.iter().map(|variant| each(*load, *variant)))
        .sum();
    Duration::from_secs_f64(all)
}

fn measure_all(
    plan: &[(Load, Vec<Variant>)],
    size: Size,
    bed: &Bed,
    progress: &Progress,
    report: &mut Report,
) -> Result<()> {
    for (load, variants) in plan {
        // All but one are measured on one server.
        let other = variants
            .iter()
            .find(|variant| **variant == Variant::Pgaudit);
        for variant in [&Variant::Nothing].into_iter().chain(other) {
            signal::check()?;
            bed.run(*load, *variant, WARM_UP, size.copy_rows / 10 + 1)?;
        }
        for variant in variants {
            progress.quiet(&format!("{}: {}", load.name(), variant.name()), || {
                let found = measure(*load, *variant, bed, size)?;
                let note = format!(
                    "{:.3} [{:.3}, {:.3}]",
                    found.kept.median, found.kept.low, found.kept.high
                );
                report.measured.push(found);
                report::write(report)?;
                Ok(note)
            })?;
        }
    }
    Ok(())
}

/// Whether slices are of milliseconds, under a load that never stops: it has to consist of many transactions.
fn is_alternated(load: Load, variant: Variant) -> bool {
    // Probes on a library are the sensor's own to put on and off.
    load != Load::Copy && !load.is_tls() && load.is_postgresql() && variant.is_attached()
}

fn measure(load: Load, variant: Variant, bed: &Bed, size: Size) -> Result<Measured> {
    let slices = if is_alternated(load, variant) {
        alternate::measure(load, variant, bed, size.pairs, size.block)?
    } else {
        pairs(load, variant, bed, size)?
    };
    let in_kernel = if variant.in_kernel() {
        Some(count(load, variant, bed, size)?)
    } else {
        None
    };
    let median = |values: Vec<f64>| statistics::median(&values).context("no slices");
    Ok(Measured {
        load,
        variant,
        kept: median(slices.iter().map(|(off, on)| on / off).collect())?,
        without: median(slices.iter().map(|(off, _)| *off).collect())?.median,
        with: median(slices.iter().map(|(_, on)| *on).collect())?.median,
        slices,
        in_kernel,
    })
}

/// Pairs of slices of seconds: throughput without and with.
fn pairs(load: Load, variant: Variant, bed: &Bed, size: Size) -> Result<Vec<(f64, f64)>> {
    let without = || settled(load, Variant::Nothing, bed, size);
    let with = || {
        let on = On::switch(variant, bed)?;
        let done = settled(load, variant, bed, size)?;
        on.off()?;
        bed.server(variant)?.empty_log()?;
        anyhow::Ok(done)
    };
    let mut slices = Vec::new();
    for pair in 0..size.pairs {
        signal::check()?;
        // What changes slowly on the machine falls on both sides alike.
        let (off, on): (Done, Done) = if pair % 2 == 0 {
            let off = without()?;
            (off, with()?)
        } else {
            let on = with()?;
            (without()?, on)
        };
        slices.push((off.rate, on.rate));
    }
    Ok(slices)
}

/// A slice. Switching disturbs for a moment (programs are compiled, servers looked for), and so does the other side's load:
/// each runs a while before it counts.
fn settled(load: Load, variant: Variant, bed: &Bed, size: Size) -> Result<Done> {
    bed.run(load, variant, SETTLE, size.copy_rows / 10 + 1)?;
    bed.run(load, variant, size.slice, size.copy_rows)
}

/// Slices in which the kernel counts the time of the variant's programs, and of empty ones beside them.
fn count(load: Load, variant: Variant, bed: &Bed, size: Size) -> Result<InKernel> {
    let mut slices = Vec::new();
    for _ in 0..size.counted {
        signal::check()?;
        let on = On::switch(variant, bed)?;
        let floor = if variant.above_floor() {
            Some(Tool::fixture(
                bed.fixtures()?,
                &bed.fixtures()?.floor,
                Attached::ByItself,
            )?)
        } else {
            None
        };
        let pids = [on.pid(), floor.as_ref().map(Tool::pid)];
        let read = || pids.map(|pid| pid.map(programs::of).transpose());
        let counting = Counting::begin()?;
        let before = read();
        let done = bed.run(load, variant, size.slice, size.copy_rows)?;
        let after = read();
        drop(counting);
        if let Some(floor) = floor {
            floor.end()?;
        }
        on.off()?;
        let [mut own, mut empty] = [None, None];
        for ((before, after), slot) in before.into_iter().zip(after).zip([&mut own, &mut empty]) {
            if let (Some(before), Some(after)) = (before?, after?) {
                let used = programs::nanoseconds(&programs::between(&before, &after));
                #[expect(clippy::cast_precision_loss, reason = "seconds, and queries in them")]
                let each = used as f64 / done.count as f64;
                *slot = Some(each);
            }
        }
        slices.push((own.context("no kernel programs")?, empty));
    }
    let own: Vec<f64> = slices.iter().map(|(own, _)| *own).collect();
    let above: Vec<f64> = slices
        .iter()
        .filter_map(|(own, empty)| empty.map(|empty| own - empty))
        .collect();
    Ok(InKernel {
        nanoseconds: statistics::median(&own).context("no slices")?.median,
        above_floor: statistics::median(&above).map(|found| found.median),
        slices,
    })
}
