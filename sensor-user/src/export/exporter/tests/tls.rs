//! Receivers behind TLS, with certificates of their own making.

use std::{fs, net::SocketAddr, path::PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig, server::TcpIncoming};

use super::*;
use crate::config::otlp::Settings;

/// An authority, a certificate of a server on this host, and one of a client, in files.
struct Authority {
    directory: TempDir,
    certificate: String,
    server: (String, String),
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        let signed = |name: &str| {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
            let certificate = params.signed_by(&key, &authority).expect("signed");
            (certificate.pem(), key.serialize_pem())
        };
        let server = signed("localhost");
        let client = signed("sensor");
        for (name, pem) in [
            ("ca.pem", &authority.pem()),
            ("client.pem", &client.0),
            ("client.key", &client.1),
        ] {
            fs::write(directory.path().join(name), pem).expect("write");
        }
        Self {
            certificate: authority.pem(),
            directory,
            server,
        }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory.path().join(name))
    }

    /// A gRPC receiver that asks clients for a certificate of this authority.
    async fn serve(&self, receiver: &Receiver) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
        let address = listener.local_addr().expect("address");
        // Two are linked, tonic's and reqwest's: a server has to be told which. Another test may have said it already.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&self.server.0, &self.server.1))
            .client_ca_root(Certificate::from_pem(&self.certificate));
        let router = receiver.routes(Server::builder().tls_config(tls).expect("TLS"));
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }
}

fn settings(address: SocketAddr, authority: &Authority, protocol: Protocol) -> Settings {
    Settings {
        endpoint: Some(
            format!("https://localhost:{}", address.port())
                .as_str()
                .into(),
        ),
        protocol: Some(protocol),
        certificate: authority.file("ca.pem"),
        client_certificate: authority.file("client.pem"),
        client_key: authority.file("client.key"),
        ..Settings::default()
    }
}

fn to(settings: &Settings) -> Exporter {
    let connection = Connection::new(settings, false, &[]).expect("valid");
    Exporter::start(&ExportConfig {
        otlp: [const { None::<Connection> }; SIGNALS].map(|_| connection.clone()),
        queue: 10,
        queue_bytes: 1 << 20,
        ..ExportConfig::default()
    })
    .expect("start")
}

#[tokio::test]
async fn both_ends_of_grpc_show_their_certificates() {
    let authority = Authority::new();
    let receiver = Receiver::default();
    let address = authority.serve(&receiver).await;
    let settings = settings(address, &authority, Protocol::Grpc);
    let exporter = to(&Settings {
        compression: Some(crate::config::otlp::Compression::Gzip),
        ..settings.clone()
    });
    exporter.alert(&record("A"));
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    assert_eq!(receiver.with(|state| state.logs.len()), 1);

    // Without a certificate of its own, and with one that another authority made, it is not let in; nor does it talk
    // to a server whose certificate is another's.
    let stranger = Authority::new();
    for wrong in [
        Settings {
            client_certificate: None,
            client_key: None,
            ..settings.clone()
        },
        Settings {
            client_certificate: stranger.file("client.pem"),
            client_key: stranger.file("client.key"),
            ..settings.clone()
        },
        Settings {
            certificate: stranger.file("ca.pem"),
            ..settings.clone()
        },
    ] {
        let exporter = to(&wrong);
        exporter.alert(&record("B"));
        let left = exporter.shutdown(Duration::from_millis(500)).await;
        assert_eq!((left.alerts, left.traces), (1, 1), "{wrong:?}");
    }
    assert_eq!(receiver.with(|state| state.logs.len()), 1);
}

#[tokio::test]
async fn both_ends_of_http_show_their_certificates() {
    let authority = Authority::new();
    let (receiver, address) = HttpReceiver::start_tls(
        &authority.certificate,
        &authority.server.0,
        &authority.server.1,
    )
    .await;
    let settings = settings(address, &authority, Protocol::HttpProtobuf);
    let exporter = to(&settings);
    exporter.alert(&record("A"));
    assert_eq!(exporter.shutdown(PATIENCE).await, Undelivered::default());
    receiver.until(2).await;

    let stranger = Authority::new();
    for wrong in [
        Settings {
            client_certificate: None,
            client_key: None,
            ..settings.clone()
        },
        Settings {
            certificate: stranger.file("ca.pem"),
            ..settings.clone()
        },
    ] {
        let exporter = to(&wrong);
        exporter.alert(&record("B"));
        let left = exporter.shutdown(Duration::from_millis(500)).await;
        assert_eq!((left.alerts, left.traces), (1, 1), "{wrong:?}");
    }
    assert_eq!(receiver.until(2).await.len(), 2);
}

#[tokio::test]
async fn a_key_that_is_none_is_an_error_at_the_start() {
    let authority = Authority::new();
    let address = free_address().await;
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let settings = Settings {
            client_key: authority.file("ca.pem"),
            ..settings(address, &authority, protocol)
        };
        let connection = Connection::new(&settings, false, &[]).expect("readable");
        let error = Exporter::start(&ExportConfig {
            otlp: [connection, None, None, None],
            ..ExportConfig::default()
        })
        .expect_err("that is no key");
        assert!(format!("{error:#}").contains("PEM"), "{error:#}");
    }
}
