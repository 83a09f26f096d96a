//! What each attribute says.

use super::*;

/// All attributes.
pub const ATTRIBUTES: &[Attribute] = &[
    Attribute {
        key: DB_SYSTEM_NAME,
        description: "Database system: `postgresql`, `mariadb`, `mysql` or `redis` (Valkey, too).",
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
        description: "Database user who logged in. Absent while not known, `unknown (since before start)` of connections older than the sensor; `other`: what is not exported in a series of its own.",
    },
    Attribute {
        key: USER_ROLES,
        description: "The role in force after `SET ROLE` or `SET SESSION AUTHORIZATION`, `(unknown)` where it can't be told. Absent when it is the user's own.",
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
        key: NETWORK_TRANSPORT,
        description: "`tcp`, or `unix` for unix sockets. On spans and alerts, not on metrics.",
    },
    Attribute {
        key: SERVER_ADDRESS,
        description: "The database's host: `host.name`. On spans and alerts, not on metrics.",
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
        description: "Command name of a client process on this host. On metrics only when `[principals] identity` has it, as `application_name`, the audit session, container and pod.",
    },
    Attribute {
        key: PROCESS_EXECUTABLE_PATH,
        description: "Executable of a client process on this host. On spans and alerts.",
    },
    Attribute {
        key: PROCESS_COMMAND_LINE,
        description: "Its command line, 256 bytes at most. On spans and alerts, when `[principals] command_lines` is on.",
    },
    Attribute {
        key: CONTAINER_ID,
        description: "Container of a client process on this host, as its control group says.",
    },
    Attribute {
        key: K8S_POD_UID,
        description: "Its pod, likewise.",
    },
    Attribute {
        key: POOLER,
        description: "The client is a connection pooler: its command name on this host, or its configured address. Who is behind it is not known. On spans and alerts; on metrics where `pooler` is part of the identity, as by default.",
    },
    Attribute {
        key: TLS_CLIENT_SUBJECT,
        description: "Subject of the certificate that the client showed to the server in TLS, which verified it: `CN=` and its common name alone, escaped as in RFC 4514. On metrics where `certificate` is part of the identity, as by default.",
    },
    Attribute {
        key: TAGS,
        description: "Who asks, as the application says by the configured tags in the comment of a statement (sqlcommenter): `user=ann`. On spans and alerts; on metrics where tags are part of the identity, as they are by default once some are configured.",
    },
    Attribute {
        key: AUDIT_SESSION,
        description: "Audit session of a client process on this host: one login.",
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
        description: "Why bytes were not parsed: `encrypted`, `replication`, `compressed`, `unparsable`, `before_start`, `control`, `missed`, `fault`, `opaque`, `stateless`, `unattributed`, `ring`. What was folded: `series`, `principals`, `shapes`, `windows`. Why keys of records are not known: `ring` (full), `cut` (the text was longer than what is looked at, or written in another way than was learnt), `under_way` (forgotten before the rows came), `plans` (too many statements), `series` (too many principals and tables). Why a reader was dropped: `refused`, `slow`, `idle`, `malformed`. Why a statement is not linked: `budget` (`links_per_second`), `ring` (full), `under_way` (forgotten meanwhile, or not the statement that it came with).",
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
        description: "Threshold that was crossed; for other lanes the lane's name.",
    },
    Attribute {
        key: LANE,
        description: "Lane that weighs most: `threshold`, `fast`, `drift`, `coverage` or `group`.",
    },
    Attribute {
        key: LANES,
        description: "All lanes that found something.",
    },
    Attribute {
        key: EXPECTED,
        description: "Amount that was to be expected by the own past and the peers' days.",
    },
    Attribute {
        key: PEERS,
        description: "Amount of the middle one of the peers.",
    },
    Attribute {
        key: ODDS,
        description: "N of `about 1 in N by chance, if the assumptions hold` (docs/detection.md).",
    },
    Attribute {
        key: ASSUMPTION,
        description: "What has to hold for that.",
    },
    Attribute {
        key: ACTIVE_DAYS,
        description: "Active days in the window.",
    },
    Attribute {
        key: EVIDENCE,
        description: "What the principal did differently, sentence by sentence.",
    },
    Attribute {
        key: ALERT_SHAPES,
        description: "Of an alert: the statements that most of it came by, literals replaced by `?`, largest part first.",
    },
    Attribute {
        key: SILENCED_BY,
        description: "Of an alert: what would silence it.",
    },
    Attribute {
        key: PRINCIPALS_INVOLVED,
        description: "Accounts that contributed most, where the alert is about a client host, an OS user or a team.",
    },
    Attribute {
        key: GROUP,
        description: "Group of the principal ([detection.groups]).",
    },
    Attribute {
        key: SEVERITY,
        description: "Of an alert: `info`, `warning` or `critical`.",
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
        description: "The limit; absent for lanes, which have an expectation instead.",
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
        description: "Share of the principal's bytes that was parsed; the others of `data_access.completeness.*` say what was not, by cause.",
    },
    Attribute {
        key: BYTES_SEEN,
        description: "Bytes of the principal on watched sockets, both directions.",
    },
    Attribute {
        key: BYTES_PARSED,
        description: "Those that were parsed.",
    },
    Attribute {
        key: ENCRYPTED_BYTES,
        description: "Not parsed: TLS or GSSAPI.",
    },
    Attribute {
        key: REPLICATION_BYTES,
        description: "Not parsed: replication or physical backup.",
    },
    Attribute {
        key: COMPRESSED_BYTES,
        description: "Not parsed: compressed between client and server.",
    },
    Attribute {
        key: UNPARSABLE_BYTES,
        description: "Not parsed: not the protocol, or not any more.",
    },
    Attribute {
        key: BEFORE_START_BYTES,
        description: "Not parsed: the connection is older than the sensor.",
    },
    Attribute {
        key: CONTROL_BYTES,
        description: "Not parsed: cancel requests.",
    },
    Attribute {
        key: MISSED_BYTES,
        description: "Bytes that the socket carried but no record holds.",
    },
    Attribute {
        key: UNATTRIBUTED_BYTES,
        description: "Parsed, of connections of which the user is not known.",
    },
    Attribute {
        key: UNKNOWN_STATEMENT_BYTES,
        description: "Parsed, of statements whose text is not known.",
    },
    Attribute {
        key: LOST_DETAIL_RECORDS,
        description: "Records that found the ring full: volume kept, time and order lost.",
    },
    Attribute {
        key: TRUNCATED_STATEMENTS,
        description: "Statements longer than what is captured.",
    },
    Attribute {
        key: COMPLETENESS_ESTIMATED_ROWS,
        description: "Rows that are an estimate because their exact count never crossed the wire.",
    },
    Attribute {
        key: AMOUNT,
        description: "Part of one statement shape, in the alert's measure; for lanes in rows, those of the last days weighing most.",
    },
    Attribute {
        key: SIGNAL,
        description: "What was exported: `logs` (alerts), `traces` (of alerts and sessions), `metrics`, `records` (sketches).",
    },
    Attribute {
        key: RECORD_HASHES,
        description: "The 512 smallest hashes of records, 32 bits each as eight hexadecimal digits, ascending, blanks between.",
    },
    Attribute {
        key: RECORD_LIMIT,
        description: "Hashes at or above are left out; 4294967296 (2^32) where none was. The hashes stand for their number times 2^32 / limit.",
    },
    Attribute {
        key: RECORD_COUNT,
        description: "How many distinct records that is, rounded.",
    },
    Attribute {
        key: RECORD_SECRET,
        description: "Which secret the hashes are under, without telling it: only sketches of one secret unite.",
    },
    Attribute {
        key: EGRESS,
        description: "Ways by which data left through the server's own hands: route and destination.",
    },
    Attribute {
        key: ERROR_TYPE,
        description: "On the span of a statement that failed its SQLSTATE; `_OTHER` where that did not cross the wire (the connection ended, say).",
    },
    Attribute {
        key: DB_RESPONSE_STATUS_CODE,
        description: "SQLSTATE of a statement that failed.",
    },
    Attribute {
        key: ROWS_WRITTEN,
        description: "Rows that the statements of a span wrote.",
    },
    Attribute {
        key: BYTES_SENT,
        description: "Bytes that the server sent for them.",
    },
    Attribute {
        key: BYTES_RECEIVED,
        description: "Bytes that it received for them.",
    },
    Attribute {
        key: STATEMENTS,
        description: "How many equal small statements a span stands for, from the first's begin to the last's end; absent for one.",
    },
    Attribute {
        key: LARGEST_ROWS,
        description: "Most rows that one of them returned and wrote.",
    },
    Attribute {
        key: SAMPLED_BY,
        description: "Why a statement has a span: `alert`, `failed`, `largest`, `application` (which samples its own trace), `chance`; `left_out` where it has none.",
    },
    Attribute {
        key: PROBABILITY,
        description: "Probability with which a span was chosen: 1 for all reasons but `chance`.",
    },
    Attribute {
        key: ALERT_UID,
        description: "`log.record.uid` of the alert that a statement is part of.",
    },
    Attribute {
        key: ALERT_TOLD,
        description: "Of an alert: statements of its window that have spans because of it, in their sessions' traces.",
    },
    Attribute {
        key: ALERT_LEFT_OUT,
        description: "Of an alert: statements of its window that have none: more than a hundred spans of one alert, or a session that is over. All of them are in the alert's amounts.",
    },
    Attribute {
        key: ALERT_COUNTED_SINCE,
        description: "Of an alert: before this time, later than its window's begin, its statements are not remembered one by one and in neither number. Absent where all are.",
    },
    Attribute {
        key: SESSION_TRACE,
        description: "Trace of the session that an alert is about.",
    },
];
