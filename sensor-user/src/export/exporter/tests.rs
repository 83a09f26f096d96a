use std::sync::atomic::AtomicUsize;

use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

use super::*;
use crate::{export::names, time::Timestamp};

const PATIENCE: Duration = Duration::from_secs(20);

fn point(value: u64) -> MetricPoint {
    MetricPoint {
        metric: &names::ROWS,
        attributes: vec![(names::USER_NAME, "ann".into())],
        start: Timestamp(1),
        time: Timestamp(2),
        value,
    }
}

fn value_of(request: &ExportMetricsServiceRequest) -> String {
    format!(
        "{:?}",
        request.resource_metrics[0].scope_metrics[0].metrics[0]
    )
}

#[derive(Debug)]
struct Receiver(mpsc::UnboundedSender<ExportMetricsServiceRequest>);

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let _ = self.0.send(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tokio::test]
async fn a_grpc_receiver_that_comes_up_late_gets_the_newest_metrics() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let exporter = Exporter::start(&ExportConfig {
        otlp_endpoint: Some(format!("http://{address}")),
        queue: 10,
        ..ExportConfig::default()
    })
    .expect("start");
    exporter.metrics(&[point(1)]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    exporter.metrics(&[point(4711)]);
    let (sender, mut received) = mpsc::unbounded_channel();
    let incoming = TcpListener::bind(address).await.expect("same port");
    tokio::spawn(async move {
        let _ = tonic::transport::Server::builder()
            .add_service(MetricsServiceServer::new(Receiver(sender)))
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(incoming))
            .await;
    });
    let request = tokio::time::timeout(PATIENCE, received.recv())
        .await
        .expect("in time")
        .expect("a request");
    assert!(value_of(&request).contains("4711"), "{request:?}");
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
}

/// Answers with these first, then takes everything; returns bodies.
async fn http_receiver_of(
    listener: TcpListener,
    bodies: mpsc::UnboundedSender<Vec<u8>>,
    first: &'static [&'static str],
) {
    let requests = AtomicUsize::new(0);
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut buffer = Vec::new();
        let (head, length) = loop {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            buffer.extend(&chunk[..read]);
            let text = String::from_utf8_lossy(&buffer).to_lowercase();
            if let Some(head) = text.find("\r\n\r\n") {
                let length = text
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok())
                    .unwrap_or(0);
                break (head + 4, length);
            }
        };
        while buffer.len() < head + length {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            buffer.extend(&chunk[..read]);
        }
        let status = first
            .get(requests.fetch_add(1, Ordering::Relaxed))
            .unwrap_or(&"200 OK");
        if *status == "200 OK" {
            let _ = bodies.send(buffer[head..].to_vec());
        }
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn an_overloaded_http_receiver_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let (sender, mut bodies) = mpsc::unbounded_channel();
    const BUSY: &str = "503 Service Unavailable\r\nRetry-After: 1";
    tokio::spawn(http_receiver_of(listener, sender, &[BUSY]));
    let exporter = Exporter::start(&ExportConfig {
        otlp_endpoint: Some(format!("http://{address}")),
        protocol: Some(Protocol::HttpProtobuf),
        queue: 10,
        ..ExportConfig::default()
    })
    .expect("start");
    let begun = Instant::now();
    exporter.metrics(&[point(4711)]);
    let body = tokio::time::timeout(PATIENCE, bodies.recv())
        .await
        .expect("in time")
        .expect("a body");
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "Retry-After was not heeded"
    );
    let request = ExportMetricsServiceRequest::decode(&*body).expect("protobuf");
    assert!(value_of(&request).contains("4711"));
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
}

#[tokio::test]
async fn a_dead_endpoint_does_not_hold_up_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let exporter = Exporter::start(&ExportConfig {
        otlp_endpoint: Some(format!("http://{address}")),
        queue: 10,
        ..ExportConfig::default()
    })
    .expect("start");
    exporter.metrics(&[point(1)]);
    let begun = Instant::now();
    let left = exporter.shutdown(Duration::from_millis(300)).await;
    assert_eq!(
        left,
        Undelivered {
            batches: 1,
            ..Undelivered::default()
        }
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_malformed_endpoint_is_an_error() {
    for protocol in [None, Some(Protocol::Grpc), Some(Protocol::HttpProtobuf)] {
        for bad in ["http://", "localhost:4317", "not a url"] {
            let error = Exporter::start(&ExportConfig {
                otlp_endpoint: Some(bad.to_owned()),
                protocol,
                ..ExportConfig::default()
            })
            .expect_err(bad);
            assert!(error.to_string().contains("otlp_endpoint"), "{error}");
        }
    }
}

/// All three services of a collector; hands out what it got, and rejects one record of each logs request.
#[derive(Clone, Debug)]
struct Collector(mpsc::UnboundedSender<Message>);

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        assert_eq!(
            request
                .metadata()
                .get("x-token")
                .map(tonic::metadata::MetadataValue::as_bytes),
            Some(&b"t"[..])
        );
        let _ = self.0.send(Message::Metrics(request.into_inner()));
        Ok(tonic::Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        let _ = self.0.send(Message::Logs(request.into_inner()));
        Ok(tonic::Response::new(ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: 1,
                error_message: "too old".to_owned(),
            }),
        }))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let _ = self.0.send(Message::Traces(request.into_inner()));
        Ok(tonic::Response::new(Default::default()))
    }
}

#[tokio::test]
async fn alerts_that_waited_come_before_metrics_and_rejects_are_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let exporter = Exporter::start(&ExportConfig {
        otlp_endpoint: Some(format!("http://{address}")),
        headers: vec![("X-Token".to_owned(), "t".to_owned())],
        queue: 10,
        ..ExportConfig::default()
    })
    .expect("start");
    exporter.metrics(&[point(1)]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    exporter.alert(&AlertRecord::for_tests("A1"));
    let (sender, mut received) = mpsc::unbounded_channel();
    let collector = Collector(sender);
    let incoming = TcpListener::bind(address).await.expect("same port");
    tokio::spawn(async move {
        let _ = tonic::transport::Server::builder()
            .add_service(MetricsServiceServer::new(collector.clone()))
            .add_service(LogsServiceServer::new(collector.clone()))
            .add_service(TraceServiceServer::new(collector))
            .serve_with_incoming(tonic::transport::server::TcpIncoming::from(incoming))
            .await;
    });
    let mut signals = Vec::new();
    for _ in 0..3 {
        let message = tokio::time::timeout(PATIENCE, received.recv()).await;
        signals.push(message.expect("in time").expect("a message").signal());
    }
    assert_eq!(signals, ["logs", "traces", "metrics"]);
    assert_eq!(exporter.dropped(), 1, "the rejected log record");
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_and_counts() {
    let exporter = Exporter::start(&ExportConfig {
        // Nothing listens on the discard port.
        otlp_endpoint: Some("http://127.0.0.1:9".to_owned()),
        queue: 4,
        ..ExportConfig::default()
    })
    .expect("start");
    for id in ["A1", "A2", "A3"] {
        exporter.alert(&AlertRecord::for_tests(id));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(exporter.dropped(), 2, "log and trace of the oldest");
    let left = exporter.shutdown(Duration::from_millis(100)).await;
    assert_eq!(
        left,
        Undelivered {
            alerts: 2,
            traces: 2,
            batches: 0
        }
    );
}

#[tokio::test]
async fn the_end_cuts_a_pause_short() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let exporter = Exporter::start(&ExportConfig {
        otlp_endpoint: Some(format!("http://{address}")),
        protocol: Some(Protocol::HttpProtobuf),
        queue: 10,
        ..ExportConfig::default()
    })
    .expect("start");
    exporter.metrics(&[point(1)]);
    // Refused at 0, 0.5 and 1.5 s: the next try would be at 3.5 s or later.
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let (sender, mut bodies) = mpsc::unbounded_channel();
    tokio::spawn(http_receiver_of(
        TcpListener::bind(address).await.expect("same port"),
        sender,
        &[],
    ));
    let left = exporter.shutdown(Duration::from_millis(1000)).await;
    assert_eq!(left, Undelivered::default());
    assert!(bodies.try_recv().is_ok());
}

#[tokio::test]
async fn a_redirect_is_no_delivery() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let (sender, mut bodies) = mpsc::unbounded_channel();
    const MOVED: &str = "302 Found\r\nLocation: /login";
    tokio::spawn(http_receiver_of(listener, sender, &[MOVED]));
    let exporter = Exporter::start(&ExportConfig {
        otlp_endpoint: Some(format!("http://{address}/base/")),
        protocol: Some(Protocol::HttpProtobuf),
        queue: 10,
        ..ExportConfig::default()
    })
    .expect("start");
    exporter.metrics(&[point(1)]);
    for _ in 0..100 {
        if exporter.dropped() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(exporter.dropped(), 1);
    assert!(bodies.try_recv().is_err());
}

#[tokio::test]
async fn a_file_gets_every_signal() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("otlp.jsonl");
    let exporter = Exporter::start(&ExportConfig {
        otlp_file: Some(path.clone()),
        queue: 10,
        ..ExportConfig::default()
    })
    .expect("start");
    exporter.alert(&AlertRecord::for_tests("A1"));
    exporter.metrics(&[point(1)]);
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    let text = std::fs::read_to_string(&path).expect("the file");
    let keys: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter_map(|value| value.as_object()?.keys().next().cloned())
        .collect();
    assert_eq!(keys, ["resourceLogs", "resourceSpans", "resourceMetrics"]);
}
