//! How much of an alert its trace tells.

use harness::{
    raw::{bind, execute, parse, sync},
    wait_until,
};
use serde_json::Value;

use super::{
    scene::Scene,
    spans::{attribute, context, is, number, received, spans},
};

#[test]
fn statements_that_an_alert_leaves_out_are_counted_in_its_trace() {
    let mut scene = Scene::begin(
        "spans_per_second = 1\n\
         [[threshold]]\nname = \"theft\"\nmeasure = \"rows\"\nuser = \"ann\"\nwindow = \"10m\"\nlimit = 250\n",
    );
    // A row a statement; in a pipeline, so that each is told by itself.
    let mut ann = scene.session("ann");
    let mut pipeline = parse("", "SELECT id FROM items WHERE id = $1::int");
    for id in 1..=300 {
        pipeline.extend(bind("", "", &[&id.to_string()]));
        pipeline.extend(execute("", 0));
    }
    pipeline.extend(sync());
    ann.send(&pipeline);
    assert_eq!(ann.answer().rows, 300);
    ann.terminate();
    let alerts =
        |scene: &Scene| received(scene.file(), ["resourceLogs", "scopeLogs", "logRecords"]);
    wait_until("the alert and the session's span", || {
        scene.ended("ann") && !alerts(&scene).is_empty()
    });
    scene.stop();

    let alerts = alerts(&scene);
    let [alert] = &*alerts else {
        panic!("{alerts:#?}");
    };
    let spans = spans(scene.file());
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
