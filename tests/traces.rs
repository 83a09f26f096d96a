//! Promise: a session is a trace that people read, its statements are spans with the kernel's times, and from an alert and
//! from a metric the way leads there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use harness::{
    Options, Postgres, Sensor, Turn,
    raw::Raw,
    receivers::{free_port, get, prometheus_tool, sink},
    wait_until,
};
use serde_json::Value;

/// The application's own span, as sqlcommenter writes it.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn server() -> Postgres {
    let server = Postgres::start(&Options::default());
    server.sql(
        "postgres",
        "CREATE TABLE items AS SELECT i AS id FROM generate_series(1, 5000) i; GRANT SELECT ON items TO PUBLIC;
         CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE carl LOGIN",
    );
    server
}

/// All spans (or log records, or metrics) that a receiver has taken.
fn received(file: &Path, pointers: [&str; 3]) -> Vec<Value> {
    let [resources, scopes, records] = pointers;
    let text = fs::read_to_string(file).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for line in complete.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        for resource in list(&line[resources]) {
            for scope in list(&resource[scopes]) {
                found.extend(list(&scope[records]));
            }
        }
    }
    found
}

fn spans(file: &Path) -> Vec<Value> {
    received(file, ["resourceSpans", "scopeSpans", "spans"])
}

fn attribute(of: &Value, key: &str) -> Option<String> {
    let mut pairs = of["attributes"].as_array()?.iter();
    let value = &pairs.find(|pair| pair["key"] == key)?["value"];
    let (_, value) = value.as_object()?.iter().next()?;
    Some(
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned),
    )
}

fn is(of: &Value, key: &str, value: &str) -> bool {
    attribute(of, key).as_deref() == Some(value)
}

fn number(of: &Value, key: &str) -> f64 {
    attribute(of, key).map_or(f64::NAN, |text| text.parse().expect("a number"))
}

fn nanos(of: &Value, key: &str) -> u128 {
    of[key].as_str().expect("a time").parse().expect("a number")
}

/// Ids are base64 in the receiver's JSON; people write them in hexadecimal.
fn hexadecimal(id: &Value) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = id.as_str().unwrap_or_default().trim_end_matches('=');
    let mut bits = 0_u32;
    let mut held = 0;
    let mut hex = String::new();
    for letter in text.bytes() {
        let value = LETTERS.iter().position(|one| *one == letter);
        bits = bits << 6 | u32::try_from(value.expect("base64")).expect("small");
        held += 6;
        if held >= 8 {
            held -= 8;
            hex += &format!("{:02x}", bits >> held & 0xff);
        }
    }
    hex
}

/// Trace and span of a span.
fn context(span: &Value) -> (String, String) {
    (hexadecimal(&span["traceId"]), hexadecimal(&span["spanId"]))
}

fn links(span: &Value) -> Vec<(String, String)> {
    let links = span["links"].as_array();
    links.into_iter().flatten().map(context).collect()
}

fn now() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after the epoch").as_nanos()
}

#[test]
fn a_session_is_a_trace_and_the_alert_leads_there() {
    let turn = Turn::take();
    let directory = tempfile::tempdir().expect("a directory");
    let server = server();
    let port = free_port();
    let file = directory.path().join("received.jsonl");
    let _sink = sink(port, &file);
    let sensor = Sensor::start(
        &turn,
        &format!(
            "[export]\ninterval = \"1s\"\notlp_endpoint = \"http://127.0.0.1:{port}\"\notlp_protocol = \"grpc\"\n\
             [export.traces]\nspans_per_second = 5\n\
             [[threshold]]\nname = \"hundred\"\nmeasure = \"rows\"\nuser = \"ann\"\nwindow = \"1m\"\nlimit = 100\n"
        ),
        &[],
    );

    // Statements each of a shape of its own, so that none are added up; nobody else does anything meanwhile.
    const SHAPES: usize = 200;
    let mut bob = Raw::start(&server.ipv4(), "bob", "postgres");
    for number in 1..=SHAPES {
        let columns = vec!["id"; number].join(", ");
        bob.query(&format!("SELECT {columns} FROM items WHERE id = 1"));
    }
    bob.terminate();
    std::thread::sleep(Duration::from_millis(1500));

    let mut ann = Raw::start(&server.ipv4(), "ann", "postgres");
    let before = now();
    ann.query(&format!(
        "SELECT pg_sleep(0.3) /*traceparent='{TRACEPARENT}'*/"
    ));
    let after = now();
    let failed = ann.query("SELECT missing FROM items");
    assert_eq!(failed.errors, ["42703"]);
    // Of different shapes: equal ones would be one span.
    ann.query("SELECT id FROM items WHERE id <= 60");
    ann.query("SELECT id FROM items WHERE id < 71");
    ann.terminate();
    let session = || {
        let spans = spans(&file);
        spans
            .into_iter()
            .find(|span| span["name"] == "session ann postgres")
    };
    wait_until("the session's span", || session().is_some());
    sensor.stop();
    let session = session().expect("the session");
    let spans = spans(&file);

    // Each statement of the session: in its trace, below its root, within its time.
    let of_ann: Vec<&Value> = spans
        .iter()
        .filter(|span| is(span, "user.name", "ann") && span["parentSpanId"] == session["spanId"])
        .collect();
    assert_eq!(of_ann.len(), 4, "{of_ann:#?}");
    for span in &of_ann {
        assert_eq!(span["traceId"], session["traceId"]);
        assert!(nanos(span, "startTimeUnixNano") >= nanos(&session, "startTimeUnixNano"));
        assert!(nanos(span, "endTimeUnixNano") <= nanos(&session, "endTimeUnixNano"));
    }
    assert_eq!(number(&session, "data_access.statements"), 4.0);
    assert_eq!(number(&session, "db.response.returned_rows"), 131.0);

    // The kernel's times: what the client saw encloses them (but for how well two clocks are compared on a busy machine).
    let of = |reason: &str| -> Vec<&&Value> {
        let mut found = of_ann.iter();
        found
            .by_ref()
            .filter(|span| is(span, "data_access.sampling.reason", reason))
            .collect()
    };
    let [slept] = &*of("application") else {
        panic!("{of_ann:#?}");
    };
    let (start, end) = (
        nanos(slept, "startTimeUnixNano"),
        nanos(slept, "endTimeUnixNano"),
    );
    const SLACK: u128 = 100_000_000;
    assert!(
        start + SLACK >= before && end <= after + SLACK,
        "{before} {start} {end} {after}"
    );
    assert!(end - start >= 300_000_000, "{start} {end}");
    let [_, trace, span, _] = TRACEPARENT.split('-').collect::<Vec<_>>()[..] else {
        panic!("four parts");
    };
    assert_eq!(links(slept), [(trace.to_owned(), span.to_owned())]);

    let [failed] = &*of("failed") else {
        panic!("{of_ann:#?}");
    };
    assert_eq!(failed["status"]["code"], 2);
    assert_eq!(attribute(failed, "error.type").as_deref(), Some("_OTHER"));

    // The alert: its own trace, which leads to the session; its statements lead back.
    let alerts = received(&file, ["resourceLogs", "scopeLogs", "logRecords"]);
    let [alert] = &*alerts else {
        panic!("{alerts:#?}");
    };
    let uid = attribute(alert, "log.record.uid").expect("an id");
    assert!(is(
        alert,
        "data_access.session.trace_id",
        &hexadecimal(&session["traceId"])
    ));
    let root = spans.iter().find(|span| context(span) == context(alert));
    let root = root.unwrap_or_else(|| panic!("no span {:?}", context(alert)));
    assert_eq!(root["name"], "alert hundred ann");
    assert_eq!(links(root), [context(&session)]);
    let told = of("alert");
    let rows: Vec<f64> = told
        .iter()
        .map(|span| number(span, "db.response.returned_rows"))
        .collect();
    assert_eq!(
        rows.iter().sum::<f64>(),
        130.0,
        "both statements of its window"
    );
    for span in told {
        assert!(is(span, "data_access.alert.uid", &uid));
        assert_eq!(links(span), [context(alert)]);
    }

    // The rest by chance: each span stands for as many as its probability says, and together they are all there were.
    let of_bob = spans.iter().filter(|span| {
        is(span, "user.name", "bob") && attribute(span, "data_access.sampling.reason").is_some()
    });
    let mut by_chance = 0;
    let mut stands_for = 0.0;
    for span in of_bob {
        let probability = number(span, "data_access.sampling.probability");
        if is(span, "data_access.sampling.reason", "chance") {
            by_chance += 1;
            assert!(probability > 0.0 && probability <= 1.0, "{probability}");
        } else {
            assert!(
                is(span, "data_access.sampling.reason", "largest"),
                "{span:#}"
            );
            assert_eq!(probability, 1.0);
        }
        assert_eq!(attribute(span, "data_access.statements"), None, "{span:#}");
        stands_for += 1.0 / probability;
    }
    assert!((1..SHAPES).contains(&by_chance), "{by_chance}");
    assert!((stands_for - SHAPES as f64).abs() < 1e-6, "{stands_for}");
}

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
