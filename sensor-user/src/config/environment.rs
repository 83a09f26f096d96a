//! OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_*`), which win over the file.

use std::{path::PathBuf, time::Duration};

use super::{
    export::Export,
    otlp::{Compression, EndpointUrl, Protocol, Settings, Temporality},
    secret::Secret,
};

/// The signals' places in the variables' names, in the order of their urgency.
const SIGNALS: [&str; 3] = ["LOGS_", "TRACES_", "METRICS_"];

/// Lets the environment win. `get` finds a variable.
///
/// # Errors
/// With the variable and what it may hold, when one makes no sense.
pub fn apply(export: &mut Export, get: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    // OpenTelemetry's specification: empty is as not set.
    let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
    export.otlp = settings("", &get)?.or(&export.otlp);
    for (place, signal) in export.signals.iter_mut().zip(SIGNALS) {
        *place = settings(signal, &get)?.or(place);
    }
    let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
    if let Some(value) = get(name) {
        export.temporality = match value.trim().to_ascii_lowercase().as_str() {
            // Low memory: cumulative for what is summed up already, as all is here.
            "cumulative" | "lowmemory" => Temporality::Cumulative,
            "delta" => Temporality::Delta,
            _ => return Err(wrong(name, "cumulative, delta or lowmemory")),
        };
    }
    Ok(())
}

fn settings(signal: &str, get: &impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
    let name = |what: &str| format!("OTEL_EXPORTER_OTLP_{signal}{what}");
    let read = |what: &str| get(&name(what)).map(|value| value.trim().to_owned());
    let path = |what: &str| read(what).map(PathBuf::from);
    Ok(Settings {
        endpoint: match read("ENDPOINT") {
            Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
                Some(EndpointUrl::from(url.as_str()))
            }
            Some(_) => return Err(wrong(&name("ENDPOINT"), "a URL like http://localhost:4317")),
            None => None,
        },
        protocol: match read("PROTOCOL").as_deref() {
            Some("grpc") => Some(Protocol::Grpc),
            Some("http/protobuf") => Some(Protocol::HttpProtobuf),
            Some(_) => return Err(wrong(&name("PROTOCOL"), "grpc or http/protobuf")),
            None => None,
        },
        headers: match read("HEADERS") {
            Some(pairs) => {
                // Not the text itself: it is a secret.
                let pairs = parse_pairs(&pairs).ok_or_else(|| {
                    wrong(
                        &name("HEADERS"),
                        "key=value pairs with commas between them, percent-encoded",
                    )
                })?;
                Some(
                    pairs
                        .into_iter()
                        .map(|(key, value)| (key, Secret::from(value.as_str())))
                        .collect(),
                )
            }
            None => None,
        },
        timeout: match read("TIMEOUT") {
            Some(millis) => Some(
                millis
                    .parse()
                    .ok()
                    .filter(|millis| (1..=3_600_000).contains(millis))
                    .map(Duration::from_millis)
                    .ok_or_else(|| wrong(&name("TIMEOUT"), "milliseconds, 1 to 3600000"))?,
            ),
            None => None,
        },
        compression: match read("COMPRESSION").as_deref() {
            Some("gzip") => Some(Compression::Gzip),
            Some("none") => Some(Compression::None),
            Some(_) => return Err(wrong(&name("COMPRESSION"), "gzip or none")),
            None => None,
        },
        certificate: path("CERTIFICATE"),
        client_certificate: path("CLIENT_CERTIFICATE"),
        client_key: path("CLIENT_KEY"),
    })
}

fn wrong(name: &str, right: &str) -> String {
    format!("{name} makes no sense\nhint: write {right}")
}

/// `key=value,…`, percent-encoded; `None` when a pair is none.
pub fn parse_pairs(pairs: &str) -> Option<Vec<(String, String)>> {
    pairs
        .split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = decode(key.trim()).filter(|key| !key.is_empty())?;
            Some((key, decode(value.trim())?))
        })
        .collect()
}

/// Percent-decoding; `None` when malformed.
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::Config;

    fn applied(file: &str, variables: &[(&str, &str)]) -> Result<Export, String> {
        let mut export = Config::parse(file, "sensor.toml".as_ref())
            .expect("a valid file")
            .export;
        let variables: HashMap<_, _> = variables.iter().copied().collect();
        apply(&mut export, |name| {
            variables.get(name).map(|value| (*value).to_owned())
        })?;
        Ok(export)
    }

    #[test]
    fn the_environment_wins_and_a_signal_wins_over_all() {
        let file = "[export]\notlp_endpoint = \"http://file:4317\"\ntimeout = \"3s\"\n[export.headers]\na = \"file\"";
        let export = applied(
            file,
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://all:4318/base"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
                (
                    "OTEL_EXPORTER_OTLP_HEADERS",
                    "authorization=Bearer%20x, b=2",
                ),
                ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key.pem"),
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert.pem"),
                ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4317"),
                ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc"),
                ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "2500"),
                ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", ""),
                ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
            ],
        )
        .expect("valid");
        let [logs, _, metrics] = export.signals.each_ref().map(|one| one.or(&export.otlp));
        assert_eq!(metrics.endpoint, Some("https://all:4318/base".into()));
        assert_eq!(metrics.protocol, Some(Protocol::HttpProtobuf));
        assert_eq!(metrics.timeout, Some(Duration::from_secs(3)), "the file's");
        assert_eq!(metrics.compression, Some(Compression::Gzip));
        let headers = metrics.headers.expect("headers");
        assert_eq!(headers["authorization"].reveal(), "Bearer x");
        assert_eq!(headers.len(), 2, "the file's are replaced");
        assert_eq!(metrics.certificate, Some("/ca.pem".into()));
        assert_eq!(metrics.client_key, Some("/key.pem".into()));
        assert_eq!(metrics.client_certificate, Some("/cert.pem".into()));
        assert_eq!(logs.endpoint, Some("http://logs:4317".into()));
        assert_eq!(logs.protocol, Some(Protocol::Grpc));
        assert_eq!(logs.timeout, Some(Duration::from_millis(2500)));
        assert_eq!(logs.headers, Some(headers), "empty is as not set");
        assert_eq!(export.temporality, Temporality::Delta);
    }

    #[test]
    fn the_command_line_wins_over_every_variable() {
        let variables = ["", "LOGS_", "TRACES_", "METRICS_"]
            .map(|signal| format!("OTEL_EXPORTER_OTLP_{signal}ENDPOINT"));
        let variables = variables
            .each_ref()
            .map(|name| (name.as_str(), "http://variable:4317"));
        let mut export = applied("", &variables).expect("valid");
        export.send_all_to("http://flag:4318");
        for signal in &export.signals {
            let endpoint = signal.or(&export.otlp).endpoint;
            assert_eq!(endpoint, Some("http://flag:4318".into()));
        }
    }

    #[test]
    fn what_makes_no_sense_is_named_but_not_shown() {
        for (name, value) in [
            ("ENDPOINT", "hush:4317"),
            ("TRACES_ENDPOINT", "hush"),
            ("PROTOCOL", "hush/json"),
            ("METRICS_COMPRESSION", "hush"),
            ("TIMEOUT", "hush"),
            ("TIMEOUT", "0"),
            ("LOGS_HEADERS", "hush"),
            ("HEADERS", "a=%hush"),
            ("METRICS_TEMPORALITY_PREFERENCE", "hush"),
        ] {
            let name = format!("OTEL_EXPORTER_OTLP_{name}");
            let error = applied("", &[(&name, value)]).expect_err(&name);
            assert!(error.contains(&name) && error.contains("hint:"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
