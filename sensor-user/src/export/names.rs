//! Every metric, attribute and event, once. docs/metrics.md is made from this.

use std::fmt::Write as _;

use opentelemetry_semantic_conventions::attribute as semconv;

/// How a metric's values are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Monotonic, cumulative sum.
    Sum,
    /// The value as it is now.
    Gauge,
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
/// `user.name`.
pub const USER_NAME: &str = semconv::USER_NAME;
/// `client.address`.
pub const CLIENT_ADDRESS: &str = semconv::CLIENT_ADDRESS;
/// `client.port`.
pub const CLIENT_PORT: &str = semconv::CLIENT_PORT;
/// `server.port`.
pub const SERVER_PORT: &str = semconv::SERVER_PORT;
/// `process.executable.name`.
pub const PROCESS_EXECUTABLE_NAME: &str = semconv::PROCESS_EXECUTABLE_NAME;
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
/// Own: since.
pub const SINCE: &str = "data_access.since";
/// Own: share of the table.
pub const SHARE: &str = "data_access.table.share";
/// Own: tables.
pub const TABLES: &str = "data_access.tables";
/// Own: completeness.
pub const COMPLETENESS: &str = "data_access.completeness";
/// Own: amount of one statement.
pub const AMOUNT: &str = "data_access.amount";
/// Own: egress.
pub const EGRESS: &str = "data_access.egress";

/// The event of an alert.
pub const ANOMALY: &str = "data_access.anomaly";

/// All attributes.
pub const ATTRIBUTES: &[Attribute] = &[
    Attribute {
        key: DB_SYSTEM_NAME,
        description: "Database system: `postgresql`.",
    },
    Attribute {
        key: DB_NAMESPACE,
        description: "Database connected to.",
    },
    Attribute {
        key: DB_COLLECTION_NAME,
        description: "Table; several of one statement joined by commas, so that a sum over the series counts each row once. Empty without a table.",
    },
    Attribute {
        key: DB_OPERATION_NAME,
        description: "Operation: `SELECT`, `COPY`, … Empty for bytes outside any statement.",
    },
    Attribute {
        key: DB_QUERY_SUMMARY,
        description: "Operation and tables.",
    },
    Attribute {
        key: DB_QUERY_TEXT,
        description: "Statement with every literal replaced by `?`.",
    },
    Attribute {
        key: DB_RESPONSE_RETURNED_ROWS,
        description: "Rows returned by a statement shape within an alert's window; only where the alert is about rows and the operation returns them.",
    },
    Attribute {
        key: USER_NAME,
        description: "Database user. Absent while not known.",
    },
    Attribute {
        key: CLIENT_ADDRESS,
        description: "Client's IP address, `local` for unix sockets, `unknown`.",
    },
    Attribute {
        key: CLIENT_PORT,
        description: "Client's TCP port.",
    },
    Attribute {
        key: SERVER_PORT,
        description: "Server's port.",
    },
    Attribute {
        key: SERVER,
        description: "Server on this host: `version/directory:port`.",
    },
    Attribute {
        key: PROCESS_USER_ID,
        description: "uid of a client process on this host.",
    },
    Attribute {
        key: PROCESS_USER_NAME,
        description: "Its name.",
    },
    Attribute {
        key: PROCESS_EXECUTABLE_NAME,
        description: "Command name of a client process on this host.",
    },
    Attribute {
        key: PROCESS_PID,
        description: "Its process id.",
    },
    Attribute {
        key: LOGIN_USER_ID,
        description: "Audit login uid of a client process on this host: the person behind sudo.",
    },
    Attribute {
        key: LOGIN_USER_NAME,
        description: "Its name.",
    },
    Attribute {
        key: APPLICATION_NAME,
        description: "`application_name` as the client claims it.",
    },
    Attribute {
        key: DIRECTION,
        description: "`returned` or `written` for rows, `sent` or `received` (by the server) for bytes.",
    },
    Attribute {
        key: FINGERPRINT,
        description: "Hash of the sanitised text, equal on all hosts.",
    },
    Attribute {
        key: CAUSE,
        description: "Why bytes were not parsed: `encrypted`, `replication`, `unparsable`, `before_start`, `control`, `missed`, `fault`, `opaque`, `stateless`, `ring`. What was folded: `series`, `principals`, `shapes`, `windows`.",
    },
    Attribute {
        key: PROGRAM,
        description: "BPF program.",
    },
    Attribute {
        key: LOG_RECORD_UID,
        description: "Unique id of an alert; equal when it is delivered twice.",
    },
    Attribute {
        key: THRESHOLD,
        description: "Threshold that was crossed.",
    },
    Attribute {
        key: MEASURE,
        description: "`rows`, `bytes` or `queries`.",
    },
    Attribute {
        key: OBSERVED,
        description: "Amount in the window.",
    },
    Attribute {
        key: ESTIMATED,
        description: "Part of it that is an estimate of rows still streaming.",
    },
    Attribute {
        key: LIMIT,
        description: "The limit.",
    },
    Attribute {
        key: WINDOW,
        description: "Length of the window in seconds, 0 for one statement.",
    },
    Attribute {
        key: SINCE,
        description: "Since when the amount has been accumulating (RFC 3339).",
    },
    Attribute {
        key: SHARE,
        description: "Share of the table's rows, where its size is known.",
    },
    Attribute {
        key: TABLES,
        description: "Tables, largest part first.",
    },
    Attribute {
        key: COMPLETENESS,
        description: "Share of the principal's bytes that was parsed; `data_access.completeness.*` says what was not, by cause.",
    },
    Attribute {
        key: AMOUNT,
        description: "Part of one statement shape, in the alert's measure.",
    },
    Attribute {
        key: EGRESS,
        description: "Ways by which data left through the server's own hands: route and destination.",
    },
];

/// Attributes of a principal's series.
const PRINCIPAL: &[&str] = &[
    DB_SYSTEM_NAME,
    DB_NAMESPACE,
    DB_COLLECTION_NAME,
    DB_OPERATION_NAME,
    USER_NAME,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
];
const PRINCIPAL_DIRECTION: &[&str] = &[
    DB_SYSTEM_NAME,
    DB_NAMESPACE,
    DB_COLLECTION_NAME,
    DB_OPERATION_NAME,
    USER_NAME,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
    DIRECTION,
];
const EGRESS_SERIES: &[&str] = &[
    DB_SYSTEM_NAME,
    DB_NAMESPACE,
    EGRESS,
    USER_NAME,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
];
const STATEMENT: &[&str] = &[
    DB_SYSTEM_NAME,
    DB_QUERY_SUMMARY,
    FINGERPRINT,
    USER_NAME,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
];
const STATEMENT_DIRECTION: &[&str] = &[
    DB_SYSTEM_NAME,
    DB_QUERY_SUMMARY,
    FINGERPRINT,
    USER_NAME,
    CLIENT_ADDRESS,
    SERVER,
    SERVER_PORT,
    PROCESS_USER_ID,
    PROCESS_USER_NAME,
    LOGIN_USER_ID,
    LOGIN_USER_NAME,
    DIRECTION,
];

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
    STATEMENT_ROWS = "data_access.statement.rows", "{row}", Sum, STATEMENT_DIRECTION, "Rows by statement shape, the largest series only.";
    STATEMENT_BYTES = "data_access.statement.bytes", "By", Sum, STATEMENT_DIRECTION, "Bytes by statement shape, the largest series only.";
    STATEMENT_QUERIES = "data_access.statement.queries", "{query}", Sum, STATEMENT, "Statements completed by shape, the largest series only.";
    EGRESS_QUERIES = "data_access.egress.queries", "{query}", Sum, EGRESS_SERIES, "Statements by which data left through the server's own hands (a file, a program, another server).";
    USER_BYTES = "data_access.user.bytes", "By", Sum, &[PROCESS_USER_ID, PROCESS_USER_NAME, DIRECTION], "Bytes that processes of this host's users exchanged with watched servers.";
    PARSED_BYTES = "data_access.sensor.parsed_bytes", "By", Sum, &[], "Bytes on watched sockets that were parsed.";
    BLIND_BYTES = "data_access.sensor.blind_bytes", "By", Sum, &[CAUSE], "Bytes on watched sockets that were not parsed.";
    LOST_DETAIL = "data_access.sensor.lost_detail", "{record}", Sum, &[], "Records whose time and order were lost because the ring was full; their volumes were not.";
    LOST_ROWS = "data_access.sensor.lost_rows", "{row}", Sum, &[], "Rows lost because ring and overflow map were full.";
    TRUNCATED = "data_access.sensor.truncated_statements", "{statement}", Sum, &[], "Statements longer than the 4 KiB that are captured.";
    ESTIMATED_ROWS = "data_access.sensor.estimated_rows", "{row}", Sum, &[], "Rows that are an estimate because their exact count never crossed the wire.";
    MERGED_PIPELINE = "data_access.sensor.merged_pipeline", "{statement}", Sum, &[], "Statements of pipelines too deep to keep apart.";
    UNPARSED_STATEMENTS = "data_access.sensor.unparsed_statements", "{statement}", Sum, &[], "Statement texts that PostgreSQL's grammar refused.";
    MALFORMED = "data_access.sensor.malformed_records", "{record}", Sum, &[], "Records of the kernel side that made no sense.";
    FOLDED = "data_access.sensor.folded", "{series}", Sum, &[CAUSE], "Series, principals, shapes or windows folded or given up because a bound was reached.";
    EXPORT_DROPPED = "data_access.sensor.export_dropped", "{record}", Sum, &[], "Metric batches and alerts that could not be delivered.";
    BPF_RUN_TIME = "data_access.sensor.bpf.run_time", "ns", Sum, &[PROGRAM], "Run time of the BPF programs; counts while kernel.bpf_stats_enabled is on.";
    BPF_RUNS = "data_access.sensor.bpf.runs", "{run}", Sum, &[PROGRAM], "Runs of the BPF programs; counts while kernel.bpf_stats_enabled is on.";
    BPF_MISSES = "data_access.sensor.bpf.misses", "{run}", Sum, &[PROGRAM], "Runs that the kernel skipped: operations not seen.";
    MEMORY = "data_access.sensor.memory", "By", Gauge, &[], "Resident memory of the sensor.";
    CONNECTIONS = "data_access.sensor.connections", "{connection}", Gauge, &[], "Connections that are open.";
    PRINCIPALS = "data_access.sensor.principals", "{principal}", Gauge, &[], "Principals seen.";
    SHAPES = "data_access.sensor.shapes", "{shape}", Gauge, &[], "Statement shapes known.";
    WINDOWS = "data_access.sensor.windows", "{window}", Gauge, &[], "Threshold windows held.";
}

/// docs/metrics.md.
pub fn reference_markdown() -> String {
    let mut text = String::from(
        "# Metrics, events and attributes\n\n\
         Made from `sensor-user/src/export/names.rs`; a test holds both against each other (`UPDATE_DOCS=1 cargo test -p \
         sensor-user` rewrites this file).\n\nNames follow the OpenTelemetry semantic conventions where they have one; \
         own names are all under `data_access.`.\n\n## Metrics\n\nSums are monotonic and cumulative.\n\n\
         | metric | unit | kind | what it says | attributes |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Sum => "sum",
            Kind::Gauge => "gauge",
        };
        let attributes = metric
            .attributes
            .iter()
            .map(|attribute| format!("`{attribute}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let _ = writeln!(
            text,
            "| `{}` | {} | {kind} | {} | {attributes} |",
            metric.name, metric.unit, metric.description
        );
    }
    let _ = write!(
        text,
        "\n## Events\n\nAn alert is a log record with the event name `{ANOMALY}`, severity INFO (9), WARN (13) or ERROR \
         (17), a body that a person can read, and structured attributes. Its trace id leads to a trace of the statements \
         in its window: one root span for the alert, a span for each statement shape.\n\n\
         ## Attributes\n\n| attribute | what it says |\n| --- | --- |\n"
    );
    for attribute in ATTRIBUTES {
        let _ = writeln!(text, "| `{}` | {} |", attribute.key, attribute.description);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_under_data_access() {
        for metric in METRICS {
            assert!(metric.name.starts_with("data_access."), "{}", metric.name);
            for attribute in metric.attributes {
                assert!(
                    ATTRIBUTES.iter().any(|known| known.key == *attribute),
                    "{attribute} of {} is not described",
                    metric.name
                );
            }
        }
    }

    #[test]
    fn the_reference_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, reference_markdown()).expect("docs/metrics.md is writable");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == reference_markdown(),
            "docs/metrics.md is out of date: run UPDATE_DOCS=1 cargo test -p sensor-user"
        );
    }
}
