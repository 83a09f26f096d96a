//! From findings to alerts: one case a subject, the rate of false ones held over all open cases, and a budget.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Severity,
    detector::PrincipalState,
    explain,
    finding::{Finding, Lane, Subject},
    names::Names,
};
use crate::{config::detection::Detection, time::Timestamp};

/// Days without a finding after which a case is closed.
const CLOSES_AFTER: u32 = 21;
/// An open case is told again when it has grown this much.
const ESCALATION: f64 = 3.0;
/// Days for which what the budget withheld may still be shown.
const WAITS: u32 = 7;
/// Share of false ones among all alerts that is aimed at (e-BH).
const FALSE_SHARE: f64 = 0.1;
/// Cases kept.
const CASES: usize = 100_000;

/// An alert of the lanes, complete enough to be understood without the sensor at hand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Event time.
    #[serde(serialize_with = "as_text")]
    pub time: Timestamp,
    /// Urgency.
    pub severity: Severity,
    /// The lane that weighs most.
    pub lane: &'static str,
    /// All lanes that found something.
    pub lanes: Vec<&'static str>,
    /// Whom it is about, where it is one principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Arc<str>>,
    /// The principal's group, or the team that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Arc<str>>,
    /// The client host that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// The OS user that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_user: Option<Arc<str>>,
    /// Those who contributed most, for groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub principals: Vec<Arc<str>>,
    /// What was counted: `records`, `rows` or `bytes`.
    pub measure: &'static str,
    /// How much.
    pub observed: u64,
    /// How much was to be expected.
    pub expected: u64,
    /// What the middle one of the peers had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peers: Option<u64>,
    /// Over which time, in seconds.
    pub window_seconds: u64,
    /// Active days in it.
    pub active_days: u16,
    /// N of "about 1 in N by chance, if the assumptions hold".
    pub odds: u64,
    /// Shown within the budget; false: withheld by it.
    pub budgeted: bool,
    /// The database, where one table is in question.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Arc<str>>,
    /// That table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Arc<str>>,
    /// Share of the table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_table: Option<f64>,
    /// Statement shapes by which most of it came.
    pub statements: Vec<Statement>,
    /// What the principal did differently.
    pub evidence: Vec<String>,
    /// A paragraph.
    pub explanation: String,
}

/// A statement shape's part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statement {
    /// Fingerprint in hexadecimal.
    pub fingerprint: String,
    /// Rows lately.
    pub rows: u64,
    /// Table.
    pub table: Arc<str>,
}

fn as_text<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// What is open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arbitration {
    cases: BTreeMap<Subject, Case>,
    waiting: Vec<(u32, Finding)>,
    /// Day and number of the alerts shown on it.
    shown: (u32, u32),
    /// Findings that updated a case and alerted nobody.
    pub updated: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Case {
    last_day: u32,
    /// How many times what was expected it was when it was told last.
    told: f64,
    lanes: u8,
}

/// What a verdict is written from.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Names of principals.
    pub names: &'a Names,
    /// Names of groups.
    pub groups: &'a Names,
    /// Names of client hosts.
    pub hosts: &'a Names,
    /// Names of OS users.
    pub os_users: &'a Names,
    /// Names of databases and tables.
    pub places: &'a Names,
    /// The principals.
    pub principals: &'a [PrincipalState],
    /// The configuration.
    pub config: &'a Detection,
}

/// A subject's findings of one day.
struct Candidate {
    main: Finding,
    lanes: u8,
    waited: bool,
}

impl Arbitration {
    /// Judges the findings of one moment. Each subject alerts at most once while its case is open, unless it grows.
    pub fn decide(
        &mut self,
        (day, time): (u32, Timestamp),
        findings: Vec<Finding>,
        known: &Known<'_>,
    ) -> Vec<Verdict> {
        if self.shown.0 != day {
            self.shown = (day, 0);
        }
        self.cases
            .retain(|_, case| case.last_day + CLOSES_AFTER >= day);
        let mut candidates = self.candidates(day, findings);
        let open = self.cases.len() + candidates.len();
        candidates.sort_by(|a, b| {
            let severity = |candidate: &Candidate| known.config.severity(candidate.main.lane);
            severity(b)
                .cmp(&severity(a))
                .then(weight(b, known).total_cmp(&weight(a, known)))
                .then(a.main.subject.cmp(&b.main.subject))
        });
        let passed = false_share_held(
            &candidates
                .iter()
                .map(|candidate| candidate.main.log_odds)
                .collect::<Vec<_>>(),
            open,
        );
        let mut verdicts = Vec::new();
        for candidate in candidates {
            let budgeted = candidate.main.log_odds >= passed
                && self.shown.1 < known.config.alerts_per_day
                && self.cases.len() < CASES;
            if !budgeted && candidate.waited {
                continue;
            }
            let mut candidate = candidate;
            if candidate.waited {
                // Told now, whenever it was found.
                candidate.main.time = time;
            }
            let case = Case {
                last_day: day,
                told: rate(&candidate.main),
                lanes: candidate.lanes,
            };
            let subject = candidate.main.subject;
            if budgeted {
                self.shown.1 += 1;
                self.waiting
                    .retain(|(_, finding)| finding.subject != subject);
                self.cases.insert(subject, case);
            } else {
                self.waiting.push((day, candidate.main.clone()));
            }
            verdicts.push(explain::verdict(
                &candidate.main,
                candidate.lanes,
                budgeted,
                known,
            ));
        }
        self.waiting.retain(|(since, _)| since + WAITS > day);
        verdicts
    }

    /// Subjects have other numbers, or are gone.
    pub fn renumber(&mut self, renumber: impl Fn(Subject) -> Option<Subject>) {
        self.cases = std::mem::take(&mut self.cases)
            .into_iter()
            .filter_map(|(subject, case)| Some((renumber(subject)?, case)))
            .collect();
        self.waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter_map(|(day, mut finding)| {
                finding.subject = renumber(finding.subject)?;
                Some((day, finding))
            })
            .collect();
    }

    /// One a subject: what is new, and what has been waiting.
    fn candidates(&mut self, day: u32, findings: Vec<Finding>) -> Vec<Candidate> {
        let mut by_subject: BTreeMap<Subject, Candidate> = BTreeMap::new();
        for finding in findings {
            let lane = 1 << finding.lane as u8;
            if let Some(case) = self.cases.get_mut(&finding.subject) {
                case.last_day = day;
                if rate(&finding) < ESCALATION * case.told {
                    case.lanes |= lane;
                    self.updated += 1;
                    continue;
                }
            }
            match by_subject.get_mut(&finding.subject) {
                Some(candidate) => {
                    candidate.lanes |= lane;
                    if finding.log_odds > candidate.main.log_odds {
                        candidate.main = finding;
                    }
                }
                None => {
                    by_subject.insert(
                        finding.subject,
                        Candidate {
                            main: finding,
                            lanes: lane,
                            waited: false,
                        },
                    );
                }
            }
        }
        for (_, finding) in &self.waiting {
            let lane = 1 << finding.lane as u8;
            by_subject
                .entry(finding.subject)
                .and_modify(|candidate| {
                    candidate.lanes |= lane;
                    candidate.waited = true;
                })
                .or_insert_with(|| Candidate {
                    main: finding.clone(),
                    lanes: lane,
                    waited: true,
                });
        }
        by_subject.into_values().collect()
    }
}

/// What candidates are ranked by: the odds, and evidence on top.
fn weight(candidate: &Candidate, known: &Known<'_>) -> f32 {
    let evidence = match candidate.main.subject {
        Subject::Principal(id) => known
            .principals
            .get(id as usize)
            .map_or(0.0, |principal| principal.fresh_evidence().weight()),
        _ => 0.0,
    };
    candidate.main.log_odds + evidence
}

/// How many times what was to be expected. Where nothing was, as with rows at night, there is no proportion, and what
/// comes later must not be held against all of these rows.
fn rate(finding: &Finding) -> f64 {
    if finding.expected < 1.0 {
        1.0
    } else {
        finding.observed / finding.expected
    }
}

/// e-BH: the logarithm that a case must reach so that at most [`FALSE_SHARE`] of all that reach it are false, given
/// e-values and `open` cases.
fn false_share_held(logs: &[f32], open: usize) -> f32 {
    let mut sorted = logs.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut passed = f32::INFINITY;
    for (at, log) in sorted.iter().enumerate() {
        let needed = (open as f64 / (FALSE_SHARE * (at as f64 + 1.0))).ln();
        if f64::from(*log) >= needed {
            passed = *log;
        }
    }
    passed
}

/// The lanes behind a set of bits.
pub fn lanes(bits: u8) -> Vec<Lane> {
    Lane::ALL
        .into_iter()
        .filter(|lane| bits & 1 << *lane as u8 != 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, detect::drift::Quantity};

    fn finding(lane: Lane, day: u64, observed: f64, expected: f64) -> Finding {
        Finding {
            lane,
            subject: Subject::Principal(0),
            time: Timestamp(day * 86_400_000_000_000),
            quantity: Quantity::Rows,
            observed,
            expected,
            peers: None,
            window: 86_400,
            days: 1,
            log_odds: 12.0,
            table: None,
            share: None,
            members: Vec::new(),
            remark: None,
        }
    }

    /// The days on which findings were told of, in their order.
    fn told(findings: &[Finding]) -> Vec<u64> {
        let config = Config::parse("", std::path::Path::new("t.toml")).expect("valid");
        let mut names = Names::default();
        names.number("ann");
        let none = Names::default();
        let known = Known {
            names: &names,
            groups: &none,
            hosts: &none,
            os_users: &none,
            places: &none,
            principals: &[],
            config: &config.detection,
        };
        let mut arbitration = Arbitration::default();
        let mut told = Vec::new();
        for finding in findings {
            let day = finding.time.0 / 86_400_000_000_000;
            let at = (u32::try_from(day).expect("a day"), finding.time);
            let verdicts = arbitration.decide(at, vec![finding.clone()], &known);
            told.extend(verdicts.iter().map(|_| day));
        }
        told
    }

    #[test]
    fn an_open_case_is_told_again_when_it_is_three_times_as_bad() {
        let bad = |day, observed| finding(Lane::Drift, day, observed, 100.0);
        assert_eq!(
            told(&[bad(1, 200.0), bad(2, 500.0), bad(3, 600.0), bad(4, 700.0)]),
            [1, 3]
        );
        // After three weeks without a finding it is closed.
        assert_eq!(told(&[bad(1, 200.0), bad(23, 200.0)]), [1, 23]);
    }

    #[test]
    fn rows_where_none_were_expected_do_not_hide_what_comes_later() {
        let night = finding(Lane::Drift, 1, 500.0, 0.0);
        let theft = finding(Lane::Group, 15, 860.0, 55.0);
        assert_eq!(told(&[night.clone(), theft]), [1, 15]);
        let again = finding(Lane::Drift, 2, 900.0, 0.0);
        assert_eq!(told(&[night, again]), [1]);
    }
}
