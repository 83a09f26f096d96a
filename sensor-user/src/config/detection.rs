//! `[detection]`: the lanes that compare people with their own past and their peers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use toml::Spanned;

use super::{error::Problem, units};
use crate::{
    detect::{Severity, calendar::FastMotion, finding::Lane},
    sql::keys::KeyColumns,
};

/// See the example file for what each means.
#[derive(Clone, Debug)]
pub struct Detection {
    /// Whether the lanes run.
    pub enabled: bool,
    /// Alerts shown a day.
    pub alerts_per_day: u32,
    /// Urgency of each lane's alerts, in the order of [`Lane::ALL`].
    severities: [Severity; Lane::ALL.len()],
    /// Tables whose distinct records are counted; empty: all whose size is known.
    sensitive: Vec<String>,
    /// Globs on principals and the group each stands for, in the order of names.
    groups: Vec<(String, GlobMatcher)>,
    /// Seconds east of UTC.
    pub utc_offset: i64,
    /// Columns that pick records.
    pub keys: KeyColumns,
    /// Days that last seconds, in demonstrations.
    pub fast_motion: Option<FastMotion>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    enabled: Option<bool>,
    alerts_per_day: Option<Spanned<u32>>,
    sensitive_tables: Vec<Spanned<String>>,
    hours_from_utc: Option<Spanned<f64>>,
    severity: HashMap<String, Spanned<Severity>>,
    groups: HashMap<String, Vec<Spanned<String>>>,
    keys: BTreeMap<String, Spanned<BTreeSet<String>>>,
    fast_motion: Option<FastMotionSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FastMotionSection {
    begins: Spanned<toml::value::Datetime>,
    stands_for: Spanned<toml::value::Datetime>,
    seconds_a_day: Spanned<f64>,
}

impl FastMotionSection {
    fn build(&self, warnings: &mut Vec<String>) -> Result<FastMotion, Problem> {
        let seconds = *self.seconds_a_day.get_ref();
        if !(1.0..=86_400.0).contains(&seconds) {
            return Err(Problem::new(
                self.seconds_a_day.span(),
                format!("{seconds} is out of range"),
                "allowed: 1 to 86400 seconds a day",
            ));
        }
        let (begins, stands_for) = (
            units::moment(&self.begins)?,
            units::moment(&self.stands_for)?,
        );
        warnings.push(format!(
            "[detection.fast_motion]: from {begins} on the lanes take {seconds} s for a day, counted from {stands_for} on; this is \
             for demonstrations, leave it out on a host that is to be watched"
        ));
        Ok(FastMotion {
            begins,
            stands_for,
            seconds_a_day: seconds,
        })
    }
}

impl Section {
    pub fn build(self, warnings: &mut Vec<String>) -> Result<Detection, Problem> {
        let alerts_per_day = match self.alerts_per_day {
            None => 10,
            Some(value) if (1..=10_000).contains(value.get_ref()) => value.into_inner(),
            Some(value) => {
                return Err(Problem::new(
                    value.span(),
                    format!("{} is out of range", value.get_ref()),
                    "allowed: 1 to 10000 alerts a day",
                ));
            }
        };
        let utc_offset = match self.hours_from_utc {
            None => 0,
            Some(value) if value.get_ref().abs() <= 14.0 => {
                // Whole seconds, far within range.
                (value.into_inner() * 3600.0).round() as i64
            }
            Some(value) => {
                return Err(Problem::new(
                    value.span(),
                    format!("{} is no offset from UTC", value.get_ref()),
                    "write hours, -14 to 14; 5.5 for India",
                ));
            }
        };
        let mut severities = [Severity::Warning; Lane::ALL.len()];
        severities[Lane::Fast as usize] = Severity::Critical;
        for (name, severity) in self.severity {
            let Some(lane) = Lane::ALL.into_iter().find(|lane| lane.as_str() == name) else {
                return Err(Problem::new(
                    severity.span(),
                    format!("`{name}` is no lane"),
                    "the lanes are fast, drift, coverage and group",
                ));
            };
            severities[lane as usize] = severity.into_inner();
        }
        let mut sensitive = Vec::new();
        for table in self.sensitive_tables {
            if table.get_ref().is_empty() || table.get_ref().split('.').count() > 3 {
                return Err(Problem::new(
                    table.span(),
                    format!("`{}` is no table", table.get_ref()),
                    "write \"database.schema.table\" (database and schema may be left out)",
                ));
            }
            sensitive.push(table.into_inner());
        }
        let mut groups = Vec::new();
        for (name, globs) in self.groups {
            for glob in globs {
                let matcher = GlobBuilder::new(glob.get_ref()).build().map_err(|error| {
                    Problem::new(
                        glob.span(),
                        format!("not a glob: {}", error.kind()),
                        "write names, with * and ? where they vary",
                    )
                })?;
                groups.push((name.clone(), matcher.compile_matcher()));
            }
        }
        groups.sort_by(|a, b| (&a.0, a.1.glob().glob()).cmp(&(&b.0, b.1.glob().glob())));
        let mut keys = BTreeMap::new();
        for (table, columns) in self.keys {
            if table.is_empty() || table.split('.').count() > 2 {
                return Err(Problem::new(
                    columns.span(),
                    format!("`{table}` is no table"),
                    "write \"schema.table\" = [\"column\"] (the schema may be left out)",
                ));
            }
            keys.insert(table, columns.into_inner());
        }
        Ok(Detection {
            enabled: self.enabled.unwrap_or(true),
            alerts_per_day,
            severities,
            sensitive,
            groups,
            utc_offset,
            keys: KeyColumns::new(keys),
            fast_motion: match &self.fast_motion {
                Some(section) => Some(section.build(warnings)?),
                None => None,
            },
        })
    }
}

impl Detection {
    /// Names of groups, each with one of its globs.
    pub fn group_globs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.groups
            .iter()
            .map(|(name, matcher)| (name.as_str(), matcher.glob().glob()))
    }

    /// Urgency of a lane's alerts.
    pub fn severity(&self, lane: Lane) -> Severity {
        self.severities[lane as usize]
    }

    /// Whether a table's distinct records are to be counted, given whether its size is known.
    pub fn is_sensitive(&self, database: &str, table: &str, sized: bool) -> bool {
        if self.sensitive.is_empty() {
            return sized;
        }
        let bare = table.rsplit('.').next().unwrap_or(table);
        self.sensitive.iter().any(|name| {
            name == table
                || name == bare
                || name
                    .strip_prefix(database)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|rest| {
                        rest == table || rest == bare || rest.strip_prefix("public.") == Some(table)
                    })
        })
    }

    /// The group of a principal, empty when none is configured for it.
    pub fn group(&self, principal: &str) -> &str {
        self.groups
            .iter()
            .find(|(_, glob)| glob.is_match(principal))
            .map_or("", |(name, _)| name)
    }
}
