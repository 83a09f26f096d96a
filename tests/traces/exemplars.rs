//! Histograms of rows a statement, and the way from them to spans.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use harness::{
    Sensor, Turn,
    raw::Raw,
    receivers::{free_port, get, prometheus_tool, sink},
    wait_until,
};
use serde_json::Value;

use super::{
    scene::server,
    spans::{attribute, context, is, now, number, received, spans},
};

/// A child process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Prometheus with a place for exemplars, which looks each second.
fn prometheus(directory: &Path, target: u16) -> (Ends, u16) {
    let port = free_port();
    let settings = directory.join("prometheus.yml");
    fs::write(
        &settings,
        format!(
            "scrape_configs:\n- job_name: sensor\n  scrape_interval: 1s\n  static_configs:\n  - targets: ['127.0.0.1:{target}']\n"
        ),
    )
    .expect("write");
    let child = Command::new(prometheus_tool("prometheus"))
        .arg("--enable-feature=exemplar-storage")
        .arg(format!("--config.file={}", settings.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            directory.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stderr(Stdio::null())
        .spawn()
        .expect("start Prometheus");
    (Ends(child), port)
}

fn ask(port: u16, path: &str, query: &str) -> Value {
    let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let separator = if path.contains('?') { '&' } else { '?' };
    let answer = get(port, &format!("/api/v1/{path}{separator}query={escaped}"));
    serde_json::from_str(&answer).unwrap_or_default()
}

/// Upper ends of buckets that hold anything, with how many.
fn buckets(point: &Value) -> BTreeMap<String, u64> {
    let list = |key: &str| point[key].as_array().cloned().unwrap_or_default();
    let bounds = list("explicitBounds")
        .into_iter()
        .map(|bound| bound.to_string());
    let counts = list("bucketCounts").into_iter().map(|count| {
        let count = count.as_str().map(str::to_owned).unwrap_or_default();
        count.parse().expect("a number")
    });
    bounds
        .chain(["+Inf".to_owned()])
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[test]
fn rows_a_statement_are_counted_and_exemplars_lead_to_spans() {
    let turn = Turn::take();
    let directory = tempfile::tempdir().expect("a directory");
    let server = server();
    let (port, metrics) = (free_port(), free_port());
    let file = directory.path().join("received.jsonl");
    let _sink = sink(port, &file);
    let sensor = Sensor::start(
        &turn,
        &format!(
            "[export]\ninterval = \"1s\"\notlp_endpoint = \"http://127.0.0.1:{port}\"\notlp_protocol = \"grpc\"\n\
             [export.traces]\nspans_per_second = 1000\n[export.prometheus]\nlisten = \"127.0.0.1:{metrics}\"\n"
        ),
        &[],
    );
    let (_prometheus, prometheus) = prometheus(directory.path(), metrics);
    // Look-ups that the kernel adds up, a result that streams, an empty one, one that fails, one that writes.
    let mut carl = Raw::start(&server.ipv4(), "carl", "postgres");
    for key in 1..=100 {
        carl.query(&format!("SELECT id FROM items WHERE id = {key}"));
    }
    for rows in [0, 7, 300, 4500] {
        // Each of a shape of its own: of equal ones only the largest would be known.
        carl.query(&format!(
            "SELECT id FROM items AS up_to_{rows} WHERE id <= {rows}"
        ));
    }
    carl.query("SELECT missing FROM items");
    carl.query("CREATE TEMP TABLE mine AS SELECT id FROM items WHERE id <= 15");
    carl.terminate();
    let expected: BTreeMap<String, u64> = [
        ("0.0", 2),
        ("1.0", 100),
        ("10.0", 1),
        ("20.0", 1),
        ("500.0", 1),
        ("5000.0", 1),
    ]
    .map(|(bound, count)| (bound.to_owned(), count))
    .into();
    let rows = 100 + 7 + 300 + 4500 + 15;

    let histogram = || {
        received(&file, ["resourceMetrics", "scopeMetrics", "metrics"])
            .into_iter()
            .filter(|metric| metric["name"] == "data_access.rows_per_statement")
            .flat_map(|metric| {
                let points = metric.pointer("/histogram/dataPoints").cloned();
                points
                    .and_then(|points| points.as_array().cloned())
                    .unwrap_or_default()
            })
            .rfind(|point| is(point, "user.name", "carl"))
    };
    wait_until("all statements at the receiver", || {
        histogram().is_some_and(|point| point["count"] == "106")
    });
    let point = histogram().expect("a histogram");
    assert_eq!(point["sum"].as_f64(), Some(f64::from(rows)));
    assert_eq!(buckets(&point), expected, "{point:#}");

    // The same in Prometheus.
    let value = |query: &str| -> Option<f64> {
        let answer = ask(prometheus, "query", query);
        answer
            .pointer("/data/result/0/value/1")?
            .as_str()?
            .parse()
            .ok()
    };
    let name = "data_access_rows_per_statement";
    wait_until("the histogram in Prometheus", || {
        value(&format!("{name}_count{{user_name=\"carl\"}}")) == Some(106.0)
    });
    for (bound, count) in [
        ("0.0", 2.0),
        ("1.0", 102.0),
        ("1000.0", 105.0),
        ("+Inf", 106.0),
    ] {
        let query = format!("{name}_bucket{{user_name=\"carl\",le=\"{bound}\"}}");
        assert_eq!(value(&query), Some(count), "{query}");
    }
    // It and the other metrics agree.
    assert_eq!(
        value("sum(data_access_queries_total{user_name=\"carl\"})"),
        Some(106.0)
    );
    let sum = format!("{name}_sum{{user_name=\"carl\"}}");
    assert_eq!(
        value(&sum),
        value("sum(data_access_rows_total{user_name=\"carl\"})")
    );

    // Each exemplar leads to a span that the receiver has, of a statement of that bucket.
    let exemplars = || -> Vec<(String, String, String, f64)> {
        let end = now() / 1_000_000_000 + 60;
        let path = format!("query_exemplars?start={}&end={end}", end - 600);
        let answer = ask(
            prometheus,
            &path,
            &format!("{name}_bucket{{user_name=\"carl\"}}"),
        );
        let mut found = Vec::new();
        for series in answer["data"].as_array().into_iter().flatten() {
            let bucket = series.pointer("/seriesLabels/le").and_then(Value::as_str);
            for exemplar in series["exemplars"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                found.push((
                    text(&exemplar["labels"]["trace_id"]),
                    text(&exemplar["labels"]["span_id"]),
                    bucket.unwrap_or_default().to_owned(),
                    text(&exemplar["value"]).parse().expect("a number"),
                ));
            }
        }
        found
    };
    let in_buckets = || -> BTreeSet<String> {
        exemplars()
            .into_iter()
            .map(|(_, _, bucket, _)| bucket)
            .collect()
    };
    wait_until("an exemplar of each bucket", || {
        in_buckets() == expected.keys().cloned().collect()
    });
    sensor.stop();
    let spans = spans(&file);
    for (trace, span, bucket, rows) in exemplars() {
        let found = spans
            .iter()
            .find(|one| context(one) == (trace.clone(), span.clone()));
        let found = found.unwrap_or_else(|| panic!("no span {trace} {span} of {bucket}"));
        let largest = attribute(found, "data_access.largest.rows").map_or_else(
            || {
                number(found, "db.response.returned_rows")
                    + number(found, "data_access.rows.written")
            },
            |rows| rows.parse().expect("a number"),
        );
        assert_eq!(largest, rows, "{found:#}");
        assert!(rows <= bucket.parse().expect("a bound"), "{bucket}: {rows}");
    }
    // And those at the OTLP receiver do as well.
    let told: Vec<Value> = received(&file, ["resourceMetrics", "scopeMetrics", "metrics"])
        .into_iter()
        .filter_map(|metric| metric.pointer("/histogram/dataPoints").cloned())
        .flat_map(|points| points.as_array().cloned().unwrap_or_default())
        .filter(|point| is(point, "user.name", "carl"))
        .flat_map(|point| point["exemplars"].as_array().cloned().unwrap_or_default())
        .collect();
    assert!(told.len() >= expected.len(), "{told:#?}");
    let distinct: BTreeSet<_> = told.iter().map(context).collect();
    assert_eq!(distinct.len(), told.len(), "each is told once");
    for exemplar in &told {
        assert!(
            spans.iter().any(|span| context(span) == context(exemplar)),
            "{exemplar:#}"
        );
    }
}
