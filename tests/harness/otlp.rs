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

/// Last value of every series of sums and gauges in a file.
///
/// # Panics
/// When a sum is not cumulative and monotonic, or falls.
pub fn metrics(path: &Path) -> Vec<Series> {
    let mut last: HashMap<(String, Attributes), f64> = HashMap::new();
    for metric in records(path, "resourceMetrics", "scopeMetrics", "metrics") {
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
            if let Some(before) = last.get(&key) {
                assert!(
                    falls || value >= *before,
                    "monotonic sum fell from {before} to {value}: {key:?}"
                );
            }
            last.insert(key, value);
        }
    }
    last.into_iter()
        .map(|((name, attributes), value)| Series {
            name,
            attributes,
            value,
        })
        .collect()
}

/// Alerts, among other log records.
///
/// # Panics
/// When the file holds no JSON.
pub fn alerts(path: &Path) -> Vec<Alert> {
    records(path, "resourceLogs", "scopeLogs", "logRecords")
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
    records(path, "resourceSpans", "scopeSpans", "spans")
        .iter()
        .map(|span| Span {
            name: text(&span["name"]),
            trace: text(&span["traceId"]),
            attributes: attributes(&span["attributes"]),
        })
        .collect()
}

fn records(path: &Path, resources: &str, scopes: &str, records: &str) -> Vec<Value> {
    let content = fs::read_to_string(path).unwrap_or_default();
    let mut found = Vec::new();
    // The last line may still be under way while the sensor runs.
    let complete = content.rfind('\n').map_or("", |end| &content[..end]);
    for line in complete.lines() {
        let line: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()));
        for resource in list(&line[resources]) {
            for scope in list(&resource[scopes]) {
                found.extend(list(&scope[records]).iter().cloned());
            }
        }
    }
    found
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
