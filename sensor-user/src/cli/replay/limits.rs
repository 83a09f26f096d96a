//! `[[threshold]]` over a file of events: the same lane as live, fed with accesses made of the rows.

use std::{net::IpAddr, sync::Arc};

use rustc_hash::FxHashMap;

use crate::{
    config::Config,
    detect::{
        Alert, Measure,
        arbitration::Verdict,
        calibration::Calibration,
        detector::{
            nanoseconds,
            order::{Place, Watermark},
        },
        observation::Observation,
        threshold::ThresholdLane,
    },
    principal::{ClientAddress, ConnectionId, DbSystem, OsUser, Principal, PrincipalId, Session},
    sql::Shape,
    volume::{Access, AccessKind, Largest, Volume},
};

/// See the module.
#[derive(Debug)]
pub struct Limits {
    lane: ThresholdLane,
    /// A record stamped far ahead would make all that comes after it late, and windows drop nothing that is late.
    watermark: Watermark,
    leap: u64,
    people: FxHashMap<String, (Arc<Principal>, Session)>,
    shapes: FxHashMap<String, (u32, Shape)>,
    /// A key under construction, kept for its memory.
    key: String,
}

impl Limits {
    /// As a configuration wants it.
    pub fn new(config: &Config) -> Self {
        Self {
            lane: ThresholdLane::new(&config.thresholds, config.volumes.max_principals, 0),
            watermark: Watermark::default(),
            leap: nanoseconds(Calibration::default().leap),
            people: FxHashMap::default(),
            shapes: FxHashMap::default(),
            key: String::new(),
        }
    }

    /// Judges a row; each counts as one statement.
    pub fn observe(
        &mut self,
        observation: &Observation<'_>,
        config: &Config,
        verdicts: &mut Vec<Verdict>,
    ) {
        let mut observation = *observation;
        if let Place::Ahead(now) = self.watermark.place(observation.time, self.leap) {
            observation.time = now;
        }
        let observation = &observation;
        let number = self.people.len();
        compose(
            &mut self.key,
            &[
                observation.principal,
                observation.host,
                observation.os_user,
                observation.database,
            ],
        );
        if !self.people.contains_key(&self.key) {
            self.people
                .insert(self.key.clone(), somebody(observation, number));
        }
        let (principal, session) = &self.people[&self.key];
        let number = self.shapes.len();
        let table = observation.tables.first().copied().unwrap_or_default();
        compose(&mut self.key, &[observation.operation, table]);
        if !self.shapes.contains_key(&self.key) {
            let shape = Shape {
                operation: observation.operation.into(),
                tables: observation
                    .tables
                    .iter()
                    .filter(|table| !table.is_empty())
                    .map(|table| Arc::from(*table))
                    .collect(),
                ..Shape::default()
            };
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            self.shapes.insert(self.key.clone(), (number, shape));
        }
        let (shape_id, shape) = &self.shapes[&self.key];
        let access = Access {
            time: observation.time,
            started: observation.time,
            principal: session.principal,
            session,
            shape_id: *shape_id,
            shape,
            volume: Volume {
                rows_returned: observation.rows,
                bytes_sent: observation.bytes,
                queries: observation.queries,
                ..Volume::default()
            },
            kind: AccessKind::Completed,
            // Of bytes a history says no more than their sum.
            largest: observation.statement_rows.map(|rows| Largest {
                rows,
                bytes_sent: observation.bytes,
            }),
            picked: None,
        };
        let mut alerts = Vec::new();
        self.lane
            .observe(&access, principal, &config.tables, &mut alerts);
        verdicts.extend(alerts.into_iter().map(|alert| verdict(&alert, observation)));
    }
}

fn compose(key: &mut String, parts: &[&str]) {
    key.clear();
    for part in parts {
        key.push_str(part);
        key.push('\0');
    }
}

fn somebody(observation: &Observation<'_>, number: usize) -> (Arc<Principal>, Session) {
    let client = match observation.host.parse::<IpAddr>() {
        Ok(address) => ClientAddress::Ip(address),
        Err(_) if observation.host == "local" => ClientAddress::Unix,
        Err(_) => ClientAddress::Unknown,
    };
    let principal = Principal {
        system: DbSystem::PostgreSql,
        server: "replay".into(),
        server_port: 0,
        user: Some(observation.principal.into()),
        client,
        os_user: (!observation.os_user.is_empty()).then(|| OsUser {
            uid: u32::MAX,
            name: observation.os_user.into(),
        }),
        login_user: None,
        ..Principal::default()
    };
    let principal = Arc::new(principal);
    let session = Session {
        who: principal.clone(),
        database: observation.database.into(),
        ..Session::new(
            ConnectionId(number as u64),
            PrincipalId(u32::try_from(number).unwrap_or(u32::MAX)),
            observation.time,
        )
    };
    (principal, session)
}

fn verdict(alert: &Alert, observation: &Observation<'_>) -> Verdict {
    let measure = match alert.measure {
        Measure::Rows => "rows",
        Measure::Bytes => "bytes",
        Measure::Queries => "statements",
    };
    Verdict {
        time: alert.time,
        severity: alert.severity,
        lane: "threshold",
        lanes: vec!["threshold"],
        principal: Some(observation.principal.into()),
        group: (!observation.group.is_empty()).then(|| observation.group.into()),
        host: None,
        os_user: None,
        principals: Vec::new(),
        measure,
        observed: alert.observed,
        expected: alert.limit,
        peers: None,
        window_seconds: alert.window.as_secs(),
        active_days: 1,
        odds: 0,
        budgeted: true,
        database: Some(alert.database.clone()),
        table: alert.tables.first().cloned(),
        share_of_table: alert.share_of_table,
        statements: Vec::new(),
        evidence: Vec::new(),
        explanation: format!(
            "{} crossed the limit {}: {} {measure} in {} s, the limit is {}.",
            observation.principal,
            alert.threshold,
            alert.observed,
            alert.window.as_secs(),
            alert.limit
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::observation::{KeyOrder, Keys},
        time::Timestamp,
    };

    const SECOND: u64 = 1_000_000_000;

    /// Six rows by each of these, at a second each.
    fn judged(events: &[(&str, u64)]) -> Vec<Verdict> {
        let text =
            "[[threshold]]\nname = \"ten\"\nwindow = \"10m\"\nlimit = 10\nuser = \"!backup\"\n";
        let config = Config::parse(text, std::path::Path::new("t.toml")).expect("valid");
        let mut limits = Limits::new(&config);
        let mut verdicts = Vec::new();
        for (who, second) in events {
            limits.observe(
                &Observation {
                    time: Timestamp(second * SECOND),
                    principal: who,
                    group: "",
                    host: "10.0.0.1",
                    os_user: "",
                    database: "d",
                    tables: &["t"],
                    operation: "SELECT",
                    fingerprint: 0,
                    rows: 6,
                    statement_rows: None,
                    bytes: 0,
                    queries: 1,
                    keys: Keys::Unknown,
                    key_order: KeyOrder::Unknown,
                },
                &config,
                &mut verdicts,
            );
        }
        verdicts
    }

    #[test]
    fn a_limit_of_the_configuration_is_held() {
        let verdicts = judged(&[("ann", 1), ("backup", 2), ("ann", 3), ("ann", 4)]);
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        assert_eq!((verdicts[0].observed, verdicts[0].expected), (12, 10));
        assert_eq!(verdicts[0].time, Timestamp(3 * SECOND));
    }

    #[test]
    fn a_clock_a_month_ahead_keeps_no_window_open() {
        const MONTH: u64 = 30 * 86_400;
        // Every half an hour, so that a window of ten minutes never holds two.
        let mut events: Vec<(&str, u64)> = (1..200).map(|at| ("ann", at * 1800)).collect();
        assert_eq!(judged(&events).len(), 0);
        events.insert(10, ("ann", MONTH));
        // It falls in with the one before it, which makes twelve.
        let verdicts = judged(&events);
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        assert_eq!(verdicts[0].observed, 12);
    }
}
