//! OTLP JSON lines, as `--otlp-file` writes them (the OpenTelemetry file exporter's format).

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{BufRead as _, BufReader, Seek as _, SeekFrom},
    path::Path,
};

use serde_json::Value;

/// Attributes: values as text.
pub type Attributes = BTreeMap<String, String>;

/// A metric's last value for one set of attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Metric.
    pub name: String,
    /// Attributes of the data point.
    pub attributes: Attributes,
    /// Last value.
    pub value: f64,
}

/// A log record.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// `eventName`.
    pub event: String,
    /// `severityText`.
    pub severity: String,
    /// Body as text.
    pub body: String,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Hex.
    pub trace: String,
    /// Attributes.
    pub attributes: Attributes,
}

/// A span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Name.
    pub name: String,
    /// Hex.
    pub trace: String,
    /// Attributes.
    pub attributes: Attributes,
}

/// Last values of all sums and gauges in a file that grows: what was read once is not read again.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Bytes of it.
    read: u64,
    last: HashMap<(String, Attributes), f64>,
}

impl Metrics {
    /// Those of the file as it is now.
    ///
    /// # Panics
    /// When a sum is not cumulative and monotonic, or falls.
    pub fn of(&mut self, path: &Path) -> Vec<Series> {
        let length = fs::metadata(path).map_or(0, |file| file.len());
        // It is another file under the same name.
        if length < self.read {
            *self = Self::default();
        }
        let from = self.read;
        self.read += each(path, from, METRICS, |metric| self.take(&metric));
        self.last
            .iter()
            .map(|((name, attributes), value)| Series {
                name: name.clone(),
                attributes: attributes.clone(),
                value: *value,
            })
            .collect()
    }

    fn take(&mut self, metric: &Value) {
        let name = text(&metric["name"]);
        let sum = &metric["sum"];
        let (data, falls) = if sum.is_object() {
            assert_eq!(
                number(&sum["aggregationTemporality"]),
                2.0,
                "{name}: expected cumulative sums (2), got {sum}"
            );
            (sum, sum["isMonotonic"] != Value::Bool(true))
        } else {
            (&metric["gauge"], true)
        };
        for point in list(&data["dataPoints"]) {
            let value = if point["asInt"].is_null() {
                number(&point["asDouble"])
            } else {
                number(&point["asInt"])
            };
            let key = (name.clone(), attributes(&point["attributes"]));
            if let Some(before) = self.last.get(&key) {
                assert!(
                    falls || value >= *before,
                    "monotonic sum fell from {before} to {value}: {key:?}"
                );
            }
            self.last.insert(key, value);
        }
    }
}

/// Last value of every series of sums and gauges in a file.
///
/// # Panics
/// As [`Metrics::of`].
pub fn metrics(path: &Path) -> Vec<Series> {
    Metrics::default().of(path)
}

/// Alerts, among other log records.
///
/// # Panics
/// When the file holds no JSON.
pub fn alerts(path: &Path) -> Vec<Alert> {
    let mut alerts = Vec::new();
    each(path, 0, LOGS, |record| {
        if record["eventName"] == "data_access.anomaly" {
            alerts.push(Alert {
                event: text(&record["eventName"]),
                severity: text(&record["severityText"]),
                body: any(&record["body"]),
                time: text(&record["timeUnixNano"]).parse().unwrap_or(0),
                trace: text(&record["traceId"]),
                attributes: attributes(&record["attributes"]),
            });
        }
    });
    alerts
}

/// Spans.
///
/// # Panics
/// When the file holds no JSON.
pub fn spans(path: &Path) -> Vec<Span> {
    let mut spans = Vec::new();
    each(path, 0, SPANS, |span| {
        spans.push(Span {
            name: text(&span["name"]),
            trace: text(&span["traceId"]),
            attributes: attributes(&span["attributes"]),
        });
    });
    spans
}

/// Names of a signal's lists: by resource, by scope, and of its records.
type Signal = [&'static str; 3];

const METRICS: Signal = ["resourceMetrics", "scopeMetrics", "metrics"];
const LOGS: Signal = ["resourceLogs", "scopeLogs", "logRecords"];
const SPANS: Signal = ["resourceSpans", "scopeSpans", "spans"];

/// Hands on each record of a signal from here on, a line at a time: files of hours are larger than memory. How many bytes were read;
/// the last line may still be under way while the sensor runs.
fn each(
    path: &Path,
    from: u64,
    [resources, scopes, records]: Signal,
    mut take: impl FnMut(Value),
) -> u64 {
    let Ok(mut file) = File::open(path) else {
        return 0;
    };
    file.seek(SeekFrom::Start(from)).expect("seek");
    let mut lines = BufReader::new(file);
    let mut read = 0;
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).expect("read") > 0 && line.ends_with(b"\n") {
        read += line.len() as u64;
        let text = str::from_utf8(&line).expect("JSON is text");
        // Each holds one signal's.
        if text.contains(resources) {
            let mut value: Value = serde_json::from_str(text)
                .unwrap_or_else(|error| panic!("{}: {error}: {text}", path.display()));
            for mut resource in elements(&mut value[resources]) {
                for mut scope in elements(&mut resource[scopes]) {
                    elements(&mut scope[records])
                        .into_iter()
                        .for_each(&mut take);
                }
            }
        }
        line.clear();
    }
    read
}

/// What a list holds, taken out of it.
fn elements(value: &mut Value) -> Vec<Value> {
    match value.take() {
        Value::Array(elements) => elements,
        _ => Vec::new(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn attributes(value: &Value) -> Attributes {
    list(value)
        .iter()
        .map(|pair| (text(&pair["key"]), any(&pair["value"])))
        .collect()
}

/// An `AnyValue` as text.
fn any(value: &Value) -> String {
    value
        .as_object()
        .and_then(|object| object.values().next())
        .map(text)
        .unwrap_or_default()
}

/// Text, or a number as text (64-bit integers are JSON strings).
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> f64 {
    text(value).parse().unwrap_or(f64::NAN)
}

/// Bytes that could not be seen for this cause.
pub fn blind_bytes(series: &[Series], cause: &str) -> f64 {
    series
        .iter()
        .filter(|one| one.name == "data_access.sensor.blind_bytes")
        .filter(|one| {
            one.attributes
                .get("data_access.cause")
                .is_some_and(|found| found == cause)
        })
        .map(|one| one.value)
        .sum()
}
