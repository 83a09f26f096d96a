//! Receivers that speak gRPC.

use tonic::{Code, Status};

use super::*;
use crate::export::sink::retry_details;

/// RESOURCE_EXHAUSTED, with google.rpc.RetryInfo when there is a delay.
fn exhausted(seconds: Option<i64>) -> Status {
    let details = seconds.map(retry_details).unwrap_or_default();
    Status::with_details(Code::ResourceExhausted, "too much", details.into())
}

async fn answering(answers: impl IntoIterator<Item = Status>) -> (Receiver, Exporter) {
    let (receiver, address) = Receiver::start().await;
    receiver.with(|state| state.log_answers.extend(answers));
    (receiver, to(address, Protocol::Grpc, 100))
}

#[tokio::test]
async fn a_receiver_that_comes_up_late_gets_the_newest_metrics_and_all_alerts() {
    let address = free_address().await;
    let exporter = to(address, Protocol::Grpc, 10);
    exporter.metrics(vec![point(1)]);
    exporter.alert(&record("A"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    exporter.metrics(vec![point(4711)]);
    let receiver = Receiver::default();
    receiver.serve(TcpListener::bind(address).await.expect("same port"));
    receiver
        .until("metrics, alert and trace", |state| {
            !state.metrics.is_empty() && state.logs.len() == 1 && state.traces.len() == 1
        })
        .await;
    let request = receiver.with(|state| state.metrics[0].clone());
    assert!(value_of(&request).contains("4711"), "{request:?}");
    receiver.with(|state| assert_eq!(state.tokens, ["hush"]));
    assert_eq!(exporter.dropped(), [0; SIGNALS]);
    assert!(exporter.health()[0].counts.failed > 0);
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
}

#[tokio::test]
async fn an_alert_that_is_refused_does_not_hold_up_the_next() {
    for status in [Status::unknown("handler threw"), exhausted(None)] {
        let (receiver, exporter) = answering([status]).await;
        exporter.alert(&record("A"));
        exporter.alert(&record("B"));
        receiver
            .until("second alert", |state| state.logs.len() == 1)
            .await;
        assert_eq!(exporter.dropped(), [1, 0, 0, 0]);
        assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    }
}

#[tokio::test]
async fn exhausted_is_retried_when_the_receiver_says_so() {
    let (receiver, exporter) = answering([exhausted(Some(1))]).await;
    let begun = Instant::now();
    exporter.alert(&record("A"));
    receiver
        .until("the alert", |state| state.logs.len() == 1)
        .await;
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "RetryInfo was not heeded"
    );
    assert_eq!(exporter.dropped(), [0; SIGNALS]);
}

#[tokio::test]
async fn a_delay_of_zero_is_no_busy_loop() {
    let (receiver, exporter) = answering((0..5000).map(|_| exhausted(Some(0)))).await;
    exporter.alert(&record("A"));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let tries = 5000 - receiver.with(|state| state.log_answers.len());
    assert!((2..5).contains(&tries), "{tries} tries in 1.5 s");
}

#[tokio::test]
async fn traces_that_nobody_takes_hold_up_neither_alerts_nor_metrics() {
    for trouble in [
        Trouble::Always(Status::unavailable("trace pipeline is full")),
        Trouble::Hangs,
    ] {
        let (receiver, exporter) = answering([]).await;
        receiver.with(|state| state.trace_trouble = trouble);
        for id in ["A", "B", "C"] {
            exporter.alert(&record(id));
        }
        exporter.metrics(vec![point(1)]);
        receiver
            .until("three alerts and metrics", |state| {
                state.logs.len() == 3 && state.metrics.len() == 1
            })
            .await;
        let left = exporter.shutdown(Duration::from_millis(300)).await;
        assert_eq!((left.alerts, left.traces, left.batches), (0, 3, 0));
    }
}

#[tokio::test]
async fn alerts_that_nobody_takes_do_not_hold_up_metrics() {
    let (receiver, exporter) =
        answering((0..100).map(|_| Status::unavailable("logs are down"))).await;
    exporter.alert(&record("A"));
    exporter.metrics(vec![point(1)]);
    receiver
        .until("trace and metrics", |state| {
            state.traces.len() == 1 && state.metrics.len() == 1
        })
        .await;
    assert_eq!(exporter.health()[0].waiting, 1);
}

#[tokio::test]
async fn a_partial_success_is_counted() {
    let (receiver, exporter) = answering([]).await;
    receiver.with(|state| state.rejected_logs = 1);
    exporter.alert(&record("A"));
    exporter.until_dropped([1, 0, 0, 0]).await;
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
}
