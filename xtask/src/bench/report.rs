//! A table, JSON and a picture of what was measured.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::statistics::Estimate;
use crate::{command, workspace};

/// One load with one variant.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Load.
    pub load: &'static str,
    /// Variant.
    pub variant: &'static str,
    /// Throughput with it as a share of throughput without.
    pub kept: Estimate,
    /// Transactions (or rows) a second without.
    pub rate: f64,
    /// Each pair: without, with.
    pub slices: Vec<(f64, f64)>,
}

/// Prints the table and writes the files.
pub fn write(all: &[Measured], pairs: u32, seconds: u64) -> Result<()> {
    println!("{}", table(all));
    let folder = workspace::bench();
    let folder = workspace::directory(&folder)?;
    save(&folder.join("overhead.json"), &json(all, pairs, seconds))?;
    save(&folder.join("overhead.svg"), &svg(all))
}

fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("written: {}", path.display());
    Ok(())
}

fn table(all: &[Measured]) -> String {
    let mut text = format!(
        "{:<28} {:<20} {:>9} {:>18} {:>14}\n",
        "load", "variant", "kept", "95 % interval", "without, 1/s"
    );
    for one in all {
        let interval = format!("[{:.3}, {:.3}]", one.kept.low, one.kept.high);
        let _ = writeln!(
            text,
            "{:<28} {:<20} {:>9.3} {interval:>18} {:>14.0}",
            one.load, one.variant, one.kept.median, one.rate
        );
    }
    text
}

fn json(all: &[Measured], pairs: u32, seconds: u64) -> String {
    let said = |program: &str, arguments: &[&str]| {
        command::output(command::command(program).args(arguments))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let measured: Vec<_> = all
        .iter()
        .map(|one| {
            json!({
                "load": one.load,
                "variant": one.variant,
                "kept": {"median": one.kept.median, "low": one.kept.low, "high": one.kept.high},
                "without_per_second": one.rate,
                "slices": one.slices,
            })
        })
        .collect();
    let document = json!({
        "date": said("date", &["--iso-8601=seconds"]),
        "kernel": said("uname", &["-sr"]),
        "processor": processor(),
        "commit": said("git", &["rev-parse", "HEAD"]),
        "pairs": pairs,
        "slice_seconds": seconds,
        "measured": measured,
    });
    format!("{document:#}\n")
}

fn processor() -> String {
    fs::read_to_string("/proc/cpuinfo")
        .unwrap_or_default()
        .lines()
        .find_map(|line| {
            Some(
                line.strip_prefix("model name")?
                    .trim_start_matches([' ', '\t', ':'])
                    .to_owned(),
            )
        })
        .unwrap_or_default()
}

/// Height of a bar with its room.
const ROW: f64 = 22.0;
/// Width of 100 %.
const FULL: f64 = 530.0;
/// Where the bars begin.
const LEFT: f64 = 330.0;

fn svg(all: &[Measured]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "some dozens of rows")]
    let height = ROW * all.len() as f64 + 70.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"980\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"16\" y=\"24\" \
         font-size=\"15\" font-weight=\"bold\">Throughput kept (median of pairs, 95 % interval)</text>\n"
    );
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let x = LEFT + FULL * percent / 100.0;
        let _ = writeln!(
            text,
            "<line x1=\"{x}\" y1=\"40\" x2=\"{x}\" y2=\"{}\" stroke=\"#ddd\"/><text x=\"{x}\" y=\"{}\" \
             text-anchor=\"middle\" fill=\"#666\">{percent} %</text>",
            height - 26.0,
            height - 10.0
        );
    }
    let mut y = 46.0;
    let mut load = "";
    for one in all {
        let kept = one.kept;
        let colour = if one.variant == "sensor" {
            "#1f77b4"
        } else {
            "#b8c4cf"
        };
        let label = if one.load == load { "" } else { one.load };
        load = one.load;
        let middle = y + ROW / 2.0 - 2.0;
        let [low, high] = [kept.low, kept.high].map(|share| LEFT + FULL * share.clamp(0.0, 1.1));
        let _ = writeln!(
            text,
            "<text x=\"16\" y=\"{t}\">{label}</text><text x=\"{l}\" y=\"{t}\" text-anchor=\"end\" \
             fill=\"#444\">{}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"/><line \
             x1=\"{low}\" y1=\"{middle}\" x2=\"{high}\" y2=\"{middle}\" stroke=\"#222\"/><text x=\"{}\" y=\"{t}\" \
             fill=\"#222\">{:.3}</text>",
            one.variant,
            FULL * kept.median.clamp(0.0, 1.1),
            ROW - 6.0,
            high.max(LEFT + FULL * kept.median.clamp(0.0, 1.1)) + 6.0,
            kept.median,
            t = y + ROW / 2.0 + 2.0,
            l = LEFT - 8.0,
        );
        y += ROW;
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(variant: &'static str) -> Measured {
        Measured {
            load: "TPC-B",
            variant,
            kept: Estimate {
                median: 0.987,
                low: 0.97,
                high: 1.01,
            },
            rate: 1234.5,
            slices: vec![(1234.5, 1218.4)],
        }
    }

    #[test]
    fn all_of_it_is_told() {
        let all = [measured("sensor"), measured("pgaudit")];
        let table = table(&all);
        assert!(
            table.contains("0.987") && table.contains("[0.970, 1.010]"),
            "{table}"
        );
        let document: serde_json::Value = serde_json::from_str(&json(&all, 20, 2)).expect("JSON");
        assert_eq!(document["measured"][1]["variant"], "pgaudit");
        assert_eq!(document["measured"][0]["slices"][0][1], 1218.4);
        let svg = svg(&all);
        assert_eq!(svg.matches("0.987").count(), 2, "{svg}");
    }
}
