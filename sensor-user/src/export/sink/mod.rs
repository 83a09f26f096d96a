//! Where telemetry goes: one trait, one file a sink.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, KeyValue, any_value},
};
use prost::Message as _;
use reqwest::Url;

use super::{describe::visible, names};

pub mod any;
pub mod connection;
pub mod file;
pub mod grpc;
pub mod http;
mod rpc;

#[cfg(test)]
pub use rpc::retry_details;

/// Kinds of telemetry, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Alerts.
    Logs,
    /// Traces of alerts.
    Traces,
    /// Metrics.
    Metrics,
    /// Sketches of distinct records: log records that are no alerts and never in the way of one.
    Records,
}

/// How many signals there are.
pub const SIGNALS: usize = Signal::ALL.len();

impl Signal {
    /// In the order of their urgency.
    pub const ALL: [Self; 4] = [Self::Logs, Self::Traces, Self::Metrics, Self::Records];

    /// As in metrics and messages to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Records => "records",
        }
    }

    /// As in the paths of OTLP/HTTP.
    pub fn path(self) -> &'static str {
        match self {
            Self::Records => Self::Logs.as_str(),
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to deliver.
#[derive(Clone, Debug)]
pub enum Message {
    /// Metrics.
    Metrics(ExportMetricsServiceRequest),
    /// An alert.
    Logs(ExportLogsServiceRequest),
    /// The trace of an alert.
    Traces(ExportTraceServiceRequest),
    /// Sketches of distinct records.
    Records(ExportLogsServiceRequest),
}

impl Message {
    /// Its signal.
    pub fn signal(&self) -> Signal {
        match self {
            Self::Metrics(_) => Signal::Metrics,
            Self::Logs(_) => Signal::Logs,
            Self::Traces(_) => Signal::Traces,
            Self::Records(_) => Signal::Records,
        }
    }

    /// In protobuf.
    pub fn encoded(&self) -> Vec<u8> {
        match self {
            Self::Metrics(message) => message.encode_to_vec(),
            Self::Logs(message) | Self::Records(message) => message.encode_to_vec(),
            Self::Traces(message) => message.encode_to_vec(),
        }
    }

    /// Length of that.
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Metrics(message) => message.encoded_len(),
            Self::Logs(message) | Self::Records(message) => message.encoded_len(),
            Self::Traces(message) => message.encoded_len(),
        }
    }

    /// From protobuf, when it is.
    pub fn decode(signal: Signal, bytes: &[u8]) -> Option<Self> {
        Some(match signal {
            Signal::Metrics => Self::Metrics(ExportMetricsServiceRequest::decode(bytes).ok()?),
            Signal::Logs => Self::Logs(ExportLogsServiceRequest::decode(bytes).ok()?),
            Signal::Traces => Self::Traces(ExportTraceServiceRequest::decode(bytes).ok()?),
            Signal::Records => Self::Records(ExportLogsServiceRequest::decode(bytes).ok()?),
        })
    }

    /// What it is about, for messages to people.
    pub fn subject(&self) -> String {
        let Self::Logs(request) = self else {
            return self.signal().to_string();
        };
        let records = request
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs)
            .flat_map(|scope| &scope.log_records);
        let text = |value: &AnyValue| match &value.value {
            Some(any_value::Value::StringValue(text)) => text.lines().next().map(str::to_owned),
            _ => None,
        };
        let mut subject = String::new();
        for record in records {
            let uid = |attribute: &&KeyValue| attribute.key == names::LOG_RECORD_UID;
            let id = record.attributes.iter().find(uid);
            for value in [record.body.as_ref(), id.and_then(|id| id.value.as_ref())] {
                if let Some(text) = value.and_then(text) {
                    subject.push_str(if subject.is_empty() { "" } else { ", " });
                    subject.push_str(&text);
                }
            }
        }
        subject
    }
}

/// Why a delivery failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Undeliverable {
    /// Worth another try, after this time when the receiver said so.
    Later {
        /// What went wrong.
        reason: String,
        /// What the receiver asked for.
        after: Option<Duration>,
    },
    /// Neither an answer nor a failure that OTLP's specification calls passing: worth another try, but not for ever.
    Unclear {
        /// What went wrong.
        reason: String,
    },
    /// It will never be taken.
    Never {
        /// What went wrong.
        reason: String,
        /// What the operator can do.
        advice: &'static str,
    },
}

/// What a receiver rejected of a message it took otherwise: how many items, and its words.
pub type Rejected = Option<(u64, String)>;

/// A receiver of telemetry. Signals are delivered side by side.
pub trait Sink: Send + Sync + 'static {
    /// Delivers one message.
    fn deliver(
        &self,
        message: &Arc<Message>,
    ) -> impl Future<Output = Result<Rejected, Undeliverable>> + Send;

    /// For messages to people; holds no credentials.
    fn name(&self) -> String;
}

/// What to do about a refusal.
mod advice {
    pub const CREDENTIALS: &str = "check [export.headers] and the receiver's permissions";
    pub const ENDPOINT: &str = "check export.otlp_endpoint and export.otlp_protocol: does an OTLP receiver with this signal listen there?";
    pub const LIMITS: &str = "raise the receiver's limits on size and rate";
    pub const RECEIVER: &str = "the receiver's log should say why";
}

/// The endpoint as a URL.
///
/// # Errors
/// When it is none, names no host, or is neither `http` nor `https`: such an endpoint would be retried forever.
pub fn endpoint_url(endpoint: &str) -> Result<Url> {
    let shown = shown_endpoint(endpoint);
    let url = Url::parse(endpoint)
        .with_context(|| format!("export.otlp_endpoint: `{shown}` is no URL"))?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host(),
        "export.otlp_endpoint: `{shown}` is no OTLP endpoint: write a URL like http://localhost:4317"
    );
    Ok(url)
}

/// An endpoint for messages to people, whatever it is.
pub fn shown_endpoint(endpoint: &str) -> String {
    match Url::parse(endpoint) {
        Ok(url) if url.has_host() => without_credentials(&url),
        // What is before an @ may be a password.
        _ => match endpoint.rsplit_once('@') {
            Some((_, rest)) => format!("…@{rest}"),
            None => endpoint.to_owned(),
        },
    }
}

/// The URL without what must not show up in a log.
pub fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    // Fails for URLs that can't hold credentials: then there are none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// A partial success worth telling, if there is one.
fn partial(rejected: i64, words: &str) -> Rejected {
    let rejected = u64::try_from(rejected).unwrap_or(0);
    (rejected > 0 || !words.is_empty()).then(|| (rejected, shortened(words)))
}

/// Words of a receiver, as one line that fits a log.
fn shortened(words: &str) -> String {
    const LONGEST: usize = 300;
    let mut line: String = words.chars().take(LONGEST).collect();
    if line.len() < words.len() {
        line.push('…');
    }
    visible(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked_and_shown_without_credentials() {
        for bad in ["", "http://", "localhost:4317", "ftp://host:4317", "/v1"] {
            let error = endpoint_url(bad).expect_err(bad);
            assert!(error.to_string().contains("otlp_endpoint"), "{error}");
        }
        let url = endpoint_url("https://ann:secret@host:4318/base/?token=secret").expect("a URL");
        assert_eq!(without_credentials(&url), "https://host:4318/base");
        for bad in ["ftp://ann:secret@host:4317", "http//ann:secret@host"] {
            let error = format!("{:#}", endpoint_url(bad).expect_err(bad));
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn words_of_receivers_are_one_short_line() {
        let (_, words) = partial(0, &format!("no\n\u{1b}[2J{}", "x".repeat(999))).expect("words");
        assert!(
            words.chars().count() < 320 && !words.contains(['\n', '\u{1b}']),
            "{words:?}"
        );
        assert_eq!(partial(-1, ""), None);
    }
}
