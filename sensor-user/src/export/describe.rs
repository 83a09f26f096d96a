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
    let amount = |amount: u64| match alert.measure {
        Measure::Rows => format!("{amount} rows"),
        Measure::Bytes => size(amount),
        Measure::Queries => format!("{amount} queries"),
    };
    // Rows may have been written as well as read.
    let verb = match alert.measure {
        Measure::Rows => "accessed",
        Measure::Bytes => "was sent",
        Measure::Queries => "ran",
    };
    if let Some(verdict) = &alert.verdict {
        let _ = writeln!(
            text,
            "ALERT {severity} {}: {}",
            verdict.lane,
            visible(&verdict.explanation)
        );
        let _ = writeln!(text, "  when   {}, since {}", alert.time, alert.since);
        let _ = writeln!(text, "  who    {}", who(record));
        for statement in &alert.statements {
            let _ = writeln!(
                text,
                "         {:>12}  {}",
                format!("{} rows", statement.amount),
                shortened(&visible(&statement.text), &visible(&statement.summary))
            );
        }
        let _ = write!(text, "  id     {}", alert.id);
        return text;
    }
    let window = if alert.window.is_zero() {
        "in one statement".to_owned()
    } else {
        format!("in {}", duration(alert.window.as_secs()))
    };
    let _ = writeln!(
        text,
        "ALERT {severity} {}: {} {verb} {} {window} (limit {})",
        alert.threshold,
        record.who().shown_user(),
        amount(alert.observed),
        amount(alert.limit)
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
                visible(alert.tables.first().map_or("", |table| table))
            )
        })
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "  what   {} of database {} on {}{share}",
        if alert.tables.is_empty() {
            "no table".to_owned()
        } else {
            visible(&alert.tables.join(", "))
        },
        alert.database,
        record.principal.server
    );
    for statement in &alert.statements {
        let _ = writeln!(
            text,
            "         {:>12}  {}",
            amount(statement.amount),
            shortened(&visible(&statement.text), &visible(&statement.summary))
        );
    }
    for egress in &record.egress {
        let _ = writeln!(
            text,
            "  left   by the server's own hands: {}",
            visible(egress)
        );
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
    for (count, what) in [
        (
            completeness.lost_detail_records,
            "records lost their time and order",
        ),
        (completeness.truncated_statements, "statements were cut"),
        (completeness.estimated_rows, "rows are an estimate"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    let _ = write!(text, "\n  id     {}", alert.id);
    text
}

fn who(record: &AlertRecord) -> String {
    let principal = record.who();
    let mut text = format!("database user {}", principal.shown_user());
    if let Some(role) = &principal.role {
        let _ = write!(text, ", as role {role}");
    }
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
        ClientAddress::Any => {}
    }
    if let Some(session) = &record.session {
        if session.client_port > 0 {
            let _ = write!(text, ":{}", session.client_port);
        }
        if !session.program.is_empty() {
            let _ = write!(text, ", program {}", visible(&session.program));
        }
        if let Some(pid) = session.client_pid {
            let _ = write!(text, " (pid {pid})");
        }
        if let Some(pooler) = &session.pooler {
            let _ = write!(
                text,
                ", a connection pooler ({}): whoever uses it",
                visible(pooler)
            );
        }
        if let Some(subject) = &session.certificate {
            let _ = write!(text, ", by certificate {}", visible(subject));
        }
        if let Some(tags) = &session.tags {
            let _ = write!(text, ", by its application's word {}", visible(tags));
        }
        if let Some(id) = session.audit_session() {
            let _ = write!(text, ", audit session {id}");
        }
        if let Some(process) = &session.process {
            let container = &process.more.container;
            for (what, value) in [
                ("executable", &process.more.executable),
                ("command line", &process.more.command_line),
                ("container", &container.id),
                ("pod", &container.pod),
            ] {
                if let Some(value) = value {
                    let _ = write!(text, ", {what} {}", visible(value));
                }
            }
        }
        if !session.application_name.is_empty() {
            let _ = write!(text, ", application {}", session.application_name);
        }
        let _ = write!(text, ", server process {}", session.server_pid);
    }
    text
}

/// Text from clients as one line that does nothing to a terminal and passes for nothing else: identifiers in quotes
/// may hold anything, escape sequences and whole faked lines included.
pub fn visible(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        let hidden = matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        );
        match character {
            '\n' | '\r' | '\t' => line.push(' '),
            _ if hidden || character.is_control() => line.extend(character.escape_unicode()),
            _ => line.push(character),
        }
    }
    line
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
        s if s % 86_400 == 0 && s > 86_400 => format!("{} days", s / 86_400),
        s if s % 3600 == 0 && s > 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 && s > 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paragraph_says_who_what_and_how_much() {
        let text = describe(&AlertRecord::for_tests("A1"));
        for part in [
            "CRITICAL bulk-read: ann accessed 5000 rows in 1 min (limit 1000 rows)",
            "OS user postgres(26), logged in as jo(1000), from 10.1.2.3:5544",
            "program psql (pid 77)",
            "customers of database crm on 15/main:5432 (50.00 % of customers)",
            "SELECT * FROM customers WHERE id > ?",
            "copy_to_program gzip",
            "60.0 % of this principal's bytes were parsed, 40 B encrypted",
            "id     A1",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
    }

    #[test]
    fn what_clients_choose_fakes_no_lines_and_moves_no_cursor() {
        let mut record = AlertRecord::for_tests("A1");
        let lines = describe(&record).lines().count();
        let hostile = "x\n  who    nobody\x1b[2J\u{202e}";
        record.alert.tables = vec![hostile.into()];
        record.alert.statements[0].text = hostile.into();
        record.egress = vec![hostile.to_owned()];
        if let Some(session) = &mut record.session {
            session.program = hostile.into();
        }
        let text = describe(&record);
        assert_eq!(text.lines().count(), lines, "{text}");
        assert!(
            !text.chars().any(|c| c == '\x1b' || c == '\u{202e}'),
            "{text:?}"
        );
    }

    #[test]
    fn durations_are_in_the_largest_unit_that_fits() {
        assert_eq!(duration(30 * 86_400), "30 days");
        assert_eq!(duration(86_400), "24 h");
        assert_eq!(duration(7200), "2 h");
        assert_eq!(duration(90), "90 s");
    }
}
