//! A session, its statements and its alert.

use std::time::Duration;

use harness::wait_until;
use serde_json::Value;

use super::{
    scene::Scene,
    spans::{attribute, context, hexadecimal, is, links, nanos, now, number, received, spans},
};

/// The application's own span, as sqlcommenter writes it.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_session_is_a_trace_and_the_alert_leads_there() {
    let mut scene = Scene::begin(
        "spans_per_second = 5\n\
         [[threshold]]\nname = \"hundred\"\nmeasure = \"rows\"\nuser = \"ann\"\nwindow = \"1m\"\nlimit = 100\n",
    );

    // Statements each of a shape of its own, so that none are added up; nobody else does anything meanwhile.
    const SHAPES: usize = 200;
    let mut bob = scene.session("bob");
    for number in 1..=SHAPES {
        let columns = vec!["id"; number].join(", ");
        bob.query(&format!("SELECT {columns} FROM items WHERE id = 1"));
    }
    bob.terminate();
    std::thread::sleep(Duration::from_millis(1500));

    let mut ann = scene.session("ann");
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
    wait_until("the session's span", || scene.ended("ann"));
    scene.stop();
    let spans = spans(scene.file());
    let session = spans
        .iter()
        .find(|span| span["name"] == "session ann postgres")
        .expect("the session");

    // Each statement of the session: in its trace, below its root, within its time.
    let of_ann: Vec<&Value> = spans
        .iter()
        .filter(|span| is(span, "user.name", "ann") && span["parentSpanId"] == session["spanId"])
        .collect();
    assert_eq!(of_ann.len(), 4, "{of_ann:#?}");
    for span in &of_ann {
        assert_eq!(span["traceId"], session["traceId"]);
        assert!(nanos(span, "startTimeUnixNano") >= nanos(session, "startTimeUnixNano"));
        assert!(nanos(span, "endTimeUnixNano") <= nanos(session, "endTimeUnixNano"));
    }
    assert_eq!(number(session, "data_access.statements"), 4.0);
    assert_eq!(number(session, "db.response.returned_rows"), 131.0);

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
    for key in ["error.type", "db.response.status_code"] {
        assert_eq!(attribute(failed, key).as_deref(), Some("42703"), "{key}");
    }

    // The alert: its own trace, which leads to the session; its statements lead back.
    let alerts = received(scene.file(), ["resourceLogs", "scopeLogs", "logRecords"]);
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
    assert_eq!(links(root), [context(session)]);
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
