//! `[export.prometheus]`: an address where Prometheus fetches the metrics.

use std::net::SocketAddr;

use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Section {
    listen: Option<Spanned<String>>,
    allow_remote: bool,
}

impl Section {
    pub fn build(self) -> Result<Option<SocketAddr>, Problem> {
        let Some(listen) = self.listen else {
            return Ok(None);
        };
        let address: SocketAddr = listen.get_ref().parse().map_err(|_| {
            Problem::new(
                listen.span(),
                format!("`{}` is no address to listen on", listen.get_ref()),
                "write an IP address and a port: \"127.0.0.1:9464\"",
            )
        })?;
        if !address.ip().is_loopback() && !self.allow_remote {
            return Err(Problem::new(
                listen.span(),
                format!("`{}` can be reached from other hosts", listen.get_ref()),
                "who reads what would be there in clear for all who reach it: listen on 127.0.0.1 behind an agent or a proxy with TLS, or say `allow_remote = true`",
            ));
        }
        Ok(Some(address))
    }
}
