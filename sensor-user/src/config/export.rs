//! `[export]`: where telemetry goes.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::{error::Problem, secret::Secret, units};

/// See the example file for what each means.
#[derive(Clone, Debug)]
pub struct Export {
    /// How often metrics are exported.
    pub interval: Duration,
    /// OTLP endpoint.
    pub otlp_endpoint: Option<String>,
    /// OTLP protocol; `None`: by the endpoint's port.
    pub otlp_protocol: Option<Protocol>,
    /// OTLP JSON lines.
    pub otlp_file: Option<PathBuf>,
    /// Series exported at most.
    pub max_series: usize,
    /// Statement series exported at most.
    pub statement_series: usize,
    /// Headers of OTLP requests.
    pub headers: BTreeMap<String, Secret>,
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    interval: Option<Spanned<String>>,
    otlp_endpoint: Option<Spanned<String>>,
    otlp_protocol: Option<Protocol>,
    otlp_file: Option<PathBuf>,
    max_series: Option<usize>,
    statement_series: Option<usize>,
    headers: BTreeMap<String, Secret>,
}

impl Section {
    pub fn build(self) -> Result<Export, Problem> {
        if let Some(url) = &self.otlp_endpoint
            && !(url.get_ref().starts_with("http://") || url.get_ref().starts_with("https://"))
        {
            return Err(Problem::new(
                url.span(),
                format!("`{}` is no OTLP endpoint", url.get_ref()),
                "write a URL: \"http://localhost:4317\" (gRPC) or \"http://localhost:4318\" (HTTP)",
            ));
        }
        Ok(Export {
            interval: match &self.interval {
                None => Duration::from_secs(10),
                Some(text) => units::duration_within(
                    text,
                    Duration::from_millis(100),
                    Duration::from_secs(3600),
                )?,
            },
            otlp_endpoint: self.otlp_endpoint.map(Spanned::into_inner),
            otlp_protocol: self.otlp_protocol,
            otlp_file: self.otlp_file,
            max_series: self.max_series.unwrap_or(10_000),
            statement_series: self.statement_series.unwrap_or(500),
            headers: self.headers,
        })
    }
}
