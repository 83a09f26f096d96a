//! The trade-off as a picture: limits to the right, alerts a day upwards, both by powers of ten.

use std::fmt::Write as _;

use super::Curve;

const WIDTH: usize = 66;
const HEIGHT: usize = 16;
/// Letters of groups on the terminal.
const MARKS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What is shown: from where to where, in powers of ten.
struct Frame {
    left: f64,
    right: f64,
    bottom: f64,
    top: f64,
}

impl Frame {
    fn new(curves: &[Curve], wanted: f64) -> Self {
        let limits = curves.iter().flat_map(|curve| curve.points.iter());
        let mut frame = Self {
            left: 2.0,
            right: 3.0,
            bottom: wanted.log10() - 0.5,
            top: wanted.log10() + 0.5,
        };
        for (limit, rate) in limits {
            frame.right = frame.right.max((*limit as f64).log10());
            if *rate > 0.0 {
                frame.bottom = frame.bottom.min(rate.log10());
                frame.top = frame.top.max(rate.log10());
            }
        }
        frame
    }

    /// Position from 0 to 1, from the left and from the top. A rate of zero lies on the bottom.
    fn place(&self, limit: u64, rate: f64) -> (f64, f64) {
        let x = ((limit as f64).log10() - self.left) / (self.right - self.left);
        let y = if rate > 0.0 {
            (self.top - rate.log10()) / (self.top - self.bottom)
        } else {
            1.0
        };
        (x.clamp(0.0, 1.0), y.clamp(0.0, 1.0))
    }
}

/// For the terminal.
pub fn terminal(curves: &[Curve], wanted: f64) -> String {
    let frame = Frame::new(curves, wanted);
    let mut canvas = vec![vec![b' '; WIDTH]; HEIGHT];
    // Within the canvas: positions are clamped.
    let cell = |limit, rate| {
        let (x, y) = frame.place(limit, rate);
        (
            (x * (WIDTH - 1) as f64).round() as usize,
            (y * (HEIGHT - 1) as f64).round() as usize,
        )
    };
    let (_, row) = cell(100, wanted);
    canvas[row].fill(b'-');
    for (curve, mark) in curves.iter().zip(MARKS.iter().cycle()) {
        for (limit, rate) in &curve.points {
            let (x, y) = cell(*limit, *rate);
            canvas[y][x] = *mark;
        }
    }
    for curve in curves {
        if let Some(limit) = curve.proposed {
            let (x, y) = cell(limit, curve.rate(limit));
            canvas[y][x] = b'*';
        }
    }
    let mut text = String::from("alerts a day\n");
    for (number, line) in canvas.iter().enumerate() {
        let share = number as f64 / (HEIGHT - 1) as f64;
        let label = if number % 5 == 0 {
            let rate = 10f64.powf(frame.top - share * (frame.top - frame.bottom));
            format!("{rate:>9.3}")
        } else {
            " ".repeat(9)
        };
        let _ = writeln!(
            text,
            "{label} |{}",
            String::from_utf8_lossy(line).trim_end()
        );
    }
    let _ = writeln!(text, "{:>9} +{}", "", "-".repeat(WIDTH));
    let right = format!("{:.0} rows", 10f64.powf(frame.right));
    let _ = writeln!(
        text,
        "{:>10} 100{right:>width$}",
        "limit",
        width = WIDTH - 3
    );
    for (curve, mark) in curves.iter().zip(MARKS.iter().cycle()) {
        let _ = writeln!(
            text,
            "{:>10} {}, proposed (*): {}",
            char::from(*mark),
            curve.name,
            curve.limit()
        );
    }
    text.push_str("         - wanted; the lowest line means never\n");
    text
}

/// A colour of its own for each group: hues a golden angle apart.
fn colour(number: usize) -> String {
    format!(
        "hsl({:.0},60%,36%)",
        (205.0 + 137.5 * number as f64) % 360.0
    )
}

/// Height of a line of the legend.
const LINE: f64 = 18.0;

/// For a page.
pub fn svg(curves: &[Curve], wanted: f64, window: &str) -> String {
    let frame = Frame::new(curves, wanted);
    let (left, top, width, height) = (70.0, 40.0, 560.0, 320.0);
    let at = |limit, rate| {
        let (x, y) = frame.place(limit, rate);
        (left + x * width, top + y * height)
    };
    let page = (top + LINE * (curves.len() + 2) as f64).max(430.0);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 880 {page}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"880\" height=\"{page}\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"22\" font-size=\"15\">alerts a day by limit, rows in {window}</text>\n\
         <rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#888\"/>\n"
    );
    let mut power = 2i32;
    while f64::from(power) <= frame.right + 1e-9 {
        let (x, _) = at(10u64.pow(power.unsigned_abs()), 0.0);
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{:.1}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            top + height,
            top + height + 18.0,
            10u64.pow(power.unsigned_abs())
        );
        power += 1;
    }
    // From the lowest whole power of ten that is shown.
    let mut power = frame.bottom.ceil() as i32;
    while f64::from(power) <= frame.top {
        let rate = 10f64.powi(power);
        let (_, y) = at(100, rate);
        let _ = writeln!(
            text,
            "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{rate}</text>",
            left + width,
            left - 6.0,
            y + 4.0
        );
        power += 1;
    }
    let (_, y) = at(100, wanted);
    let _ = writeln!(
        text,
        "<line x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#c00\" stroke-dasharray=\"5 4\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#c00\">- - wanted: {wanted:.3}</text>",
        left + width,
        left + width + 8.0,
        top + 14.0
    );
    for (number, curve) in curves.iter().enumerate() {
        let colour = colour(number);
        let points: Vec<String> = curve
            .points
            .iter()
            .map(|(limit, rate)| {
                let (x, y) = at(*limit, *rate);
                format!("{x:.1},{y:.1}")
            })
            .collect();
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}: {}</text>",
            points.join(" "),
            left + width + 8.0,
            // The first line is the wanted rate's.
            top + 14.0 + LINE * (number + 1) as f64,
            escaped(&curve.name),
            curve.limit()
        );
        if let Some(limit) = curve.proposed {
            let (x, y) = at(limit, curve.rate(limit));
            let _ = writeln!(
                text,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/>"
            );
        }
    }
    text.push_str("<text x=\"350\" y=\"412\" text-anchor=\"middle\">limit (rows)</text>\n</svg>\n");
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves() -> Vec<Curve> {
        vec![
            Curve {
                name: "support".to_owned(),
                points: vec![(100, 50.0), (1_000, 2.0), (10_000, 0.0)],
                proposed: Some(10_000),
            },
            Curve {
                name: "a<b".to_owned(),
                points: vec![(100, 0.5), (150, 0.0)],
                proposed: None,
            },
        ]
    }

    #[test]
    fn the_terminal_shows_each_group_and_its_proposal() {
        let text = terminal(&curves(), 1.0);
        assert!(
            text.contains("A support, proposed (*): 10000 rows"),
            "{text}"
        );
        let plot: Vec<&str> = text.lines().filter(|line| line.contains('|')).collect();
        assert_eq!(plot.len(), HEIGHT);
        assert!(
            plot[0].ends_with("|A"),
            "the highest rate is at the top left:\n{text}"
        );
        assert!(
            plot[HEIGHT - 1].ends_with('*'),
            "never is at the bottom right:\n{text}"
        );
        assert!(plot.iter().any(|line| line.matches('-').count() > 40));
        assert!(text.contains("B a<b, proposed (*): none fits"), "{text}");
    }

    #[test]
    fn the_picture_is_well_formed() {
        let text = svg(&curves(), 1.0, "1h");
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        assert!(text.contains("a&lt;b") && !text.contains("NaN"), "{text}");
        assert_eq!(text.matches("<polyline").count(), 2);
    }
}
