//! `sensor alerts`: what was told, why, and what people say of it.

use std::{fmt::Write as _, io::Write as _, time::Duration};

use anyhow::{Context as _, anyhow};
use clap::Subcommand;

use super::{
    Failure,
    place::{Place, Times},
};
use crate::{
    config::units,
    console::size,
    export::visible,
    history::{AlertRow, Fate, FateKind, Fates},
    time::Timestamp,
};

/// Verbs of `sensor alerts`.
#[derive(Debug, Subcommand)]
pub enum AlertsVerb {
    /// Alerts, oldest first, and what was said of them.
    List(ListArguments),
    /// One alert as it was told.
    Show(OneArguments),
    /// One alert, with what led to it and what would silence it.
    Explain(OneArguments),
    /// Say what an alert was; a running sensor heeds it within two seconds.
    Acknowledge(AcknowledgeArguments),
}

/// Arguments of `sensor alerts list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    times: Times,
    /// Only those that nothing was said of, and that were told.
    #[arg(long)]
    open: bool,
}

/// Arguments of verbs on one alert.
#[derive(Debug, clap::Args)]
pub struct OneArguments {
    /// Its id, or the first or last four characters of it and more.
    id: String,
    #[command(flatten)]
    place: Place,
}

/// Arguments of `sensor alerts acknowledge`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("fate").required(true))]
pub struct AcknowledgeArguments {
    /// Its id, or the first or last four characters of it and more.
    id: String,
    #[command(flatten)]
    place: Place,
    /// Expected: the same about the same principal is silent until then (2027-03-31, 2027-03-31T18:00:00Z, or for how long: 7d).
    #[arg(long, value_name = "TIME", group = "fate")]
    expected_until: Option<String>,
    /// How things are from now on: baselines start from here; a limit is silent up to a quarter above what was seen.
    #[arg(long, group = "fate")]
    new_normal: bool,
    /// Nothing to it: silent for 30 days up to what was seen.
    #[arg(long = "false", group = "fate")]
    wrong: bool,
    /// Why, for whoever reads it in a year.
    #[arg(long, default_value = "")]
    reason: String,
}

/// Characters of an id that may stand for all of it.
const LEAST_OF_ID: usize = 4;
/// What `list` looks at when no time is given.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Runs a verb.
pub fn alerts(verb: &AlertsVerb) -> Result<(), Failure> {
    let text = match verb {
        AlertsVerb::List(arguments) => list(arguments)?,
        AlertsVerb::Show(arguments) => {
            find(&arguments.place, &arguments.id, false)?.1.explanation + "\n"
        }
        AlertsVerb::Explain(arguments) => explain(arguments)?,
        AlertsVerb::Acknowledge(arguments) => acknowledge(arguments)?,
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write")?;
    Ok(())
}

fn find(place: &Place, id: &str, write: bool) -> Result<(rusqlite::Connection, AlertRow), Failure> {
    let connection = place.open(write)?;
    let mut found = AlertRow::find(&connection, id)?;
    if found.len() == 1 {
        return Ok((connection, found.remove(0)));
    }
    let problem = match found.as_slice() {
        [] if id.len() < LEAST_OF_ID => {
            format!("`{id}` is too short for an alert's id: four characters are the least")
        }
        [] => format!("no alert has the id `{id}`, or one that begins or ends so"),
        [first, second, ..] => format!(
            "the ids of several alerts begin or end with `{id}`, such as {} and {}",
            first.id, second.id
        ),
        [_] => String::new(),
    };
    Err(Failure::Usage(format!(
        "{problem}\nhint: `sensor alerts list --since 90d` shows their ids"
    )))
}

fn list(arguments: &ListArguments) -> Result<String, Failure> {
    let (since, until) = arguments.times.resolve(MONTH)?;
    let connection = arguments.place.open(false)?;
    let fates = Fates::load(&connection)?;
    let alerts = AlertRow::between(&connection, since, until)?;
    let mut text = format!(
        "{:<19}  {:<8} {:<16} {:<16} {:>26}  {:<26}  FATE\n",
        "TIME", "SEVERITY", "RULE", "WHO", "OBSERVED / EXPECTED", "ID"
    );
    let mut shown = 0;
    for alert in &alerts {
        let fate = fates.of(&alert.id);
        if arguments.open && (fate.is_some() || alert.suppressed_by.is_some()) {
            continue;
        }
        shown += 1;
        let _ = writeln!(
            text,
            "{:<19}  {:<8} {:<16} {:<16} {:>26}  {:<26}  {}",
            alert.time.to_string()[..19].replace('T', " "),
            alert.severity,
            visible(&alert.rule),
            visible(who(alert)),
            amounts(alert),
            alert.id,
            match (fate, alert.suppressed_by) {
                (Some(fate), _) => words(fate),
                (None, Some(fate)) => format!("silent by acknowledgement {fate}"),
                (None, None) => "-".to_owned(),
            }
        );
    }
    let _ = writeln!(text, "{shown} alerts from {since} to {until}");
    Ok(text)
}

/// The one it is about: for lanes it may be a host or a team.
pub(super) fn who(alert: &AlertRow) -> &str {
    match alert.subject.split_once(' ') {
        Some((kind, name)) if alert.lane != "threshold" && kind != "principal" => name,
        _ => alert.user.as_deref().unwrap_or("(unknown)"),
    }
}

/// What was observed, and what was expected or allowed.
pub(super) fn amounts(alert: &AlertRow) -> String {
    let unit = match alert.measure.as_str() {
        // A size has its unit.
        "bytes" => String::new(),
        measure => format!(" {measure}"),
    };
    format!(
        "{} / {}{unit}",
        amount(alert, alert.observed),
        amount(alert, alert.expected)
    )
}

/// In the alert's measure, as a person reads it.
fn amount(alert: &AlertRow, amount: u64) -> String {
    match alert.measure.as_str() {
        "bytes" => size(amount),
        _ => amount.to_string(),
    }
}

fn words(fate: &Fate) -> String {
    match (fate.kind.as_str(), fate.until) {
        ("expected", Some(until)) => format!("expected until {}", &until.to_string()[..19]),
        (kind, _) => kind.to_owned(),
    }
}

fn explain(arguments: &OneArguments) -> Result<String, Failure> {
    let (connection, alert) = find(&arguments.place, &arguments.id, false)?;
    let fates = Fates::load(&connection)?;
    let mut text = format!("{}\n\n", alert.explanation);
    let by_limit = alert.lane == "threshold";
    let _ = writeln!(
        text,
        "rule      {} ({})",
        visible(&alert.rule),
        if by_limit {
            "a limit of the configuration"
        } else {
            "a lane, see docs/detection.md"
        }
    );
    let _ = writeln!(
        text,
        "measured  {} {} against {}, from {} to {}",
        amount(&alert, alert.observed),
        alert.measure,
        amount(&alert, alert.expected),
        alert.since,
        alert.time
    );
    for evidence in &alert.evidence {
        let _ = writeln!(text, "different {}", visible(evidence));
    }
    for statement in &alert.statements {
        let _ = writeln!(
            text,
            "statement {:>10}  {}",
            if by_limit {
                amount(&alert, statement.amount)
            } else {
                format!("{} rows", statement.amount)
            },
            visible(&statement.text)
        );
    }
    let same = AlertRow::between(&connection, Timestamp(0), Timestamp(u64::MAX >> 1))?
        .into_iter()
        .filter(|other| {
            other.rule == alert.rule && other.subject == alert.subject && other.id != alert.id
        })
        .count();
    let _ = writeln!(
        text,
        "the same  {same} other times about {}",
        visible(who(&alert))
    );
    if let Some(fate) = fates.of(&alert.id) {
        let _ = writeln!(
            text,
            "fate      {} (said by {} at {}{})",
            words(fate),
            visible(&fate.told_by),
            fate.time,
            if fate.reason.is_empty() {
                String::new()
            } else {
                format!(": {}", visible(&fate.reason))
            }
        );
    }
    if let Some(fate) = alert.suppressed_by {
        let _ = writeln!(
            text,
            "silent    it was told to nobody, by acknowledgement {fate}"
        );
    }
    let _ = writeln!(
        text,
        "to silence it\n  expected for a while:  sensor alerts acknowledge {id} --expected-until DATE --reason …\n  \
         normal from now on:    sensor alerts acknowledge {id} --new-normal\n  nothing to it:         sensor alerts acknowledge {id} --false{}",
        if by_limit {
            format!(
                "\n  for good:              raise `limit` of [[threshold]] \"{}\" above {}, or add an exception",
                visible(&alert.rule),
                amount(&alert, alert.observed)
            )
        } else {
            String::new()
        },
        id = alert.id
    );
    Ok(text)
}

fn acknowledge(arguments: &AcknowledgeArguments) -> Result<String, Failure> {
    let now = Timestamp::now();
    let kind = match (&arguments.expected_until, arguments.new_normal) {
        (Some(text), _) => {
            let until = until(text, now)?;
            if until <= now {
                return Err(Failure::Usage(format!(
                    "--expected-until: {until} is over\nhint: give a time to come, such as 2027-03-31"
                )));
            }
            FateKind::Expected(until)
        }
        (None, true) => FateKind::NewNormal,
        (None, false) => FateKind::False,
    };
    let (connection, alert) = find(&arguments.place, &arguments.id, true)?;
    let fate = Fate::tell(&connection, &alert, kind, &arguments.reason, &person(), now)
        .map_err(|error| anyhow!("cannot store the acknowledgement: {error:#}"))?;
    let silent = match (fate.until, fate.up_to) {
        (Some(until), _) if until <= now => {
            "the detector takes what it sees now for normal".to_owned()
        }
        (until, up_to) => format!(
            "alerts of {} about {} are silent{}{}",
            visible(&alert.rule),
            visible(who(&alert)),
            until.map_or(String::new(), |until| format!(" until {until}")),
            up_to.map_or(String::new(), |up_to| format!(
                " up to {} {}",
                amount(&alert, up_to),
                alert.measure
            ))
        ),
    };
    Ok(format!("{}: {}; {silent}\n", alert.id, words(&fate)))
}

/// A time to come; a length counts from now on.
fn until(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Some(length) = units::duration_of(text) {
        return Ok(now + length);
    }
    units::when(text, now).ok_or_else(|| {
        Failure::Usage(format!(
            "--expected-until: `{text}` is no time\nhint: write 2027-03-31, 2027-03-31T18:00:00Z, or for how long: 12h, 7d"
        ))
    })
}

/// Who says it: the person behind sudo, if there is one.
fn person() -> String {
    ["SUDO_USER", "LOGNAME", "USER"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .unwrap_or_else(|| format!("user id {}", nix::unistd::getuid()))
}
