//! An alert as a log record and as a trace.

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};

use super::{
    Messages, any_value, hash, schema_url,
    spans::{hexadecimal, link},
};
use crate::{
    detect::{Measure, Severity, arbitration::Verdict, explain},
    export::{
        AlertRecord, Value, describe, names,
        point::{Attributes, describe_session, principal_attributes},
    },
    time::Timestamp,
    trace::{OfAlert, SpanContext},
    volume::completeness::Completeness,
};

/// No verdict, said aloud: an absent status would be `null` in OTLP JSON, which not every reader takes.
pub(super) const UNSET: Option<Status> = Some(Status {
    message: String::new(),
    code: StatusCode::Unset as i32,
});

impl Messages {
    /// An alert as a log record.
    pub fn alert(&self, record: &AlertRecord) -> ExportLogsServiceRequest {
        let (severity_number, severity_text) = match record.alert.severity {
            Severity::Info => (SeverityNumber::Info, "INFO"),
            Severity::Warning => (SeverityNumber::Warn, "WARN"),
            Severity::Critical => (SeverityNumber::Error, "ERROR"),
        };
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(self.scope.clone()),
                    log_records: vec![LogRecord {
                        time_unix_nano: record.alert.time.0,
                        observed_time_unix_nano: Timestamp::now().0,
                        severity_number: severity_number as i32,
                        severity_text: severity_text.to_owned(),
                        body: Some(any_value(&Value::from(describe(record).as_str()))),
                        attributes: self.placed(alert_attributes(record)),
                        trace_id: trace_id(&record.alert.id),
                        span_id: span_id(&record.alert.id, 0),
                        event_name: names::ANOMALY.to_owned(),
                        ..LogRecord::default()
                    }],
                    schema_url: schema_url(),
                }],
                schema_url: schema_url(),
            }],
        }
    }

    /// The statements of an alert as a trace.
    pub fn trace(&self, record: &AlertRecord) -> ExportTraceServiceRequest {
        let alert = &record.alert;
        let trace = trace_id(&alert.id);
        let root = span_id(&alert.id, 0);
        let mut spans = vec![Span {
            trace_id: trace.clone(),
            span_id: root.clone(),
            // Lists of traces show little more than that.
            name: format!("alert {} {}", alert.threshold, record.who().shown_user()),
            kind: SpanKind::Internal as i32,
            start_time_unix_nano: alert.since.0,
            end_time_unix_nano: alert.time.0,
            attributes: self.placed(alert_attributes(record)),
            status: status(record),
            links: session(record).map(link).into_iter().collect(),
            ..Span::default()
        }];
        for (number, statement) in alert.statements.iter().enumerate() {
            let mut attributes = principal_attributes(&record.principal);
            attributes.push((names::DB_NAMESPACE, alert.database.clone().into()));
            attributes.push((names::DB_QUERY_SUMMARY, statement.summary.clone().into()));
            attributes.push((names::DB_QUERY_TEXT, statement.text.clone().into()));
            attributes.push((names::AMOUNT, statement.amount.into()));
            // The measure counts rows written too: only of a reading operation is it what the convention means.
            let operation = statement.summary.split(' ').next().unwrap_or_default();
            if alert.measure == Measure::Rows
                && matches!(operation, "SELECT" | "FETCH" | "TABLE" | "VALUES")
            {
                attributes.push((names::DB_RESPONSE_RETURNED_ROWS, statement.amount.into()));
            }
            spans.push(Span {
                trace_id: trace.clone(),
                span_id: span_id(&alert.id, number as u64 + 1),
                parent_span_id: root.clone(),
                name: span_name(&statement.summary),
                kind: SpanKind::Server as i32,
                start_time_unix_nano: statement.first.0,
                end_time_unix_nano: statement.last.0,
                attributes: self.placed(attributes),
                status: UNSET,
                ..Span::default()
            });
        }
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![ScopeSpans {
                    scope: Some(self.scope.clone()),
                    spans,
                    schema_url: schema_url(),
                }],
                schema_url: schema_url(),
            }],
        }
    }
}

fn session(record: &AlertRecord) -> Option<SpanContext> {
    record.trace.and_then(|of_alert| of_alert.session)
}

/// What is worth a look is red in lists, and says why.
fn status(record: &AlertRecord) -> Option<Status> {
    match record.alert.severity {
        Severity::Info => UNSET,
        Severity::Warning | Severity::Critical => Some(Status {
            message: describe(record)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
            code: StatusCode::Error as i32,
        }),
    }
}

fn alert_attributes(record: &AlertRecord) -> Attributes {
    let alert = &record.alert;
    let mut attributes = principal_attributes(record.who());
    let measure = match alert.measure {
        Measure::Rows => "rows",
        Measure::Bytes => "bytes",
        Measure::Queries => "queries",
    };
    attributes.extend([
        (names::LOG_RECORD_UID, alert.id.clone().into()),
        (names::THRESHOLD, alert.threshold.clone().into()),
        (names::DB_NAMESPACE, alert.database.clone().into()),
        (names::MEASURE, measure.into()),
        (names::OBSERVED, alert.observed.into()),
        (names::ESTIMATED, alert.estimated.into()),
        (names::WINDOW, alert.window.as_secs().into()),
        (names::SINCE, alert.since.to_string().as_str().into()),
        (names::TABLES, Value::List(alert.tables.clone())),
        (
            names::COMPLETENESS,
            Value::Fraction(record.completeness.share()),
        ),
    ]);
    match &alert.verdict {
        None => {
            attributes.push((names::LANE, "threshold".into()));
            attributes.push((names::LIMIT, alert.limit.into()));
            let silence = format!(
                "raise the limit of [[threshold]] \"{}\" above {}, give it an exception, or acknowledge the alert (sensor alerts acknowledge)",
                alert.threshold, alert.observed
            );
            attributes.push((names::SILENCED_BY, silence.as_str().into()));
        }
        Some(verdict) => attributes.extend(verdict_attributes(verdict)),
    }
    if !alert.statements.is_empty() {
        let shapes = alert.statements.iter().map(|one| one.text.clone());
        attributes.push((names::ALERT_SHAPES, Value::List(shapes.collect())));
    }
    if let Some(table) = alert.tables.first() {
        attributes.push((names::DB_COLLECTION_NAME, table.clone().into()));
    }
    if let Some(statement) = alert.statements.first() {
        attributes.push((names::DB_QUERY_SUMMARY, statement.summary.clone().into()));
        attributes.push((names::DB_QUERY_TEXT, statement.text.clone().into()));
    }
    if let Some(share) = alert.share_of_table.filter(|share| share.is_finite()) {
        attributes.push((names::SHARE, Value::Fraction(share)));
    }
    if !record.egress.is_empty() {
        let ways = record
            .egress
            .iter()
            .map(|way| way.as_str().into())
            .collect();
        attributes.push((names::EGRESS, Value::List(ways)));
    }
    if let Some(session) = &record.session {
        describe_session(&mut attributes, session);
    }
    if let Some(context) = session(record) {
        attributes.push((
            names::SESSION_TRACE,
            hexadecimal(&context.trace).as_str().into(),
        ));
    }
    if let Some(OfAlert {
        told,
        left_out,
        since,
        ..
    }) = record.trace
    {
        attributes.push((names::ALERT_TOLD, told.into()));
        attributes.push((names::ALERT_LEFT_OUT, left_out.into()));
        if let Some(since) = since {
            attributes.push((
                names::ALERT_COUNTED_SINCE,
                since.to_string().as_str().into(),
            ));
        }
    }
    attributes.extend(completeness_attributes(&record.completeness));
    attributes
}

/// What a lane adds.
fn verdict_attributes(verdict: &Verdict) -> Attributes {
    let list = |texts: &mut dyn Iterator<Item = &str>| Value::List(texts.map(Into::into).collect());
    let mut attributes: Attributes = vec![
        (names::LANE, verdict.lane.into()),
        (names::LANES, list(&mut verdict.lanes.iter().copied())),
        (names::EXPECTED, verdict.expected.into()),
        (names::ODDS, verdict.odds.into()),
        (names::ASSUMPTION, explain::ASSUMPTION.into()),
        (names::SILENCED_BY, explain::SILENCED_BY.into()),
        (names::ACTIVE_DAYS, u64::from(verdict.active_days).into()),
    ];
    if let Some(peers) = verdict.peers {
        attributes.push((names::PEERS, peers.into()));
    }
    if let Some(group) = &verdict.group {
        attributes.push((names::GROUP, group.clone().into()));
    }
    if !verdict.evidence.is_empty() {
        let evidence = &mut verdict.evidence.iter().map(String::as_str);
        attributes.push((names::EVIDENCE, list(evidence)));
    }
    if !verdict.principals.is_empty() {
        let principals = Value::List(verdict.principals.clone());
        attributes.push((names::PRINCIPALS_INVOLVED, principals));
    }
    attributes
}

/// All of it by name: a field that is added and forgotten here does not compile.
fn completeness_attributes(completeness: &Completeness) -> Attributes {
    let Completeness {
        bytes_seen,
        bytes_parsed,
        encrypted_bytes,
        replication_bytes,
        compressed_bytes,
        unparsable_bytes,
        before_start_bytes,
        control_bytes,
        unattributed_bytes,
        unknown_statement_bytes,
        missed_bytes,
        lost_detail_records,
        truncated_statements,
        estimated_rows,
    } = *completeness;
    [
        (names::BYTES_SEEN, bytes_seen),
        (names::BYTES_PARSED, bytes_parsed),
        (names::ENCRYPTED_BYTES, encrypted_bytes),
        (names::REPLICATION_BYTES, replication_bytes),
        (names::COMPRESSED_BYTES, compressed_bytes),
        (names::UNPARSABLE_BYTES, unparsable_bytes),
        (names::BEFORE_START_BYTES, before_start_bytes),
        (names::CONTROL_BYTES, control_bytes),
        (names::UNATTRIBUTED_BYTES, unattributed_bytes),
        (names::UNKNOWN_STATEMENT_BYTES, unknown_statement_bytes),
        (names::MISSED_BYTES, missed_bytes),
        (names::LOST_DETAIL_RECORDS, lost_detail_records),
        (names::TRUNCATED_STATEMENTS, truncated_statements),
        (names::COMPLETENESS_ESTIMATED_ROWS, estimated_rows),
    ]
    .map(|(key, value)| (key, Value::from(value)))
    .to_vec()
}

/// A span needs a name; a statement has none when its text is not known.
pub(super) fn span_name(summary: &str) -> String {
    if summary.is_empty() {
        "unknown statement".to_owned()
    } else {
        summary.to_owned()
    }
}

/// Derived from the alert's id: delivered twice, it is one trace.
pub(super) fn trace_id(id: &str) -> Vec<u8> {
    let mut bytes = mixed(hash(id, 1)).to_be_bytes().to_vec();
    bytes.extend(mixed(hash(id, 2)).to_be_bytes());
    bytes
}

pub(super) fn span_id(id: &str, number: u64) -> Vec<u8> {
    // Never all zeros, which is no id.
    (mixed(hash(id, 3 + number)) | 1).to_be_bytes().to_vec()
}

/// MurmurHash3's finaliser: ids that differ in their last letter only differ all over, as samplers that look at a part
/// of a trace id expect.
fn mixed(mut hash: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash ^= hash >> 33;
        hash = u64::wrapping_mul(hash, factor);
    }
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests;
