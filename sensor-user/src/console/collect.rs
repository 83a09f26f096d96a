//! The pipeline's state as readers see it. Text from clients becomes harmless here, once for all who draw.

use std::{cmp::Ordering, collections::HashMap};

use super::{
    alerts::Alerts,
    protocol::{
        Amounts, Detail, Level, MOST_PRINCIPALS, PrincipalRow, Request, Sensor, SessionRow,
        Snapshot, Sort, StatementRow, TableRow,
    },
};
use crate::{
    config::threshold::Window,
    detect::threshold,
    export::visible,
    pipeline::Pipeline,
    principal::{Principal, PrincipalId},
    time::Timestamp,
    volume::{Volume, live::Row, recent::SECONDS},
};

/// Seconds of which a rate is the mean.
const RATE: usize = 10;
/// Tables named of each principal.
const TABLES: usize = 8;
/// Rows of each list of one principal.
const LISTED: usize = 200;
/// Characters of a statement's text.
const TEXT: usize = 400;

/// What the pipeline does not know of itself.
#[derive(Clone, Debug, Default)]
pub struct Around {
    /// Now.
    pub now: Timestamp,
    /// Since when the sensor watches.
    pub since: Timestamp,
    /// Host's name.
    pub host: String,
    /// Names of servers.
    pub servers: Vec<String>,
    /// Alerts raised so far.
    pub raised: u64,
    /// Records whose time and order were lost.
    pub lost_detail: u64,
}

/// What a request asks for.
pub fn snapshot(
    pipeline: &Pipeline,
    alerts: &Alerts,
    around: Around,
    request: &Request,
) -> Snapshot {
    let now = around.now;
    let mut nearest: HashMap<PrincipalId, threshold::Level<'_>> = HashMap::new();
    for level in pipeline.lane.levels(now) {
        let best = nearest.entry(level.principal).or_insert(level);
        if share(&level) > share(best) {
            *best = level;
        }
    }
    // Limits are a person's, whichever roles are in force.
    let nearest_of = |id| nearest.get(&pipeline.resolver.known_person(id)?);
    let filter = request.filter.to_lowercase();
    let mut total = Volume::default();
    let mut found: Vec<Candidate<'_>> = Vec::new();
    for (id, row) in pipeline.live.rows() {
        total += row.volume;
        let principal = pipeline.resolver.principal(id);
        if filter.is_empty() || holds(principal, row, &filter) {
            let weight = match request.sort {
                Sort::Rate => rate(&pipeline.live.recent.of(id, now).map(u64::from)),
                Sort::Rows => row.shown() as f64,
                Sort::Bytes => row.volume.bytes_sent as f64,
                Sort::Queries => row.volume.queries as f64,
                Sort::Limit => nearest_of(id).map_or(0.0, share),
                Sort::Seen => row.last.0 as f64,
                Sort::User => 0.0,
            };
            found.push(Candidate {
                id,
                row,
                principal,
                weight,
            });
        }
    }
    let matching = found.len();
    let wanted = request.limit.min(MOST_PRINCIPALS);
    let order = |a: &Candidate<'_>, b: &Candidate<'_>| {
        let order = a.order(b);
        if request.reverse {
            order.reverse()
        } else {
            order
        }
    };
    if found.len() > wanted && wanted > 0 {
        found.select_nth_unstable_by(wanted - 1, order);
    }
    found.truncate(wanted);
    found.sort_by(order);
    let row = |id: PrincipalId, row: &Row| {
        let level = nearest_of(id).map(described);
        described_row(pipeline, id, row, level, now)
    };
    let detail = request.principal.and_then(|wanted| {
        let id = PrincipalId(wanted);
        let (_, live) = pipeline.live.rows().find(|(one, _)| *one == id)?;
        Some(detail(pipeline, id, row(id, live), now))
    });
    Snapshot {
        time: millis(now),
        sensor: Sensor {
            host: around.host,
            since: millis(around.since),
            servers: around.servers,
            connections: pipeline.resolver.sessions().count(),
            principals: pipeline.resolver.principals().len(),
            alerts: around.raised,
            understood: pipeline.total_completeness().share(),
            lost_detail: around.lost_detail,
        },
        total: amounts(&total),
        rows_per_second: rate(&pipeline.live.recent.all(now)),
        matching,
        principals: found.iter().map(|one| row(one.id, one.row)).collect(),
        detail,
        alerts: alerts.rows(),
        alert: request.alert.as_deref().and_then(|id| alerts.text(id)),
    }
}

/// A principal that the filter leaves.
struct Candidate<'a> {
    id: PrincipalId,
    row: &'a Row,
    principal: &'a Principal,
    weight: f64,
}

impl Candidate<'_> {
    /// By what was asked for, most first; then by rows, bytes and name.
    fn order(&self, other: &Self) -> Ordering {
        let size = |one: &Self| (one.row.shown(), one.row.volume.bytes_sent);
        let by_size = || {
            size(other)
                .cmp(&size(self))
                .then_with(|| self.principal.user.cmp(&other.principal.user))
                .then_with(|| self.id.cmp(&other.id))
        };
        if self.weight == 0.0 && other.weight == 0.0 {
            return by_size();
        }
        other.weight.total_cmp(&self.weight).then_with(by_size)
    }
}

fn holds(principal: &Principal, row: &Row, filter: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(filter);
    principal.user.as_deref().is_some_and(has)
        || principal.role.as_deref().is_some_and(has)
        || [&principal.os_user, &principal.login_user]
            .into_iter()
            .flatten()
            .any(|user| has(&user.name))
        || has(&principal.client.to_string())
        || has(&principal.server)
        || principal.more.iter().any(|(_, value)| has(value))
        || row.tables.iter().any(|table| has(table))
}

fn described_row(
    pipeline: &Pipeline,
    id: PrincipalId,
    row: &Row,
    nearest: Option<Level>,
    now: Timestamp,
) -> PrincipalRow {
    let principal = pipeline.resolver.principal(id);
    let recent = pipeline.live.recent.of(id, now);
    PrincipalRow {
        id: id.0,
        user: (principal.user.is_some() || principal.before_start)
            .then(|| visible(principal.shown_user())),
        role: principal.role.as_deref().map(visible),
        os_user: principal.os_user.as_ref().map(|user| visible(&user.name)),
        login_user: principal
            .login_user
            .as_ref()
            .map(|user| visible(&user.name)),
        client: principal.client.to_string(),
        server: visible(&principal.server),
        more: principal
            .more
            .iter()
            .map(|(field, value)| (field.as_str().to_owned(), visible(value)))
            .collect(),
        amounts: amounts(&row.volume),
        streaming: row.streaming,
        rows_per_second: rate(&recent.map(u64::from)),
        recent: recent.to_vec(),
        tables: row
            .tables
            .iter()
            .take(TABLES)
            .map(|table| visible(table))
            .collect(),
        nearest,
        seen: millis(row.last),
    }
}

fn detail(pipeline: &Pipeline, id: PrincipalId, row: PrincipalRow, now: Timestamp) -> Detail {
    let person = pipeline.resolver.known_person(id);
    let mut levels: Vec<_> = pipeline
        .lane
        .levels(now)
        .filter(|level| Some(level.principal) == person)
        .collect();
    levels.sort_by(|a, b| share(b).total_cmp(&share(a)));
    let mut tables: Vec<TableRow> = pipeline
        .totals
        .series()
        .filter(|series| series.key.principal == Some(id))
        .map(|series| TableRow {
            database: visible(&series.key.database),
            table: visible(&series.key.table),
            operation: visible(&series.key.operation),
            amounts: amounts(&series.volume),
        })
        .collect();
    largest(&mut tables, |row| row.amounts);
    let mut statements: Vec<StatementRow> = pipeline
        .totals
        .statements()
        .filter(|series| series.key.principal == Some(id))
        .map(|series| {
            let shape = pipeline.shapes.shape(series.key.shape_id);
            StatementRow {
                summary: visible(&shape.summary),
                text: visible(&shape.text.chars().take(TEXT).collect::<String>()),
                amounts: amounts(&series.volume),
            }
        })
        .collect();
    largest(&mut statements, |row| row.amounts);
    let mut sessions: Vec<SessionRow> = pipeline
        .resolver
        .sessions()
        .filter(|session| session.principal == id)
        .map(|session| SessionRow {
            database: visible(&session.database),
            application: visible(&session.application_name),
            program: visible(&session.program),
            client_pid: session.client_pid,
            client_port: session.client_port,
            server_pid: session.server_pid,
            since: millis(session.since),
        })
        .collect();
    sessions.sort_by_key(|session| (session.since, session.server_pid));
    sessions.truncate(LISTED);
    Detail {
        principal: row,
        levels: levels.iter().map(described).collect(),
        tables,
        statements,
        sessions,
        understood: pipeline.completeness(id).share(),
    }
}

/// Those with most rows, then bytes, then statements.
fn largest<T>(rows: &mut Vec<T>, amounts: impl Fn(&T) -> Amounts) {
    rows.sort_by_key(|row| {
        let amounts = amounts(row);
        std::cmp::Reverse((amounts.rows(), amounts.bytes_sent, amounts.queries))
    });
    rows.truncate(LISTED);
}

fn described(level: &threshold::Level<'_>) -> Level {
    Level {
        threshold: level.rule.name.clone(),
        severity: level.rule.severity.as_str().to_owned(),
        measure: level.rule.measure.as_str().to_owned(),
        table: level.table.map(|table| visible(table)),
        used: level.used,
        limit: level.limit,
        window: match level.rule.window {
            Window::Statement => 0,
            Window::Sliding(span) => span.as_secs(),
        },
    }
}

fn share(level: &threshold::Level<'_>) -> f64 {
    level.used as f64 / level.limit.max(1) as f64
}

/// Rows a second. The second that is under way is left out: it would make each rate dip.
fn rate(recent: &[u64; SECONDS]) -> f64 {
    let rows: u64 = recent[SECONDS - 1 - RATE..SECONDS - 1].iter().sum();
    rows as f64 / RATE as f64
}

fn amounts(volume: &Volume) -> Amounts {
    Amounts {
        rows_returned: volume.rows_returned,
        rows_written: volume.rows_written,
        bytes_sent: volume.bytes_sent,
        bytes_received: volume.bytes_received,
        queries: volume.queries,
    }
}

pub(super) fn millis(time: Timestamp) -> u64 {
    time.0 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        principal::{ConnectionId, Session},
        sql::Shape,
        volume::{Access, AccessKind},
    };

    #[test]
    fn a_role_is_as_near_to_a_limit_as_the_person_who_took_it() {
        let rule = "[[threshold]]\nname = \"bulk\"\nwindow = \"10m\"\nlimit = 100\n";
        let config = Config::parse(rule, "sensor.toml".as_ref()).expect("valid");
        let mut pipeline = Pipeline::new(&config, 1);
        let ann = Principal {
            user: Some("ann".into()),
            ..Principal::default()
        };
        let person = pipeline.resolver.intern(ann.clone());
        let boss = pipeline.resolver.intern(Principal {
            role: Some("boss".into()),
            ..ann.clone()
        });
        let time = Timestamp(1_000_000_000_000);
        let session = Session::for_tests(ConnectionId(1), boss, "shop");
        let shape = Shape::default();
        let access = Access {
            time,
            started: time,
            principal: boss,
            session: &session,
            shape_id: 0,
            shape: &shape,
            volume: Volume {
                rows_returned: 80,
                queries: 1,
                ..Volume::default()
            },
            kind: AccessKind::Completed,
            largest: None,
            picked: None,
        };
        pipeline.live.observe(&access);
        let judged = Access {
            principal: person,
            ..access
        };
        let mut alerts = Vec::new();
        pipeline
            .lane
            .observe(&judged, &ann, &pipeline.sizes, &mut alerts);
        let request = Request {
            limit: 10,
            ..Request::default()
        };
        let around = Around {
            now: time,
            ..Around::default()
        };
        let snapshot = snapshot(&pipeline, &Alerts::default(), around, &request);
        let [row] = &snapshot.principals[..] else {
            panic!("one has read: {:?}", snapshot.principals);
        };
        assert_eq!(row.id, boss.0);
        assert_eq!(row.nearest.as_ref().map(Level::share), Some(0.8));
    }
}
