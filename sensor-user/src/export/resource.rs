//! The resource: which sensor on which host.

use std::fs;

use opentelemetry_semantic_conventions::resource as semconv;

/// Attributes of the resource, as text. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win over what is found.
pub fn detect() -> Vec<(String, String)> {
    let read = |path: &str| {
        fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    let host = read("/proc/sys/kernel/hostname");
    let mut attributes = vec![
        (
            semconv::SERVICE_NAME.to_owned(),
            "data-access-sensor".to_owned(),
        ),
        (
            semconv::SERVICE_VERSION.to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
        (
            semconv::SERVICE_INSTANCE_ID.to_owned(),
            read("/proc/sys/kernel/random/uuid"),
        ),
        (semconv::HOST_NAME.to_owned(), host),
        (semconv::HOST_ID.to_owned(), read("/etc/machine-id")),
        (semconv::HOST_ARCH.to_owned(), architecture().to_owned()),
        (semconv::OS_TYPE.to_owned(), "linux".to_owned()),
        (
            semconv::OS_VERSION.to_owned(),
            read("/proc/sys/kernel/osrelease"),
        ),
    ];
    attributes.retain(|(_, value)| !value.is_empty());
    let given = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    for pair in given.split(',').filter(|pair| !pair.trim().is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) => set(&mut attributes, key.trim(), value.trim()),
            None => log::warn!("OTEL_RESOURCE_ATTRIBUTES: `{pair}` is no key=value pair: left out"),
        }
    }
    if let Ok(name) = std::env::var("OTEL_SERVICE_NAME")
        && !name.is_empty()
    {
        set(&mut attributes, semconv::SERVICE_NAME, &name);
    }
    attributes
}

fn set(attributes: &mut Vec<(String, String)>, key: &str, value: &str) {
    attributes.retain(|(known, _)| known != key);
    attributes.push((key.to_owned(), value.to_owned()));
}

/// `host.arch` as the conventions spell it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
