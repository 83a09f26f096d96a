//! `[[threshold]]`: limits, whom they hold for, and exceptions.

use std::{collections::HashSet, time::Duration};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use toml::Spanned;

use super::{error::Problem, tables::TableSizes, units};
use crate::{
    detect::{Measure, Severity},
    principal::identity::{Field, Identity},
    time::Timestamp,
};

/// A limit.
#[derive(Clone, Debug)]
pub struct Threshold {
    /// Its name, unique.
    pub name: String,
    /// How urgent a crossing is.
    pub severity: Severity,
    /// Whom and what it holds for.
    pub selector: Selector,
    /// What is measured.
    pub measure: Measure,
    /// Over which time.
    pub window: Window,
    /// How much.
    pub limit: Limit,
    /// How long the same principal's next crossing is silent, unless it is ten times as much by then.
    pub rearm: Duration,
    /// Who is let off, and until when.
    pub exceptions: Vec<Exception>,
}

/// What a limit is summed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// One statement.
    Statement,
    /// A sliding window.
    Sliding(Duration),
}

/// The limit itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// In the measure's unit.
    Absolute(u64),
    /// Share of the table's rows, above 0 and at most 1.
    Share(f64),
}

/// Globs on who and what; empty lists match all.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    /// Database user.
    pub user: Globs,
    /// Client address (`local` for unix sockets).
    pub client_address: Globs,
    /// OS user's name, for clients on this host.
    pub os_user: Globs,
    /// Database.
    pub database: Globs,
    /// Table, with or without its schema.
    pub table: Globs,
    /// Operation.
    pub operation: Globs,
}

/// A list of globs: matches when any does and none of those with a leading `!`.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    source: Vec<String>,
    any: Vec<GlobMatcher>,
    none: Vec<GlobMatcher>,
}

/// Lets off whom its selector matches.
#[derive(Clone, Debug)]
pub struct Exception {
    /// Whom.
    pub selector: Selector,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: Timestamp,
}

impl Globs {
    /// Does the list say nothing?
    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    /// Does the value match?
    pub fn matches(&self, value: &str) -> bool {
        (self.any.is_empty() || self.any.iter().any(|glob| glob.is_match(value)))
            && !self.none.iter().any(|glob| glob.is_match(value))
    }

    /// Does any of the names match, and none that is excluded?
    pub fn matches_table(&self, table: &str) -> bool {
        let bare = table.rsplit('.').next().unwrap_or(table);
        let either = |glob: &GlobMatcher| glob.is_match(table) || glob.is_match(bare);
        (self.any.is_empty() || self.any.iter().any(either)) && !self.none.iter().any(either)
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user
            && self.client_address == other.client_address
            && self.os_user == other.os_user
            && self.database == other.database
            && self.table == other.table
            && self.operation == other.operation
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// Globs as the file holds them. (Spans don't get into an untagged enum, so the whole list has one.)
type GlobList = Option<Spanned<OneOrMore>>;

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Amount {
    Number(u64),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Section {
    name: Spanned<String>,
    severity: Option<Severity>,
    user: GlobList,
    client_address: GlobList,
    os_user: GlobList,
    database: GlobList,
    table: GlobList,
    operation: GlobList,
    measure: Option<Measure>,
    window: Option<Spanned<String>>,
    per: Option<Spanned<String>>,
    limit: Option<Spanned<Amount>>,
    share: Option<Spanned<f64>>,
    rearm: Option<Spanned<String>>,
    #[serde(default)]
    exception: Vec<ExceptionSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionSection {
    reason: Spanned<String>,
    until: Spanned<toml::value::Datetime>,
    user: GlobList,
    client_address: GlobList,
    os_user: GlobList,
    database: GlobList,
    table: GlobList,
    operation: GlobList,
}

const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
const LONGEST_WINDOW: Duration = Duration::from_secs(90 * 86_400);

pub(super) fn build(
    sections: Vec<Section>,
    tables: &TableSizes,
    inventory: bool,
    identity: &Identity,
    warnings: &mut Vec<String>,
) -> Result<Vec<Threshold>, Problem> {
    if sections.is_empty() {
        return Ok(vec![default_threshold()]);
    }
    let mut names = HashSet::new();
    let mut thresholds = Vec::new();
    for section in sections {
        if !names.insert(section.name.get_ref().clone()) || section.name.get_ref().is_empty() {
            return Err(Problem::new(
                section.name.span(),
                format!("the name `{}` is taken or empty", section.name.get_ref()),
                "give each [[threshold]] a name of its own: alerts carry it",
            ));
        }
        section.can_match(identity)?;
        let threshold = section.build()?;
        if matches!(threshold.limit, Limit::Share(_)) && tables.is_empty() && !inventory {
            warnings.push(format!(
                "threshold `{}`: a share needs the table's size: set [tables] or [inventory], or it never fires",
                threshold.name
            ));
        }
        for exception in &threshold.exceptions {
            if exception.until < Timestamp::now() {
                warnings.push(format!(
                    "threshold `{}`: the exception \"{}\" has expired at {}",
                    threshold.name, exception.reason, exception.until
                ));
            }
        }
        thresholds.push(threshold);
    }
    Ok(thresholds)
}

/// What holds without any `[[threshold]]`: ten thousand rows in ten minutes.
fn default_threshold() -> Threshold {
    Threshold {
        name: "bulk-read".to_owned(),
        severity: Severity::Critical,
        selector: Selector::default(),
        measure: Measure::Rows,
        window: Window::Sliding(Duration::from_secs(600)),
        limit: Limit::Absolute(10_000),
        rearm: Duration::from_secs(600),
        exceptions: Vec::new(),
    }
}

impl Section {
    fn build(self) -> Result<Threshold, Problem> {
        let here = self.name.span();
        let measure = self.measure.unwrap_or(Measure::Rows);
        let window = match (&self.window, &self.per) {
            (Some(text), None) => Window::Sliding(units::duration_within(
                text,
                SHORTEST_WINDOW,
                LONGEST_WINDOW,
            )?),
            (None, Some(per)) if per.get_ref() == "statement" => Window::Statement,
            (None, Some(per)) => {
                return Err(Problem::new(
                    per.span(),
                    format!("`per = \"{}\"` is not known", per.get_ref()),
                    "write per = \"statement\", or window = \"10m\" instead",
                ));
            }
            _ => {
                return Err(Problem::new(
                    here,
                    "a threshold needs either `window` or `per`, and not both",
                    "write window = \"10m\", or per = \"statement\"",
                ));
            }
        };
        let limit = match (&self.limit, &self.share) {
            (Some(amount), None) => Limit::Absolute(absolute(amount, measure)?),
            (None, Some(share)) => {
                let value = *share.get_ref();
                if !(value > 0.0 && value <= 1.0) || measure != Measure::Rows {
                    return Err(Problem::new(
                        share.span(),
                        "a share is above 0 and at most 1, and of rows",
                        "write share = 0.001 for a thousandth of the table's rows",
                    ));
                }
                Limit::Share(value)
            }
            _ => {
                return Err(Problem::new(
                    here,
                    "a threshold needs either `limit` or `share`, and not both",
                    "write limit = 10000, or share = 0.001",
                ));
            }
        };
        let rearm = match (&self.rearm, window) {
            (Some(text), _) => units::duration(text)?,
            (None, Window::Sliding(window)) => window,
            (None, Window::Statement) => Duration::from_secs(600),
        };
        Ok(Threshold {
            name: self.name.into_inner(),
            severity: self.severity.unwrap_or(Severity::Warning),
            selector: Selector {
                user: globs(self.user, false)?,
                client_address: globs(self.client_address, false)?,
                os_user: globs(self.os_user, false)?,
                database: globs(self.database, true)?,
                table: globs(self.table, true)?,
                operation: globs(self.operation, true)?,
            },
            measure,
            window,
            limit,
            rearm,
            exceptions: self
                .exception
                .into_iter()
                .map(ExceptionSection::build)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Section {
    /// Principals are told apart by what is part of their identity: a selector on anything else would match nobody, and nobody would
    /// know.
    fn can_match(&self, identity: &Identity) -> Result<(), Problem> {
        let exceptions = self.exception.iter().flat_map(|exception| {
            [
                (Field::ClientAddress, &exception.client_address),
                (Field::OsUser, &exception.os_user),
            ]
        });
        let selectors = [
            (Field::ClientAddress, &self.client_address),
            (Field::OsUser, &self.os_user),
        ];
        for (field, list) in selectors.into_iter().chain(exceptions) {
            if let Some(list) = list
                && !identity.has(field)
            {
                let (rule, field) = (self.name.get_ref(), field.as_str());
                return Err(Problem::new(
                    list.span(),
                    format!(
                        "threshold `{rule}` selects by `{field}`, which tells no principals apart here: it would never match"
                    ),
                    format!("add \"{field}\" to `identity` in [principals], or leave it out here"),
                ));
            }
        }
        Ok(())
    }
}

impl ExceptionSection {
    fn build(self) -> Result<Exception, Problem> {
        if self.reason.get_ref().trim().is_empty() {
            return Err(Problem::new(
                self.reason.span(),
                "an exception needs a reason",
                "say why, for whoever reads it in a year: reason = \"nightly backup\"",
            ));
        }
        Ok(Exception {
            until: units::moment(&self.until)?,
            reason: self.reason.into_inner(),
            selector: Selector {
                user: globs(self.user, false)?,
                client_address: globs(self.client_address, false)?,
                os_user: globs(self.os_user, false)?,
                database: globs(self.database, true)?,
                table: globs(self.table, true)?,
                operation: globs(self.operation, true)?,
            },
        })
    }
}

fn absolute(amount: &Spanned<Amount>, measure: Measure) -> Result<u64, Problem> {
    let value = match amount.get_ref() {
        Amount::Number(value) => *value,
        Amount::Text(text) if measure == Measure::Bytes => {
            units::bytes(&Spanned::new(amount.span(), text.clone()))?
        }
        Amount::Text(_) => 0,
    };
    if value == 0 {
        return Err(Problem::new(
            amount.span(),
            "this is no limit",
            "write a number above zero; sizes such as \"500MiB\" go with measure = \"bytes\"",
        ));
    }
    Ok(value)
}

fn globs(list: GlobList, case_insensitive: bool) -> Result<Globs, Problem> {
    let mut globs = Globs::default();
    let Some(list) = list else {
        return Ok(globs);
    };
    let span = list.span();
    let list = match list.into_inner() {
        OneOrMore::One(one) => vec![one],
        OneOrMore::More(more) => more,
    };
    for text in list {
        let (pattern, excluded) = match text.strip_prefix('!') {
            Some(pattern) => (pattern, true),
            None => (text.as_str(), false),
        };
        let glob = GlobBuilder::new(pattern)
            .case_insensitive(case_insensitive)
            .build()
            .map_err(|error| {
                Problem::new(
                    span.clone(),
                    format!("`{text}` is not a glob: {}", error.kind()),
                    "use * and ?, [a-z] and {one,other}; a leading ! excludes",
                )
            })?
            .compile_matcher();
        if excluded {
            globs.none.push(glob);
        } else {
            globs.any.push(glob);
        }
        globs.source.push(text);
    }
    Ok(globs)
}
