use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::{
    export::{MetricPoint, names},
    time::Timestamp,
};

async fn started() -> Endpoint {
    Endpoint::start(
        "127.0.0.1:0".parse().expect("an address"),
        vec![("service.name".to_owned(), "s".to_owned())],
        Duration::from_secs(1),
    )
    .expect("listens")
}

fn points() -> Arc<Batch> {
    let points = vec![MetricPoint {
        metric: &names::MEMORY,
        attributes: Vec::new(),
        start: Timestamp(1),
        time: Timestamp(2),
        value: 77,
    }];
    Arc::new(points.into())
}

/// Sends a request; the whole answer as text.
async fn ask(endpoint: &Endpoint, request: &str) -> String {
    let mut stream = TcpStream::connect(endpoint.address())
        .await
        .expect("connect");
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    answer
}

#[tokio::test]
async fn it_is_ready_when_there_is_something_to_show() {
    let endpoint = started().await;
    assert!(
        ask(&endpoint, "GET /live")
            .await
            .starts_with("HTTP/1.1 200")
    );
    for path in ["/ready", "/metrics"] {
        let answer = ask(&endpoint, &format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{path}: {answer}");
    }
    endpoint.publish(points());
    for path in ["/live", "/ready", "/"] {
        let answer = ask(&endpoint, &format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    let answer = ask(&endpoint, "GET /metrics").await;
    assert!(
        answer.contains("data_access_sensor_memory_bytes{"),
        "{answer}"
    );
    assert!(
        answer.contains("content-type: text/plain; version=0.0.4"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_stuck_sensor_is_neither_live_nor_ready() {
    let endpoint = started().await;
    endpoint.publish(points());
    let published = Published {
        resource: Vec::new(),
        last: Mutex::new(endpoint.published.last()),
        patience: Duration::ZERO,
    };
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(published.live().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(published.ready().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let endpoint = started().await;
    for (request, status) in [
        ("POST /metrics", "405"),
        ("DELETE /", "405"),
        ("GET /metrics/x", "404"),
        ("GET /debug/pprof", "404"),
    ] {
        let answer = ask(&endpoint, request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request}: {answer}"
        );
    }
    let answer = ask(&endpoint, "HEAD /live").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_address_in_use_says_so() {
    let endpoint = started().await;
    let error = Endpoint::start(endpoint.address(), Vec::new(), Duration::from_secs(1))
        .expect_err("the port is taken");
    assert!(
        format!("{error:#}").contains("is the port free"),
        "{error:#}"
    );
}
