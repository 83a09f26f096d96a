//! Every metric, attribute and event, once. docs/metrics.md is made from this.

use opentelemetry_semantic_conventions::attribute as semconv;

mod attributes;
#[cfg(test)]
mod reference;

pub use attributes::ATTRIBUTES;

/// How a metric's values are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Monotonic, cumulative sum.
    Sum,
    /// The value as it is now.
    Gauge,
    /// Cumulative counts by bucket.
    Histogram,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// Unit (UCUM).
    pub unit: &'static str,
    /// Kind.
    pub kind: Kind,
    /// What it says.
    pub description: &'static str,
    /// Its attributes.
    pub attributes: &'static [&'static str],
}

/// An attribute.
#[derive(Debug)]
pub struct Attribute {
    /// Key.
    pub key: &'static str,
    /// What it says.
    pub description: &'static str,
}

/// `db.system.name`.
pub const DB_SYSTEM_NAME: &str = semconv::DB_SYSTEM_NAME;
/// `db.namespace`.
pub const DB_NAMESPACE: &str = semconv::DB_NAMESPACE;
/// `db.collection.name`.
pub const DB_COLLECTION_NAME: &str = semconv::DB_COLLECTION_NAME;
/// `db.operation.name`.
pub const DB_OPERATION_NAME: &str = semconv::DB_OPERATION_NAME;
/// `db.query.summary`.
pub const DB_QUERY_SUMMARY: &str = semconv::DB_QUERY_SUMMARY;
/// `db.query.text`.
pub const DB_QUERY_TEXT: &str = semconv::DB_QUERY_TEXT;
/// `db.response.returned_rows`.
pub const DB_RESPONSE_RETURNED_ROWS: &str = semconv::DB_RESPONSE_RETURNED_ROWS;
/// `db.response.status_code`.
pub const DB_RESPONSE_STATUS_CODE: &str = semconv::DB_RESPONSE_STATUS_CODE;
/// `user.name`.
pub const USER_NAME: &str = semconv::USER_NAME;
/// `user.roles`.
pub const USER_ROLES: &str = semconv::USER_ROLES;
/// `client.address`.
pub const CLIENT_ADDRESS: &str = semconv::CLIENT_ADDRESS;
/// `client.port`.
pub const CLIENT_PORT: &str = semconv::CLIENT_PORT;
/// `network.transport`.
pub const NETWORK_TRANSPORT: &str = semconv::NETWORK_TRANSPORT;
/// `server.address`.
pub const SERVER_ADDRESS: &str = semconv::SERVER_ADDRESS;
/// `server.port`.
pub const SERVER_PORT: &str = semconv::SERVER_PORT;
/// `process.executable.name`.
pub const PROCESS_EXECUTABLE_NAME: &str = semconv::PROCESS_EXECUTABLE_NAME;
/// `process.executable.path`.
pub const PROCESS_EXECUTABLE_PATH: &str = semconv::PROCESS_EXECUTABLE_PATH;
/// `process.command_line`.
pub const PROCESS_COMMAND_LINE: &str = semconv::PROCESS_COMMAND_LINE;
/// `container.id`.
pub const CONTAINER_ID: &str = semconv::CONTAINER_ID;
/// `k8s.pod.uid`.
pub const K8S_POD_UID: &str = semconv::K8S_POD_UID;
/// `tls.client.subject`.
pub const TLS_CLIENT_SUBJECT: &str = semconv::TLS_CLIENT_SUBJECT;
/// `process.pid`.
pub const PROCESS_PID: &str = semconv::PROCESS_PID;
/// `process.user.id`.
pub const PROCESS_USER_ID: &str = semconv::PROCESS_USER_ID;
/// `process.user.name`.
pub const PROCESS_USER_NAME: &str = semconv::PROCESS_USER_NAME;
/// `log.record.uid`.
pub const LOG_RECORD_UID: &str = semconv::LOG_RECORD_UID;
/// Own: audit login uid.
pub const LOGIN_USER_ID: &str = "data_access.login_user.id";
/// Own: its name.
pub const LOGIN_USER_NAME: &str = "data_access.login_user.name";
/// Own: audit session.
pub const AUDIT_SESSION: &str = "data_access.audit_session";
/// Own: pooler.
pub const POOLER: &str = "data_access.pooler";
/// Own: tags of statements' comments.
pub const TAGS: &str = "data_access.tags";
/// Own: server.
pub const SERVER: &str = "data_access.server";
/// Own: direction.
pub const DIRECTION: &str = "data_access.direction";
/// Own: fingerprint.
pub const FINGERPRINT: &str = "data_access.query.fingerprint";
/// Own: cause.
pub const CAUSE: &str = "data_access.cause";
/// Own: BPF program.
pub const PROGRAM: &str = "data_access.program";
/// Own: application name.
pub const APPLICATION_NAME: &str = "data_access.application_name";
/// Own: threshold.
pub const THRESHOLD: &str = "data_access.threshold.name";
/// Own: measure.
pub const MEASURE: &str = "data_access.measure";
/// Own: observed amount.
pub const OBSERVED: &str = "data_access.observed";
/// Own: estimated part.
pub const ESTIMATED: &str = "data_access.observed.estimated";
/// Own: limit.
pub const LIMIT: &str = "data_access.limit";
/// Own: window.
pub const WINDOW: &str = "data_access.window";
/// Own: lane.
pub const LANE: &str = "data_access.lane";
/// Own: lanes.
pub const LANES: &str = "data_access.lanes";
/// Own: expected amount.
pub const EXPECTED: &str = "data_access.expected";
/// Own: the peers' amount.
pub const PEERS: &str = "data_access.peers";
/// Own: odds.
pub const ODDS: &str = "data_access.odds";
/// Own: under which assumption.
pub const ASSUMPTION: &str = "data_access.odds.assumption";
/// Own: active days.
pub const ACTIVE_DAYS: &str = "data_access.active_days";
/// Own: evidence.
pub const EVIDENCE: &str = "data_access.evidence";
/// Own: statement shapes of an alert.
pub const ALERT_SHAPES: &str = "data_access.alert.shapes";
/// Own: what silences an alert.
pub const SILENCED_BY: &str = "data_access.alert.silenced_by";
/// Own: principals of a group.
pub const PRINCIPALS_INVOLVED: &str = "data_access.principals";
/// Own: group.
pub const GROUP: &str = "data_access.group";
/// Own: since.
pub const SINCE: &str = "data_access.since";
/// Own: share of the table.
pub const SHARE: &str = "data_access.table.share";
/// Own: tables.
pub const TABLES: &str = "data_access.tables";
/// Own: completeness.
pub const COMPLETENESS: &str = "data_access.completeness";
/// Own: bytes of the principal, see [`crate::volume::completeness::Completeness`].
pub const BYTES_SEEN: &str = "data_access.completeness.bytes_seen";
/// Own: likewise.
pub const BYTES_PARSED: &str = "data_access.completeness.bytes_parsed";
/// Own: likewise.
pub const ENCRYPTED_BYTES: &str = "data_access.completeness.encrypted_bytes";
/// Own: likewise.
pub const REPLICATION_BYTES: &str = "data_access.completeness.replication_bytes";
/// Own: likewise.
pub const COMPRESSED_BYTES: &str = "data_access.completeness.compressed_bytes";
/// Own: likewise.
pub const UNPARSABLE_BYTES: &str = "data_access.completeness.unparsable_bytes";
/// Own: likewise.
pub const BEFORE_START_BYTES: &str = "data_access.completeness.before_start_bytes";
/// Own: likewise.
pub const CONTROL_BYTES: &str = "data_access.completeness.control_bytes";
/// Own: likewise.
pub const MISSED_BYTES: &str = "data_access.completeness.missed_bytes";
/// Own: likewise.
pub const UNATTRIBUTED_BYTES: &str = "data_access.completeness.unattributed_bytes";
/// Own: likewise.
pub const UNKNOWN_STATEMENT_BYTES: &str = "data_access.completeness.unknown_statement_bytes";
/// Own: likewise.
pub const LOST_DETAIL_RECORDS: &str = "data_access.completeness.lost_detail_records";
/// Own: likewise.
pub const TRUNCATED_STATEMENTS: &str = "data_access.completeness.truncated_statements";
/// Own: likewise.
pub const COMPLETENESS_ESTIMATED_ROWS: &str = "data_access.completeness.estimated_rows";
/// Own: amount of one statement.
pub const AMOUNT: &str = "data_access.amount";
/// Own: severity.
pub const SEVERITY: &str = "data_access.severity";
/// Own: signal.
pub const SIGNAL: &str = "data_access.signal";
/// Own: egress.
pub const EGRESS: &str = "data_access.egress";

/// `error.type`.
pub const ERROR_TYPE: &str = semconv::ERROR_TYPE;
/// Own: rows written by a statement.
pub const ROWS_WRITTEN: &str = "data_access.rows.written";
/// Own: bytes that a statement sent.
pub const BYTES_SENT: &str = "data_access.bytes.sent";
/// Own: bytes that a statement received.
pub const BYTES_RECEIVED: &str = "data_access.bytes.received";
/// Own: statements that a span stands for.
pub const STATEMENTS: &str = "data_access.statements";
/// Own: most rows of one of them.
pub const LARGEST_ROWS: &str = "data_access.largest.rows";
/// Own: why a span was chosen.
pub const SAMPLED_BY: &str = "data_access.sampling.reason";
/// Own: with which probability.
pub const PROBABILITY: &str = "data_access.sampling.probability";
/// Own: id of the alert that a statement is part of.
pub const ALERT_UID: &str = "data_access.alert.uid";
/// Own: statements of an alert that are told as spans.
pub const ALERT_TOLD: &str = "data_access.alert.statements.told";
/// Own: those that are not.
pub const ALERT_LEFT_OUT: &str = "data_access.alert.statements.left_out";
/// Own: since when they are counted.
pub const ALERT_COUNTED_SINCE: &str = "data_access.alert.statements.since";
/// Own: trace of the session that an alert is about.
pub const SESSION_TRACE: &str = "data_access.session.trace_id";

/// Own: hashes of a sketch.
pub const RECORD_HASHES: &str = "data_access.records.hashes";
/// Own: where they end.
pub const RECORD_LIMIT: &str = "data_access.records.limit";
/// Own: how many records they stand for.
pub const RECORD_COUNT: &str = "data_access.records.count";
/// Own: which secret they are under.
pub const RECORD_SECRET: &str = "data_access.records.secret";

/// The event of an alert.
pub const ANOMALY: &str = "data_access.anomaly";
/// The event of a sketch.
pub const PICKED: &str = "data_access.records.picked";

/// Attributes of a kind of series, without and with a direction.
macro_rules! series {
    ($plain:ident, $directed:ident: $($key:ident),* $(,)?) => {
        const $plain: &[&str] = &[$($key),*];
        const $directed: &[&str] = &[$($key),*, DIRECTION];
    };
}

series! {
    PRINCIPAL, PRINCIPAL_DIRECTION:
    DB_SYSTEM_NAME,
    DB_NAMESPACE,
    DB_COLLECTION_NAME,
    DB_OPERATION_NAME,
    USER_NAME,
    USER_ROLES,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
    AUDIT_SESSION,
    PROCESS_EXECUTABLE_NAME,
    APPLICATION_NAME,
    CONTAINER_ID,
    K8S_POD_UID,
    TLS_CLIENT_SUBJECT,
    POOLER,
    TAGS,
}

const RECORD_SERIES: &[&str] = &[
    DB_SYSTEM_NAME,
    DB_NAMESPACE,
    DB_COLLECTION_NAME,
    USER_NAME,
    USER_ROLES,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
    AUDIT_SESSION,
    PROCESS_EXECUTABLE_NAME,
    APPLICATION_NAME,
    CONTAINER_ID,
    K8S_POD_UID,
    TLS_CLIENT_SUBJECT,
    POOLER,
    TAGS,
];

const EGRESS_SERIES: &[&str] = &[
    DB_SYSTEM_NAME,
    DB_NAMESPACE,
    EGRESS,
    USER_NAME,
    USER_ROLES,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
    AUDIT_SESSION,
    PROCESS_EXECUTABLE_NAME,
    APPLICATION_NAME,
    CONTAINER_ID,
    K8S_POD_UID,
    TLS_CLIENT_SUBJECT,
    POOLER,
    TAGS,
];

const SPREAD_SERIES: &[&str] = &[
    DB_SYSTEM_NAME,
    USER_NAME,
    USER_ROLES,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
    AUDIT_SESSION,
    PROCESS_EXECUTABLE_NAME,
    APPLICATION_NAME,
    CONTAINER_ID,
    K8S_POD_UID,
    TLS_CLIENT_SUBJECT,
    POOLER,
    TAGS,
];

series! {
    STATEMENT, STATEMENT_DIRECTION:
    DB_SYSTEM_NAME,
    DB_QUERY_SUMMARY,
    FINGERPRINT,
    USER_NAME,
    USER_ROLES,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
    AUDIT_SESSION,
    PROCESS_EXECUTABLE_NAME,
    APPLICATION_NAME,
    CONTAINER_ID,
    K8S_POD_UID,
    TLS_CLIENT_SUBJECT,
    POOLER,
    TAGS,
}

macro_rules! metrics {
    ($($constant:ident = $name:literal, $unit:literal, $kind:ident, $attributes:expr, $description:literal;)*) => {
        $(
            #[doc = $description]
            pub static $constant: Metric = Metric {
                name: $name,
                unit: $unit,
                kind: Kind::$kind,
                description: $description,
                attributes: $attributes,
            };
        )*
        /// All metrics.
        pub static METRICS: &[&Metric] = &[$(&$constant),*];
    };
}

metrics! {
    ROWS = "data_access.rows", "{row}", Sum, PRINCIPAL_DIRECTION, "Rows returned to clients and written by them.";
    BYTES = "data_access.bytes", "By", Sum, PRINCIPAL_DIRECTION, "Bytes on the sockets of clients.";
    QUERIES = "data_access.queries", "{query}", Sum, PRINCIPAL, "Statements completed, failed ones included.";
    STATEMENT_ROWS = "data_access.statement.rows", "{row}", Sum, STATEMENT_DIRECTION, "Rows by statement shape.";
    STATEMENT_BYTES = "data_access.statement.bytes", "By", Sum, STATEMENT_DIRECTION, "Bytes by statement shape.";
    STATEMENT_QUERIES = "data_access.statement.queries", "{query}", Sum, STATEMENT, "Statements completed by shape.";
    ROWS_PER_STATEMENT = "data_access.rows_per_statement", "{row}", Histogram, SPREAD_SERIES, "Rows that one statement returned and wrote, by principal; exemplars lead to spans. Of equal small statements that the kernel has added up, number, sum and largest are exact, the others have the mean of what it leaves.";
    RECORDS = "data_access.records", "{record}", Gauge, RECORD_SERIES, "Distinct records that statements picked by key, since the sensor began to see them; of tables whose key columns are known. Exact up to 512, within some 4 % beyond.";
    EGRESS_QUERIES = "data_access.egress.queries", "{query}", Sum, EGRESS_SERIES, "Statements by which data left through the server's own hands (a file, a program, another server).";
    USER_BYTES = "data_access.user.bytes", "By", Sum, &[PROCESS_USER_ID, PROCESS_USER_NAME, DIRECTION], "Bytes that processes of this host's users exchanged with watched servers.";
    ALERTS = "data_access.alerts", "{alert}", Sum, &[THRESHOLD, SEVERITY], "Alerts raised.";
    PARSED_BYTES = "data_access.sensor.parsed_bytes", "By", Sum, &[], "Bytes on watched sockets that were parsed.";
    BLIND_BYTES = "data_access.sensor.blind_bytes", "By", Sum, &[CAUSE], "Bytes on watched sockets that were not parsed.";
    LOST_DETAIL = "data_access.sensor.lost_detail", "{record}", Sum, &[], "Records whose time and order were lost because the ring was full; their volumes were not.";
    LOST_ROWS = "data_access.sensor.lost_rows", "{row}", Sum, &[], "Rows lost because ring and overflow map were full.";
    TRUNCATED = "data_access.sensor.truncated_statements", "{statement}", Sum, &[], "Statements longer than the 4 KiB that are captured.";
    ESTIMATED_ROWS = "data_access.sensor.estimated_rows", "{row}", Sum, &[], "Rows that are an estimate because their exact count never crossed the wire.";
    LOST_KEYS = "data_access.sensor.lost_keys", "{record}", Sum, &[CAUSE], "Keys of records that are not known: the ring was full, the text was cut or written in another way than was learnt, or a bound was reached. Their rows count as records.";
    MERGED_PIPELINE = "data_access.sensor.merged_pipeline", "{statement}", Sum, &[], "Statements of pipelines too deep to keep apart.";
    UNPARSED_STATEMENTS = "data_access.sensor.unparsed_statements", "{statement}", Sum, &[], "Statement texts that PostgreSQL's grammar refused.";
    MALFORMED = "data_access.sensor.malformed_records", "{record}", Sum, &[], "Records of the kernel side that made no sense.";
    FOLDED = "data_access.sensor.folded", "{series}", Sum, &[CAUSE], "Series, principals, shapes or windows folded or given up because a bound was reached.";
    EXPORT_DROPPED = "data_access.sensor.export_dropped", "{item}", Sum, &[SIGNAL], "What did not arrive: messages given up because they were refused or too many waited, and items that a receiver rejected of messages it took.";
    EXPORT_FAILED = "data_access.sensor.export_failed", "{attempt}", Sum, &[SIGNAL], "Attempts to deliver that failed and are repeated.";
    EXPORT_WAITING = "data_access.sensor.export_waiting", "{message}", Gauge, &[SIGNAL], "Messages that wait for a receiver.";
    SPANS = "data_access.sensor.spans", "{statement}", Sum, &[SAMPLED_BY], "Statements by what became of their spans: told for one of the reasons, or `left_out`.";
    UNLINKED = "data_access.sensor.unlinked", "{statement}", Sum, &[CAUSE], "Statements whose application samples its trace, but whose span has no link to it.";
    EXPORT_UNSAVED = "data_access.sensor.export_unsaved", "{change}", Sum, &[], "Changes of the queue for the receiver that could not be written to its copy on disk.";
    BPF_RUN_TIME = "data_access.sensor.bpf.run_time", "ns", Sum, &[PROGRAM], "Run time of the BPF programs; counts while kernel.bpf_stats_enabled is on.";
    BPF_RUNS = "data_access.sensor.bpf.runs", "{run}", Sum, &[PROGRAM], "Runs of the BPF programs; counts while kernel.bpf_stats_enabled is on.";
    BPF_MISSES = "data_access.sensor.bpf.misses", "{run}", Sum, &[PROGRAM], "Runs that the kernel skipped: operations not seen. Of second programs they are the most that it can be: the first has seen nearly all of these.";
    BPF_TAKEN_OVER = "data_access.sensor.bpf.taken_over", "{run}", Sum, &[PROGRAM], "Runs that the kernel skipped and a second program of the hook took over: nothing is lost by them.";
    UPTIME = "data_access.sensor.uptime", "s", Gauge, &[], "Time since the sensor began. Where that is shorter than a window, its sums are all of the window's.";
    MEMORY = "data_access.sensor.memory", "By", Gauge, &[], "Resident memory of the sensor.";
    CONNECTIONS = "data_access.sensor.connections", "{connection}", Gauge, &[], "Connections that are open.";
    PRINCIPALS = "data_access.sensor.principals", "{principal}", Gauge, &[], "Principals seen.";
    SHAPES = "data_access.sensor.shapes", "{shape}", Gauge, &[], "Statement shapes known.";
    POOLED_ROWS = "data_access.sensor.pooled_rows", "{row}", Sum, &[SERVER], "Rows that a pooler on this host had from a server for clients that are watched at the pooler itself: they count there, under whoever they are, and nowhere else.";
    POOLED_QUERIES = "data_access.sensor.pooled_queries", "{query}", Sum, &[SERVER], "Statements of that kind, those that the pooler runs for its own ends included.";
    ALERTS_WITHHELD = "data_access.sensor.alerts.withheld", "{alert}", Sum, &[], "Alerts of the lanes that the budget (alerts_per_day) withheld.";
    LATE = "data_access.sensor.detection.late", "{record}", Sum, &[], "Records that came after their day had been judged: in volumes, not in baselines.";
    WINDOWS = "data_access.sensor.windows", "{window}", Gauge, &[], "Threshold windows held.";
    HISTORY_STOPPED = "data_access.sensor.history.stopped", "1", Gauge, &[], "1 while history can't be written (a full disk, mostly), 0 otherwise.";
    HISTORY_LOST = "data_access.sensor.history.lost_rows", "{row}", Sum, &[], "Rows missing in the history because it could not be written for too long, or had too many sums in a second.";
    HISTORY_PRUNED = "data_access.sensor.history.pruned_rows", "{row}", Sum, &[], "Rows forgotten before their time because the history had reached its size.";
    HISTORY_WRITTEN = "data_access.sensor.history.transactions", "{transaction}", Sum, &[], "Transactions written to the history.";
    HISTORY_SIZE = "data_access.sensor.history.size", "By", Gauge, &[], "Size of the history's file.";
    CONSOLE_READERS = "data_access.sensor.console.readers", "{reader}", Gauge, &[], "Readers at the console's socket (`sensor top`).";
    CONSOLE_DROPPED = "data_access.sensor.console.dropped", "{reader}", Sum, &[CAUSE], "Readers that were dropped: they took too long, asked nothing for a minute or what makes no sense, or there were too many.";
    ALERTS_SUPPRESSED = "data_access.sensor.alerts.suppressed", "{alert}", Sum, &[], "Alerts kept silent by an acknowledgement.";
}
