//! OTLP messages.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, metric, number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;

use super::{
    Batch, HistogramPoint, MetricPoint, Value,
    names::{self, Kind},
    point::Attributes,
};
use crate::{config::otlp::Temporality, volume::spread::BOUNDS};

mod alert;
mod records;
mod spans;

pub use records::Sketch;
pub use spans::hexadecimal;

/// Receivers take 4 MiB in one gRPC message unless told otherwise; half of it leaves room for the resource and for
/// collectors in between that add to it.
const LARGEST_REQUEST: usize = 2 << 20;
/// Tag and length of a data point, and its share of what is around it.
const POINT_OVERHEAD: usize = 16;

type ByMetric = BTreeMap<&'static str, (&'static names::Metric, Points)>;

/// Of one metric.
#[derive(Debug, Default)]
struct Points {
    numbers: Vec<NumberDataPoint>,
    histograms: Vec<HistogramDataPoint>,
}

enum Encoded {
    Number(NumberDataPoint),
    Histogram(HistogramDataPoint),
}

impl Encoded {
    fn length(&self) -> usize {
        match self {
            Self::Number(point) => point.encoded_len(),
            Self::Histogram(point) => point.encoded_len(),
        }
    }
}

/// Turns what is exported into OTLP messages.
#[derive(Debug)]
pub struct Messages {
    resource: Resource,
    host: Option<Value>,
    scope: InstrumentationScope,
}

impl Messages {
    /// For this resource.
    pub fn new(resource: &[(String, String)]) -> Self {
        let host = resource.iter().find(|(key, _)| key == "host.name");
        Self {
            host: host.map(|(_, name)| name.as_str().into()),
            resource: Resource {
                attributes: resource
                    .iter()
                    .map(|(key, value)| key_value(key, &Value::Text(value.as_str().into())))
                    .collect(),
                ..Resource::default()
            },
            scope: InstrumentationScope {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            },
        }
    }

    /// Metrics, in requests that each stay below what receivers take.
    pub fn metrics(
        &self,
        batch: &Batch,
        temporality: Temporality,
    ) -> Vec<ExportMetricsServiceRequest> {
        let mut requests = Vec::new();
        let mut by_metric = ByMetric::new();
        let mut size = 0;
        let numbers = batch.points.iter();
        let numbers = numbers.map(|point| (point.metric, Encoded::Number(data_point(point))));
        let histograms = batch.histograms.iter();
        let histograms =
            histograms.map(|point| (point.metric, Encoded::Histogram(histogram_point(point))));
        for (metric, encoded) in numbers.chain(histograms) {
            let length = encoded.length() + POINT_OVERHEAD;
            if size + length > LARGEST_REQUEST {
                requests.push(self.request(std::mem::take(&mut by_metric), temporality));
                size = 0;
            }
            size += length;
            let of = by_metric.entry(metric.name);
            let points = &mut of.or_insert_with(|| (metric, Points::default())).1;
            match encoded {
                Encoded::Number(point) => points.numbers.push(point),
                Encoded::Histogram(point) => points.histograms.push(point),
            }
        }
        if !by_metric.is_empty() {
            requests.push(self.request(by_metric, temporality));
        }
        requests
    }

    /// Attributes of what happened on a connection, and where that is. Metrics have that from their resource.
    fn placed(&self, mut attributes: Attributes) -> Vec<KeyValue> {
        let client = attributes
            .iter()
            .find(|(key, _)| *key == names::CLIENT_ADDRESS);
        let transport = match client {
            Some((_, Value::Text(address))) if &**address == "local" => Some("unix"),
            Some((_, Value::Text(address))) if &**address != "unknown" => Some("tcp"),
            _ => None,
        };
        if let Some(transport) = transport {
            attributes.push((names::NETWORK_TRANSPORT, transport.into()));
        }
        if let Some(host) = &self.host {
            attributes.push((names::SERVER_ADDRESS, host.clone()));
        }
        key_values(&attributes)
    }

    fn request(
        &self,
        by_metric: ByMetric,
        temporality: Temporality,
    ) -> ExportMetricsServiceRequest {
        let temporality = match temporality {
            Temporality::Cumulative => AggregationTemporality::Cumulative,
            Temporality::Delta => AggregationTemporality::Delta,
        };
        let metrics = by_metric
            .into_values()
            .map(|(definition, points)| Metric {
                name: definition.name.to_owned(),
                description: definition.description.to_owned(),
                unit: definition.unit.to_owned(),
                data: Some(match definition.kind {
                    Kind::Sum => metric::Data::Sum(Sum {
                        data_points: points.numbers,
                        aggregation_temporality: temporality as i32,
                        is_monotonic: true,
                    }),
                    Kind::Gauge => metric::Data::Gauge(Gauge {
                        data_points: points.numbers,
                    }),
                    Kind::Histogram => metric::Data::Histogram(Histogram {
                        data_points: points.histograms,
                        aggregation_temporality: temporality as i32,
                    }),
                }),
                ..Metric::default()
            })
            .collect();
        ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(self.resource.clone()),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(self.scope.clone()),
                    metrics,
                    schema_url: schema_url(),
                }],
                schema_url: schema_url(),
            }],
        }
    }
}

fn data_point(point: &MetricPoint) -> NumberDataPoint {
    NumberDataPoint {
        attributes: key_values(&point.attributes),
        // A gauge has no beginning.
        start_time_unix_nano: match point.metric.kind {
            Kind::Sum | Kind::Histogram => point.start.0,
            Kind::Gauge => 0,
        },
        time_unix_nano: point.time.0,
        value: Some(number_data_point::Value::AsInt(
            i64::try_from(point.value).unwrap_or(i64::MAX),
        )),
        ..NumberDataPoint::default()
    }
}

fn histogram_point(point: &HistogramPoint) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: key_values(&point.attributes),
        start_time_unix_nano: point.start.0,
        time_unix_nano: point.time.0,
        count: point.histogram.count(),
        sum: Some(point.histogram.sum as f64),
        bucket_counts: point.histogram.buckets.to_vec(),
        explicit_bounds: BOUNDS.iter().map(|bound| *bound as f64).collect(),
        // Each is told once.
        exemplars: point
            .exemplars
            .iter()
            .filter(|exemplar| exemplar.fresh)
            .map(|exemplar| Exemplar {
                time_unix_nano: exemplar.time.0,
                span_id: exemplar.context.span.to_vec(),
                trace_id: exemplar.context.trace.to_vec(),
                value: Some(exemplar::Value::AsInt(
                    i64::try_from(exemplar.rows).unwrap_or(i64::MAX),
                )),
                ..Exemplar::default()
            })
            .collect(),
        ..HistogramDataPoint::default()
    }
}

/// The conventions that names are from.
fn schema_url() -> String {
    opentelemetry_semantic_conventions::SCHEMA_URL.to_owned()
}

fn key_values(attributes: &Attributes) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|(key, value)| key_value(key, value))
        .collect()
}

fn key_value(key: &str, value: &Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(any_value(value)),
        ..KeyValue::default()
    }
}

fn any_value(value: &Value) -> AnyValue {
    AnyValue {
        value: Some(match value {
            Value::Text(text) => any_value::Value::StringValue(text.to_string()),
            Value::Integer(number) => any_value::Value::IntValue(*number),
            Value::Fraction(number) => any_value::Value::DoubleValue(*number),
            Value::List(list) => any_value::Value::ArrayValue(ArrayValue {
                values: list
                    .iter()
                    .map(|text| any_value(&Value::Text(text.clone())))
                    .collect(),
            }),
        }),
    }
}

/// FNV-1a; ids need to differ, not to resist anyone.
pub fn hash(text: &str, seed: u64) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    text.bytes().fold(start, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Fingerprint of a sanitised text, and of where its data goes to, that is equal on all hosts and over restarts (the
/// kernel's is keyed).
pub fn fingerprint(shape: &crate::sql::Shape) -> String {
    let destination = shape
        .egress
        .as_ref()
        .map_or(0, |egress| hash(&egress.destination, 0));
    format!("{:016x}", hash(&shape.text, destination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn point(metric: &'static names::Metric, value: u64) -> MetricPoint {
        MetricPoint {
            metric,
            attributes: vec![(
                names::USER_NAME,
                format!("user-with-a-long-name-{value:060}").as_str().into(),
            )],
            start: Timestamp(1),
            time: Timestamp(2),
            value,
        }
    }

    #[test]
    fn each_request_is_smaller_than_receivers_take() {
        let points: Vec<_> = (0..60_000).map(|i| point(&names::ROWS, i)).collect();
        let requests = Messages::new(&[]).metrics(&points.into(), Temporality::Cumulative);
        let mut count = 0;
        for request in &requests {
            assert!(request.encoded_len() < 4 << 20);
            for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
                let Some(metric::Data::Sum(sum)) = &metric.data else {
                    panic!("{} is a sum", metric.name);
                };
                count += sum.data_points.len();
            }
        }
        assert_eq!(count, 60_000);
        assert!(requests.len() > 1);
    }

    #[test]
    fn sums_have_a_beginning_gauges_none_and_json_has_no_null() {
        let mut batch = Batch::from(vec![point(&names::ROWS, 1), point(&names::MEMORY, 2)]);
        batch.histograms.push(HistogramPoint {
            metric: &names::ROWS_PER_STATEMENT,
            attributes: Vec::new(),
            start: Timestamp(1),
            time: Timestamp(2),
            histogram: crate::volume::spread::Histogram::default(),
            exemplars: Vec::new(),
        });
        let [request] = &*Messages::new(&[]).metrics(&batch, Temporality::Cumulative) else {
            panic!("one request");
        };
        for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
            let start = match metric.data.as_ref().expect("data") {
                metric::Data::Sum(sum) => {
                    assert!(sum.is_monotonic);
                    (1, sum.data_points[0].start_time_unix_nano)
                }
                metric::Data::Gauge(gauge) => (0, gauge.data_points[0].start_time_unix_nano),
                metric::Data::Histogram(histogram) => {
                    let point = &histogram.data_points[0];
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    (1, point.start_time_unix_nano)
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(start.0, start.1, "{}", metric.name);
        }
        let json = crate::export::sink::file::metrics_json(request).expect("JSON");
        let json = String::from_utf8(json).expect("text");
        assert!(!json.contains("null"), "OTLP JSON knows no null: {json}");
    }
}
