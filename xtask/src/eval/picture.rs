//! Time to detect against false alerts: a curve a detector, a panel an attack.

use std::fmt::Write as _;

use super::{report::Report, summary::Line};

const WIDTH: f64 = 1080.0;
const PANEL: f64 = 500.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 92.0;
/// Room between panels.
const GAP: f64 = 84.0;
/// Attacks that have a panel.
const SHOWN: [&str; 4] = ["C50", "C200", "D", "F"];
/// Decades of the false-alert axis, as powers of ten.
const FROM: f64 = -3.0;
const TO: f64 = 3.0;
const FAMILIES: [(&str, &str); 4] = [
    ("sensor", "#1769aa"),
    ("z-score", "#e0a458"),
    ("Sentinel rule", "#c8643c"),
    ("threshold", "#7a8793"),
];
const INK: &str = "#1f2933";
const PALE: &str = "#66727f";
const LINE: &str = "#e3e7eb";

/// The picture, or nothing when nothing was measured that belongs into it.
pub fn svg(report: &Report) -> Option<String> {
    let lines: Vec<&Line> = SHOWN
        .iter()
        .filter_map(|name| report.lines.iter().find(|line| line.attack == *name))
        .collect();
    if lines.is_empty() || report.falsehoods.is_empty() {
        return None;
    }
    let rows = lines.len().div_ceil(2) as f64;
    let height = TOP + rows * (HEIGHT + GAP) + 10.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"Inter, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    words(
        &mut text,
        (24.0, 32.0),
        INK,
        18,
        "Days until a thief is noticed, against false alerts",
    );
    let what = format!(
        "{} accounts, at most {} runs a point; median time; hollow points miss more than a tenth, large ones are the usual setting; the lower left is better",
        report.accounts, report.runs
    );
    words(&mut text, (24.0, 52.0), PALE, 12, &what);
    let mut x = 24.0;
    for (family, colour) in FAMILIES {
        let _ = writeln!(
            text,
            "<circle cx=\"{}\" cy=\"70\" r=\"5\" fill=\"{colour}\"/>",
            x + 5.0
        );
        words(&mut text, (x + 15.0, 74.0), INK, 12, family);
        x += 130.0;
    }
    for (at, line) in lines.iter().enumerate() {
        let x = if at % 2 == 0 { 0.0 } else { WIDTH / 2.0 };
        let y = TOP + (at / 2) as f64 * (HEIGHT + GAP);
        panel(&mut text, (x, y), line, report);
    }
    text.push_str("</svg>\n");
    Some(text)
}

fn words(text: &mut String, (x, y): (f64, f64), colour: &str, size: u32, what: &str) {
    let what = what
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _ = writeln!(
        text,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\" font-size=\"{size}\">{what}</text>"
    );
}

/// A panel's coordinates.
struct Scale {
    x: f64,
    y: f64,
    most: f64,
}

impl Scale {
    fn rate(&self, rate: f64) -> f64 {
        let decade = rate.max(10f64.powf(FROM)).log10().clamp(FROM, TO);
        self.x + LEFT + (decade - FROM) / (TO - FROM) * (PANEL - LEFT - 20.0)
    }

    /// Logarithmic from one; above the most is "never".
    fn delay(&self, delay: Option<f64>) -> f64 {
        let share = delay.map_or(1.08, |delay| delay.max(1.0).ln() / self.most.ln());
        self.y + 30.0 + (HEIGHT - 40.0) * (1.08 - share) / 1.08
    }
}

fn panel(text: &mut String, (x, y): (f64, f64), line: &Line, report: &Report) {
    let most = line
        .speeds
        .iter()
        .filter_map(|speed| speed.median)
        .fold(20.0, f64::max);
    let scale = Scale { x, y, most };
    words(
        text,
        (x + LEFT, y + 18.0),
        INK,
        13,
        &format!("{}: {} – {}", line.attack, line.title, line.unit),
    );
    for decade in FROM as i32..=TO as i32 {
        let at = scale.rate(10f64.powi(decade));
        let _ = writeln!(
            text,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\" stroke=\"{LINE}\"/>",
            y + 30.0,
            y + HEIGHT - 10.0
        );
        let label = if decade == FROM as i32 {
            "≤ 0.001".to_owned()
        } else {
            format!("{}", 10f64.powi(decade))
        };
        words(text, (at - 10.0, y + HEIGHT + 6.0), PALE, 11, &label);
    }
    words(
        text,
        (x + LEFT, y + HEIGHT + 24.0),
        PALE,
        11,
        "false alerts in 1,000 person-days",
    );
    for value in [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0] {
        if value > most {
            break;
        }
        horizontal(text, &scale, Some(value), &format!("{value}"));
    }
    horizontal(text, &scale, None, "never");
    for (number, family) in FAMILIES.iter().enumerate() {
        // What is never noticed lies side by side, not behind each other.
        let apart = number as f64 * 4.0;
        curve(text, &scale, line, report, *family, apart);
    }
}

fn horizontal(text: &mut String, scale: &Scale, delay: Option<f64>, label: &str) {
    let at = scale.delay(delay);
    let _ = writeln!(
        text,
        "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"{LINE}\"/>",
        scale.x + LEFT,
        scale.x + PANEL - 20.0
    );
    words(text, (scale.x + LEFT - 46.0, at + 4.0), PALE, 11, label);
}

fn curve(
    text: &mut String,
    scale: &Scale,
    line: &Line,
    report: &Report,
    (family, colour): (&str, &str),
    apart: f64,
) {
    let mut points: Vec<(f64, f64, bool, bool)> = report
        .falsehoods
        .iter()
        .zip(&line.speeds)
        .filter(|(one, _)| one.family == family)
        .map(|(one, speed)| {
            let solid = speed.missed * 10 <= speed.runs && speed.median.is_some();
            (
                scale.rate(one.people.rate),
                scale.delay(speed.median) + speed.median.map_or(apart, |_| 0.0),
                solid,
                one.usual,
            )
        })
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let path: Vec<String> = points
        .iter()
        .map(|(x, y, _, _)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        text,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-opacity=\"0.5\" stroke-width=\"1.5\"/>",
        path.join(" ")
    );
    for (x, y, solid, usual) in points {
        let fill = if solid { colour } else { "#ffffff" };
        let radius = if usual { 6.0 } else { 3.5 };
        let _ = writeln!(
            text,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_false_alerts_are_to_the_left_and_less_time_is_below() {
        let scale = Scale {
            x: 0.0,
            y: 0.0,
            most: 50.0,
        };
        assert!(scale.rate(0.01) < scale.rate(1.0));
        assert!((scale.rate(0.0) - scale.rate(0.001)).abs() < 1e-9);
        assert!(scale.delay(Some(2.0)) > scale.delay(Some(20.0)));
        assert!(scale.delay(None) < scale.delay(Some(50.0)));
    }

    #[test]
    fn nothing_measured_is_no_picture() {
        assert_eq!(svg(&Report::default()), None);
    }
}
