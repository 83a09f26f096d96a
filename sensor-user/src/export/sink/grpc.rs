//! OTLP over gRPC.

use std::{str::FromStr as _, time::Duration};

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::{
    logs::v1::logs_service_client::LogsServiceClient,
    metrics::v1::metrics_service_client::MetricsServiceClient,
    trace::v1::trace_service_client::TraceServiceClient,
};
use tonic::{
    Code, Request, Status,
    metadata::{MetadataKey, MetadataMap},
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{Message, Undeliverable, partial};

/// How long one request may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct OtlpGrpc {
    /// Where to.
    pub endpoint: String,
    channel: Channel,
    metadata: MetadataMap,
}

impl OtlpGrpc {
    /// Connects lazily: a dead endpoint is noticed, and retried, with the first delivery.
    ///
    /// # Errors
    /// When the URL or a header is malformed.
    pub fn new(endpoint: &str, headers: &[(String, String)]) -> Result<Self> {
        let mut builder = Endpoint::from_shared(endpoint.to_owned())
            .with_context(|| format!("otlp_endpoint: `{endpoint}` is no URL"))?
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT);
        if endpoint.starts_with("https://") {
            builder = builder
                .tls_config(ClientTlsConfig::new().with_native_roots())
                .context("otlp_endpoint: cannot set up TLS")?;
        }
        let mut metadata = MetadataMap::new();
        for (key, value) in headers {
            metadata.insert(
                MetadataKey::from_str(&key.to_lowercase())
                    .with_context(|| format!("export.headers: `{key}` is no header"))?,
                value.parse().with_context(|| {
                    format!("export.headers: the value of `{key}` is no header's")
                })?,
            );
        }
        Ok(Self {
            endpoint: endpoint.to_owned(),
            channel: builder.connect_lazy(),
            metadata,
        })
    }

    fn request<T>(&self, message: &T) -> Request<T>
    where
        T: Clone,
    {
        let mut request = Request::new(message.clone());
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    /// Sends one request.
    pub async fn deliver(
        &mut self,
        message: &Message,
    ) -> Result<Option<(u64, String)>, Undeliverable> {
        let channel = self.channel.clone();
        match message {
            Message::Metrics(message) => MetricsServiceClient::new(channel)
                .export(self.request(message))
                .await
                .map(|answer| {
                    answer
                        .into_inner()
                        .partial_success
                        .and_then(|p| partial(p.rejected_data_points, p.error_message))
                }),
            Message::Logs(message) => LogsServiceClient::new(channel)
                .export(self.request(message))
                .await
                .map(|answer| {
                    answer
                        .into_inner()
                        .partial_success
                        .and_then(|p| partial(p.rejected_log_records, p.error_message))
                }),
            Message::Traces(message) => TraceServiceClient::new(channel)
                .export(self.request(message))
                .await
                .map(|answer| {
                    answer
                        .into_inner()
                        .partial_success
                        .and_then(|p| partial(p.rejected_spans, p.error_message))
                }),
        }
        .map_err(|status| judge(&status))
    }
}

/// Which codes are worth another try: OTLP specification, "OTLP/gRPC Response".
fn judge(status: &Status) -> Undeliverable {
    let reason = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted
        // tonic's word for a broken connection.
        | Code::Unknown => Undeliverable::Later {
            reason,
            after: None,
        },
        _ => Undeliverable::Never(reason),
    }
}
