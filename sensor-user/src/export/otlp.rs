//! OTLP messages.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
        number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};

use super::{
    AlertRecord, MetricPoint, Value, describe,
    names::{self, Kind},
    point::{Attributes, principal_attributes},
};
use crate::{
    detect::{Measure, Severity},
    time::Timestamp,
};

/// Cumulative temporality.
const CUMULATIVE: i32 = 2;

/// Turns what is exported into OTLP messages.
#[derive(Debug)]
pub struct Messages {
    resource: Resource,
    scope: InstrumentationScope,
}

impl Messages {
    /// For this resource.
    pub fn new(resource: &[(String, String)]) -> Self {
        Self {
            resource: Resource {
                attributes: resource
                    .iter()
                    .map(|(key, value)| key_value(key, &Value::Text(value.as_str().into())))
                    .collect(),
                ..Resource::default()
            },
            scope: InstrumentationScope {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            },
        }
    }

    /// Metrics.
    pub fn metrics(&self, points: Vec<MetricPoint>) -> ExportMetricsServiceRequest {
        let mut by_metric: BTreeMap<&str, (&'static names::Metric, Vec<NumberDataPoint>)> =
            BTreeMap::new();
        for point in points {
            by_metric
                .entry(point.metric.name)
                .or_insert_with(|| (point.metric, Vec::new()))
                .1
                .push(NumberDataPoint {
                    attributes: key_values(&point.attributes),
                    start_time_unix_nano: point.start.0,
                    time_unix_nano: point.time.0,
                    value: Some(number_data_point::Value::AsInt(
                        i64::try_from(point.value).unwrap_or(i64::MAX),
                    )),
                    ..NumberDataPoint::default()
                });
        }
        let metrics = by_metric
            .into_values()
            .map(|(definition, data_points)| Metric {
                name: definition.name.to_owned(),
                description: definition.description.to_owned(),
                unit: definition.unit.to_owned(),
                data: Some(match definition.kind {
                    Kind::Sum => metric::Data::Sum(Sum {
                        data_points,
                        aggregation_temporality: CUMULATIVE,
                        is_monotonic: true,
                    }),
                    Kind::Gauge => metric::Data::Gauge(Gauge { data_points }),
                }),
                ..Metric::default()
            })
            .collect();
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(self.scope.clone()),
                    metrics,
                    schema_url: schema_url(),
                }],
                schema_url: schema_url(),
            }],
        }
    }

    /// An alert as a log record.
    pub fn alert(&self, record: &AlertRecord) -> ExportLogsServiceRequest {
        let (severity_number, severity_text) = match record.alert.severity {
            Severity::Info => (9, "INFO"),
            Severity::Warning => (13, "WARN"),
            Severity::Critical => (17, "ERROR"),
        };
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(self.scope.clone()),
                    log_records: vec![LogRecord {
                        time_unix_nano: record.alert.time.0,
                        observed_time_unix_nano: Timestamp::now().0,
                        severity_number,
                        severity_text: severity_text.to_owned(),
                        body: Some(any_value(&Value::from(describe(record).as_str()))),
                        attributes: key_values(&alert_attributes(record)),
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
            name: format!("{} {}", names::ANOMALY, alert.threshold),
            kind: SpanKind::Internal as i32,
            start_time_unix_nano: alert.since.0,
            end_time_unix_nano: alert.time.0,
            attributes: key_values(&alert_attributes(record)),
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
                name: statement.summary.to_string(),
                kind: SpanKind::Server as i32,
                start_time_unix_nano: statement.first.0,
                end_time_unix_nano: statement.last.0,
                attributes: key_values(&attributes),
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

/// The conventions that names are from.
fn schema_url() -> String {
    opentelemetry_semantic_conventions::SCHEMA_URL.to_owned()
}

fn alert_attributes(record: &AlertRecord) -> Attributes {
    let alert = &record.alert;
    let mut attributes = principal_attributes(&record.principal);
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
        (names::LIMIT, alert.limit.into()),
        (names::WINDOW, alert.window.as_secs().into()),
        (names::SINCE, alert.since.to_string().as_str().into()),
        (names::TABLES, Value::List(alert.tables.clone())),
        (
            names::COMPLETENESS,
            Value::Fraction(record.completeness.share()),
        ),
    ]);
    if let Some(table) = alert.tables.first() {
        attributes.push((names::DB_COLLECTION_NAME, table.clone().into()));
    }
    if let Some(statement) = alert.statements.first() {
        attributes.push((names::DB_QUERY_SUMMARY, statement.summary.clone().into()));
        attributes.push((names::DB_QUERY_TEXT, statement.text.clone().into()));
    }
    if let Some(share) = alert.share_of_table {
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
        if session.client_port > 0 {
            attributes.push((names::CLIENT_PORT, u64::from(session.client_port).into()));
        }
        if !session.program.is_empty() {
            attributes.push((
                names::PROCESS_EXECUTABLE_NAME,
                session.program.clone().into(),
            ));
        }
        if let Some(pid) = session.client_pid {
            attributes.push((names::PROCESS_PID, u64::from(pid).into()));
        }
        if !session.application_name.is_empty() {
            attributes.push((
                names::APPLICATION_NAME,
                session.application_name.clone().into(),
            ));
        }
    }
    let completeness = &record.completeness;
    for (key, value) in [
        (
            "data_access.completeness.bytes_seen",
            completeness.bytes_seen,
        ),
        (
            "data_access.completeness.bytes_parsed",
            completeness.bytes_parsed,
        ),
        (
            "data_access.completeness.encrypted_bytes",
            completeness.encrypted_bytes,
        ),
        (
            "data_access.completeness.replication_bytes",
            completeness.replication_bytes,
        ),
        (
            "data_access.completeness.unparsable_bytes",
            completeness.unparsable_bytes,
        ),
        (
            "data_access.completeness.before_start_bytes",
            completeness.before_start_bytes,
        ),
        (
            "data_access.completeness.control_bytes",
            completeness.control_bytes,
        ),
        (
            "data_access.completeness.missed_bytes",
            completeness.missed_bytes,
        ),
        (
            "data_access.completeness.unattributed_bytes",
            completeness.unattributed_bytes,
        ),
        (
            "data_access.completeness.unknown_statement_bytes",
            completeness.unknown_statement_bytes,
        ),
        (
            "data_access.completeness.lost_detail_records",
            completeness.lost_detail_records,
        ),
        (
            "data_access.completeness.truncated_statements",
            completeness.truncated_statements,
        ),
        (
            "data_access.completeness.estimated_rows",
            completeness.estimated_rows,
        ),
    ] {
        attributes.push((key, value.into()));
    }
    attributes
}

fn key_values(attributes: &Attributes) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|(key, value)| key_value(key, value))
        .collect()
}

fn key_value(key: &str, value: &Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(any_value(value)),
        ..KeyValue::default()
    }
}

fn any_value(value: &Value) -> AnyValue {
    AnyValue {
        value: Some(match value {
            Value::Text(text) => any_value::Value::StringValue(text.to_string()),
            Value::Integer(number) => any_value::Value::IntValue(*number),
            Value::Fraction(number) => any_value::Value::DoubleValue(*number),
            Value::List(list) => any_value::Value::ArrayValue(ArrayValue {
                values: list
                    .iter()
                    .map(|text| any_value(&Value::Text(text.clone())))
                    .collect(),
            }),
        }),
    }
}

/// Derived from the alert's id: delivered twice, it is one trace.
fn trace_id(id: &str) -> Vec<u8> {
    let mut bytes = hash(id, 1).to_be_bytes().to_vec();
    bytes.extend(hash(id, 2).to_be_bytes());
    bytes
}

fn span_id(id: &str, number: u64) -> Vec<u8> {
    (hash(id, 3 + number) | 1).to_be_bytes().to_vec()
}

/// FNV-1a; ids need to differ, not to resist anyone.
pub fn hash(text: &str, seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    text.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
