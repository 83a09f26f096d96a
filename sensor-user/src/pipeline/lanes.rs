//! The detector beside the thresholds: accesses in, alerts that look like the thresholds' out.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::Raised;
use crate::{
    config::{detection::Detection, tables::TableSizes},
    detect::{
        Alert, Measure, StatementShare,
        arbitration::Verdict,
        detector::{Counters, Detector},
        hash_text,
        observation::{KeyOrder, Keys, Observation},
        threshold::id::ulid,
    },
    principal::{ConnectionId, Principal, PrincipalId, Session, identity::Field},
    sql::shapes::Shapes,
    time::Timestamp,
    volume::{Access, AccessKind, completeness::Completeness},
};

/// Statement shapes whose fingerprints are remembered.
const FINGERPRINTS: usize = 100_000;
/// Principals of whom the last session is remembered.
const SESSIONS: usize = 200_000;

/// See the module.
#[derive(Debug)]
pub struct Lanes {
    detector: Detector,
    config: Detection,
    verdicts: Vec<Verdict>,
    /// Fingerprints by shape, and shapes by fingerprint.
    fingerprints: HashMap<u32, u64>,
    shapes: HashMap<u64, u32>,
    /// Who it was last, by the detector's name for him.
    last: HashMap<Arc<str>, (Arc<Principal>, Session)>,
    seed: u64,
    raised: u64,
    /// Alerts that the budget withheld.
    pub withheld: u64,
}

impl Lanes {
    /// As a configuration wants it; `seed` makes alert ids unique.
    pub fn new(config: &Detection, sizes: &TableSizes, seed: u64) -> Self {
        Self {
            detector: Detector::new(config, sizes),
            config: config.clone(),
            verdicts: Vec::new(),
            fingerprints: HashMap::new(),
            shapes: HashMap::new(),
            last: HashMap::new(),
            seed: seed ^ 0x6c61_6e65,
            raised: 0,
            withheld: 0,
        }
    }

    /// What it was configured with.
    pub fn config(&self) -> &Detection {
        &self.config
    }

    /// The detector, for who keeps its state.
    pub fn detector(&self) -> &Detector {
        &self.detector
    }

    /// Goes on with a detector whose state was kept.
    pub fn resume(&mut self, detector: Detector) {
        self.detector = detector;
    }

    /// "New normal": see [`Detector::accept`].
    pub fn accept(&mut self, principal: &str) -> bool {
        self.detector.accept(principal)
    }

    /// What the detector has counted.
    pub fn counters(&self) -> Counters {
        self.detector.counters()
    }

    /// Puts another configuration in force; what is remembered stays.
    pub fn reconfigure(&mut self, config: &Detection, sizes: &TableSizes) {
        self.config = config.clone();
        self.detector.reconfigure(config, sizes);
    }

    /// Takes in one access.
    pub fn observe(&mut self, access: &Access<'_>, principal: &Arc<Principal>) {
        if !self.config.enabled || matches!(access.kind, AccessKind::Overhead) {
            return;
        }
        let estimated = match access.kind {
            AccessKind::Failed { estimated_rows } => estimated_rows,
            // Rows in flight by estimate come as exact ones later: thresholds judge them meanwhile.
            _ => 0,
        };
        let rows = access.volume.rows() + estimated;
        if rows == 0 && access.volume.queries == 0 && access.volume.bytes_sent == 0 {
            return;
        }
        let Some(person) = person(principal) else {
            return;
        };
        if self.fingerprints.len() >= FINGERPRINTS {
            self.fingerprints.clear();
            self.shapes.clear();
        }
        let shapes = &mut self.shapes;
        let fingerprint = *self.fingerprints.entry(access.shape_id).or_insert_with(|| {
            let hash = hash_text(&access.shape.text);
            shapes.insert(hash, access.shape_id);
            hash
        });
        if self.last.len() >= SESSIONS {
            self.last.clear();
        }
        match self.last.get_mut(&person) {
            Some(last) if last.1.connection == access.session.connection => {}
            Some(last) => *last = (principal.clone(), access.session.clone()),
            None => {
                self.last
                    .insert(person.clone(), (principal.clone(), access.session.clone()));
            }
        }
        let host = principal.client.to_string();
        let os_user = principal.login_user.as_ref().or(principal.os_user.as_ref());
        let tables: Vec<&str> = access.shape.tables.iter().map(AsRef::as_ref).collect();
        let (keys, others, walks) = match access.picked {
            None => (Keys::Unknown, 0, false),
            Some(picked) if picked.hashes.is_empty() => {
                (Keys::Count(picked.others), 0, picked.walks)
            }
            Some(picked) => (Keys::Hashes(&picked.hashes), picked.others, picked.walks),
        };
        let observation = Observation {
            time: self.time(access.time),
            principal: &person,
            group: self.config.group(principal.shown_user()),
            host: &host,
            os_user: os_user.map_or("", |user| &user.name),
            database: &access.session.database,
            tables: &tables,
            operation: &access.shape.operation,
            fingerprint,
            rows,
            statement_rows: access.largest.map(|largest| largest.rows),
            bytes: access.volume.bytes_sent,
            queries: access.volume.queries,
            keys,
            key_order: if walks {
                KeyOrder::Ascending
            } else {
                KeyOrder::Unknown
            },
        };
        self.detector.observe(&observation, &mut self.verdicts);
        if others > 0 {
            // Rows that no key covers are records, too; as rows they have been counted.
            let rest = Observation {
                rows: 0,
                bytes: 0,
                queries: 0,
                statement_rows: None,
                keys: Keys::Count(others),
                ..observation
            };
            self.detector.observe(&rest, &mut self.verdicts);
        }
    }

    /// What the lanes take a time for.
    fn time(&self, time: Timestamp) -> Timestamp {
        self.config
            .fast_motion
            .map_or(time, |fast_motion| fast_motion.time(time))
    }

    /// Time passes: days that are over are judged.
    pub fn advance(&mut self, time: Timestamp) {
        if self.config.enabled {
            self.detector.advance(self.time(time), &mut self.verdicts);
        }
    }

    /// Alerts since the last call; those that the budget withheld are only counted.
    pub fn take(
        &mut self,
        shapes: &Shapes,
        completeness: impl Fn(&Session) -> Completeness,
    ) -> Vec<Raised> {
        let mut raised = Vec::new();
        for verdict in std::mem::take(&mut self.verdicts) {
            if !verdict.budgeted {
                self.withheld += 1;
                continue;
            }
            let who = verdict.principal.as_ref().or(verdict.principals.first());
            let (principal, session) = who
                .and_then(|who| self.last.get(who))
                .cloned()
                .unwrap_or_else(|| unseen(who.cloned(), verdict.time));
            self.raised += 1;
            raised.push(Raised {
                completeness: completeness(&session),
                alert: self.alert(verdict, &session, shapes),
                principal,
                session,
                trace: None,
            });
        }
        raised
    }

    /// Are there any?
    pub fn is_quiet(&self) -> bool {
        self.verdicts.is_empty()
    }

    fn alert(&self, mut verdict: Verdict, session: &Session, shapes: &Shapes) -> Alert {
        let window = Duration::from_secs(verdict.window_seconds);
        let since = verdict.time - window;
        let shape_of = |fingerprint: &str| {
            let hash = u64::from_str_radix(fingerprint, 16).ok()?;
            self.shapes.get(&hash).copied()
        };
        verdict
            .statements
            .sort_by_key(|statement| shape_of(&statement.fingerprint).is_none());
        let statements: Vec<StatementShare> = verdict
            .statements
            .iter()
            .filter_map(|statement| {
                let shape_id = shape_of(&statement.fingerprint)?;
                let shape = shapes.shape(shape_id);
                Some(StatementShare {
                    shape_id,
                    summary: shape.summary.clone(),
                    text: shape.text.clone(),
                    amount: statement.rows,
                    first: since,
                    last: verdict.time,
                })
            })
            .collect();
        // A detector knows statements by their fingerprints, people by their text.
        for (statement, shape) in verdict.statements.iter().zip(&statements) {
            verdict.explanation =
                verdict
                    .explanation
                    .replacen(&statement.fingerprint, &quoted(shape), 1);
        }
        Alert {
            id: ulid(verdict.time, self.seed, self.raised),
            time: verdict.time,
            threshold: verdict.lane.into(),
            severity: verdict.severity,
            principal: session.principal,
            connection: session.connection,
            database: verdict
                .database
                .clone()
                .unwrap_or_else(|| session.database.clone()),
            measure: match verdict.measure {
                "bytes" => Measure::Bytes,
                "statements" => Measure::Queries,
                _ => Measure::Rows,
            },
            observed: verdict.observed,
            estimated: 0,
            limit: verdict.expected,
            window,
            since,
            tables: verdict
                .table
                .iter()
                .filter(|table| !table.is_empty())
                .cloned()
                .collect(),
            share_of_table: verdict.share_of_table,
            statements,
            verdict: Some(Arc::new(verdict)),
        }
    }
}

/// Whom the detector judges: the database user; of one that many people share, who it is by the tags of the statement or by the
/// certificate, where these tell principals apart. `None` while the user is not known.
///
/// Not by where the client sits or which OS user runs it: the detector looks at these by itself, over all accounts.
fn person(principal: &Principal) -> Option<Arc<str>> {
    let user = principal.user.as_ref()?;
    let named: Vec<&str> = principal
        .more
        .iter()
        .filter(|(field, _)| matches!(field, Field::Tags | Field::Certificate))
        .map(|(_, value)| &**value)
        .collect();
    if named.is_empty() {
        return Some(user.clone());
    }
    Some(format!("{user} [{}]", named.join(", ")).into())
}

/// A statement as a sentence holds it: its text, or what is known instead.
fn quoted(shape: &StatementShare) -> String {
    const MOST: usize = 120;
    let text = if shape.text.is_empty() {
        &shape.summary
    } else {
        &shape.text
    };
    if text.chars().count() <= MOST {
        return format!("`{text}`");
    }
    let beginning: String = text.chars().take(MOST).collect();
    format!("`{beginning} …`")
}

/// Somebody who is known from before a restart and has not been seen since: only his name is known.
fn unseen(user: Option<Arc<str>>, time: Timestamp) -> (Arc<Principal>, Session) {
    let principal = Arc::new(Principal {
        server: "unknown".into(),
        user,
        ..Principal::default()
    });
    let session = Session {
        who: principal.clone(),
        preexisting: true,
        ..Session::new(ConnectionId(0), PrincipalId(u32::MAX), time)
    };
    (principal, session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        export::AlertRecord,
        export::describe,
        sql::Shape,
        volume::{Picked, Volume},
    };

    /// A statement that has completed.
    fn access<'a>(
        time: Timestamp,
        session: &'a Session,
        shape: &'a Shape,
        volume: Volume,
    ) -> Access<'a> {
        Access {
            time,
            started: time,
            principal: session.principal,
            session,
            shape_id: crate::sql::shapes::UNKNOWN,
            shape,
            volume,
            kind: AccessKind::Completed,
            largest: None,
            picked: None,
        }
    }

    /// The last user begins to read five times as much after twelve weeks; his alert is one as the exporters want it.
    #[test]
    fn a_drift_becomes_an_alert_with_a_paragraph() {
        let config = Config::default();
        let mut lanes = Lanes::new(&config.detection, &config.tables, 1);
        let shapes = Shapes::new(100);
        let shape = Shape {
            operation: "SELECT".into(),
            tables: vec!["customers".into()],
            text: "SELECT * FROM customers WHERE id = ?".into(),
            ..Shape::default()
        };
        let mut raised = Vec::new();
        for day in 19_723..19_723 + 100u64 {
            for user in 0..12u64 {
                let (principal, mut session) =
                    unseen(Some(format!("u{user}").into()), Timestamp(1));
                session.connection = ConnectionId(user);
                session.principal = PrincipalId(u32::try_from(user).expect("few"));
                session.database = "crm".into();
                let noise = (day * 31 + user * 17) * 2_654_435_761 % 23;
                let more = if user == 11 && day >= 19_723 + 84 {
                    5
                } else {
                    1
                };
                let time = Timestamp((day * 86_400 + 36_000 + user * 60) * 1_000_000_000);
                lanes.observe(
                    &access(
                        time,
                        &session,
                        &shape,
                        Volume {
                            rows_returned: (40 + noise) * more,
                            bytes_sent: (40 + noise) * more * 100,
                            queries: 10 * more,
                            ..Volume::default()
                        },
                    ),
                    &principal,
                );
            }
            raised.extend(lanes.take(&shapes, |_| Completeness::default()));
        }
        let found = raised
            .iter()
            .find(|raised| raised.principal.user.as_deref() == Some("u11"))
            .expect("told of");
        let text = describe(&AlertRecord {
            alert: found.alert.clone(),
            principal: found.principal.clone(),
            session: Some(found.session.clone()),
            completeness: found.completeness,
            egress: Vec::new(),
            trace: None,
        });
        for part in [
            "ALERT WARNING drift: u11 ",
            "to be expected",
            "1 in ",
            "by `unknown statement` (",
        ] {
            assert!(text.contains(part), "`{part}` is not in:\n{text}");
        }
        assert!(found.alert.observed > 2 * found.alert.limit);
        assert!(lanes.is_quiet());
    }

    /// Reads the same ten customers by key, over and over, then a hundred by range.
    #[test]
    fn records_that_are_read_again_are_nothing_new() {
        let config = Config::default();
        let read = |picked: Option<&Picked>, rows: u64, times: u64| {
            let mut lanes = Lanes::new(&config.detection, &config.tables, 1);
            let (principal, session) = unseen(Some("u".into()), Timestamp(1));
            let shape = Shape {
                operation: "SELECT".into(),
                tables: vec!["customers".into()],
                ..Shape::default()
            };
            for step in 0..times {
                let time = Timestamp((19_723 * 86_400 + 36_000 + step) * 1_000_000_000);
                lanes.observe(
                    &Access {
                        picked,
                        ..access(
                            time,
                            &session,
                            &shape,
                            Volume {
                                rows_returned: rows,
                                queries: 1,
                                ..Volume::default()
                            },
                        )
                    },
                    &principal,
                );
            }
            lanes.detector().records_today("u")
        };
        let keyed = Picked {
            hashes: (0..10u64)
                .map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .collect(),
            ..Picked::default()
        };
        assert_eq!(read(Some(&keyed), 10, 50), 10.0);
        assert_eq!(read(None, 10, 50), 500.0);
        let joined = Picked { others: 3, ..keyed };
        assert_eq!(read(Some(&joined), 13, 2), 16.0);
        let ranged = Picked {
            others: 100,
            ..Picked::default()
        };
        assert_eq!(read(Some(&ranged), 100, 2), 200.0);
    }

    /// One database user for everybody: whose statements say who asks is judged by himself.
    #[test]
    fn people_behind_one_user_are_judged_apart() {
        let config = Config::default();
        let mut lanes = Lanes::new(&config.detection, &config.tables, 1);
        let (application, session) = unseen(Some("app".into()), Timestamp(1));
        let with = |more: Vec<(Field, Arc<str>)>| {
            Arc::new(Principal {
                more,
                ..Principal::clone(&application)
            })
        };
        let people = [
            (with(vec![(Field::Tags, "user=ann".into())]), 3),
            (with(vec![(Field::Tags, "user=bob".into())]), 5),
            (with(vec![(Field::Certificate, "ann".into())]), 7),
            (with(vec![(Field::Pooler, "pgbouncer".into())]), 11),
            (application, 13),
        ];
        let shape = Shape::default();
        let time = Timestamp(19_723 * 86_400 * 1_000_000_000);
        for (principal, rows) in &people {
            lanes.observe(
                &access(
                    time,
                    &session,
                    &shape,
                    Volume {
                        rows_returned: *rows,
                        queries: 1,
                        ..Volume::default()
                    },
                ),
                principal,
            );
        }
        for (name, records) in [
            ("app [user=ann]", 3.0),
            ("app [user=bob]", 5.0),
            ("app [ann]", 7.0),
            ("app", 24.0),
        ] {
            assert_eq!(lanes.detector().records_today(name), records, "{name}");
        }
    }

    #[test]
    fn switched_off_it_sees_nothing() {
        let text = "[detection]\nenabled = false\n";
        let config = Config::parse(text, std::path::Path::new("t.toml")).expect("valid");
        let mut lanes = Lanes::new(&config.detection, &config.tables, 1);
        let (principal, session) = unseen(Some("u".into()), Timestamp(1));
        let shape = Shape::default();
        lanes.observe(
            &access(
                Timestamp(1),
                &session,
                &shape,
                Volume {
                    rows_returned: 5,
                    ..Volume::default()
                },
            ),
            &principal,
        );
        assert_eq!(lanes.counters().observations, 0);
    }
}
