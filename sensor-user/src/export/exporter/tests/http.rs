//! Receivers that speak HTTP.

use prost::Message as _;

use super::*;

#[tokio::test]
async fn an_overloaded_receiver_is_asked_again() {
    let busy = "503 Service Unavailable\r\nRetry-After: 1";
    let (receiver, address) = HttpReceiver::start([busy], 0).await;
    let exporter = to(address, Protocol::HttpProtobuf, 10);
    let begun = Instant::now();
    exporter.metrics(vec![point(4711)]);
    let taken = receiver.until(1).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "Retry-After was not heeded"
    );
    assert_eq!(taken[0].0, "/v1/metrics");
    let request = ExportMetricsServiceRequest::decode(&*taken[0].1).expect("protobuf");
    assert!(value_of(&request).contains("4711"));
    assert_eq!(exporter.health()[2].counts.failed, 1);
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
}

#[tokio::test]
async fn what_is_refused_is_dropped_and_counted() {
    // A redirect, too: telemetry goes nowhere but where the configuration says.
    for answer in [
        "400 Bad Request",
        "500 Internal Server Error",
        "302 Found\r\nLocation: /login",
    ] {
        let (receiver, address) = HttpReceiver::start([answer], 0).await;
        let exporter = to(address, Protocol::HttpProtobuf, 10);
        exporter.metrics(vec![point(1)]);
        exporter.until_dropped([0, 0, 1, 0]).await;
        exporter.alert(&record("A"));
        receiver.until(2).await;
        assert_eq!(exporter.dropped(), [0, 0, 1, 0], "{answer}");
        assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let (receiver, address) = HttpReceiver::start([], usize::MAX >> 1).await;
    let exporter = to(address, Protocol::HttpProtobuf, 10);
    exporter.alert(&record("A"));
    exporter.alert(&record("B"));
    receiver.until(4).await;
    assert_eq!(
        exporter.shutdown(Duration::from_secs(5)).await,
        Undelivered::default()
    );
}
