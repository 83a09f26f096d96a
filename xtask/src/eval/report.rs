//! The tables: as markdown, which a terminal shows as well.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    campaign::{BUDGETED, SENSOR},
    evader::Evaded,
    metrics::Rate,
    robust::Robust,
    scale::Scale,
    summary::{Falsehood, Line, Speed, round},
    truth::Situation,
};

/// Everything that was found out.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub seed: u64,
    pub runs: u32,
    pub accounts: u32,
    pub lines: Vec<Line>,
    pub falsehoods: Vec<Falsehood>,
    /// Alerts a day, all and within the budget, at the size simulated and at 100,000 accounts.
    pub alerts_a_day: Option<[[f64; 2]; 2]>,
    pub state_bytes_per_principal: Option<u64>,
    pub evaded: Vec<Evaded>,
    pub robust: Vec<Robust>,
    pub scale: Option<Scale>,
}

/// False alerts of one lane, and of all together, in 1,000 principal-days, at most.
const LANE_TARGET: f64 = 0.1;
const ALL_TARGET: f64 = 0.3;

/// A table whose columns are as wide as what stands in them.
fn table(text: &mut String, head: &[&str], rows: &[Vec<String>]) {
    let width = |at: usize| {
        rows.iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.chars().count())
            .chain([head[at].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut line = |cells: &[String]| {
        for (cell, width) in cells.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
    };
    line(
        &head
            .iter()
            .map(|cell| (*cell).to_owned())
            .collect::<Vec<_>>(),
    );
    line(
        &widths
            .iter()
            .map(|width| "-".repeat(*width))
            .collect::<Vec<_>>(),
    );
    for row in rows {
        line(row);
    }
    text.push('\n');
}

fn or_missed(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), round)
}

/// Median and misses, as a baseline's cell has it.
fn short(speed: &Speed) -> String {
    let missed = 100.0 * speed.missed as f64 / speed.runs.max(1) as f64;
    format!("{} ({missed:.0} %)", or_missed(speed.median))
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent >= 10.0 => format!("{percent:.0} %"),
        percent if percent >= 0.1 => format!("{percent:.1} %"),
        percent => format!("{percent:.3} %"),
    }
}

/// The whole report.
pub fn markdown(report: &Report) -> String {
    let mut text = String::new();
    if !report.lines.is_empty() {
        speeds(&mut text, report);
    }
    if !report.falsehoods.is_empty() {
        rates(&mut text, report);
    }
    if !report.evaded.is_empty() {
        evaded(&mut text, report);
    }
    if !report.robust.is_empty() {
        robust(&mut text, report);
    }
    if let Some(scale) = &report.scale {
        let _ = writeln!(text, "## Size\n\n{}\n", scale.text());
    }
    text
}

fn speeds(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "## Thieves\n\nThe sensor, all alerts; runs of each: at most {}; {} accounts. Days and nights are active ones. [95 % interval] of \
         the median. –: more were missed. An alert about the thief while he steals counts, for whatever reason it came: who \
         alerts often catches by chance, so read each speed beside the false alerts of the same detector.\n",
        report.runs, report.accounts
    );
    let rows: Vec<Vec<String>> = report
        .lines
        .iter()
        .map(|line| {
            let speed = &line.speeds[SENSOR];
            let [low, high] = speed.median_interval;
            vec![
                line.attack.clone(),
                line.title.clone(),
                line.target.clone(),
                format!(
                    "{} [{} {}] {}",
                    or_missed(speed.median),
                    or_missed(low),
                    or_missed(high),
                    line.unit
                ),
                or_missed(speed.p90),
                format!("{} of {}", speed.missed, speed.runs),
                speed.rows.to_string(),
                percent(speed.share),
                speed
                    .lanes
                    .iter()
                    .map(|(lane, count)| format!("{lane} {count}"))
                    .collect::<Vec<_>>()
                    .join(", "),
                line.verdict.clone(),
            ]
        })
        .collect();
    table(
        text,
        &[
            "",
            "attack",
            "target",
            "median",
            "p90",
            "missed",
            "rows out",
            "share",
            "first lane",
            "verdict",
        ],
        &rows,
    );
    others(text, report);
}

/// The same beside what others use, at their usual settings.
fn others(text: &mut String, report: &Report) {
    let Some(first) = report.lines.first() else {
        return;
    };
    let usual: Vec<usize> = [
        "sensor",
        "sensor, within the alert budget",
        "z-score, 14 own days, z > 3",
        "z-score, 14 own days, z > 6",
        "Sentinel rule, z and Q > 3",
        "threshold, 10000 rows in 10 min",
        "threshold, 600 rows a day",
    ]
    .iter()
    .filter_map(|name| {
        first
            .speeds
            .iter()
            .position(|speed| speed.detector == *name)
    })
    .collect();
    text.push_str(
        "Median, and the share missed, beside what others use; the last line is what it costs.\n\n",
    );
    let mut head = vec!["", "unit"];
    head.extend(usual.iter().map(|at| first.speeds[*at].detector.as_str()));
    let mut rows: Vec<Vec<String>> = report
        .lines
        .iter()
        .map(|line| {
            let mut row = vec![line.attack.clone(), line.unit.to_owned()];
            row.extend(usual.iter().map(|at| short(&line.speeds[*at])));
            row
        })
        .collect();
    if !report.falsehoods.is_empty() {
        let mut row = vec!["false alerts".to_owned(), "in 1,000 person-days".to_owned()];
        row.extend(usual.iter().map(|at| {
            report
                .falsehoods
                .get(*at)
                .map_or_else(String::new, |one| format!("{:.2}", one.people.rate))
        }));
        rows.push(row);
    }
    table(text, &head, &rows);
}

fn rates(text: &mut String, report: &Report) {
    text.push_str(
        "## False alerts\n\nIn 1,000 active principal-days of populations without thieves, deployments, quarter's ends, role \
         changes, hires and migrations included; [95 % interval of a Poisson count: alerts come in clusters of a population and \
         a person, which makes the truth wider]. The sensor, all alerts, and within its budget.\n\n",
    );
    let (all, budgeted) = (&report.falsehoods[SENSOR], &report.falsehoods[BUDGETED]);
    let cell = |rate: &Rate| format!("{:.3} [{:.3} {:.3}]", rate.rate, rate.low, rate.high);
    let against = |rate: f64, target: f64| {
        if rate <= target {
            format!("≤ {target}: met")
        } else {
            format!("≤ {target}: missed (+{:.3})", rate - target)
        }
    };
    let mut rows = Vec::new();
    for (lane, rate) in &all.lanes {
        let within = budgeted.lanes.iter().find(|(name, _)| name == lane);
        rows.push(vec![
            format!("lane {lane}"),
            rate.count.to_string(),
            cell(rate),
            within.map_or_else(|| "0".to_owned(), |(_, rate)| cell(rate)),
            against(rate.rate, LANE_TARGET),
        ]);
    }
    rows.push(vec![
        "all lanes".to_owned(),
        all.all.count.to_string(),
        cell(&all.all),
        cell(&budgeted.all),
        against(all.all.rate, ALL_TARGET),
    ]);
    // A role that has changed is a change, and told of rightly: how many are left without them?
    let without = |one: &Falsehood| {
        let roles = Situation::RoleChange.as_str();
        let changed = one.situations.iter().find(|(name, _)| *name == roles);
        Rate::new(
            one.all.count - changed.map_or(0, |(_, rate)| rate.count),
            one.all.days,
        )
    };
    let rest = without(all);
    rows.push(vec![
        "all lanes, without role changes".to_owned(),
        rest.count.to_string(),
        cell(&rest),
        cell(&without(budgeted)),
        String::new(),
    ]);
    for ((situation, rate), (_, within)) in all.situations.iter().zip(&budgeted.situations) {
        rows.push(vec![
            (*situation).to_owned(),
            rate.count.to_string(),
            cell(rate),
            cell(within),
            String::new(),
        ]);
    }
    table(
        text,
        &["", "alerts", "rate", "within the budget", "target"],
        &rows,
    );
    let _ = writeln!(
        text,
        "Of {} alerts {} fell into a quarter's end or the five days after, {} into the two days from a deployment on \
         (two of seven days, 29 %, by chance).\n",
        all.all.count, all.near_quarter_end, all.near_deployment
    );
    if let Some([here, large]) = report.alerts_a_day {
        let _ = writeln!(
            text,
            "False alerts a day: {:.2} with {} accounts; {:.0} with 100,000 at the same rate, of which the budget shows at \
             most what it is set to.\n",
            here[0], report.accounts, large[0]
        );
    }
    if let Some(bytes) = report.state_bytes_per_principal {
        let _ = writeln!(
            text,
            "Fixed state: {bytes} bytes a principal, beside names and sketches.\n"
        );
    }
    let rows: Vec<Vec<String>> = report
        .falsehoods
        .iter()
        .map(|one| vec![one.detector.clone(), cell(&one.people), cell(&one.all)])
        .collect();
    text.push_str("All detectors and settings:\n\n");
    table(
        text,
        &["detector", "people of the desk", "all accounts"],
        &rows,
    );
}

fn evaded(text: &mut String, report: &Report) {
    text.push_str(
        "## H: the thief who has read the documentation\n\nEach strategy was made larger until half of its thieves were seen within \
         the time, and smaller until half were not; the last column is what the unseen took.\n\n",
    );
    let rows: Vec<Vec<String>> = report
        .evaded
        .iter()
        .map(|one| {
            vec![
                one.strategy.clone(),
                one.size.clone(),
                format!("{} of {}", one.unseen, one.runs),
                one.rows_unseen.to_string(),
                one.rows_of_all.to_string(),
            ]
        })
        .collect();
    table(
        text,
        &[
            "strategy",
            "largest that half pass with",
            "unseen",
            "rows of the unseen (median)",
            "rows by alert or end (median of all)",
        ],
        &rows,
    );
    if let Some(best) = report
        .evaded
        .iter()
        .filter(|one| one.unseen * 2 >= one.runs)
        .max_by_key(|one| one.rows_unseen)
    {
        let _ = writeln!(
            text,
            "The most that goes unseen by every second thief: {} rows, by \"{}\" ({}).\n",
            best.rows_unseen, best.strategy, best.size
        );
    }
}

fn robust(text: &mut String, report: &Report) {
    text.push_str("## Robustness\n\n");
    let rows: Vec<Vec<String>> = report
        .robust
        .iter()
        .map(|one| {
            let mut row = vec![
                one.name.clone(),
                format!(
                    "{:.3} [{:.3} {:.3}]",
                    one.rate.rate, one.rate.low, one.rate.high
                ),
                format!("{:.3}", one.budgeted.rate),
            ];
            row.extend(one.speeds.iter().map(|(_, speed)| {
                format!(
                    "{}, p90 {}, missed {}",
                    or_missed(speed.median),
                    or_missed(speed.p90),
                    speed.missed
                )
            }));
            row.push(one.same.clone());
            row
        })
        .collect();
    let mut head = vec!["variant", "false alerts in 1,000", "within the budget"];
    if let Some(first) = report.robust.first() {
        head.extend(first.speeds.iter().map(|(name, _)| name.as_str()));
    }
    head.push("alerts the same as undisturbed");
    table(text, &head, &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_as_wide_as_their_cells() {
        let mut text = String::new();
        table(
            &mut text,
            &["a", "b"],
            &[vec!["long one".to_owned(), "≤ 1".to_owned()]],
        );
        assert_eq!(
            text,
            "| a        | b   |\n| -------- | --- |\n| long one | ≤ 1 |\n\n"
        );
    }

    #[test]
    fn shares_are_readable() {
        assert_eq!(percent(0.25), "25 %");
        assert_eq!(percent(0.005), "0.5 %");
        assert_eq!(percent(0.00008), "0.008 %");
    }
}
