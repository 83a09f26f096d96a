//! OTLP over HTTP with protobuf bodies.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceResponse, metrics::v1::ExportMetricsServiceResponse,
    trace::v1::ExportTraceServiceResponse,
};
use prost::Message as _;
use reqwest::{
    Certificate, Client, Identity, Response, StatusCode, Url,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
};

use super::{
    Message, Rejected, Signal, Sink, Undeliverable, advice, connection::Connection, partial,
    rpc::RpcStatus, shortened, without_credentials,
};

/// See the module.
pub struct OtlpHttp {
    name: String,
    /// `/v1/<signal>` is added, unless it is of one signal.
    base: Url,
    exact: bool,
    gzip: bool,
    client: Client,
    headers: HeaderMap,
}

impl OtlpHttp {
    /// Connects with the first delivery.
    ///
    /// # Errors
    /// When the URL, a header or a certificate is malformed.
    pub fn new(connection: &Connection) -> Result<Self> {
        let base = connection.url()?;
        let mut map = HeaderMap::new();
        map.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        );
        for (key, value) in &connection.headers {
            let mut value = HeaderValue::from_str(value.reveal())
                .with_context(|| format!("export.headers: the value of `{key}` is no header's"))?;
            value.set_sensitive(true);
            map.insert(
                HeaderName::from_bytes(key.as_bytes())
                    .with_context(|| format!("export.headers: `{key}` is no header"))?,
                value,
            );
        }
        if connection.gzip {
            map.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let mut client = Client::builder()
            .timeout(connection.timeout)
            // A redirected POST becomes a GET without a body, and its 200 would count as delivered.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(authority) = &connection.authority {
            client = client.tls_certs_only(
                Certificate::from_pem_bundle(authority)
                    .context("export.certificate holds no certificates in PEM")?,
            );
        }
        if let Some((certificate, key)) = &connection.identity {
            let mut pem = certificate.clone();
            pem.push(b'\n');
            pem.extend_from_slice(key.reveal().as_bytes());
            client = client.identity(
                Identity::from_pem(&pem)
                    .context("export.client_certificate or export.client_key is not PEM")?,
            );
        }
        Ok(Self {
            name: without_credentials(&base),
            base,
            exact: connection.exact,
            gzip: connection.gzip,
            client: client.build().context(
                "cannot set up the HTTP client: are certificate and key in PEM, and do they fit each other?",
            )?,
            headers: map,
        })
    }

    fn url(&self, signal: Signal) -> Url {
        if self.exact {
            return self.base.clone();
        }
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/v1/{}",
            self.base.path().trim_end_matches('/'),
            signal.path()
        ));
        url
    }
}

impl Sink for OtlpHttp {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn deliver(&self, message: &Arc<Message>) -> Result<Rejected, Undeliverable> {
        let mut body = message.encoded();
        if self.gzip {
            body = compressed(&body);
        }
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
        let after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?, SystemTime::now()));
        let body = beginning(answer).await;
        if status.is_success() {
            return Ok(match body {
                Some(body) => rejected(message, &body),
                None => partial(
                    0,
                    "it took the request, but its answer is cut or too long to be read",
                ),
            });
        }
        // OTLP specification, "Failures": the body is a google.rpc.Status.
        let words = body
            .and_then(|body| RpcStatus::decode(&*body).ok())
            .map(|status| shortened(&status.message))
            .filter(|words| !words.is_empty());
        let reason = match words {
            Some(words) => format!("HTTP {status}: {words}"),
            None => format!("HTTP {status}"),
        };
        Err(judge(status, reason, after))
    }
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Neither can fail: it is memory that is written to.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// The pause that `Retry-After` asks for: seconds, or a date.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// At most this much of an answer is read: it holds a sentence.
const LONGEST_ANSWER: usize = 64 << 10;

/// The body of an answer, if it is whole and not too long. The status has told the outcome already: trouble here
/// changes nothing.
async fn beginning(mut answer: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len() + chunk.len() > LONGEST_ANSWER {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// Which answers are worth another try: OTLP specification, "Retryable Response Codes".
fn judge(status: StatusCode, reason: String, after: Option<Duration>) -> Undeliverable {
    let advice = match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => return Undeliverable::Later { reason, after },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => advice::CREDENTIALS,
        StatusCode::PAYLOAD_TOO_LARGE => advice::LIMITS,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => advice::ENDPOINT,
        status if status.is_redirection() => advice::ENDPOINT,
        _ => advice::RECEIVER,
    };
    Undeliverable::Never { reason, advice }
}

fn rejected(message: &Message, body: &[u8]) -> Rejected {
    match message {
        Message::Metrics(_) => {
            let success = ExportMetricsServiceResponse::decode(body)
                .ok()?
                .partial_success?;
            partial(success.rejected_data_points, &success.error_message)
        }
        Message::Logs(_) | Message::Records(_) => {
            let success = ExportLogsServiceResponse::decode(body)
                .ok()?
                .partial_success?;
            partial(success.rejected_log_records, &success.error_message)
        }
        Message::Traces(_) => {
            let success = ExportTraceServiceResponse::decode(body)
                .ok()?
                .partial_success?;
            partial(success.rejected_spans, &success.error_message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, pause) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(
                retry_after(value, now),
                pause.map(Duration::from_secs),
                "{value}"
            );
        }
    }

    #[test]
    fn only_what_the_specification_names_is_retried() {
        for code in (300..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
            let judged = judge(code, String::new(), None);
            assert_eq!(
                matches!(judged, Undeliverable::Later { .. }),
                [429, 502, 503, 504].contains(&code.as_u16()),
                "{code}"
            );
        }
    }
}
