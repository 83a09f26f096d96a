//! OTLP over gRPC.

use std::{str::FromStr as _, time::Duration};

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::{
    logs::v1::logs_service_client::LogsServiceClient,
    metrics::v1::metrics_service_client::MetricsServiceClient,
    trace::v1::trace_service_client::TraceServiceClient,
};
use prost::Message as _;
use tonic::{
    Code, Request, Status,
    metadata::{MetadataKey, MetadataMap},
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{Message, Rejected, Sink, Undeliverable, endpoint_url, partial, without_credentials};

/// How long one request may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct OtlpGrpc {
    name: String,
    channel: Channel,
    metadata: MetadataMap,
}

impl OtlpGrpc {
    /// Connects lazily: a dead endpoint is noticed, and retried, with the first delivery.
    ///
    /// # Errors
    /// When the URL or a header is malformed.
    pub fn new(endpoint: &str, headers: &[(String, String)]) -> Result<Self> {
        let name = without_credentials(&endpoint_url(endpoint)?);
        let mut builder = Endpoint::from_shared(endpoint.to_owned())
            .with_context(|| format!("export.otlp_endpoint: `{name}` is no endpoint of gRPC"))?
            .timeout(TIMEOUT)
            .connect_timeout(TIMEOUT);
        if endpoint.starts_with("https://") {
            builder = builder
                .tls_config(ClientTlsConfig::new().with_native_roots())
                .context("export.otlp_endpoint: cannot set up TLS")?;
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
            name,
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
}

impl Sink for OtlpGrpc {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn deliver(&mut self, message: &Message) -> Result<Rejected, Undeliverable> {
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

/// `google.rpc.Status`, as far as it is read.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// When a throttling receiver wants the next try.
fn retry_delay(details: &[u8]) -> Option<Duration> {
    let status = RpcStatus::decode(details).ok()?;
    let info = status
        .details
        .iter()
        .find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    Some(Duration::new(
        u64::try_from(delay.seconds).ok()?,
        u32::try_from(delay.nanos).ok()?,
    ))
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
            after: retry_delay(status.details()),
        },
        _ => Undeliverable::Never(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receivers_delay_is_read() {
        let info = RetryInfo {
            retry_delay: Some(Delay {
                seconds: 3,
                nanos: 500_000_000,
            }),
        };
        let details = RpcStatus {
            details: vec![Detail {
                type_url: "type.googleapis.com/google.rpc.RetryInfo".into(),
                value: info.encode_to_vec(),
            }],
        };
        let status =
            Status::with_details(Code::Unavailable, "busy", details.encode_to_vec().into());
        let Undeliverable::Later { after, .. } = judge(&status) else {
            panic!("{status} is worth another try");
        };
        assert_eq!(after, Some(Duration::from_millis(3500)));
        assert_eq!(retry_delay(b""), None);
        assert!(matches!(
            judge(&Status::unimplemented("")),
            Undeliverable::Never(_)
        ));
    }
}
