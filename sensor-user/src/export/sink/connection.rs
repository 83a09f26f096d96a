//! How a receiver is reached, with everything read that has to be read.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use reqwest::Url;

use super::{endpoint_url, without_credentials};
use crate::config::{
    otlp::{Compression, EndpointUrl, Protocol, Settings},
    secret::Secret,
};

/// How long one request may take when nobody says.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// A receiver.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Where.
    pub endpoint: EndpointUrl,
    /// Over HTTP, the URL is of one signal and used as it is.
    pub exact: bool,
    /// How.
    pub protocol: Protocol,
    /// Headers of each request.
    pub headers: Vec<(String, Secret)>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Requests are compressed with gzip.
    pub gzip: bool,
    /// Certificates that the receiver's must come from, in PEM.
    pub authority: Option<Vec<u8>>,
    /// The sensor's own certificate and its key, in PEM.
    pub identity: Option<(Vec<u8>, Secret)>,
}

impl Connection {
    /// As settings say; `None` when they name no endpoint.
    ///
    /// # Errors
    /// When the URL is malformed, a file can't be read, or a certificate has no key.
    pub fn new(
        settings: &Settings,
        exact: bool,
        more_headers: &[(String, Secret)],
    ) -> Result<Option<Self>> {
        let Some(endpoint) = &settings.endpoint else {
            return Ok(None);
        };
        let url = endpoint_url(endpoint.reveal())?;
        let protocol = settings.protocol.unwrap_or(if url.port() == Some(4318) {
            Protocol::HttpProtobuf
        } else {
            Protocol::Grpc
        });
        let mut headers: Vec<_> = settings
            .headers
            .iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        headers.extend(more_headers.iter().cloned());
        let identity = match (&settings.client_certificate, &settings.client_key) {
            (Some(certificate), Some(key)) => {
                let key = String::from_utf8(read("client_key", key)?)
                    .ok()
                    .context("export.client_key is not PEM")?;
                Some((
                    read("client_certificate", certificate)?,
                    Secret::from(key.as_str()),
                ))
            }
            (None, None) => None,
            _ => anyhow::bail!(
                "export.client_certificate and export.client_key belong together: one of them is missing"
            ),
        };
        let authority = settings
            .certificate
            .as_deref()
            .map(|path| read("certificate", path))
            .transpose()?;
        ensure!(
            url.scheme() == "https" || (identity.is_none() && authority.is_none()),
            "export.otlp_endpoint: {} is without TLS, and certificates are given for it: write https://",
            without_credentials(&url)
        );
        Ok(Some(Self {
            endpoint: endpoint.clone(),
            exact,
            protocol,
            headers,
            timeout: settings.timeout.unwrap_or(TIMEOUT),
            gzip: settings.compression == Some(Compression::Gzip),
            authority,
            identity,
        }))
    }

    /// For tests: without anything but an endpoint.
    #[cfg(test)]
    pub fn plain(endpoint: &str, protocol: Protocol) -> Result<Self> {
        let settings = Settings {
            endpoint: Some(endpoint.into()),
            protocol: Some(protocol),
            headers: Some([("X-Token".to_owned(), "hush".into())].into()),
            ..Settings::default()
        };
        Self::new(&settings, false, &[])?.context("an endpoint")
    }

    /// The URL.
    ///
    /// # Errors
    /// When it is none.
    pub fn url(&self) -> Result<Url> {
        endpoint_url(self.endpoint.reveal())
    }
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("export.{key}: cannot read {}", path.display()))
}

/// Headers from a file: `name: value` or `name=value` on each line; empty ones and those with `#` are passed over.
///
/// # Errors
/// When it can't be read or a line is none of these.
pub fn headers_from(path: Option<&PathBuf>) -> Result<Vec<(String, Secret)>> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let text = fs::read_to_string(path)
        .with_context(|| format!("export.headers_file: cannot read {}", path.display()))?;
    let mut headers = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Not the line itself: it is a secret.
        let (name, value) = line.split_once([':', '=']).with_context(|| {
            format!(
                "export.headers_file: {} line {}: write `name: value`",
                path.display(),
                at + 1
            )
        })?;
        headers.push((name.trim().to_owned(), Secret::from(value.trim())));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_from_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = Some(file.path().to_owned());
        fs::write(
            file.path(),
            "# token\nauthorization: Bearer a=b:c\n\nx-scope=one\n",
        )
        .expect("write");
        let headers = headers_from(path.as_ref()).expect("valid");
        let shown: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.reveal()))
            .collect();
        assert_eq!(
            shown,
            [("authorization", "Bearer a=b:c"), ("x-scope", "one")]
        );
        fs::write(file.path(), "x: 1\nhush\n").expect("write");
        let error = format!("{:#}", headers_from(path.as_ref()).expect_err("no header"));
        assert!(
            error.contains("line 2") && !error.contains("hush"),
            "{error}"
        );
        assert!(headers_from(Some(&"/nonexistent".into())).is_err());
    }

    #[test]
    fn certificates_need_tls_and_their_keys() {
        let settings = Settings {
            endpoint: Some("http://localhost:4317".into()),
            certificate: Some("/nonexistent.pem".into()),
            ..Settings::default()
        };
        let error = format!(
            "{:#}",
            Connection::new(&settings, false, &[]).expect_err("no file")
        );
        assert!(error.contains("/nonexistent.pem"), "{error}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        let settings = Settings {
            certificate: Some(file.path().to_owned()),
            ..settings
        };
        let error = format!(
            "{:#}",
            Connection::new(&settings, false, &[]).expect_err("no TLS")
        );
        assert!(error.contains("https://"), "{error}");
        let settings = Settings {
            endpoint: Some("https://localhost:4317".into()),
            client_key: Some(file.path().to_owned()),
            ..settings
        };
        let error = format!(
            "{:#}",
            Connection::new(&settings, false, &[]).expect_err("half")
        );
        assert!(error.contains("belong together"), "{error}");
    }
}
