use std::sync::atomic::AtomicUsize;

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
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
    exporter.metrics(vec![point(1)]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    exporter.metrics(vec![point(4711)]);
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

/// Answers 503 with Retry-After first, then takes everything; returns bodies.
async fn http_receiver(listener: TcpListener, bodies: mpsc::UnboundedSender<Vec<u8>>) {
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
        let answer = if requests.fetch_add(1, Ordering::Relaxed) == 0 {
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        } else {
            let _ = bodies.send(buffer[head..].to_vec());
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        };
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn an_overloaded_http_receiver_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let address = listener.local_addr().expect("address");
    let (sender, mut bodies) = mpsc::unbounded_channel();
    tokio::spawn(http_receiver(listener, sender));
    let exporter = Exporter::start(&ExportConfig {
        otlp_endpoint: Some(format!("http://{address}")),
        protocol: Some(Protocol::HttpProtobuf),
        queue: 10,
        ..ExportConfig::default()
    })
    .expect("start");
    let begun = Instant::now();
    exporter.metrics(vec![point(4711)]);
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
    exporter.metrics(vec![point(1)]);
    let begun = Instant::now();
    let left = exporter.shutdown(Duration::from_millis(300)).await;
    assert_eq!(
        left,
        Undelivered {
            alerts: 0,
            batches: 1
        }
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_malformed_endpoint_is_an_error() {
    let error = Exporter::start(&ExportConfig {
        otlp_endpoint: Some("http://".to_owned()),
        ..ExportConfig::default()
    });
    assert!(error.is_err());
}
