//! What was measured, as a picture: a bar for each variant, grouped by load.

use std::fmt::Write as _;

use super::{
    report::{self, Measured, Report},
    variant::Variant,
};

const WIDTH: f64 = 1000.0;
/// Where the bars begin, and how long one of 100 % is.
const LEFT: f64 = 190.0;
const FULL: f64 = 580.0;
/// Longest bar or whisker.
const MOST: f64 = 1.15;
/// Where the figures stand, at the right.
const FIGURES: f64 = LEFT + FULL * MOST + 16.0;
/// Height of the head, of a group's title, of a bar with its room, of a bar, of the room after a group, of the foot.
const HEAD: f64 = 92.0;
const TITLE: f64 = 28.0;
const ROW: f64 = 23.0;
const BAR: f64 = 15.0;
const GAP: f64 = 16.0;
const FOOT: f64 = 34.0;

const INK: &str = "#1f2933";
const PALE: &str = "#66727f";
const LINE: &str = "#e3e7eb";

fn colour(variant: Variant) -> &'static str {
    match variant {
        Variant::Sensor | Variant::SensorBytes | Variant::SensorDoubled => "#1769aa",
        Variant::Nothing | Variant::Floor => "#c3ccd5",
        Variant::Naive | Variant::Bpftrace => "#e0a458",
        Variant::LogStatement | Variant::Pgaudit | Variant::ServerAudit | Variant::Monitor => {
            "#c8643c"
        }
    }
}

/// The picture.
pub fn svg(report: &Report) -> String {
    let groups: Vec<&[Measured]> = report
        .measured
        .chunk_by(|one, next| one.load == next.load)
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "some dozens")]
    let [loads, rows] = [groups.len() as f64, report.measured.len() as f64];
    let end = HEAD + loads * (TITLE + GAP) + rows * ROW;
    let mut text = head(report, end + FOOT);
    grid(&mut text, end);
    let mut y = HEAD;
    for group in groups {
        title(&mut text, y, group);
        y += TITLE;
        for one in group {
            row(&mut text, y, one);
            y += ROW;
        }
        y += GAP;
    }
    text.push_str("</svg>\n");
    text
}

fn head(report: &Report, height: f64) -> String {
    let machine = &report.machine;
    let what = format!(
        "median of {} pairs, whiskers: 95 % interval – {} – {}",
        report.pairs,
        report::place(machine),
        machine.date.split('T').next().unwrap_or_default(),
    );
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"Inter, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    words(
        &mut text,
        (24.0, 34.0),
        &format!("fill=\"{INK}\" font-size=\"19\" font-weight=\"600\""),
        "Throughput that a database keeps",
    );
    words(
        &mut text,
        (24.0, 56.0),
        &format!("fill=\"{PALE}\" font-size=\"12\""),
        &what,
    );
    if report.is_try {
        words(
            &mut text,
            (WIDTH - 24.0, 34.0),
            "fill=\"#b42318\" font-weight=\"600\" text-anchor=\"end\"",
            report::TRY,
        );
    }
    text
}

fn grid(text: &mut String, end: f64) {
    for percent in [0.0, 20.0, 40.0, 60.0, 80.0, 100.0] {
        let x = across(percent / 100.0);
        let style = if percent == 100.0 {
            format!("stroke=\"{PALE}\" stroke-dasharray=\"4 3\"")
        } else {
            format!("stroke=\"{LINE}\"")
        };
        let _ = writeln!(
            text,
            "<line x1=\"{x}\" y1=\"{HEAD}\" x2=\"{x}\" y2=\"{end}\" {style}/>"
        );
        for y in [HEAD - 8.0, end + 18.0] {
            words(
                text,
                (x, y),
                &format!("fill=\"{PALE}\" font-size=\"11\" text-anchor=\"middle\""),
                &format!("{percent} %"),
            );
        }
    }
}

fn title(text: &mut String, y: f64, group: &[Measured]) {
    let Some(first) = group.first() else { return };
    let unit = match first.load.unit() {
        "row" => "rows",
        _ => "transactions",
    };
    // White below, so that no line of the grid goes through the words.
    let _ = writeln!(
        text,
        "<rect x=\"0\" y=\"{}\" width=\"{WIDTH}\" height=\"{}\" fill=\"#ffffff\"/>",
        y + 2.0,
        TITLE - 4.0
    );
    let _ = writeln!(
        text,
        "<text x=\"24\" y=\"{}\" fill=\"{INK}\" font-weight=\"600\">{}<tspan fill=\"{PALE}\" font-weight=\"400\" \
         font-size=\"12\" dx=\"10\">{} {unit} a second without</tspan></text>",
        y + 19.0,
        first.load.name(),
        report::figure(first.without),
    );
}

fn row(text: &mut String, y: f64, one: &Measured) {
    let [median, low, high] = [one.kept.median, one.kept.low, one.kept.high];
    let weight = if one.variant == Variant::Sensor {
        "600"
    } else {
        "400"
    };
    let base = y + 13.0;
    words(
        text,
        (LEFT - 10.0, base),
        &format!("fill=\"{INK}\" font-size=\"12\" text-anchor=\"end\" font-weight=\"{weight}\""),
        one.variant.name(),
    );
    let _ = writeln!(
        text,
        "<rect x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{}\"/>",
        y + 1.0,
        across(median) - LEFT,
        colour(one.variant),
    );
    let [from, to] = [low, high].map(across);
    let [top, middle, bottom] = [4.5, 8.5, 12.5].map(|down| y + down);
    let _ = writeln!(
        text,
        "<path d=\"M{from:.1} {top}V{bottom}M{from:.1} {middle}H{to:.1}M{to:.1} {top}V{bottom}\" stroke=\"{INK}\" \
         stroke-width=\"1.3\" fill=\"none\"/>"
    );
    let _ = writeln!(
        text,
        "<text x=\"{FIGURES}\" y=\"{base}\" fill=\"{INK}\" font-size=\"12\" font-weight=\"{weight}\">{:.1} %<tspan \
         fill=\"{PALE}\" font-weight=\"400\" font-size=\"11\" x=\"{}\">{:.1} – {:.1}</tspan></text>",
        median * 100.0,
        FIGURES + 56.0,
        low * 100.0,
        high * 100.0,
    );
}

fn words(text: &mut String, (x, y): (f64, f64), style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(text, "<text x=\"{x}\" y=\"{y}\" {style}>{words}</text>");
}

fn across(share: f64) -> f64 {
    LEFT + FULL * share.clamp(0.0, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_drawn_once() {
        let svg = svg(&report::tests::report());
        assert_eq!(svg.matches("98.7 %").count(), 4, "{svg}");
        assert_eq!(svg.matches("<path").count(), 4, "{svg}");
        assert_eq!(svg.matches("TPC-B").count(), 1, "{svg}");
        assert!(svg.contains(report::TRY));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
