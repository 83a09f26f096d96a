//! What is exported, before any protocol.

use std::sync::Arc;

use super::{
    exemplars::Exemplar,
    names::{self, Metric},
};
use crate::{
    detect::Alert,
    principal::{BEFORE_START, Principal, Session, identity::Field},
    time::Timestamp,
    trace::OfAlert,
    volume::{Volume, completeness::Completeness, spread::Histogram},
};

/// An attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(Arc<str>),
    /// Whole number.
    Integer(i64),
    /// Fraction.
    Fraction(f64),
    /// List of texts.
    List(Vec<Arc<str>>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// Attributes with their values.
pub type Attributes = Vec<(&'static str, Value)>;

/// One value of one series.
#[derive(Clone, Debug)]
pub struct MetricPoint {
    /// Metric.
    pub metric: &'static Metric,
    /// Attributes of the series.
    pub attributes: Attributes,
    /// Since when it counts.
    pub start: Timestamp,
    /// As of when.
    pub time: Timestamp,
    /// The value.
    pub value: u64,
}

/// One histogram of one series.
#[derive(Clone, Debug)]
pub struct HistogramPoint {
    /// Metric.
    pub metric: &'static Metric,
    /// Attributes of the series.
    pub attributes: Attributes,
    /// Since when it counts.
    pub start: Timestamp,
    /// As of when.
    pub time: Timestamp,
    /// What it is.
    pub histogram: Histogram,
    /// Statements that stand for its buckets, smallest first.
    pub exemplars: Vec<Exemplar>,
}

/// All metrics as of one moment.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Sums and gauges.
    pub points: Vec<MetricPoint>,
    /// Histograms.
    pub histograms: Vec<HistogramPoint>,
}

impl From<Vec<MetricPoint>> for Batch {
    fn from(points: Vec<MetricPoint>) -> Self {
        Self {
            points,
            histograms: Vec::new(),
        }
    }
}

/// An alert with all that is needed to explain it.
#[derive(Clone, Debug)]
pub struct AlertRecord {
    /// The alert.
    pub alert: Alert,
    /// Who.
    pub principal: Arc<Principal>,
    /// The connection, while it is open.
    pub session: Option<Session>,
    /// How much of the principal's bytes was understood.
    pub completeness: Completeness,
    /// Ways by which data left through the server's own hands.
    pub egress: Vec<String>,
    /// Its session and statements, where those are traced.
    pub trace: Option<OfAlert>,
}

/// Attributes of a principal.
pub fn principal_attributes(principal: &Principal) -> Attributes {
    let mut attributes: Attributes = vec![
        (names::DB_SYSTEM_NAME, principal.system.as_str().into()),
        (
            names::CLIENT_ADDRESS,
            principal.client.to_string().as_str().into(),
        ),
        (names::SERVER, principal.server.clone().into()),
        (names::SERVER_PORT, u64::from(principal.server_port).into()),
    ];
    if let Some(user) = &principal.user {
        attributes.push((names::USER_NAME, user.clone().into()));
    } else if principal.before_start {
        attributes.push((names::USER_NAME, BEFORE_START.into()));
    }
    if let Some(role) = &principal.role {
        attributes.push((names::USER_ROLES, Value::List(vec![role.clone()])));
    }
    if let Some(user) = &principal.os_user {
        attributes.push((names::PROCESS_USER_ID, u64::from(user.uid).into()));
        attributes.push((names::PROCESS_USER_NAME, user.name.clone().into()));
    }
    if let Some(user) = &principal.login_user {
        attributes.push((names::LOGIN_USER_ID, u64::from(user.uid).into()));
        attributes.push((names::LOGIN_USER_NAME, user.name.clone().into()));
    }
    for (field, value) in &principal.more {
        let key = match field {
            Field::AuditSession => names::AUDIT_SESSION,
            Field::Program => names::PROCESS_EXECUTABLE_NAME,
            Field::ApplicationName => names::APPLICATION_NAME,
            Field::Container => names::CONTAINER_ID,
            Field::Pod => names::K8S_POD_UID,
            Field::Pooler => names::POOLER,
            Field::Tags => names::TAGS,
            Field::Certificate => names::TLS_CLIENT_SUBJECT,
            Field::User | Field::Role | Field::ClientAddress | Field::OsUser | Field::LoginUser => {
                continue;
            }
        };
        attributes.push((key, value.clone().into()));
    }
    attributes
}

/// Adds what describes a connection's client beyond its principal.
pub fn describe_session(attributes: &mut Attributes, session: &Session) {
    let mut text = |key, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty())
            && attributes.iter().all(|(known, _)| *known != key)
        {
            attributes.push((key, value.into()));
        }
    };
    text(names::APPLICATION_NAME, Some(&session.application_name));
    text(names::PROCESS_EXECUTABLE_NAME, Some(&session.program));
    if let Some(process) = &session.process {
        let more = &process.more;
        text(names::PROCESS_EXECUTABLE_PATH, more.executable.as_deref());
        text(names::PROCESS_COMMAND_LINE, more.command_line.as_deref());
        text(names::CONTAINER_ID, more.container.id.as_deref());
        text(names::K8S_POD_UID, more.container.pod.as_deref());
    }
    text(names::POOLER, session.pooler.as_deref());
    text(names::TAGS, session.tags.as_deref());
    text(names::TLS_CLIENT_SUBJECT, session.certificate.as_deref());
    let session_id = session.audit_session().map(|id| id.to_string());
    text(names::AUDIT_SESSION, session_id.as_deref());
    if let Some(pid) = session.client_pid {
        attributes.push((names::PROCESS_PID, u64::from(pid).into()));
    }
    if session.client_port > 0 {
        attributes.push((names::CLIENT_PORT, u64::from(session.client_port).into()));
    }
}

/// The three metrics of a volume: rows and bytes by direction, queries. Directions without anything are left out.
pub fn volume_points(
    [rows, bytes, queries]: [&'static Metric; 3],
    attributes: &Attributes,
    volume: &Volume,
    start: Timestamp,
    time: Timestamp,
) -> Vec<MetricPoint> {
    let directed = [
        (rows, Some("returned"), volume.rows_returned),
        (rows, Some("written"), volume.rows_written),
        (bytes, Some("sent"), volume.bytes_sent),
        (bytes, Some("received"), volume.bytes_received),
        (queries, None, volume.queries),
    ];
    directed
        .into_iter()
        .filter(|(_, _, value)| *value > 0)
        .map(|(metric, direction, value)| {
            let mut attributes = attributes.clone();
            if let Some(direction) = direction {
                attributes.push((names::DIRECTION, direction.into()));
            }
            MetricPoint {
                metric,
                attributes,
                start,
                time,
                value,
            }
        })
        .collect()
}

impl AlertRecord {
    /// All that is known of who it was; of the principal alone when no connection is known.
    pub fn who(&self) -> &Principal {
        self.session
            .as_ref()
            .map_or(&self.principal, |session| &session.who)
    }
}

#[cfg(test)]
impl AlertRecord {
    /// An alert about a local user who read half a table.
    pub fn for_tests(id: &str) -> Self {
        use std::time::Duration;

        use crate::{
            detect::{Measure, Severity, StatementShare},
            principal::{ClientAddress, ConnectionId, DbSystem, OsUser, PrincipalId},
        };

        let (connection, number) = (ConnectionId(1), PrincipalId(0));
        let user = |uid, name: &str| OsUser {
            uid,
            name: name.into(),
        };
        let principal = Arc::new(Principal {
            system: DbSystem::PostgreSql,
            server: "15/main:5432".into(),
            server_port: 5432,
            user: Some("ann".into()),
            client: ClientAddress::Ip([10, 1, 2, 3].into()),
            os_user: Some(user(26, "postgres")),
            login_user: Some(user(1000, "jo")),
            ..Principal::default()
        });
        let mut session = Session::for_tests(connection, number, "crm");
        session.who = principal.clone();
        session.program = "psql".into();
        session.client_pid = Some(77);
        session.client_port = 5544;
        Self {
            alert: Alert {
                id: id.into(),
                time: Timestamp(2_000_000_000),
                threshold: "bulk-read".into(),
                severity: Severity::Critical,
                principal: number,
                connection,
                database: "crm".into(),
                measure: Measure::Rows,
                observed: 5000,
                estimated: 0,
                limit: 1000,
                window: Duration::from_secs(60),
                since: Timestamp(1_000_000_000),
                tables: vec!["customers".into()],
                share_of_table: Some(0.5),
                statements: vec![StatementShare {
                    shape_id: 1,
                    summary: "SELECT customers".into(),
                    text: "SELECT * FROM customers WHERE id > ?".into(),
                    amount: 5000,
                    first: Timestamp(1_100_000_000),
                    last: Timestamp(1_900_000_000),
                }],
                verdict: None,
            },
            principal,
            session: Some(session),
            completeness: Completeness {
                bytes_seen: 100,
                bytes_parsed: 60,
                encrypted_bytes: 40,
                ..Completeness::default()
            },
            egress: vec!["copy_to_program gzip".to_owned()],
            trace: None,
        }
    }
}
