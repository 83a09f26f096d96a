use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use tokio::net::TcpListener;

use super::{
    receiver::{HttpReceiver, Receiver, Trouble},
    *,
};
use crate::{
    config::otlp::Protocol,
    export::{MetricPoint, names},
    time::Timestamp,
};

mod durable;
mod end;
mod file;
mod grpc;
mod http;
mod tls;

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

fn record(id: &str) -> AlertRecord {
    AlertRecord::for_tests(id)
}

/// A port nobody listens on.
async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    listener.local_addr().expect("address")
}

fn to(address: SocketAddr, protocol: Protocol, queue: usize) -> Exporter {
    Exporter::start(&config(&format!("http://{address}"), protocol, queue)).expect("start")
}

fn config(endpoint: &str, protocol: Protocol, queue: usize) -> ExportConfig {
    let connection = Connection::plain(endpoint, protocol).expect("an endpoint");
    ExportConfig {
        otlp: [const { None::<Connection> }; SIGNALS].map(|_| Some(connection.clone())),
        queue,
        queue_bytes: 64 << 20,
        ..ExportConfig::default()
    }
}

impl Exporter {
    /// Messages and items dropped, of logs, traces and metrics.
    fn dropped(&self) -> [u64; SIGNALS] {
        self.health().map(|health| health.counts.dropped)
    }

    /// Waits until that many have been dropped.
    async fn until_dropped(&self, dropped: [u64; SIGNALS]) {
        for _ in 0..400 {
            if self.dropped() == dropped {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{:?} are dropped, not {dropped:?}", self.dropped());
    }
}

#[tokio::test]
async fn a_malformed_endpoint_is_an_error() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        for bad in ["http://", "localhost:4317", "not a url"] {
            let error = Connection::plain(bad, protocol).expect_err(bad);
            assert!(error.to_string().contains("otlp_endpoint"), "{error}");
        }
    }
}

#[tokio::test]
async fn secrets_do_not_show() {
    let endpoint = "http://ann:hush@localhost:4317/?token=hush";
    let config = config(endpoint, Protocol::Grpc, 10);
    let exporter = Exporter::start(&config).expect("start");
    let shown = format!("{config:?} {exporter:?}");
    assert!(!shown.contains("hush"), "{shown}");
    assert!(
        shown.contains("X-Token") && shown.contains("localhost:4317"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_full_queue_gives_up_metrics_and_traces_before_alerts() {
    let exporter = to(free_address().await, Protocol::Grpc, 4);
    exporter.metrics(vec![point(1)]);
    for id in ["A", "B", "C", "D"] {
        exporter.alert(&record(id));
    }
    assert_eq!(exporter.dropped(), [0, 4, 1, 0]);
    exporter.alert(&record("E"));
    assert_eq!(exporter.dropped(), [1, 5, 1, 0]);
    let left = exporter.shutdown(Duration::from_millis(100)).await;
    assert_eq!((left.alerts, left.traces, left.batches), (4, 0, 0));
}
