//! OTLP over gRPC.

use std::{error::Error as _, str::FromStr as _, sync::Arc};

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::{
    logs::v1::logs_service_client::LogsServiceClient,
    metrics::v1::metrics_service_client::MetricsServiceClient,
    trace::v1::trace_service_client::TraceServiceClient,
};
use tonic::{
    Code, Request, Status,
    codec::CompressionEncoding,
    metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{
    Message, Rejected, Sink, Undeliverable, advice, connection::Connection, partial,
    rpc::retry_delay, shortened, without_credentials,
};

/// See the module.
pub struct OtlpGrpc {
    name: String,
    channel: Channel,
    metadata: MetadataMap,
    gzip: bool,
}

/// A service's client, with gzip when that is wanted.
macro_rules! client {
    ($sink:ident, $client:ident) => {{
        let client =
            $client::new($sink.channel.clone()).accept_compressed(CompressionEncoding::Gzip);
        if $sink.gzip {
            client.send_compressed(CompressionEncoding::Gzip)
        } else {
            client
        }
    }};
}

impl OtlpGrpc {
    /// Connects lazily: a dead endpoint is noticed, and retried, with the first delivery.
    ///
    /// # Errors
    /// When the URL, a header or a certificate is malformed.
    pub fn new(connection: &Connection) -> Result<Self> {
        let url = connection.url()?;
        let name = without_credentials(&url);
        let mut builder = Endpoint::from_shared(connection.endpoint.reveal().to_owned())
            .with_context(|| format!("export.otlp_endpoint: `{name}` is no endpoint of gRPC"))?
            .timeout(connection.timeout)
            .connect_timeout(connection.timeout);
        if url.scheme() == "https" {
            let mut tls = ClientTlsConfig::new();
            tls = match &connection.authority {
                Some(authority) => tls.ca_certificate(Certificate::from_pem(authority)),
                None => tls.with_native_roots(),
            };
            if let Some((certificate, key)) = &connection.identity {
                tls = tls.identity(Identity::from_pem(certificate, key.reveal()));
            }
            builder = builder.tls_config(tls).context(
                "export.otlp_endpoint: cannot set up TLS: are certificate and key in PEM?",
            )?;
        }
        let mut metadata = MetadataMap::new();
        for (key, value) in &connection.headers {
            let mut value: MetadataValue<Ascii> = value
                .reveal()
                .parse()
                .with_context(|| format!("export.headers: the value of `{key}` is no header's"))?;
            value.set_sensitive(true);
            metadata.insert(
                MetadataKey::from_str(&key.to_lowercase())
                    .with_context(|| format!("export.headers: `{key}` is no header"))?,
                value,
            );
        }
        Ok(Self {
            name,
            channel: builder.connect_lazy(),
            metadata,
            gzip: connection.gzip,
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

    async fn deliver(&self, message: &Arc<Message>) -> Result<Rejected, Undeliverable> {
        match &**message {
            Message::Metrics(message) => client!(self, MetricsServiceClient)
                .export(self.request(message))
                .await
                .map(|answer| {
                    answer
                        .into_inner()
                        .partial_success
                        .and_then(|p| partial(p.rejected_data_points, &p.error_message))
                }),
            Message::Logs(message) | Message::Records(message) => client!(self, LogsServiceClient)
                .export(self.request(message))
                .await
                .map(|answer| {
                    answer
                        .into_inner()
                        .partial_success
                        .and_then(|p| partial(p.rejected_log_records, &p.error_message))
                }),
            Message::Traces(message) => client!(self, TraceServiceClient)
                .export(self.request(message))
                .await
                .map(|answer| {
                    answer
                        .into_inner()
                        .partial_success
                        .and_then(|p| partial(p.rejected_spans, &p.error_message))
                }),
        }
        .map_err(|status| judge(&status))
    }
}

/// Which codes are worth another try: OTLP specification, "OTLP/gRPC Response".
fn judge(status: &Status) -> Undeliverable {
    let reason = format!("{:?}: {}", status.code(), shortened(status.message()));
    let after = retry_delay(status.details());
    let later = match status.code() {
        // What tonic says of a message that is too long, be it the request, at a receiver, or the answer, here: that
        // gets no better with time.
        Code::OutOfRange if status.message().contains("message length too large") => false,
        // No answer, but trouble on the way there, which tonic names like one: a connection that broke, say.
        Code::Unknown if status.source().is_some() => return Undeliverable::Unclear { reason },
        _ if status.source().is_some() => true,
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => true,
        // Too large for the receiver is "exhausted", too: that gets no better with time.
        Code::ResourceExhausted => after.is_some(),
        _ => false,
    };
    if later {
        return Undeliverable::Later { reason, after };
    }
    let advice = match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => advice::CREDENTIALS,
        Code::Unimplemented | Code::NotFound => advice::ENDPOINT,
        Code::ResourceExhausted | Code::OutOfRange => advice::LIMITS,
        _ => advice::RECEIVER,
    };
    Undeliverable::Never { reason, advice }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::rpc::retry_details, *};

    #[test]
    fn only_what_the_specification_names_is_retried() {
        for (code, retried) in [
            (Code::Cancelled, true),
            (Code::Unknown, false),
            (Code::InvalidArgument, false),
            (Code::DeadlineExceeded, true),
            (Code::NotFound, false),
            (Code::AlreadyExists, false),
            (Code::PermissionDenied, false),
            (Code::ResourceExhausted, false),
            (Code::FailedPrecondition, false),
            (Code::Aborted, true),
            (Code::OutOfRange, true),
            (Code::Unimplemented, false),
            (Code::Internal, false),
            (Code::Unavailable, true),
            (Code::DataLoss, true),
            (Code::Unauthenticated, false),
        ] {
            let judged = judge(&Status::new(code, "words"));
            assert_eq!(
                matches!(judged, Undeliverable::Later { .. }),
                retried,
                "{judged:?}"
            );
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_not_sent_again() {
        let status = Status::out_of_range(
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
        );
        let judged = judge(&status);
        assert!(matches!(judged, Undeliverable::Never { .. }), "{judged:?}");
    }

    #[test]
    fn a_broken_connection_is_no_answer() {
        let broken = Status::from_error(Box::new(std::io::Error::other("connection reset")));
        assert_eq!(broken.code(), Code::Unknown);
        assert!(
            matches!(judge(&broken), Undeliverable::Unclear { .. }),
            "{broken:?}"
        );
    }

    #[test]
    fn exhausted_is_retried_when_the_receiver_says_when() {
        let exhausted = |details: Vec<u8>| {
            judge(&Status::with_details(
                Code::ResourceExhausted,
                "",
                details.into(),
            ))
        };
        let Undeliverable::Later { after, .. } = exhausted(retry_details(3)) else {
            panic!("worth another try");
        };
        assert_eq!(after, Some(Duration::from_secs(3)));
        assert!(matches!(exhausted(Vec::new()), Undeliverable::Never { .. }));
    }
}
