//! `sensor tune`: hard limits for a wanted rate of alerts, from what the history holds.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;

use super::{
    Failure,
    judge::Judge,
    place::{Place, Times},
};
use crate::{
    config::{
        Config,
        detection::Detection,
        threshold::{Limit, Selector, Threshold, Window},
        units,
    },
    detect::{Measure, Severity},
    history::{Bucket, Past, Resolution, StoredNumbers, open_existing},
    principal::Principal,
    time::Timestamp,
    volume::Access,
};

mod plot;

/// Arguments of `sensor tune`.
#[derive(Debug, clap::Args)]
pub struct TuneArguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    times: Times,
    /// Alerts a day that you can read, over all groups.
    #[arg(long, default_value_t = 1.0, value_name = "NUMBER")]
    alerts_per_day: f64,
    /// Length of the sliding window.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    window: String,
    /// Draw the trade-off into this file as well.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
}

/// What `tune` looks at when no time is given.
const SPAN: Duration = Duration::from_secs(45 * 86_400);
/// The people of no group.
const OTHERS: &str = "others";
/// Limits that are tried: these times powers of ten.
const STEPS: [u64; 6] = [100, 150, 200, 300, 500, 700];
/// Powers of ten beyond the steps.
const DECADES: u32 = 7;

/// A group of principals, and how often each limit would have been crossed.
#[derive(Debug)]
struct Group {
    name: String,
    judge: Judge,
    people: HashSet<String>,
    /// Alerts by limit.
    alerts: BTreeMap<u64, u64>,
    /// Seen at once at most.
    largest: u64,
}

/// Limits and alerts a day, of one group.
#[derive(Clone, Debug)]
pub struct Curve {
    /// The group.
    pub name: String,
    /// Limit and alerts a day, limits ascending, until nobody crosses them.
    pub points: Vec<(u64, f64)>,
    /// The limit that is proposed; `None` when even the highest is crossed too often.
    pub proposed: Option<u64>,
}

/// Proposes.
pub fn tune(arguments: &TuneArguments) -> Result<(), Failure> {
    let window = units::duration_of(&arguments.window)
        .filter(|window| (60..=90 * 86_400).contains(&window.as_secs()))
        .ok_or_else(|| {
            Failure::Usage(format!(
                "--window: `{}` is no window\nhint: write 1m to 90d, such as 10m, 1h or 1d",
                arguments.window
            ))
        })?;
    if !(arguments.alerts_per_day > 0.0 && arguments.alerts_per_day.is_finite()) {
        return Err(Failure::Usage(
            "--alerts-per-day: must be above zero\nhint: 0.1 is one in ten days".to_owned(),
        ));
    }
    let (since, until) = arguments.times.resolve(SPAN)?;
    let config = arguments.place.config()?;
    let (groups, span) = watch(&config, window, since, until)?;
    let Some((first, last)) = span else {
        return Err(Failure::Usage(format!(
            "the history holds nothing from {since} to {until} that is fine enough for a window of {}\nhint: minutes and hours are kept for keep_minutes and keep_hours; give a longer --window",
            arguments.window
        )));
    };
    let days = last.since(first).as_secs_f64().max(3_600.0) / 86_400.0;
    let wanted = arguments.alerts_per_day / groups.len().max(1) as f64;
    let curves: Vec<Curve> = groups
        .iter()
        .map(|group| group.curve(days, wanted))
        .collect();
    let mut text = format!(
        "rows in {} from {first} to {last} ({days:.1} days); wanted: {} alerts a day, {wanted:.3} a group\n\n",
        arguments.window, arguments.alerts_per_day
    );
    let _ = writeln!(
        text,
        "{:<20} {:>7} {:>14} {:>14} {:>13}",
        "GROUP", "USERS", "MOST AT ONCE", "LIMIT", "ALERTS A DAY"
    );
    let mut sum = 0.0;
    for (group, curve) in groups.iter().zip(&curves) {
        let rate = curve.rate_proposed();
        sum += rate;
        let _ = writeln!(
            text,
            "{:<20} {:>7} {:>14} {:>14} {rate:>13.3}",
            group.name,
            group.people.len(),
            group.largest,
            curve
                .proposed
                .map_or_else(|| "none fits".to_owned(), |limit| limit.to_string())
        );
    }
    let _ = writeln!(text, "{:<20} {:>51.3}\n", "all", sum);
    text.push_str(&notes(
        arguments,
        &config.detection,
        (since, first),
        days * wanted,
    ));
    text.push_str(&plot::terminal(&curves, wanted));
    text.push('\n');
    text.push_str(&configuration(
        &config.detection,
        &curves,
        &arguments.window,
    ));
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write")?;
    if let Some(path) = &arguments.svg {
        std::fs::write(path, plot::svg(&curves, wanted, &arguments.window))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What to know before the limits are believed. `expected`: alerts that the wanted rate allows a group in all.
fn notes(
    arguments: &TuneArguments,
    detection: &Detection,
    (since, first): (Timestamp, Timestamp),
    expected: f64,
) -> String {
    let mut text = String::new();
    if first.since(since) > Duration::from_secs(86_400) && arguments.times.has_since() {
        let _ = writeln!(
            text,
            "note: before {first} the history holds nothing, or only sums that are too coarse for a window of {}\nhint: a --window of 1d takes sums by day",
            arguments.window
        );
    }
    if expected < 1.0 {
        text.push_str(
            "note: the time is too short to tell so low a rate: the limits are the lowest that nobody crossed\nhint: look further back (--since), or ask for more --alerts-per-day\n",
        );
    }
    if detection.group_globs().next().is_none() {
        text.push_str(
            "hint: all are one group; [detection.groups] in the configuration sets people and jobs apart, each with a limit\n",
        );
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

type Span = Option<(Timestamp, Timestamp)>;

/// All groups that somebody was active in.
fn watch(
    config: &Config,
    window: Duration,
    since: Timestamp,
    until: Timestamp,
) -> Result<(Vec<Group>, Span), Failure> {
    let connection = open_existing(&config.history.path, false)?;
    let mut past = Past::new(&connection)?;
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut span: Span = None;
    let fine = |resolution: Resolution| Duration::from_secs(resolution.seconds()) <= window;
    past.accesses(
        since,
        until,
        &mut StoredNumbers,
        |bucket, access, principal| {
            if !fine(bucket.resolution) {
                return;
            }
            let user = principal.user.as_deref().unwrap_or("");
            let name = match config.detection.group(user) {
                "" => OTHERS,
                name => name,
            };
            if !groups.contains_key(name) {
                groups.insert(name.to_owned(), Group::new(name, window, config));
            }
            if let Some(group) = groups.get_mut(name) {
                group.observe(bucket, access, principal, config);
            }
            let (first, last) = span.get_or_insert((access.started, access.time));
            *first = (*first).min(access.started);
            *last = (*last).max(access.time);
        },
    )?;
    Ok((groups.into_values().collect(), span))
}

impl Group {
    fn new(name: &str, window: Duration, config: &Config) -> Self {
        let rules: Vec<Threshold> = (0..DECADES)
            .flat_map(|power| STEPS.map(|step| step * 10u64.pow(power)))
            .map(|limit| Threshold {
                name: limit.to_string(),
                severity: Severity::Warning,
                selector: Selector::default(),
                measure: Measure::Rows,
                window: Window::Sliding(window),
                limit: Limit::Absolute(limit),
                rearm: window,
                exceptions: Vec::new(),
            })
            .collect();
        Self {
            name: name.to_owned(),
            judge: Judge::new(&rules, config.volumes.max_principals),
            people: HashSet::new(),
            alerts: BTreeMap::new(),
            largest: 0,
        }
    }

    fn observe(
        &mut self,
        bucket: &Bucket,
        access: &Access<'_>,
        principal: &Arc<Principal>,
        config: &Config,
    ) {
        if let Some(user) = principal.user.as_deref()
            && !self.people.contains(user)
        {
            self.people.insert(user.to_owned());
        }
        let mut alerts = Vec::new();
        self.judge
            .observe(bucket, access, principal, &config.tables, &mut alerts);
        self.largest = self
            .largest
            .max(bucket.amount.rows())
            .max(alerts.iter().map(|alert| alert.observed).max().unwrap_or(0));
        for alert in alerts {
            *self.alerts.entry(alert.limit).or_default() += 1;
        }
    }

    /// Alerts a day by limit, and the lowest limit that keeps to the wanted rate.
    fn curve(&self, days: f64, wanted: f64) -> Curve {
        let mut points = Vec::new();
        let mut proposed = None;
        for power in 0..DECADES {
            for step in STEPS {
                let limit = step * 10u64.pow(power);
                let rate = self.alerts.get(&limit).copied().unwrap_or(0) as f64 / days;
                points.push((limit, rate));
                if rate > wanted {
                    // A higher limit may be crossed more often than a lower one: there are longer silences below.
                    proposed = None;
                } else if proposed.is_none() {
                    proposed = Some(limit);
                }
            }
        }
        while points.len() > 1 && points[points.len() - 2].1 == 0.0 {
            points.pop();
        }
        Curve {
            name: self.name.clone(),
            proposed,
            points,
        }
    }
}

impl Curve {
    /// The proposal as a person reads it.
    pub fn limit(&self) -> String {
        self.proposed
            .map_or_else(|| "none fits".to_owned(), |limit| format!("{limit} rows"))
    }

    /// Alerts a day by the proposal.
    pub fn rate_proposed(&self) -> f64 {
        self.proposed.map_or(0.0, |limit| self.rate(limit))
    }

    fn rate(&self, limit: u64) -> f64 {
        self.points
            .iter()
            .find(|(known, _)| *known == limit)
            .map_or(0.0, |(_, rate)| *rate)
    }
}

/// The proposal as it goes into the configuration.
fn configuration(detection: &Detection, curves: &[Curve], window: &str) -> String {
    let quoted = |globs: Vec<String>| {
        let list: Vec<String> = globs.iter().map(|glob| format!("{glob:?}")).collect();
        format!("[{}]", list.join(", "))
    };
    let mut text = String::from("# for the configuration\n");
    for curve in curves {
        let globs: Vec<String> = if curve.name == OTHERS {
            detection
                .group_globs()
                .map(|(_, glob)| format!("!{glob}"))
                .collect()
        } else {
            detection
                .group_globs()
                .filter(|(name, _)| *name == curve.name)
                .map(|(_, glob)| glob.to_owned())
                .collect()
        };
        let Some(limit) = curve.proposed else {
            let _ = writeln!(
                text,
                "# {}: even the highest limit tried was crossed too often; take a longer --window or watch it by a statement's limit\n",
                curve.name
            );
            continue;
        };
        let _ = writeln!(
            text,
            "[[threshold]]\nname = \"rows-{window}-{}\"\nmeasure = \"rows\"\nwindow = \"{window}\"\nlimit = {limit}",
            curve
                .name
                .replace(|c: char| !c.is_ascii_alphanumeric(), "-"),
        );
        if !globs.is_empty() {
            let _ = writeln!(text, "user = {}", quoted(globs));
        }
        text.push('\n');
    }
    text
}
