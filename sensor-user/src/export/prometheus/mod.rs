//! The same metrics for Prometheus to fetch: `/metrics`, and for whoever watches the sensor `/live` and `/ready`.
//!
//! A request never touches what the sensor works with: it is answered from the points of the last export. So what is
//! scraped is at most `export.interval` old, and scrapes cost the watching nothing, however many there are.

use std::{
    convert::Infallible,
    fmt,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle, time::timeout};

use super::Batch;

mod text;

pub use text::{Format, metric_name};

/// Requests answered at the same time; the next ones wait.
const CONNECTIONS: usize = 8;
/// How long a client may take to send its request.
const HEADERS: Duration = Duration::from_secs(5);
/// How long a connection may last: a scrape is over in a second or it has failed.
const CONNECTION: Duration = Duration::from_secs(120);
/// The sensor counts as stuck when it has not exported for this many intervals.
const MISSED: u32 = 3;
/// … but not before this time has passed: a host under load is not dead.
const LEAST_PATIENCE: Duration = Duration::from_secs(10);

/// Serves the metrics until dropped.
pub struct Endpoint {
    address: SocketAddr,
    published: Arc<Published>,
    task: JoinHandle<()>,
}

/// What requests are answered from.
struct Published {
    resource: Vec<(String, String)>,
    last: Mutex<Option<(Instant, Arc<Batch>)>>,
    patience: Duration,
}

impl Endpoint {
    /// Listens. `interval` is how often [`publish`](Self::publish) will be called.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub fn start(
        address: SocketAddr,
        resource: Vec<(String, String)>,
        interval: Duration,
    ) -> Result<Self> {
        let listener = StdListener::bind(address)
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            })
            .with_context(|| {
                format!(
                    "export.prometheus: cannot listen on {address}: is it an address of this host, and is the port free?"
                )
            })?;
        let address = listener.local_addr().unwrap_or(address);
        let published = Arc::new(Published {
            resource,
            last: Mutex::default(),
            patience: (interval * MISSED).max(LEAST_PATIENCE),
        });
        log::info!("metrics for Prometheus on http://{address}/metrics");
        Ok(Self {
            address,
            task: tokio::spawn(serve(listener, published.clone())),
            published,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on these are served.
    pub fn publish(&self, batch: Arc<Batch>) {
        *self
            .published
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), batch));
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.address)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, published: Arc<Published>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, say: later is better than a busy loop.
                log::warn!("export.prometheus: cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let published = published.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = published.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is its own affair.
            let _ = timeout(CONNECTION, connection).await;
            drop(place);
        });
    }
}

impl Published {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            answer
                .headers_mut()
                .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(Format::wanted(accepted(request.headers()))),
            "/live" => self.live(),
            "/ready" => self.ready(),
            "/" => plain(StatusCode::OK, "/metrics\n/live\n/ready\n"),
            _ => plain(
                StatusCode::NOT_FOUND,
                "not here; there are /metrics, /live and /ready\n",
            ),
        }
    }

    fn last(&self) -> Option<(Instant, Arc<Batch>)> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn metrics(&self, format: Format) -> Response<Full<Bytes>> {
        let Some((_, batch)) = self.last() else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "not ready yet\n");
        };
        answer(
            StatusCode::OK,
            format.content_type(),
            text::render(&self.resource, &batch, format),
        )
    }

    /// Whether the sensor still does its rounds.
    fn live(&self) -> Response<Full<Bytes>> {
        match self.last() {
            Some((when, _)) if when.elapsed() > self.patience => plain(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!(
                    "stuck: the last export was {} s ago\n",
                    when.elapsed().as_secs()
                ),
            ),
            // Before the first export it is loading its programs, which has an end of its own.
            _ => plain(StatusCode::OK, "live\n"),
        }
    }

    /// Whether it watches: it exports for the first time when all is attached.
    fn ready(&self) -> Response<Full<Bytes>> {
        match self.last() {
            Some((when, _)) if when.elapsed() <= self.patience => plain(StatusCode::OK, "ready\n"),
            Some(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "stuck\n"),
            None => plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        }
    }
}

fn accepted(headers: &HeaderMap) -> &str {
    headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", text.to_owned())
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    answer
}

#[cfg(test)]
mod tests;
