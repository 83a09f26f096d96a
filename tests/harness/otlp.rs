//! OTLP JSON lines, as `--otlp-file` writes them (the OpenTelemetry file exporter's format).

use std::{
    collections::{BTreeMap, HashMap},
    fs,
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
    read: usize,
    last: HashMap<(String, Attributes), f64>,
}

impl Metrics {
    /// Those of the file as it is now.
    ///
    /// # Panics
    /// When a sum is not cumulative and monotonic, or falls.
    pub fn of(&mut self, path: &Path) -> Vec<Series> {
        let content = complete_lines(path);
        // It is another file under the same name.
        if content.len() < self.read {
            *self = Self::default();
        }
        let added = &content[self.read..];
        for metric in records(path, added, "resourceMetrics", "scopeMetrics", "metrics") {
            self.take(&metric);
        }
        self.read = content.len();
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
    let content = complete_lines(path);
    records(path, &content, "resourceLogs", "scopeLogs", "logRecords")
        .iter()
        .filter(|record| record["eventName"] == "data_access.anomaly")
        .map(|record| Alert {
            event: text(&record["eventName"]),
            severity: text(&record["severityText"]),
            body: any(&record["body"]),
            time: text(&record["timeUnixNano"]).parse().unwrap_or(0),
            trace: text(&record["traceId"]),
            attributes: attributes(&record["attributes"]),
        })
        .collect()
}

/// Spans.
///
/// # Panics
/// When the file holds no JSON.
pub fn spans(path: &Path) -> Vec<Span> {
    let content = complete_lines(path);
    records(path, &content, "resourceSpans", "scopeSpans", "spans")
        .iter()
        .map(|span| Span {
            name: text(&span["name"]),
            trace: text(&span["traceId"]),
            attributes: attributes(&span["attributes"]),
        })
        .collect()
}

/// The last line may still be under way while the sensor runs.
fn complete_lines(path: &Path) -> String {
    let mut content = fs::read_to_string(path).unwrap_or_default();
    content.truncate(content.rfind('\n').map_or(0, |end| end + 1));
    content
}

/// Those of one signal, from lines of which each holds one signal's.
fn records(path: &Path, lines: &str, resources: &str, scopes: &str, records: &str) -> Vec<Value> {
    let mut found = Vec::new();
    for line in lines.lines().filter(|line| line.contains(resources)) {
        let mut line: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()));
        for mut resource in elements(&mut line[resources]) {
            for mut scope in elements(&mut resource[scopes]) {
                found.extend(elements(&mut scope[records]));
            }
        }
    }
    found
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
