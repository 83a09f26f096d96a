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
        (
            semconv::OS_DESCRIPTION.to_owned(),
            os_description(&read("/etc/os-release")),
        ),
    ];
    attributes.retain(|(_, value)| !value.is_empty());
    let given = std::env::var("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    for pair in given.split(',').filter(|pair| !pair.trim().is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) => set(
                &mut attributes,
                &decoded(key.trim()),
                &decoded(value.trim()),
            ),
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

/// The name people know the distribution by, from os-release(5).
fn os_description(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches(['"', '\'']).to_owned())
        .unwrap_or_default()
}

/// Percent-decoded, as the specification wants the variable's keys and values; as it is where that is malformed.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = (*first == b'%')
            .then(|| std::str::from_utf8(tail.get(..2)?).ok())
            .flatten()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// `host.arch` as the conventions spell it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_percent_decoded() {
        assert_eq!(decoded("a%2Cb%3d%20c"), "a,b= c");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%+1%ff"), "%zz%+1%ff");
    }

    #[test]
    fn the_distribution_is_named() {
        assert_eq!(
            os_description("ID=x\nPRETTY_NAME=\"Debian 12\"\n"),
            "Debian 12"
        );
        assert_eq!(os_description(""), "");
    }

    #[test]
    fn the_resource_says_what_runs_where() {
        let attributes = detect();
        for key in [
            semconv::SERVICE_NAME,
            semconv::SERVICE_VERSION,
            semconv::HOST_NAME,
            semconv::HOST_ARCH,
            semconv::OS_TYPE,
        ] {
            assert!(
                attributes.iter().any(|(known, _)| known == key),
                "{key} is missing"
            );
        }
    }
}
