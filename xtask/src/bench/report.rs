//! What was measured, as a table and as JSON.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{load::Load, machine::Machine, picture, statistics::Estimate, variant::Variant};
use crate::{progress::thousands, workspace};

/// A run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where and when.
    pub machine: Machine,
    /// Pairs of slices for each load and variant.
    pub pairs: u32,
    /// Length of a slice, where it is of seconds.
    pub slice: Duration,
    /// Time that is a pair, where slices are of milliseconds.
    pub block: Duration,
    /// Rows of a `COPY`.
    pub copy_rows: u64,
    /// Whether it was too short to be called a measurement.
    pub is_try: bool,
    /// Load by load.
    pub measured: Vec<Measured>,
}

/// One load with one variant.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Load.
    pub load: Load,
    /// Variant.
    pub variant: Variant,
    /// Throughput with it as a share of throughput without.
    pub kept: Estimate,
    /// Median of transactions (or rows) a second without.
    pub without: f64,
    /// The same with it.
    pub with: f64,
    /// Each pair: without, with.
    pub slices: Vec<(f64, f64)>,
    /// Of variants that are made of kernel programs.
    pub in_kernel: Option<InKernel>,
}

/// Time of kernel programs for each query (of a `COPY`: row).
#[derive(Clone, Debug)]
pub struct InKernel {
    /// Median, the reading of the clock included.
    pub nanoseconds: f64,
    /// What is left of it without what empty programs on the same hooks take.
    pub above_floor: Option<f64>,
    /// Each slice: the variant's programs, empty ones beside them.
    pub slices: Vec<(f64, Option<f64>)>,
}

/// Said wherever figures of a try are shown.
pub const TRY: &str = "A TRY: too few pairs for a measurement";

/// Writes JSON and picture.
pub fn write(report: &Report) -> Result<()> {
    let folder = workspace::bench();
    let folder = workspace::directory(&folder)?;
    save(
        &folder.join("overhead.json"),
        &format!("{:#}\n", json(report)),
    )?;
    save(&folder.join("overhead.svg"), &picture::svg(report))
}

fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// For people.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    if report.is_try {
        let _ = writeln!(text, "{TRY}\n");
    }
    let _ = writeln!(
        text,
        "{:<27} {:<19} {:>6}  {:<15} {:>12} {:>12} {:>15} {:>12}",
        "load",
        "variant",
        "kept",
        "95 % interval",
        "without, 1/s",
        "with, 1/s",
        "kernel, ns",
        "above empty"
    );
    let mut last = None;
    for one in &report.measured {
        let load = if last == Some(one.load) {
            ""
        } else {
            one.load.name()
        };
        last = Some(one.load);
        let (kernel, above) = match &one.in_kernel {
            Some(found) => (
                format!("{}/{}", figure(found.nanoseconds), one.load.unit()),
                found.above_floor.map(figure).unwrap_or_default(),
            ),
            None => Default::default(),
        };
        let line = format!(
            "{load:<27} {:<19} {:>6.3}  [{:.3}, {:.3}]  {:>12} {:>12} {kernel:>15} {above:>12}",
            one.variant.name(),
            one.kept.median,
            one.kept.low,
            one.kept.high,
            figure(one.without),
            figure(one.with),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = write!(
        text,
        "\n{} pairs (of slices of {} s; of sensor, empty programs and naive events of {} s with slices of milliseconds, but \
         for COPY), fsync off; {}; written to {}",
        report.pairs,
        report.slice.as_secs(),
        report.block.as_secs(),
        place(&report.machine),
        workspace::bench().join("overhead.{json,svg}").display()
    );
    text
}

/// Machine and versions in a line.
pub fn place(machine: &Machine) -> String {
    format!(
        "{} × {}, {}, {}",
        machine.processors, machine.processor, machine.kernel, machine.postgresql
    )
}

/// With as many places as are worth something.
pub fn figure(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate or a time, far below the limits"
    )]
    let whole = thousands(value.abs().round() as u64);
    if value < 0.0 {
        format!("-{whole}")
    } else {
        whole
    }
}

fn json(report: &Report) -> Value {
    let measured: Vec<_> = report.measured.iter().map(one).collect();
    json!({
        "date": report.machine.date,
        "commit": report.machine.commit,
        "kernel": report.machine.kernel,
        "processor": report.machine.processor,
        "processors": report.machine.processors,
        "postgresql": report.machine.postgresql,
        "try": report.is_try,
        "pairs": report.pairs,
        "slice_seconds": report.slice.as_secs(),
        "block_seconds": report.block.as_secs(),
        "copy_rows": report.copy_rows,
        "measured": measured,
    })
}

fn one(one: &Measured) -> Value {
    json!({
        "load": one.load.name(),
        "variant": one.variant.name(),
        "kept": {"median": one.kept.median, "low": one.kept.low, "high": one.kept.high},
        "unit": one.load.unit(),
        "without_per_second": one.without,
        "with_per_second": one.with,
        "slices": one.slices,
        "in_kernel": one.in_kernel.as_ref().map(|found| json!({
            "nanoseconds": found.nanoseconds,
            "above_empty": found.above_floor,
            "slices": found.slices,
        })),
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn measured(load: Load, variant: Variant) -> Measured {
        Measured {
            load,
            variant,
            kept: Estimate {
                median: 0.987,
                low: 0.97,
                high: 1.01,
            },
            without: 51234.5,
            with: 50123.4,
            slices: vec![(51234.5, 50123.4)],
            in_kernel: variant.in_kernel().then(|| InKernel {
                nanoseconds: 1838.4,
                above_floor: Some(1220.1),
                slices: vec![(1838.4, Some(618.3))],
            }),
        }
    }

    /// Two variants of two loads.
    pub fn report() -> Report {
        Report {
            machine: Machine::default(),
            pairs: 2,
            slice: Duration::from_secs(1),
            block: Duration::from_secs(10),
            copy_rows: 5,
            is_try: true,
            measured: vec![
                measured(Load::Tpcb, Variant::Sensor),
                measured(Load::Tpcb, Variant::Pgaudit),
                measured(Load::Copy, Variant::Sensor),
                measured(Load::Copy, Variant::Pgaudit),
            ],
        }
    }

    #[test]
    fn the_table_tells_all() {
        let table = table(&report());
        for text in [
            TRY,
            "0.987  [0.970, 1.010]",
            "51,23",
            "1,838/query",
            "1,838/row",
            "1,220",
        ] {
            assert!(table.contains(text), "{text}: {table}");
        }
        assert_eq!(table.matches("TPC-B").count(), 1, "{table}");
    }

    #[test]
    fn json_has_every_slice() {
        let document = json(&report());
        assert_eq!(document["measured"][1]["variant"], "pgaudit");
        assert_eq!(document["measured"][0]["slices"][0][1], 50123.4);
        assert_eq!(document["measured"][0]["in_kernel"]["slices"][0][1], 618.3);
        assert_eq!(document["try"], true);
    }

    #[test]
    fn figures() {
        assert_eq!(figure(12.34), "12.3");
        assert_eq!(figure(51234.5), "51,235");
        assert_eq!(figure(-1234.0), "-1,234");
    }
}
