//! How an OTLP receiver is reached: the settings that the file and OpenTelemetry's own variables share.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::secret::Secret;

/// A URL of a receiver. It may hold a password: `{:?}` shows only scheme, host and port.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointUrl(String);

impl EndpointUrl {
    /// The URL with whatever it holds.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for EndpointUrl {
    fn from(url: &str) -> Self {
        Self(url.to_owned())
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // What is before an @ is a password.
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        write!(f, "{scheme}://{host}")
    }
}

/// Protocols of OTLP, named as `OTEL_EXPORTER_OTLP_PROTOCOL` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// HTTP with protobuf bodies.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// Compression of requests, named as `OTEL_EXPORTER_OTLP_COMPRESSION` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    None,
    /// With gzip.
    Gzip,
}

/// What sums count from, named as `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// From the start of the series.
    #[default]
    Cumulative,
    /// From the last export.
    Delta,
}

/// Settings of all signals, or of one, where they win. What is not set is left to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where to.
    pub endpoint: Option<EndpointUrl>,
    /// By the port when not said (4318: HTTP, else gRPC).
    pub protocol: Option<Protocol>,
    /// Headers of each request.
    pub headers: Option<BTreeMap<String, Secret>>,
    /// How long one request may take.
    pub timeout: Option<Duration>,
    /// Of requests.
    pub compression: Option<Compression>,
    /// PEM file with the certificates that the receiver's must come from; the system's when not said.
    pub certificate: Option<PathBuf>,
    /// PEM file with the sensor's own certificate.
    pub client_certificate: Option<PathBuf>,
    /// PEM file with its key.
    pub client_key: Option<PathBuf>,
}

impl Settings {
    /// These, and where they are silent, those.
    pub fn or(&self, general: &Self) -> Self {
        Self {
            endpoint: self.endpoint.clone().or_else(|| general.endpoint.clone()),
            protocol: self.protocol.or(general.protocol),
            headers: self.headers.clone().or_else(|| general.headers.clone()),
            timeout: self.timeout.or(general.timeout),
            compression: self.compression.or(general.compression),
            certificate: self
                .certificate
                .clone()
                .or_else(|| general.certificate.clone()),
            client_certificate: self
                .client_certificate
                .clone()
                .or_else(|| general.client_certificate.clone()),
            client_key: self
                .client_key
                .clone()
                .or_else(|| general.client_key.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_not_shown() {
        for (url, shown) in [
            ("http://localhost:4317", "http://localhost:4317"),
            (
                "https://ann:hush@host:4317/hush?t=hush",
                "https://host:4317",
            ),
            ("https://a@hush@host", "https://host"),
            ("ann:hush@host", "://host"),
        ] {
            assert_eq!(format!("{:?}", EndpointUrl::from(url)), shown);
        }
    }
}
