//! `cargo xtask bench overhead`: slices with and without, in turn.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::{
    load::{self, Load},
    report::{self, Measured},
    statistics,
    variant::{On, Variant},
};
use crate::{
    build,
    postgresql::Server,
    progress::Progress,
    setup::{self, For},
    signal, workspace,
};

/// How long a load runs before a slice.
const SETTLE: Duration = Duration::from_secs(1);
/// Fewer pairs than this are a try, not a measurement.
const PUBLISHED: u32 = 20;

/// Arguments of `cargo xtask bench overhead`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Pairs of slices for each load and variant.
    #[arg(long, default_value_t = PUBLISHED, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Seconds of each slice.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Rows of the `COPY`.
    #[arg(long, default_value_t = 10_000_000)]
    copy_rows: u64,
    /// Only these loads.
    #[arg(long, value_enum)]
    load: Vec<Load>,
    /// Only these variants.
    #[arg(long, value_enum)]
    variant: Vec<Variant>,
}

/// Measures, prints the table, and writes JSON and a picture to target/bench.
pub fn overhead(arguments: &Arguments) -> Result<()> {
    workspace::require_root_and_btf("bench overhead")?;
    let progress = Progress::new();
    setup::install(&progress, For::Bench)?;
    let sensor = build::release(&progress)?;
    signal::catch();
    let mut server = None;
    progress.quiet("PostgreSQL with data", || {
        let place = workspace::bench();
        workspace::directory(&place)?;
        let started = Server::start(&place, "pg_stat_statements,pgaudit")?;
        let note = load::prepare(&started)?;
        server = Some(started);
        Ok(note)
    })?;
    let server = server.ok_or_else(|| anyhow!("no server"))?;
    if arguments.pairs < PUBLISHED {
        eprintln!("a try: fewer than {PUBLISHED} pairs are no measurement");
    }
    let mut all = Vec::new();
    for load in chosen(&arguments.load, &Load::ALL) {
        load::run(
            *load,
            &server,
            Duration::from_secs(2),
            arguments.copy_rows / 10 + 1,
        )?;
        for variant in chosen(&arguments.variant, &Variant::ALL) {
            let mut measured = None;
            progress.quiet(&format!("{}: {}", load.name(), variant.name()), || {
                let found = measure(*load, *variant, &server, &sensor, arguments)?;
                let note = format!(
                    "{:.3} [{:.3}, {:.3}]",
                    found.kept.median, found.kept.low, found.kept.high
                );
                measured = Some(found);
                Ok(note)
            })?;
            all.extend(measured);
        }
    }
    drop(server);
    report::write(&all, arguments.pairs, arguments.seconds)
}

fn chosen<'a, T>(wanted: &'a [T], all: &'a [T]) -> &'a [T] {
    if wanted.is_empty() { all } else { wanted }
}

fn measure(
    load: Load,
    variant: Variant,
    server: &Server,
    sensor: &std::path::Path,
    arguments: &Arguments,
) -> Result<Measured> {
    let slice = Duration::from_secs(arguments.seconds);
    // Switching disturbs for a moment (programs are compiled, settings read): both sides run a while before they count.
    let without = || {
        load::run(load, server, SETTLE, arguments.copy_rows / 10)?;
        load::run(load, server, slice, arguments.copy_rows)
    };
    let with = || {
        let on = On::switch(variant, server, sensor)?;
        load::run(load, server, SETTLE, arguments.copy_rows / 10)?;
        let rate = load::run(load, server, slice, arguments.copy_rows)?;
        on.off()?;
        anyhow::Ok(rate)
    };
    let mut slices = Vec::new();
    for pair in 0..arguments.pairs {
        if signal::interrupted() {
            bail!("interrupted");
        }
        // What changes slowly on the machine falls on both sides alike.
        let (off, on) = if pair % 2 == 0 {
            let off = without()?;
            (off, with()?)
        } else {
            let on = with()?;
            (without()?, on)
        };
        slices.push((off, on));
    }
    let ratios: Vec<f64> = slices.iter().map(|(off, on)| on / off).collect();
    let rates: Vec<f64> = slices.iter().map(|(off, _)| *off).collect();
    let none = || anyhow!("no slices");
    Ok(Measured {
        load: load.name(),
        variant: variant.name(),
        kept: statistics::median(&ratios).ok_or_else(none)?,
        rate: statistics::median(&rates).ok_or_else(none)?.median,
        slices,
    })
}
