//! A receiver of one signal, however it is reached.

use std::sync::Arc;

use anyhow::Result;

use super::{
    Message, Rejected, Sink, Undeliverable, connection::Connection, grpc::OtlpGrpc, http::OtlpHttp,
};
use crate::config::otlp::Protocol;

/// See the module.
pub enum Otlp {
    /// OTLP over gRPC.
    Grpc(OtlpGrpc),
    /// OTLP over HTTP.
    Http(OtlpHttp),
    /// There is none for this signal.
    Nowhere,
}

impl Otlp {
    /// As the connection says.
    ///
    /// # Errors
    /// When the URL, a header or a certificate is malformed.
    pub fn new(connection: Option<&Connection>) -> Result<Self> {
        Ok(match connection {
            None => Self::Nowhere,
            Some(connection) => match connection.protocol {
                Protocol::Grpc => Self::Grpc(OtlpGrpc::new(connection)?),
                Protocol::HttpProtobuf => Self::Http(OtlpHttp::new(connection)?),
            },
        })
    }
}

impl Sink for Otlp {
    fn name(&self) -> String {
        match self {
            Self::Grpc(sink) => sink.name(),
            Self::Http(sink) => sink.name(),
            Self::Nowhere => "nowhere".to_owned(),
        }
    }

    async fn deliver(&self, message: &Arc<Message>) -> Result<Rejected, Undeliverable> {
        match self {
            Self::Grpc(sink) => sink.deliver(message).await,
            Self::Http(sink) => sink.deliver(message).await,
            Self::Nowhere => Ok(None),
        }
    }
}
