//! `sensor replay --from … --to …`: history through changed settings, beside what was told.

use std::{fmt::Write as _, time::Duration};

use super::super::{
    Failure,
    alerts::{amounts, who},
    judge::Judge,
};
use crate::{
    config::{Config, principals::Principals},
    export::{AlertRecord, visible},
    history::{AlertRow, Past, open_existing},
    pipeline::lanes::Lanes,
    principal::resolver::Resolver,
    sql::shapes::Shapes,
    time::Timestamp,
    volume::completeness::Completeness,
};

/// What the lanes need before they judge anybody.
const BASELINE: Duration = Duration::from_secs(120 * 86_400);
/// Alerts of one rule about one subject are the same when they are this close, or within the window.
const CLOSE: Duration = Duration::from_secs(300);

/// An alert on one side or on both.
#[derive(Debug)]
struct Line {
    alert: AlertRow,
    did: bool,
    would: bool,
}

/// Replays; returns what is to be shown.
pub fn replay(
    config: &Config,
    from: Timestamp,
    to: Timestamp,
    json: bool,
) -> Result<String, Failure> {
    let connection = open_existing(&config.history.path, false)?;
    let mut past = Past::new(&connection)?;
    let (mut resolver, mut shapes) = (
        Resolver::new(1 << 32, &Principals::default()),
        Shapes::new(1 << 32),
    );
    let mut judge = Judge::new(&config.thresholds, config.volumes.max_principals);
    let mut lanes = Lanes::new(&config.detection, &config.tables, 0);
    let mut would: Vec<AlertRow> = Vec::new();
    let mut alerts = Vec::new();
    let longest =
        crate::detect::threshold::ThresholdLane::new(&config.thresholds, 1, 0).longest_window();
    // Windows and baselines fill before the first alert counts.
    let begin = from - longest.max(BASELINE);
    let (mut sums, mut by_day) = (0u64, 0u64);
    past.accesses(
        begin,
        to,
        &mut (&mut resolver, &mut shapes),
        |bucket, access, principal| {
            if access.time >= from {
                sums += 1;
                by_day += u64::from(bucket.resolution == crate::history::Resolution::Day);
            }
            judge.observe(bucket, access, principal, &config.tables, &mut alerts);
            if access.time < from {
                judge.forget_coarse();
            }
            for alert in alerts.drain(..) {
                would.push(AlertRow::new(
                    &AlertRecord {
                        alert,
                        principal: principal.clone(),
                        session: Some(access.session.clone()),
                        completeness: Completeness::default(),
                        egress: Vec::new(),
                        trace: None,
                    },
                    None,
                ));
            }
            lanes.observe(access, principal);
        },
    )?;
    lanes.advance(to);
    for raised in lanes.take(&shapes, |_| Completeness::default()) {
        would.push(AlertRow::new(
            &AlertRecord {
                alert: raised.alert,
                principal: raised.principal,
                session: Some(raised.session),
                completeness: raised.completeness,
                egress: Vec::new(),
                trace: None,
            },
            None,
        ));
    }
    would.retain(|alert| alert.time >= from && alert.time < to);
    let did = AlertRow::between(&connection, from, to)?;
    let lines = beside(did, would);
    if json {
        return Ok(lines.iter().map(as_json).collect());
    }
    let mut text = table(&lines, from, to);
    let _ = writeln!(text, "{sums} sums of the history were judged");
    for (rule, count) in judge.coarse() {
        let _ = writeln!(
            text,
            "note: {count} of the sums are by hour or day, too coarse for the window of `{}`: it could not fire on them",
            visible(rule)
        );
    }
    if config.detection.enabled && by_day > 0 {
        let _ = writeln!(
            text,
            "note: {by_day} of the sums are by day: the fast lane and off-hours need minutes or hours"
        );
    }
    Ok(text)
}

/// What was told and what would be, each pair in one line.
fn beside(did: Vec<AlertRow>, would: Vec<AlertRow>) -> Vec<Line> {
    let mut lines: Vec<Line> = did
        .into_iter()
        .map(|alert| Line {
            alert,
            did: true,
            would: false,
        })
        .collect();
    for alert in would {
        let close = CLOSE.max(Duration::from_secs(alert.window));
        let same = lines.iter_mut().find(|line| {
            !line.would
                && line.alert.rule == alert.rule
                && line.alert.subject == alert.subject
                && line.alert.time.since(alert.time) <= close
                && alert.time.since(line.alert.time) <= close
        });
        match same {
            Some(line) => line.would = true,
            None => lines.push(Line {
                alert,
                did: false,
                would: true,
            }),
        }
    }
    lines.sort_by(|a, b| (a.alert.time, &a.alert.id).cmp(&(b.alert.time, &b.alert.id)));
    lines
}

fn as_json(line: &Line) -> String {
    let alert = &line.alert;
    let value = serde_json::json!({
        "time": alert.time.to_string(),
        "did_fire": line.did,
        "would_fire": line.would,
        "rule": alert.rule,
        "lane": alert.lane,
        "severity": alert.severity,
        "user": alert.user,
        "client": alert.client,
        "measure": alert.measure,
        "observed": alert.observed,
        "expected": alert.expected,
        "window_seconds": alert.window,
        "tables": alert.tables,
        "told_as": line.did.then_some(&alert.id),
        "explanation": alert.explanation,
    });
    format!("{value}\n")
}

fn table(lines: &[Line], from: Timestamp, to: Timestamp) -> String {
    let mut text = format!(
        "{:<19}  {:<5} {:<5} {:<16} {:<16} {:<17} {:>24}\n",
        "TIME", "DID", "WOULD", "RULE", "WHO", "CLIENT", "OBSERVED / EXPECTED"
    );
    let mark = |yes: bool| if yes { "yes" } else { "-" };
    for line in lines {
        let alert = &line.alert;
        let _ = writeln!(
            text,
            "{:<19}  {:<5} {:<5} {:<16} {:<16} {:<17} {:>24}",
            alert.time.to_string()[..19].replace('T', " "),
            mark(line.did),
            mark(line.would),
            visible(&alert.rule),
            visible(who(alert)),
            alert.client,
            amounts(alert),
        );
    }
    let count = |chosen: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| chosen(line)).count();
    let _ = writeln!(
        text,
        "\nfrom {from} to {to}: {} did fire, {} would; {} as before, {} new, {} gone",
        count(&|line| line.did),
        count(&|line| line.would),
        count(&|line| line.did && line.would),
        count(&|line| !line.did && line.would),
        count(&|line| line.did && !line.would),
    );
    if !lines.is_empty() {
        text.push_str(
            "--json says why of each; `sensor alerts explain ID` of those that did fire\n",
        );
    }
    text
}
