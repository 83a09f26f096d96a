//! The end.

use tonic::Status;

use super::*;
use crate::export::sink::retry_details;

#[tokio::test]
async fn a_dead_endpoint_does_not_hold_up_the_end() {
    let exporter = to(free_address().await, Protocol::Grpc, 10);
    exporter.alert(&record("A"));
    exporter.metrics(vec![point(1)]);
    let begun = Instant::now();
    let left = exporter.shutdown(Duration::from_millis(300)).await;
    assert_eq!((left.alerts, left.traces, left.batches), (1, 1, 1));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn the_end_cuts_a_pause_short() {
    let address = free_address().await;
    let exporter = to(address, Protocol::HttpProtobuf, 10);
    exporter.metrics(vec![point(1)]);
    exporter.alert(&record("A"));
    // Refused at 0, 0.5 and 1.5 s: the next try would be at 3.5 s or later.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let receiver = HttpReceiver::default();
    receiver.serve(TcpListener::bind(address).await.expect("same port"));
    let left = exporter.shutdown(Duration::from_millis(1000)).await;
    assert_eq!(left, Undelivered::default());
    receiver.until(3).await;
}

/// The receiver asks for a minute each time.
async fn a_minute(times: usize) -> (Receiver, Exporter) {
    let (receiver, address) = Receiver::start().await;
    let busy = || {
        let details = retry_details(60).into();
        Status::with_details(tonic::Code::ResourceExhausted, "too much", details)
    };
    receiver.with(|state| state.log_answers.extend((0..times).map(|_| busy())));
    let exporter = to(address, Protocol::Grpc, 10);
    exporter.alert(&record("A"));
    receiver
        .until("first try", |state| state.log_answers.len() == times - 1)
        .await;
    (receiver, exporter)
}

#[tokio::test]
async fn the_end_does_not_sleep_through_a_pause_that_was_asked_for() {
    let (receiver, exporter) = a_minute(1).await;
    let left = exporter.shutdown(Duration::from_secs(5)).await;
    assert_eq!(left, Undelivered::default());
    assert_eq!(receiver.with(|state| state.logs.len()), 1);
}

#[tokio::test]
async fn one_last_try_then_no_waiting_for_what_will_not_come() {
    let (receiver, exporter) = a_minute(100).await;
    let begun = Instant::now();
    let left = exporter.shutdown(Duration::from_secs(5)).await;
    assert_eq!((left.alerts, left.traces, left.batches), (1, 0, 0));
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(receiver.with(|state| state.log_answers.len()), 98);
}

#[tokio::test]
async fn a_receiver_that_hangs_is_left_in_time() {
    let (receiver, address) = Receiver::start().await;
    receiver.with(|state| state.trace_trouble = Trouble::Hangs);
    let exporter = to(address, Protocol::Grpc, 10);
    exporter.alert(&record("A"));
    let begun = Instant::now();
    let left = exporter.shutdown(Duration::from_millis(500)).await;
    assert_eq!((left.alerts, left.traces, left.batches), (0, 1, 0));
    assert!(begun.elapsed() < Duration::from_secs(2));
}
