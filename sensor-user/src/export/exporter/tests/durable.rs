//! What outlives the sensor.

use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric};

use super::*;
use crate::detect::sketch::Distinct;

fn durable(address: SocketAddr, path: &std::path::Path) -> ExportConfig {
    ExportConfig {
        queue_path: Some(path.to_owned()),
        ..config(&format!("http://{address}"), Protocol::Grpc, 100)
    }
}

/// Ids of alerts that a receiver has.
fn ids(receiver: &Receiver) -> Vec<String> {
    let mut ids: Vec<String> = receiver.with(|state| {
        let subject = |request: &opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest| {
            let subject = Message::Logs(request.clone()).subject();
            subject.rsplit(", ").next().unwrap_or_default().to_owned()
        };
        state.logs.iter().map(subject).collect()
    });
    ids.sort();
    ids
}

#[tokio::test]
async fn a_later_run_delivers_what_an_earlier_one_could_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("queue.db");
    let address = free_address().await;
    let config = durable(address, &path);

    let first = Exporter::start(&config).expect("start");
    first.alert(&record("A"));
    first.alert(&record("B"));
    first.metrics(vec![point(1)]);
    let left = first.shutdown(Duration::from_millis(200)).await;
    assert_eq!((left.alerts, left.saved, left.batches), (2, 2, 1));

    let second = Exporter::start(&config).expect("start");
    second.alert(&record("C"));
    second.metrics(vec![point(77)]);
    assert_eq!(second.health().map(|health| health.waiting), [3, 3, 2, 0]);
    let left = second.shutdown(Duration::from_millis(200)).await;
    assert_eq!((left.alerts, left.saved, left.batches), (3, 3, 2));

    let receiver = Receiver::default();
    receiver.serve(TcpListener::bind(address).await.expect("same port"));
    let third = Exporter::start(&config).expect("start");
    assert_eq!(third.shutdown(PATIENCE).await, Undelivered::default());
    assert_eq!(ids(&receiver), ["A", "B", "C"]);
    let values: Vec<_> = receiver.with(|state| state.metrics.iter().map(value_of).collect());
    assert_eq!(values.len(), 2);
    assert!(
        values[0].contains("AsInt(1)") && values[1].contains("AsInt(77)"),
        "{values:?}"
    );

    let fourth = Exporter::start(&config).expect("start");
    assert_eq!(fourth.health().map(|health| health.waiting), [0; SIGNALS]);
}

#[tokio::test]
async fn a_queue_that_cannot_be_on_disk_is_in_memory() {
    let (receiver, address) = Receiver::start().await;
    let config = durable(address, "/proc/nowhere/queue.db".as_ref());
    let exporter = Exporter::start(&config).expect("start");
    exporter.alert(&record("A"));
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    assert_eq!(ids(&receiver), ["A"]);
}

#[tokio::test]
async fn differences_wait_in_line() {
    let address = free_address().await;
    let config = ExportConfig {
        temporality: Temporality::Delta,
        ..config(&format!("http://{address}"), Protocol::Grpc, 100)
    };
    let exporter = Exporter::start(&config).expect("start");
    for value in [5, 7, 7, 20] {
        exporter.metrics(vec![point(value)]);
    }
    let receiver = Receiver::default();
    receiver.serve(TcpListener::bind(address).await.expect("same port"));
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    receiver.with(|state| {
        let mut values = Vec::new();
        for request in &state.metrics {
            let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
            let Some(metric::Data::Sum(sum)) = &metric.data else {
                panic!("no sum");
            };
            assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Delta);
            values.push(format!("{:?}", sum.data_points[0].value));
        }
        assert_eq!(
            values,
            ["Some(AsInt(5))", "Some(AsInt(2))", "Some(AsInt(13))"]
        );
    });
}

#[tokio::test]
async fn sketches_outlive_the_sensor_and_are_no_alerts() {
    let directory = tempfile::tempdir().expect("a directory");
    let address = free_address().await;
    let config = durable(address, &directory.path().join("queue.db"));
    let sketch = Sketch {
        attributes: Vec::new(),
        since: Timestamp(1),
        time: Timestamp(2),
        records: Distinct::default(),
        secret: 3,
    };
    let first = Exporter::start(&config).expect("start");
    first.records(&[sketch]);
    let left = first.shutdown(Duration::from_millis(200)).await;
    assert_eq!((left.alerts, left.saved, left.batches), (0, 0, 1));

    let receiver = Receiver::default();
    receiver.serve(TcpListener::bind(address).await.expect("same port"));
    let second = Exporter::start(&config).expect("start");
    assert_eq!(second.health().map(|health| health.waiting), [0, 0, 0, 1]);
    assert_eq!(second.shutdown(PATIENCE).await, Undelivered::default());
    let events: Vec<String> = receiver.with(|state| {
        let records = state
            .logs
            .iter()
            .map(|request| &request.resource_logs[0].scope_logs[0].log_records[0]);
        records.map(|record| record.event_name.clone()).collect()
    });
    assert_eq!(events, [names::PICKED]);
}
