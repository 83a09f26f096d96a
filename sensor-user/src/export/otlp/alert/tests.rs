use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::*;
use crate::export::otlp::key_value;

#[test]
fn an_alert_and_its_trace_belong_together() {
    let messages = Messages::new(&[("service.name".to_owned(), "s".to_owned())]);
    let record = AlertRecord::for_tests("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let logs = messages.alert(&record);
    let log = &logs.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(
        (log.event_name.as_str(), log.severity_number),
        (names::ANOMALY, 17)
    );
    assert_eq!((log.trace_id.len(), log.span_id.len()), (16, 8));
    assert!(log.attributes.contains(&key_value(
        names::LOG_RECORD_UID,
        &record.alert.id.clone().into()
    )));
    let traces = messages.trace(&record);
    let spans = &traces.resource_spans[0].scope_spans[0].spans;
    let [root, child] = spans.as_slice() else {
        panic!("a root and one statement: {spans:?}");
    };
    assert_eq!(
        (&root.trace_id, &root.span_id),
        (&log.trace_id, &log.span_id)
    );
    assert_eq!(
        (&child.trace_id, &child.parent_span_id),
        (&root.trace_id, &root.span_id)
    );
    assert_ne!(child.span_id, root.span_id);
    assert_eq!(root.name, "alert bulk-read ann");
    let status = root.status.as_ref().expect("said aloud");
    assert_eq!(status.code, 2, "red in lists");
    assert!(
        status.message.contains("ann accessed 5000 rows"),
        "{status:?}"
    );
    assert_eq!(child.name, "SELECT customers");
    assert!(
        child
            .attributes
            .contains(&key_value(names::AMOUNT, &5000_u64.into()))
    );
    assert!(child.attributes.contains(&key_value(
        names::DB_RESPONSE_RETURNED_ROWS,
        &5000_u64.into()
    )));
    // Delivered twice, it is the same trace.
    assert_eq!(messages.trace(&record), traces);
}

#[test]
fn written_rows_are_not_called_returned() {
    let mut record = AlertRecord::for_tests("A1");
    record.alert.statements[0].summary = "INSERT customers".into();
    let traces = Messages::new(&[]).trace(&record);
    let child = &traces.resource_spans[0].scope_spans[0].spans[1];
    assert!(
        child
            .attributes
            .iter()
            .all(|attribute| attribute.key != names::DB_RESPONSE_RETURNED_ROWS)
    );
}

/// What a lane tells of.
fn of_a_lane() -> AlertRecord {
    let mut record = AlertRecord::for_tests("A2");
    let alert = &mut record.alert;
    alert.verdict = Some(std::sync::Arc::new(Verdict {
        time: alert.time,
        severity: alert.severity,
        lane: "drift",
        lanes: vec!["drift", "coverage"],
        principal: Some("ann".into()),
        group: Some("desk".into()),
        host: None,
        os_user: None,
        principals: vec!["ann".into()],
        measure: "records",
        observed: 1_200,
        expected: 500,
        peers: Some(480),
        window_seconds: 864_000,
        active_days: 8,
        odds: 200_000,
        budgeted: true,
        database: None,
        table: Some("customers".into()),
        share_of_table: Some(0.01),
        statements: Vec::new(),
        evidence: vec!["It walked keys in ascending order.".to_owned()],
        explanation: "ann read more".to_owned(),
    }));
    alert.share_of_table = Some(0.01);
    record
}

#[test]
fn an_alert_explains_itself_by_attributes() {
    let keys = |record: &AlertRecord| -> Vec<String> {
        let logs = Messages::new(&[]).alert(record);
        let attributes = &logs.resource_logs[0].scope_logs[0].log_records[0].attributes;
        attributes.iter().map(|one| one.key.clone()).collect()
    };
    let common = [
        names::OBSERVED,
        names::WINDOW,
        names::SINCE,
        names::TABLES,
        names::ALERT_SHAPES,
        names::SILENCED_BY,
    ];
    let lanes = [
        names::EXPECTED,
        names::PEERS,
        names::ODDS,
        names::ASSUMPTION,
        names::SHARE,
        names::EVIDENCE,
        names::LANES,
        names::PRINCIPALS_INVOLVED,
        names::GROUP,
    ];
    let (of_a_limit, of_a_lane) = (keys(&AlertRecord::for_tests("A1")), keys(&of_a_lane()));
    for key in common {
        assert!(of_a_limit.iter().any(|known| known == key), "{key}");
    }
    for key in common.iter().chain(&lanes) {
        assert!(of_a_lane.iter().any(|known| known == key), "{key}");
    }
    assert!(of_a_limit.iter().any(|known| known == names::LIMIT));
}

#[test]
fn no_attribute_comes_twice_or_undescribed() {
    for record in [AlertRecord::for_tests("A1"), of_a_lane()] {
        let messages = Messages::new(&[]);
        let log = messages.alert(&record).resource_logs[0].scope_logs[0].log_records[0].clone();
        let spans = messages.trace(&record).resource_spans[0].scope_spans[0]
            .spans
            .clone();
        for attributes in spans
            .iter()
            .map(|span| &span.attributes)
            .chain([&log.attributes])
        {
            for (number, KeyValue { key, .. }) in attributes.iter().enumerate() {
                assert!(
                    attributes[..number].iter().all(|before| before.key != *key),
                    "{key} comes twice"
                );
                assert!(
                    names::ATTRIBUTES.iter().any(|known| known.key == key),
                    "{key} is not described"
                );
            }
        }
    }
}

#[test]
fn ids_of_similar_alerts_differ_all_over() {
    let (one, other) = (
        trace_id("01KB0000000000000000000001"),
        trace_id("01KB0000000000000000000002"),
    );
    let same = one
        .iter()
        .zip(&other)
        .filter(|(one, other)| one == other)
        .count();
    assert!(one.len() == 16 && same < 4, "{one:02x?} {other:02x?}");
    assert_ne!(span_id("A", 0), span_id("A", 1));
}

#[test]
fn json_has_no_null_and_spans_have_names() {
    let mut record = AlertRecord::for_tests("01KB");
    record.alert.statements[0].summary = "".into();
    record.alert.share_of_table = Some(f64::INFINITY);
    let messages = Messages::new(&[("service.name".to_owned(), "s".to_owned())]);
    let trace = messages.trace(&record);
    let spans = &trace.resource_spans[0].scope_spans[0].spans;
    assert!(spans.iter().all(|span| !span.name.is_empty()), "{spans:?}");
    for json in [
        serde_json::to_string(&messages.alert(&record)),
        serde_json::to_string(&trace),
    ] {
        let json = json.expect("JSON");
        assert!(!json.contains("null"), "OTLP JSON knows no null: {json}");
    }
}
