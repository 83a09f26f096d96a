//! A finding in words and attributes, for a tired human.

use std::{fmt::Write as _, sync::Arc};

use super::{
    arbitration::{Known, Statement, Verdict, lanes},
    drift::Quantity,
    finding::{Finding, Lane, Subject},
};

/// Statement shapes in an alert.
const STATEMENTS: usize = 3;

/// Under which the odds of an alert hold.
pub const ASSUMPTION: &str = "days are exchangeable once the peers' common course and the own habit are taken out (docs/detection.md says where that fails)";
/// What silences a lane's alert.
pub const SILENCED_BY: &str = "acknowledge it as expected until a date, as the new normal, or as false (sensor alerts acknowledge); it stays silent by itself while it is no worse than three times this";

/// The whole of an alert.
pub fn verdict(finding: &Finding, lane_bits: u8, budgeted: bool, known: &Known<'_>) -> Verdict {
    let mut verdict = Verdict {
        time: finding.time,
        severity: known.config.severity(finding.lane),
        lane: finding.lane.as_str(),
        lanes: lanes(lane_bits).into_iter().map(Lane::as_str).collect(),
        principal: None,
        group: None,
        host: None,
        os_user: None,
        principals: finding
            .members
            .iter()
            .map(|id| known.names.text(*id))
            .collect(),
        measure: finding.quantity.as_str(),
        observed: whole(finding.observed),
        expected: whole(finding.expected),
        peers: finding.peers.map(whole),
        window_seconds: finding.window,
        active_days: finding.days,
        odds: whole(f64::from(finding.log_odds.min(34.0)).exp()),
        budgeted,
        database: finding
            .table
            .map(|(database, _)| known.places.text(database)),
        table: finding.table.map(|(_, table)| known.places.text(table)),
        share_of_table: finding.share,
        statements: Vec::new(),
        evidence: Vec::new(),
        explanation: String::new(),
    };
    match finding.subject {
        Subject::Principal(id) => {
            verdict.principal = Some(known.names.text(id));
            if let Some(principal) = known.principals.get(id as usize) {
                verdict.group = Some(known.groups.text(principal.group)).filter(|g| !g.is_empty());
                verdict.evidence = principal
                    .fresh_evidence()
                    .iter()
                    .map(|evidence| evidence.sentence().to_owned())
                    .chain(principal.focused().map(|(share, usual)| {
                        format!(
                            "One statement is {:.0} % of all that it runs lately; it used to be {:.0} %.",
                            share * 100.0,
                            usual * 100.0
                        )
                    }))
                    .collect();
                verdict.statements = principal
                    .statements()
                    .iter()
                    .take(STATEMENTS)
                    .filter(|recent| recent.fingerprint != 0)
                    .map(|recent| Statement {
                        fingerprint: format!("{:016x}", recent.fingerprint),
                        rows: whole(f64::from(recent.rows)),
                        table: known.places.text(recent.table.1),
                    })
                    .collect();
            }
        }
        Subject::Host(id) => verdict.host = Some(known.hosts.text(id)),
        Subject::OsUser(id) => verdict.os_user = Some(known.os_users.text(id)),
        Subject::Team(id) => verdict.group = Some(known.groups.text(id)),
    }
    verdict.explanation = paragraph(finding, &verdict);
    verdict
}

/// The alert as a paragraph.
fn paragraph(finding: &Finding, verdict: &Verdict) -> String {
    let mut text = String::new();
    let who = subject(finding.subject, verdict);
    // A size has its unit.
    let what = match finding.quantity {
        Quantity::Bytes => String::new(),
        _ => format!(" {}", verdict.measure),
    };
    let verb = match finding.quantity {
        Quantity::Records | Quantity::Rows => "read",
        Quantity::Bytes => "was sent",
        Quantity::Statements => "ran",
    };
    let _ = write!(
        text,
        "{who} {verb} {}{what} in {}",
        amount(finding.quantity, verdict.observed),
        period(finding)
    );
    if let (Some(table), Some(share)) = (&verdict.table, verdict.share_of_table) {
        let _ = write!(text, " ({:.3} % of {table})", share * 100.0);
    } else if let Some(table) = verdict.table.as_deref().filter(|table| !table.is_empty()) {
        let _ = write!(text, ", mostly of {table}");
    }
    let _ = write!(
        text,
        "; {} were to be expected by its own past and what its peers did at the same time",
        amount(finding.quantity, verdict.expected)
    );
    if let Some(peers) = verdict.peers {
        let _ = write!(
            text,
            ", and the middle one of its peers had {}",
            amount(finding.quantity, peers)
        );
    }
    text.push_str(". ");
    if let Some(remark) = &finding.remark {
        let _ = write!(text, "{remark} ");
    }
    let _ = write!(
        text,
        "By chance this happens on about 1 in {} days of a principal, if {ASSUMPTION}.",
        grouped(verdict.odds)
    );
    if !verdict.principals.is_empty() {
        let _ = write!(text, " The accounts: {}.", verdict.principals.join(", "));
    }
    if !verdict.statements.is_empty() {
        text.push_str(" Most of it came by");
        for (at, statement) in verdict.statements.iter().enumerate() {
            let _ = write!(
                text,
                "{} {} ({} rows of {} lately)",
                if at == 0 { "" } else { "," },
                statement.fingerprint,
                grouped(statement.rows),
                statement.table
            );
        }
        text.push('.');
    }
    for evidence in &verdict.evidence {
        let _ = write!(text, " {evidence}");
    }
    let _ = write!(text, " To silence it: {SILENCED_BY}.");
    text
}

fn subject(subject: Subject, verdict: &Verdict) -> String {
    let named = |name: &Option<Arc<str>>| name.as_deref().unwrap_or_default().to_owned();
    match subject {
        Subject::Principal(_) => named(&verdict.principal),
        Subject::Host(_) => format!("Everybody at client host {}", named(&verdict.host)),
        Subject::OsUser(_) => format!("Everybody who is OS user {}", named(&verdict.os_user)),
        Subject::Team(_) => format!("Team {}", named(&verdict.group)),
    }
}

fn period(finding: &Finding) -> String {
    match (finding.window, finding.days) {
        (0, _) => "one statement".to_owned(),
        (seconds, _) if seconds < 3600 => format!("{} minutes", seconds / 60),
        (seconds, _) if seconds < 86_400 => format!("{} hours", seconds / 3600),
        (_, 1) => "one day".to_owned(),
        (seconds, days) => format!("{} days ({days} active)", seconds / 86_400),
    }
}

fn amount(quantity: Quantity, amount: u64) -> String {
    match quantity {
        Quantity::Bytes => crate::console::size(amount),
        Quantity::Records | Quantity::Rows | Quantity::Statements => grouped(amount),
    }
}

fn whole(amount: f64) -> u64 {
    // Saturates; amounts are not negative.
    amount.round() as u64
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
