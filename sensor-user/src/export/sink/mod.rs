//! Where telemetry goes: one trait, one file a sink.

use std::{fmt, future::Future, time::Duration};

use anyhow::{Context as _, Result, ensure};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use reqwest::Url;

pub mod file;
pub mod grpc;
pub mod http;

/// One thing to deliver.
#[derive(Clone, Debug)]
pub enum Message {
    /// Metrics.
    Metrics(ExportMetricsServiceRequest),
    /// Alerts.
    Logs(ExportLogsServiceRequest),
    /// Traces.
    Traces(ExportTraceServiceRequest),
}

impl Message {
    /// Name of the signal, as in the paths of OTLP/HTTP.
    pub fn signal(&self) -> &'static str {
        match self {
            Self::Metrics(_) => "metrics",
            Self::Logs(_) => "logs",
            Self::Traces(_) => "traces",
        }
    }
}

/// Why a delivery failed.
#[derive(Debug)]
pub enum Undeliverable {
    /// Worth another try, after this time when the receiver said so.
    Later {
        /// What went wrong.
        reason: String,
        /// What the receiver asked for.
        after: Option<Duration>,
    },
    /// The receiver will never take it.
    Never(String),
}

impl fmt::Display for Undeliverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Later { reason, .. } | Self::Never(reason) => f.write_str(reason),
        }
    }
}

/// What a receiver rejected of a message it took otherwise: how many items, and its words.
pub type Rejected = Option<(u64, String)>;

/// A receiver of telemetry.
pub trait Sink: Send + 'static {
    /// Delivers one message.
    fn deliver(
        &mut self,
        message: &Message,
    ) -> impl Future<Output = Result<Rejected, Undeliverable>> + Send;

    /// For messages to people; holds no credentials.
    fn name(&self) -> String;
}

/// The endpoint as a URL.
///
/// # Errors
/// When it is none, names no host, or is neither `http` nor `https`: such an endpoint would be retried forever.
pub fn endpoint_url(endpoint: &str) -> Result<Url> {
    let url = Url::parse(endpoint)
        .with_context(|| format!("export.otlp_endpoint: `{endpoint}` is no URL"))?;
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host(),
        "export.otlp_endpoint: `{endpoint}` is no OTLP endpoint: write a URL like http://localhost:4317"
    );
    Ok(url)
}

/// The URL without what must not show up in a log.
fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    // Fails for URLs that can't hold credentials: then there are none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// A partial success worth telling, if there is one.
fn partial(rejected: i64, words: String) -> Rejected {
    let rejected = u64::try_from(rejected).unwrap_or(0);
    (rejected > 0 || !words.is_empty()).then_some((rejected, words))
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
    }
}
