//! Executions linked to the application's own spans.

use std::{collections::BTreeMap, path::Path};

use harness::{
    raw::{extended, sync},
    wait_until,
};
use serde_json::Value;

use super::{
    scene::Scene,
    spans::{is, links, received, spans},
};

/// Of the application's trace.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn commented(text: &str, number: u64, flags: &str) -> String {
    format!("{text} /*action='x',traceparent='00-{TRACE}-{number:016x}-{flags}'*/")
}

/// By the application's span that a statement of a user is linked to: how many.
fn linked(file: &Path, user: &str) -> BTreeMap<u64, usize> {
    let mut found = BTreeMap::new();
    for span in spans(file) {
        if is(&span, "user.name", user) && is(&span, "data_access.sampling.reason", "application") {
            let [(trace, of)] = &*links(&span) else {
                panic!("one link: {span:#}");
            };
            assert_eq!(trace, TRACE);
            let number = u64::from_str_radix(of, 16).expect("hexadecimal");
            *found.entry(number).or_default() += 1;
        }
    }
    found
}

/// The last value of the metric of statements without their link, by cause.
fn unlinked(file: &Path, cause: &str) -> u64 {
    received(file, ["resourceMetrics", "scopeMetrics", "metrics"])
        .iter()
        .filter(|metric| metric["name"] == "data_access.sensor.unlinked")
        .filter_map(|metric| metric.pointer("/sum/dataPoints"))
        .flat_map(|points| points.as_array().cloned().unwrap_or_default())
        .rfind(|point| is(point, "data_access.cause", cause))
        .and_then(|point| point["asInt"].as_str().and_then(|text| text.parse().ok()))
        .unwrap_or(0)
}

fn scene(links: u64) -> Scene {
    Scene::begin(&format!(
        "spans_per_second = 5\nlinks_per_second = {links}\n"
    ))
}

#[test]
fn each_execution_is_linked_to_its_own_span() {
    let mut scene = scene(1000);

    // Equal statements, one after the other; every third of an application that does not sample.
    const EACH: u64 = 60;
    let mut ann = scene.session("ann");
    for number in 1..=EACH {
        let flags = if number % 3 == 0 { "00" } else { "01" };
        let text = format!("SELECT id FROM items WHERE id = {number}");
        let answer = ann.query(&commented(&text, number, flags));
        assert_eq!(answer.rows, 1);
    }
    ann.terminate();

    // In one pipeline, with others between them, and with a tracestate.
    let mut bob = scene.session("bob");
    let mut pipeline = Vec::new();
    for number in 1..=EACH {
        let text = commented("SELECT id FROM items WHERE id = $1", number, "01");
        let text = text.replace("'*/", "',tracestate='es%3Ds%3A1%2Cot%3Dth%3A0'*/");
        pipeline.extend(extended(&text, &[&number.to_string()]));
        pipeline.extend(extended("SELECT id FROM items WHERE id = $1", &["1"]));
    }
    pipeline.extend(sync());
    bob.send(&pipeline);
    assert_eq!(bob.answer().rows, 2 * EACH);
    bob.terminate();

    wait_until("both sessions' spans", || {
        scene.ended("ann") && scene.ended("bob")
    });
    scene.stop();
    let ann: BTreeMap<u64, usize> = (1..=EACH)
        .filter(|number| number % 3 != 0)
        .map(|number| (number, 1))
        .collect();
    assert_eq!(linked(scene.file(), "ann"), ann);
    let bob: BTreeMap<u64, usize> = (1..=EACH).map(|number| (number, 1)).collect();
    assert_eq!(linked(scene.file(), "bob"), bob);
    assert_eq!(unlinked(scene.file(), "budget"), 0);
}

#[test]
fn links_beyond_the_budget_are_counted() {
    let mut scene = scene(20);
    const ALL: u64 = 2000;
    let mut carl = scene.session("carl");
    for number in 1..=ALL {
        let text = format!("SELECT id FROM items WHERE id = {number}");
        carl.query(&commented(&text, number, "01"));
    }
    carl.terminate();
    wait_until("the session's span", || scene.ended("carl"));
    scene.stop();
    let told = linked(scene.file(), "carl");
    let within = told.len() as u64;
    assert!(told.values().all(|count| *count == 1), "{told:?}");
    // How long it took is the machine's to say; that all are one or the other is not. The first text is told besides, whatever
    // the budget says, and it was within it.
    assert!(within >= 20, "{within}");
    assert_eq!(within + unlinked(scene.file(), "budget"), ALL);
    // None is lost: those without a link are added up as ever.
    let session = spans(scene.file())
        .into_iter()
        .find(|span| span["name"] == "session carl postgres");
    let statements = session.as_ref().and_then(|span: &Value| {
        super::spans::attribute(span, "data_access.statements")?
            .parse()
            .ok()
    });
    assert_eq!(statements, Some(ALL));
}
