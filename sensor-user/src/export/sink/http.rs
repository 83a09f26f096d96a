//! OTLP over HTTP with protobuf bodies.

use std::time::Duration;

use anyhow::{Context as _, Result};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message as _;
use reqwest::{
    Client, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};

use super::{
    Message, Rejected, Sink, Undeliverable, endpoint_url, grpc::TIMEOUT, partial,
    without_credentials,
};

/// See the module.
#[derive(Debug)]
pub struct OtlpHttp {
    name: String,
    /// `/v1/<signal>` is added.
    base: Url,
    client: Client,
    headers: HeaderMap,
}

impl OtlpHttp {
    /// Connects with the first delivery.
    ///
    /// # Errors
    /// When the URL or a header is malformed.
    pub fn new(endpoint: &str, headers: &[(String, String)]) -> Result<Self> {
        let base = endpoint_url(endpoint)?;
        let mut map = HeaderMap::new();
        map.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        for (key, value) in headers {
            map.insert(
                HeaderName::from_bytes(key.as_bytes())
                    .with_context(|| format!("export.headers: `{key}` is no header"))?,
                HeaderValue::from_str(value).with_context(|| {
                    format!("export.headers: the value of `{key}` is no header's")
                })?,
            );
        }
        Ok(Self {
            name: without_credentials(&base),
            base,
            client: Client::builder()
                .timeout(TIMEOUT)
                // A redirected POST becomes a GET without a body, and its 200 would count as delivered.
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .context("cannot set up the HTTP client")?,
            headers: map,
        })
    }
    fn url(&self, signal: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/v1/{signal}",
            self.base.path().trim_end_matches('/')
        ));
        url
    }
}

impl Sink for OtlpHttp {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn deliver(&mut self, message: &Message) -> Result<Rejected, Undeliverable> {
        let body = match message {
            Message::Metrics(message) => message.encode_to_vec(),
            Message::Logs(message) => message.encode_to_vec(),
            Message::Traces(message) => message.encode_to_vec(),
        };
        let later = |error: reqwest::Error| Undeliverable::Later {
            reason: format!("{:#}", anyhow::Error::from(error.without_url())),
            after: None,
        };
        let answer = self
            .client
            .post(self.url(message.signal()))
            .headers(self.headers.clone())
            .body(body)
            .send()
            .await
            .map_err(later)?;
        let status = answer.status();
        if status.is_success() {
            let body = answer.bytes().await.map_err(later)?;
            return Ok(rejected(message, &body));
        }
        let after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let reason = format!("HTTP {status}");
        // OTLP specification, "Retryable Response Codes".
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Undeliverable::Later { reason, after },
            _ => Undeliverable::Never(reason),
        })
    }
}

fn rejected(message: &Message, body: &[u8]) -> Rejected {
    match message {
        Message::Metrics(_) => {
            let success = ExportMetricsServiceResponse::decode(body)
                .ok()?
                .partial_success?;
            partial(success.rejected_data_points, success.error_message)
        }
        Message::Logs(_) => {
            let success = ExportLogsServiceResponse::decode(body)
                .ok()?
                .partial_success?;
            partial(success.rejected_log_records, success.error_message)
        }
        Message::Traces(_) => {
            let success = ExportTraceServiceResponse::decode(body)
                .ok()?
                .partial_success?;
            partial(success.rejected_spans, success.error_message)
        }
    }
}
