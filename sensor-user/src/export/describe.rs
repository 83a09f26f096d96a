//! An alert in words, for whoever is woken by it.

use std::fmt::Write as _;

use super::AlertRecord;
use crate::{
    console::size,
    detect::{Measure, Severity},
    principal::ClientAddress,
};

/// The alert as a paragraph.
pub fn describe(record: &AlertRecord) -> String {
    let alert = &record.alert;
    let mut text = String::new();
    let severity = match alert.severity {
        Severity::Info => "INFO",
        Severity::Warning => "WARNING",
        Severity::Critical => "CRITICAL",
    };
    let (amount, limit) = match alert.measure {
        Measure::Rows => (
            format!("{} rows", alert.observed),
            format!("{} rows", alert.limit),
        ),
        Measure::Bytes => (size(alert.observed), size(alert.limit)),
        Measure::Queries => (
            format!("{} queries", alert.observed),
            format!("{} queries", alert.limit),
        ),
    };
    let window = if alert.window.is_zero() {
        "in one statement".to_owned()
    } else {
        format!("in {}", duration(alert.window.as_secs()))
    };
    let _ = writeln!(
        text,
        "ALERT {severity} {}: {} read {amount} {window} (limit {limit})",
        alert.threshold,
        record.principal.user.as_deref().unwrap_or("(unknown user)")
    );
    let _ = writeln!(
        text,
        "  when   {}, accumulating since {}",
        alert.time, alert.since
    );
    let _ = writeln!(text, "  who    {}", who(record));
    let share = alert
        .share_of_table
        .map(|share| {
            format!(
                " ({:.2} % of {})",
                share * 100.0,
                alert.tables.first().map_or("", |table| table)
            )
        })
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "  what   {} of database {} on {}{share}",
        if alert.tables.is_empty() {
            "no table".to_owned()
        } else {
            alert.tables.join(", ")
        },
        alert.database,
        record.principal.server
    );
    for statement in &alert.statements {
        let _ = writeln!(
            text,
            "         {:>12}  {}",
            statement.amount,
            shortened(&statement.text, &statement.summary)
        );
    }
    for egress in &record.egress {
        let _ = writeln!(text, "  left   by the server's own hands: {egress}");
    }
    if alert.estimated > 0 {
        let _ = writeln!(
            text,
            "  note   {} of the rows are an estimate: they are still streaming",
            alert.estimated
        );
    }
    let completeness = &record.completeness;
    let _ = write!(
        text,
        "  seen   {:.1} % of this principal's bytes were parsed",
        completeness.share() * 100.0
    );
    for (cause, bytes) in completeness.blind() {
        if bytes > 0 {
            let _ = write!(text, ", {} {cause}", size(bytes));
        }
    }
    let _ = write!(text, "\n  id     {}", alert.id);
    text
}

fn who(record: &AlertRecord) -> String {
    let principal = &record.principal;
    let mut text = format!(
        "database user {}",
        principal.user.as_deref().unwrap_or("(unknown)")
    );
    if let Some(user) = &principal.os_user {
        let _ = write!(text, ", OS user {user}");
    }
    if let Some(user) = &principal.login_user {
        let _ = write!(text, ", logged in as {user}");
    }
    match principal.client {
        ClientAddress::Unix => text.push_str(", on this host"),
        ClientAddress::Ip(ip) => {
            let _ = write!(text, ", from {ip}");
        }
        ClientAddress::Unknown => text.push_str(", from an unknown address"),
    }
    if let Some(session) = &record.session {
        if session.client_port > 0 {
            let _ = write!(text, ":{}", session.client_port);
        }
        if !session.program.is_empty() {
            let _ = write!(text, ", program {}", session.program);
        }
        if let Some(pid) = session.client_pid {
            let _ = write!(text, " (pid {pid})");
        }
        if !session.application_name.is_empty() {
            let _ = write!(text, ", application {}", session.application_name);
        }
        let _ = write!(text, ", server process {}", session.server_pid);
    }
    text
}

fn shortened(text: &str, summary: &str) -> String {
    let text = if text.is_empty() { summary } else { text };
    if text.chars().count() <= 160 {
        return text.to_owned();
    }
    let mut shortened: String = text.chars().take(159).collect();
    shortened.push('…');
    shortened
}

fn duration(seconds: u64) -> String {
    match seconds {
        s if s % 3600 == 0 && s > 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 && s > 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}
