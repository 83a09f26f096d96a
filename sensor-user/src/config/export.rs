//! `[export]`: where telemetry goes.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::{
    error::Problem,
    otlp::{Compression, EndpointUrl, Protocol, Settings, Temporality},
    prometheus,
    secret::Secret,
    units,
};

/// See the example file for what each means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// How often metrics are exported.
    pub interval: Duration,
    /// The OTLP receiver of all signals.
    pub otlp: Settings,
    /// What differs for logs, traces and metrics (only the environment says so).
    pub signals: [Settings; 3],
    /// What sums that are sent there count from.
    pub temporality: Temporality,
    /// A file with more headers.
    pub headers_file: Option<PathBuf>,
    /// OTLP JSON lines.
    pub otlp_file: Option<PathBuf>,
    /// Series exported at most.
    pub max_series: usize,
    /// Statement series exported at most.
    pub statement_series: usize,
    /// Principals with a histogram of rows a statement, at most.
    pub histogram_series: usize,
    /// Where Prometheus finds the metrics.
    pub prometheus: Option<SocketAddr>,
    /// Statements told as spans by chance, a second; zero: only alerts have traces.
    pub spans_per_second: usize,
    /// Statements a second that are told one by one because their application samples its trace.
    pub links_per_second: usize,
    /// How often sketches of distinct records are exported; `None`: never.
    pub records_interval: Option<Duration>,
    /// What waits for the receiver.
    pub queue: Queue,
}

impl Export {
    /// Where all signals go, whatever was said before of all or of one.
    pub fn send_all_to(&mut self, url: &str) {
        self.otlp.endpoint = Some(url.into());
        for signal in &mut self.signals {
            signal.endpoint = None;
        }
    }
}

/// What waits for a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its copy on disk; `None`: in memory only.
    pub path: Option<PathBuf>,
    /// Length of all messages together, in memory and on disk, in bytes.
    pub max_size: u64,
    /// Messages.
    pub max_messages: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    interval: Option<Spanned<String>>,
    otlp_endpoint: Option<Spanned<String>>,
    otlp_protocol: Option<Protocol>,
    otlp_file: Option<PathBuf>,
    timeout: Option<Spanned<String>>,
    compression: Option<Compression>,
    certificate: Option<PathBuf>,
    client_certificate: Option<Spanned<PathBuf>>,
    client_key: Option<Spanned<PathBuf>>,
    temporality: Temporality,
    max_series: Option<usize>,
    statement_series: Option<usize>,
    histogram_series: Option<usize>,
    headers: BTreeMap<String, Secret>,
    headers_file: Option<PathBuf>,
    prometheus: prometheus::Section,
    traces: TracesSection,
    records: RecordsSection,
    queue: QueueSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TracesSection {
    spans_per_second: Option<Spanned<usize>>,
    links_per_second: Option<Spanned<usize>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RecordsSection {
    interval: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QueueSection {
    persistent: Option<bool>,
    path: Option<Spanned<PathBuf>>,
    max_size: Option<Spanned<String>>,
}

/// Where a service keeps its state, unless systemd says where (`StateDirectory=`).
const STATE: &str = "/var/lib/data-access-sensor";
/// Messages that wait at most; an alert and its trace are two.
const MESSAGES: usize = 10_000;

impl Section {
    pub fn build(self) -> Result<Export, Problem> {
        if let Some(url) = &self.otlp_endpoint
            && !(url.get_ref().starts_with("http://") || url.get_ref().starts_with("https://"))
        {
            return Err(Problem::new(
                url.span(),
                // What is before an @ may be a password.
                match url.get_ref().rsplit_once('@') {
                    Some((_, rest)) => format!("`…@{rest}` is no OTLP endpoint"),
                    None => format!("`{}` is no OTLP endpoint", url.get_ref()),
                },
                "write a URL: \"http://localhost:4317\" (gRPC) or \"http://localhost:4318\" (HTTP)",
            ));
        }
        if let (Some(alone), None, lacks) | (None, Some(alone), lacks) = (
            &self.client_certificate,
            &self.client_key,
            if self.client_key.is_none() {
                "client_key"
            } else {
                "client_certificate"
            },
        ) {
            return Err(Problem::new(
                alone.span(),
                "a certificate and its key belong together",
                format!("add `{lacks}`"),
            ));
        }
        let duration = |text: &Option<Spanned<String>>, default, least| match text {
            None => Ok(default),
            Some(text) => units::duration_within(text, least, Duration::from_secs(3600)),
        };
        let millis = Duration::from_millis;
        let (spans_per_second, links_per_second) = self.traces.build()?;
        Ok(Export {
            interval: duration(&self.interval, Duration::from_secs(10), millis(100))?,
            otlp: Settings {
                endpoint: self
                    .otlp_endpoint
                    .map(|url| EndpointUrl::from(url.get_ref().as_str())),
                protocol: self.otlp_protocol,
                headers: (!self.headers.is_empty()).then_some(self.headers),
                timeout: Some(duration(
                    &self.timeout,
                    Duration::from_secs(10),
                    millis(10),
                )?),
                compression: self.compression,
                certificate: self.certificate,
                client_certificate: self.client_certificate.map(Spanned::into_inner),
                client_key: self.client_key.map(Spanned::into_inner),
            },
            signals: Default::default(),
            temporality: self.temporality,
            headers_file: self.headers_file,
            otlp_file: self.otlp_file,
            max_series: self.max_series.unwrap_or(10_000),
            statement_series: self.statement_series.unwrap_or(500),
            histogram_series: self.histogram_series.unwrap_or(200),
            prometheus: self.prometheus.build()?,
            spans_per_second,
            links_per_second,
            records_interval: self.records.build()?,
            queue: self.queue.build()?,
        })
    }
}

impl TracesSection {
    /// Spans by chance and linked ones, a second.
    fn build(self) -> Result<(usize, usize), Problem> {
        let within = |number: Option<Spanned<usize>>, default, zero| match number {
            None => Ok(default),
            Some(number) if *number.get_ref() > 1000 => Err(Problem::new(
                number.span(),
                "that many spans a second cost a database host more than they tell",
                format!("allowed: 0 ({zero}) to 1000"),
            )),
            Some(number) => Ok(number.into_inner()),
        };
        let spans = within(self.spans_per_second, 10, "alerts only")?;
        let links = within(self.links_per_second, 50, "no links but the first")?;
        Ok((spans, if spans == 0 { 0 } else { links }))
    }
}

impl RecordsSection {
    fn build(self) -> Result<Option<Duration>, Problem> {
        match &self.interval {
            None => Ok(None),
            Some(text) if text.get_ref() == "never" => Ok(None),
            Some(text) => {
                let (least, most) = (Duration::from_secs(1), Duration::from_secs(86_400));
                units::duration_within(text, least, most).map(Some)
            }
        }
    }
}

impl QueueSection {
    fn build(self) -> Result<Queue, Problem> {
        let path = match self.path {
            None => std::env::var("STATE_DIRECTORY")
                .ok()
                .and_then(|paths| paths.split(':').next().map(PathBuf::from))
                .filter(|path| path.is_absolute())
                .unwrap_or_else(|| PathBuf::from(STATE))
                .join("queue.db"),
            Some(path) if path.get_ref().is_absolute() => path.into_inner(),
            Some(path) => {
                return Err(Problem::new(
                    path.span(),
                    format!("`{}` is no absolute path", path.get_ref().display()),
                    "write the whole path: a service's working directory is not yours",
                ));
            }
        };
        let max_size = match &self.max_size {
            None => 64 << 20,
            Some(text) => units::bytes(text)?,
        };
        if !((1 << 20)..=(16 << 30)).contains(&max_size) {
            return Err(Problem::new(
                self.max_size.map_or(0..0, |text| text.span()),
                "the queue's size is out of range",
                "allowed: 1MiB to 16GiB",
            ));
        }
        Ok(Queue {
            path: self.persistent.unwrap_or(true).then_some(path),
            max_size,
            max_messages: MESSAGES,
        })
    }
}
