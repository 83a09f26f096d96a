//! Prometheus' text format and OpenMetrics, named by OpenTelemetry's "Prometheus and OpenMetrics Compatibility".

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    export::{
        Batch, Exemplar, HistogramPoint, MetricPoint, Value,
        names::{Kind, Metric},
        otlp::hexadecimal,
        point::Attributes,
    },
    volume::spread::{BOUNDS, Histogram},
};

/// The two forms that Prometheus asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `text/plain; version=0.0.4`.
    Text,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

impl Format {
    /// The better one of what a client accepts.
    pub fn wanted(accept: &str) -> Self {
        let open = accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            parts.next() == Some("application/openmetrics-text")
                && parts.all(|part| part != "q=0" && part != "version=0.0.1")
        });
        if open { Self::OpenMetrics } else { Self::Text }
    }

    /// `Content-Type` of the answer.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A metric's name for Prometheus, with unit and `_total`.
pub fn metric_name(metric: &Metric) -> String {
    let mut name = family_name(metric);
    if metric.kind == Kind::Sum {
        name.push_str("_total");
    }
    name
}

/// The name of a metric's family, which OpenMetrics writes without `_total`.
fn family_name(metric: &Metric) -> String {
    let mut name = identifier(metric.name);
    if let Some(unit) = unit(metric.unit)
        && !name.split('_').any(|word| word == unit)
    {
        name.push('_');
        name.push_str(unit);
    }
    name
}

/// Words for UCUM's units. What stands in braces is an annotation, not a unit.
fn unit(ucum: &str) -> Option<&'static str> {
    match ucum {
        "By" => Some("bytes"),
        "ns" => Some("nanoseconds"),
        "s" => Some("seconds"),
        _ => None,
    }
}

/// Letters, digits and single underscores.
fn identifier(name: &str) -> String {
    let mut identifier = String::with_capacity(name.len());
    for letter in name.chars() {
        let letter = if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '_'
        };
        if letter != '_' || !identifier.ends_with('_') {
            identifier.push(letter);
        }
    }
    identifier
}

/// All of it as one page.
pub fn render(resource: &[(String, String)], batch: &Batch, format: Format) -> String {
    // Each family in one piece, in an order that does not change.
    let mut families: BTreeMap<&str, Vec<&MetricPoint>> = BTreeMap::new();
    for point in &batch.points {
        families.entry(point.metric.name).or_default().push(point);
    }
    let mut histograms: BTreeMap<&str, Vec<&HistogramPoint>> = BTreeMap::new();
    for point in &batch.histograms {
        histograms.entry(point.metric.name).or_default().push(point);
    }
    let size = batch.points.len() * 320 + batch.histograms.len() * 320 * (BOUNDS.len() + 3);
    let mut page = String::with_capacity(size + 4096);
    target_info(&mut page, resource, format);
    for points in families.values() {
        family(&mut page, points, format);
    }
    for points in histograms.values() {
        histogram_family(&mut page, points, format);
    }
    if format == Format::OpenMetrics {
        page.push_str("# EOF\n");
    }
    page
}

/// The resource: Prometheus joins it by `job` and `instance`.
fn target_info(page: &mut String, resource: &[(String, String)], format: Format) {
    let (name, kind) = match format {
        Format::Text => ("target_info", "gauge"),
        Format::OpenMetrics => ("target", "info"),
    };
    let _ = writeln!(
        page,
        "# HELP {name} Which sensor on which host.\n# TYPE {name} {kind}"
    );
    page.push_str("target_info{");
    for (at, (key, value)) in resource.iter().enumerate() {
        if at > 0 {
            page.push(',');
        }
        label(page, &identifier(key), value);
    }
    page.push_str("} 1\n");
}

fn family(page: &mut String, points: &[&MetricPoint], format: Format) {
    let Some(metric) = points.first().map(|point| point.metric) else {
        return;
    };
    let name = metric_name(metric);
    describe(page, metric, format);
    for point in points {
        page.push_str(&name);
        labels(page, &point.attributes, None);
        let _ = writeln!(page, " {}", point.value);
    }
}

/// Buckets, of which each counts all that are smaller, too; exemplars where the format has a place for them.
fn histogram_family(page: &mut String, points: &[&HistogramPoint], format: Format) {
    let Some(metric) = points.first().map(|point| point.metric) else {
        return;
    };
    let name = metric_name(metric);
    describe(page, metric, format);
    for point in points {
        let mut so_far = 0;
        for (at, count) in point.histogram.buckets.iter().enumerate() {
            so_far += count;
            // Written alike in both formats: it is part of the series' name.
            let end = BOUNDS
                .get(at)
                .map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound}.0"));
            page.push_str(&name);
            page.push_str("_bucket");
            labels(page, &point.attributes, Some(&end));
            let _ = write!(page, " {so_far}");
            let mut of_bucket = point.exemplars.iter();
            if format == Format::OpenMetrics
                && let Some(one) = of_bucket.find(|one| Histogram::bucket(one.rows) == at)
            {
                exemplar(page, one);
            }
            page.push('\n');
        }
        for (suffix, value) in [("_sum", point.histogram.sum), ("_count", so_far)] {
            page.push_str(&name);
            page.push_str(suffix);
            labels(page, &point.attributes, None);
            let _ = writeln!(page, " {value}");
        }
    }
}

fn exemplar(page: &mut String, exemplar: &Exemplar) {
    let millis = exemplar.time.0 / 1_000_000;
    let _ = write!(
        page,
        " # {{trace_id=\"{}\",span_id=\"{}\"}} {} {}.{:03}",
        hexadecimal(&exemplar.context.trace),
        hexadecimal(&exemplar.context.span),
        exemplar.rows,
        millis / 1000,
        millis % 1000
    );
}

/// Help, type and unit of a family.
fn describe(page: &mut String, metric: &Metric, format: Format) {
    let family = match format {
        Format::Text => metric_name(metric),
        Format::OpenMetrics => family_name(metric),
    };
    let kind = match metric.kind {
        Kind::Sum => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let _ = writeln!(
        page,
        "# HELP {family} {}\n# TYPE {family} {kind}",
        escaped(metric.description)
    );
    if format == Format::OpenMetrics
        && let Some(unit) = unit(metric.unit)
        && family.ends_with(unit)
    {
        let _ = writeln!(page, "# UNIT {family} {unit}");
    }
}

/// In braces: attributes, the scope, and the end of a bucket.
fn labels(page: &mut String, attributes: &Attributes, bucket: Option<&str>) {
    page.push('{');
    for (key, value) in attributes {
        label(page, &identifier(key), &shown(value));
        page.push(',');
    }
    let _ = write!(
        page,
        "otel_scope_name=\"{}\",otel_scope_version=\"{}\"",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(end) = bucket {
        page.push(',');
        label(page, "le", end);
    }
    page.push('}');
}

fn label(page: &mut String, key: &str, value: &str) {
    let _ = write!(page, "{key}=\"{}\"", escaped(value));
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Fraction(number) => number.to_string(),
        Value::List(list) => list.join(","),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        export::names::{self, METRICS},
        time::Timestamp,
        trace::SpanContext,
    };

    fn point(metric: &'static Metric, user: &str, value: u64) -> MetricPoint {
        MetricPoint {
            metric,
            attributes: vec![
                (names::USER_NAME, user.into()),
                (names::SERVER_PORT, 5432.into()),
            ],
            start: Timestamp(1),
            time: Timestamp(2),
            value,
        }
    }

    #[test]
    fn names_follow_the_specification() {
        for (metric, name) in [
            (&names::ROWS, "data_access_rows_total"),
            (&names::BYTES, "data_access_bytes_total"),
            (&names::BLIND_BYTES, "data_access_sensor_blind_bytes_total"),
            (
                &names::BPF_RUN_TIME,
                "data_access_sensor_bpf_run_time_nanoseconds_total",
            ),
            (&names::MEMORY, "data_access_sensor_memory_bytes"),
            (&names::CONNECTIONS, "data_access_sensor_connections"),
        ] {
            assert_eq!(metric_name(metric), name);
        }
        let mut names: Vec<_> = METRICS.iter().map(|metric| metric_name(metric)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), METRICS.len(), "two metrics have one name");
        for attribute in names::ATTRIBUTES {
            assert!(!identifier(attribute.key).starts_with("__"));
        }
    }

    #[test]
    fn openmetrics_is_given_to_who_asks_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            (
                "application/openmetrics-text; version=1.0.0",
                Format::OpenMetrics,
            ),
            (prometheus, Format::OpenMetrics),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }

    #[test]
    fn families_are_whole_and_values_escaped() {
        let points = [
            point(&names::ROWS, "a\"b\\c\nd", 1),
            point(&names::MEMORY, "x", 3),
            point(&names::ROWS, "ann", 2),
        ];
        let resource = [("host.name".to_owned(), "db\"1".to_owned())];
        let batch = Batch::from(points.to_vec());
        let text = render(&resource, &batch, Format::Text);
        assert!(
            text.contains("target_info{host_name=\"db\\\"1\"} 1\n"),
            "{text}"
        );
        let scope = format!(
            "otel_scope_name=\"sensor-user\",otel_scope_version=\"{}\"",
            env!("CARGO_PKG_VERSION")
        );
        let rows = format!(
            "# TYPE data_access_rows_total counter\n\
             data_access_rows_total{{user_name=\"a\\\"b\\\\c\\nd\",server_port=\"5432\",{scope}}} 1\n\
             data_access_rows_total{{user_name=\"ann\",server_port=\"5432\",{scope}}} 2\n"
        );
        assert!(text.contains(&rows), "{text}");
        assert!(!text.contains("# EOF"));
        let open = render(&resource, &batch, Format::OpenMetrics);
        assert!(open.ends_with("# EOF\n"), "{open}");
        assert!(open.contains("# TYPE data_access_rows counter\n"), "{open}");
        assert!(
            open.contains("# UNIT data_access_sensor_memory_bytes bytes\n"),
            "{open}"
        );
    }

    #[test]
    fn buckets_add_up_and_exemplars_stand_beside_theirs() {
        let mut histogram = Histogram::default();
        (histogram.buckets[1], histogram.buckets[4], histogram.sum) = (3, 1, 12);
        let point = HistogramPoint {
            metric: &names::ROWS_PER_STATEMENT,
            attributes: vec![(names::USER_NAME, "ann".into())],
            start: Timestamp(1),
            time: Timestamp(2),
            histogram,
            exemplars: vec![Exemplar {
                rows: 9,
                time: Timestamp(1_700_000_000_250_000_000),
                context: SpanContext {
                    trace: [0xab; 16],
                    span: [0x01; 8],
                },
                fresh: false,
            }],
        };
        let batch = Batch {
            points: Vec::new(),
            histograms: vec![point],
        };
        let scope = format!(
            "otel_scope_name=\"sensor-user\",otel_scope_version=\"{}\"",
            env!("CARGO_PKG_VERSION")
        );
        let name = "data_access_rows_per_statement";
        let exemplar = format!(
            " # {{trace_id=\"{}\",span_id=\"{}\"}} 9 1700000000.250",
            "ab".repeat(16),
            "01".repeat(8)
        );
        for (format, exemplar) in [(Format::Text, ""), (Format::OpenMetrics, &*exemplar)] {
            let page = render(&[], &batch, format);
            for line in [
                format!("# TYPE {name} histogram"),
                format!("{name}_bucket{{user_name=\"ann\",{scope},le=\"0.0\"}} 0"),
                format!("{name}_bucket{{user_name=\"ann\",{scope},le=\"5.0\"}} 3"),
                format!("{name}_bucket{{user_name=\"ann\",{scope},le=\"10.0\"}} 4{exemplar}"),
                format!("{name}_bucket{{user_name=\"ann\",{scope},le=\"+Inf\"}} 4"),
                format!("{name}_sum{{user_name=\"ann\",{scope}}} 12"),
                format!("{name}_count{{user_name=\"ann\",{scope}}} 4"),
            ] {
                assert!(page.lines().any(|one| one == line), "{line} in\n{page}");
            }
        }
    }
}
