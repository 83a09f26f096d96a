//! Where telemetry goes: one trait, one file a sink.

use std::{fmt, time::Duration};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};

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

/// A receiver of telemetry.
#[derive(Debug)]
pub enum Sink {
    /// OTLP JSON lines.
    File(file::OtlpFile),
    /// OTLP over gRPC.
    Grpc(grpc::OtlpGrpc),
    /// OTLP over HTTP.
    Http(http::OtlpHttp),
}

impl Sink {
    /// Delivers one message. `Ok` holds how many items the receiver rejected of a partial success, with its words.
    pub async fn deliver(
        &mut self,
        message: &Message,
    ) -> Result<Option<(u64, String)>, Undeliverable> {
        match self {
            Self::File(file) => file.deliver(message).map(|()| None),
            Self::Grpc(grpc) => grpc.deliver(message).await,
            Self::Http(http) => http.deliver(message).await,
        }
    }

    /// For messages.
    pub fn name(&self) -> String {
        match self {
            Self::File(file) => file.path.display().to_string(),
            Self::Grpc(grpc) => grpc.endpoint.clone(),
            Self::Http(http) => http.endpoint.clone(),
        }
    }
}

/// A partial success worth telling, if there is one.
fn partial(rejected: i64, words: String) -> Option<(u64, String)> {
    let rejected = u64::try_from(rejected).unwrap_or(0);
    (rejected > 0 || !words.is_empty()).then_some((rejected, words))
}
