//! How much of an alert its trace tells.

use harness::{
    Sensor, Turn,
    raw::{Raw, bind, execute, parse, sync},
    receivers::{free_port, sink},
    wait_until,
};
use serde_json::Value;

use super::spans::{attribute, context, is, number, received, server, spans};

#[test]
fn statements_that_an_alert_leaves_out_are_counted_in_its_trace() {
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
             [export.traces]\nspans_per_second = 1\n\
             [[threshold]]\nname = \"theft\"\nmeasure = \"rows\"\nuser = \"ann\"\nwindow = \"10m\"\nlimit = 250\n"
        ),
        &[],
    );
    // A row a statement; in a pipeline, so that each is told by itself.
    let mut ann = Raw::start(&server.ipv4(), "ann", "postgres");
    let mut pipeline = parse("", "SELECT id FROM items WHERE id = $1::int");
    for id in 1..=300 {
        pipeline.extend(bind("", "", &[&id.to_string()]));
        pipeline.extend(execute("", 0));
    }
    pipeline.extend(sync());
    ann.send(&pipeline);
    assert_eq!(ann.answer().rows, 300);
    ann.terminate();
    let alerts = || received(&file, ["resourceLogs", "scopeLogs", "logRecords"]);
    wait_until("the alert and the session's span", || {
        let session = spans(&file)
            .iter()
            .any(|span| span["name"] == "session ann postgres");
        session && !alerts().is_empty()
    });
    sensor.stop();

    let alerts = alerts();
    let [alert] = &*alerts else {
        panic!("{alerts:#?}");
    };
    let spans = spans(&file);
    let root = spans.iter().find(|span| context(span) == context(alert));
    let root = root.unwrap_or_else(|| panic!("no span {:?}", context(alert)));
    let observed = number(root, "data_access.observed");
    assert!(observed > 250.0, "{root:#}");
    for said in [alert, root] {
        let of = |key: &str| number(said, &format!("data_access.alert.statements.{key}"));
        assert_eq!((of("told"), of("left_out")), (100.0, observed - 100.0));
        let since = attribute(said, "data_access.alert.statements.since");
        assert_eq!(since, None, "all are remembered");
    }
    let uid = attribute(alert, "log.record.uid").expect("an id");
    let told: Vec<&Value> = spans
        .iter()
        .filter(|span| is(span, "data_access.alert.uid", &uid))
        .collect();
    assert_eq!(told.len(), 100);
}
