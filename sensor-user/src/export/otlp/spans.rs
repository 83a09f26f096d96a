//! Sessions and their statements as spans.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Link, SpanKind},
        status::StatusCode,
    },
};

use super::{
    Messages,
    alert::{UNSET, span_id, span_name, trace_id},
    fingerprint, schema_url,
};
use crate::{
    export::{
        Value, names,
        point::{Attributes, describe_session, principal_attributes},
    },
    principal::Session,
    trace::{Reason, SessionSpan, SpanContext, Spans, StatementSpan},
};

/// Spans in one request: each is about a kilobyte, a request stays well below what receivers take.
const TOGETHER: usize = 500;

impl Messages {
    /// Spans, in requests that each stay below what receivers take.
    pub fn spans(&self, spans: &Spans) -> Vec<ExportTraceServiceRequest> {
        let all: Vec<Span> = spans
            .statements
            .iter()
            .map(|span| self.statement(span))
            .chain(spans.sessions.iter().map(|span| self.session(span)))
            .collect();
        all.chunks(TOGETHER)
            .map(|spans| ExportTraceServiceRequest {
                resource_spans: vec![ResourceSpans {
                    resource: Some(self.resource.clone()),
                    scope_spans: vec![ScopeSpans {
                        scope: Some(self.scope.clone()),
                        spans: spans.to_vec(),
                        schema_url: schema_url(),
                    }],
                    schema_url: schema_url(),
                }],
            })
            .collect()
    }

    fn statement(&self, span: &StatementSpan) -> Span {
        let mut attributes = session_attributes(&span.session);
        let shape = &span.shape;
        let mut text = |key, value: &str| {
            if !value.is_empty() {
                attributes.push((key, value.into()));
            }
        };
        text(names::DB_COLLECTION_NAME, &shape.tables.join(","));
        text(names::DB_OPERATION_NAME, &shape.operation);
        text(names::DB_QUERY_SUMMARY, &shape.summary);
        text(names::DB_QUERY_TEXT, &shape.text);
        if !shape.text.is_empty() {
            text(names::FINGERPRINT, &fingerprint(shape));
        }
        let volume = &span.volume;
        let mut number = |key, value: u64| attributes.push((key, value.into()));
        number(names::DB_RESPONSE_RETURNED_ROWS, volume.rows_returned);
        number(names::ROWS_WRITTEN, volume.rows_written);
        number(names::BYTES_SENT, volume.bytes_sent);
        number(names::BYTES_RECEIVED, volume.bytes_received);
        if volume.queries > 1 {
            number(names::STATEMENTS, volume.queries);
            if let Some(largest) = span.largest {
                number(names::LARGEST_ROWS, largest.rows);
            }
        }
        let mut links: Vec<Link> = span.application.map(link).into_iter().collect();
        let (reason, probability) = match &span.reason {
            Reason::Alert(id) => {
                attributes.push((names::ALERT_UID, id.clone().into()));
                links.push(Link {
                    trace_id: trace_id(id),
                    span_id: span_id(id, 0),
                    ..Link::default()
                });
                ("alert", 1.0)
            }
            Reason::Failed => ("failed", 1.0),
            Reason::Largest => ("largest", 1.0),
            Reason::Application => ("application", 1.0),
            Reason::Chance(probability) => ("chance", *probability),
        };
        attributes.push((names::SAMPLED_BY, reason.into()));
        attributes.push((names::PROBABILITY, Value::Fraction(probability)));
        let status = if span.failed {
            let code = span.sqlstate.as_ref();
            let code = code.and_then(|code| std::str::from_utf8(code).ok());
            if let Some(code) = code {
                attributes.push((names::DB_RESPONSE_STATUS_CODE, code.into()));
            }
            // Without: the conventions' word for an error that is not known more closely.
            attributes.push((names::ERROR_TYPE, code.unwrap_or("_OTHER").into()));
            Some(Status {
                code: StatusCode::Error as i32,
                ..Status::default()
            })
        } else {
            UNSET
        };
        Span {
            trace_id: span.context.trace.to_vec(),
            span_id: span.context.span.to_vec(),
            parent_span_id: span.parent.span.to_vec(),
            name: span_name(&shape.summary),
            kind: SpanKind::Server as i32,
            start_time_unix_nano: span.started.0,
            end_time_unix_nano: span.ended.0,
            attributes: self.placed(attributes),
            links,
            status,
            ..Span::default()
        }
    }

    fn session(&self, span: &SessionSpan) -> Span {
        let mut attributes = session_attributes(&span.session);
        for (key, value) in [
            (names::STATEMENTS, span.volume.queries),
            (names::DB_RESPONSE_RETURNED_ROWS, span.volume.rows_returned),
            (names::ROWS_WRITTEN, span.volume.rows_written),
            (names::BYTES_SENT, span.volume.bytes_sent),
            (names::BYTES_RECEIVED, span.volume.bytes_received),
        ] {
            attributes.push((key, value.into()));
        }
        let user = span.principal.user.as_deref().unwrap_or("unknown user");
        Span {
            trace_id: span.context.trace.to_vec(),
            span_id: span.context.span.to_vec(),
            name: format!("session {user} {}", span.session.database)
                .trim_end()
                .to_owned(),
            kind: SpanKind::Internal as i32,
            start_time_unix_nano: span.started.0,
            end_time_unix_nano: span.ended.0,
            attributes: self.placed(attributes),
            links: span.previous.map(link).into_iter().collect(),
            status: UNSET,
            ..Span::default()
        }
    }
}

fn session_attributes(session: &Session) -> Attributes {
    let mut attributes = principal_attributes(&session.who);
    if !session.database.is_empty() {
        attributes.push((names::DB_NAMESPACE, session.database.clone().into()));
    }
    describe_session(&mut attributes, session);
    attributes
}

/// A link to another span.
pub fn link(context: SpanContext) -> Link {
    Link {
        trace_id: context.trace.to_vec(),
        span_id: context.span.to_vec(),
        ..Link::default()
    }
}

/// As ids are written for people.
pub fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
