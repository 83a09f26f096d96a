//! Receivers for tests: gRPC on the official services, HTTP by hand. They answer as they are told, and keep what they
//! take.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

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
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::{Request, Response, Status, async_trait};

/// How a signal is answered.
#[derive(Debug, Default)]
pub enum Trouble {
    /// Success.
    #[default]
    None,
    /// Never.
    Always(Status),
    /// No answer at all.
    Hangs,
}

/// What it has taken, and how it answers.
#[derive(Debug, Default)]
pub struct State {
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub logs: Vec<ExportLogsServiceRequest>,
    pub traces: Vec<ExportTraceServiceRequest>,
    /// Values of the header `x-token`.
    pub tokens: Vec<String>,
    /// Answers to the next requests with logs; success when empty.
    pub log_answers: VecDeque<Status>,
    /// Records that each request with logs is told were rejected.
    pub rejected_logs: i64,
    pub trace_trouble: Trouble,
}

/// The gRPC receiver.
#[derive(Clone, Debug, Default)]
pub struct Receiver(Arc<Mutex<State>>);

impl Receiver {
    /// On a port of its own.
    pub async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let receiver = Self::default();
        receiver.serve(listener);
        (receiver, address)
    }

    /// Serves until the test ends.
    pub fn serve(&self, listener: TcpListener) {
        let router = self.routes(tonic::transport::Server::builder());
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(router.serve_with_incoming(incoming));
    }

    /// The services, on a server as it may be.
    pub fn routes(&self, mut server: tonic::transport::Server) -> tonic::transport::server::Router {
        use tonic::codec::CompressionEncoding::Gzip;

        server
            .add_service(MetricsServiceServer::new(self.clone()).accept_compressed(Gzip))
            .add_service(LogsServiceServer::new(self.clone()).accept_compressed(Gzip))
            .add_service(TraceServiceServer::new(self.clone()).accept_compressed(Gzip))
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().expect("not poisoned"))
    }

    /// Waits until what it has taken looks like this.
    pub async fn until(&self, what: &str, seen: impl Fn(&State) -> bool) {
        for _ in 0..400 {
            if self.with(|state| seen(state)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no {what} within 10 s: {:?}", self.0);
    }
}

#[async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.with(|state| {
            let token = request.metadata().get("x-token");
            let token = token.and_then(|token| token.to_str().ok());
            state.tokens.extend(token.map(str::to_owned));
            state.metrics.push(request.into_inner());
        });
        Ok(Response::new(Default::default()))
    }
}

#[async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.with(|state| {
            if let Some(status) = state.log_answers.pop_front() {
                return Err(status);
            }
            state.logs.push(request.into_inner());
            let partial_success = (state.rejected_logs > 0).then(|| ExportLogsPartialSuccess {
                rejected_log_records: state.rejected_logs,
                error_message: "not today".to_owned(),
            });
            Ok(Response::new(ExportLogsServiceResponse { partial_success }))
        })
    }
}

#[async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let hangs = self.with(|state| match &state.trace_trouble {
            Trouble::None => {
                state.traces.push(request.into_inner());
                Ok(false)
            }
            Trouble::Always(status) => Err(status.clone()),
            Trouble::Hangs => Ok(true),
        })?;
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(Default::default()))
    }
}

/// Path and body of a request.
type Taken = (String, Vec<u8>);

/// The HTTP receiver.
#[derive(Clone, Debug, Default)]
pub struct HttpReceiver {
    /// Requests that were answered with 200.
    taken: Arc<Mutex<Vec<Taken>>>,
    /// Heads of the next answers; 200 when empty.
    answers: Arc<Mutex<VecDeque<&'static str>>>,
    /// Bytes of an answer's body.
    body: usize,
}

impl HttpReceiver {
    /// On a port of its own; gives these answers first, then takes everything, answering with a body of so many bytes.
    pub async fn start<const N: usize>(
        answers: [&'static str; N],
        body: usize,
    ) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let receiver = Self {
            answers: Arc::new(Mutex::new(answers.into())),
            body,
            ..Self::default()
        };
        receiver.serve(listener);
        (receiver, address)
    }

    /// Serves until the test ends.
    pub fn serve(&self, listener: TcpListener) {
        let receiver = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receiver.clone().answer(stream));
            }
        });
    }

    /// The same behind TLS, for clients with a certificate of this authority.
    pub async fn start_tls(authority: &str, certificate: &str, key: &str) -> (Self, SocketAddr) {
        use tokio_rustls::rustls::{
            RootCertStore, ServerConfig,
            crypto::ring,
            pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
            server::WebPkiClientVerifier,
        };

        let read =
            |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(read(authority)).expect("an authority");
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .expect("a verifier");
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![read(certificate)],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key"),
            )
            .expect("a server's certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        let receiver = Self::default();
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, receiver) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        receiver.answer(stream).await;
                    }
                });
            }
        });
        (receiver, address)
    }

    async fn answer(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = Vec::new();
        let (path, body) = loop {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(read) => request.extend(&chunk[..read]),
            }
            let text = String::from_utf8_lossy(&request);
            let Some(head) = text.find("\r\n\r\n") else {
                continue;
            };
            let length: usize = text[..head]
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
                .unwrap_or(0);
            if request.len() >= head + 4 + length {
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                break (path, request[head + 4..].to_vec());
            }
        };
        let given = self.answers.lock().expect("not poisoned").pop_front();
        if given.is_none() {
            let mut taken = self.taken.lock().expect("not poisoned");
            taken.push((path, body));
        }
        let head = given.unwrap_or("200 OK");
        let length = self.body;
        let head =
            format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let mut left = length;
        while left > 0 {
            let part = left.min(1 << 16);
            if stream.write_all(&[b'x'; 1 << 16][..part]).await.is_err() {
                return;
            }
            left -= part;
        }
    }

    /// Waits until so many requests have been taken.
    pub async fn until(&self, count: usize) -> Vec<Taken> {
        for _ in 0..400 {
            let taken = self.taken.lock().expect("not poisoned").clone();
            if taken.len() >= count {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no {count} requests within 10 s");
    }
}
