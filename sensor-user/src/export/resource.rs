//! The resource: which sensor on which host.

use std::fs;

use opentelemetry_semantic_conventions::resource as semconv;

use crate::config::environment::parse_pairs;

/// What is told of the sensor when nobody says otherwise.
const SERVICE: &str = "data-access-sensor";

/// Attributes of the resource, as text. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win over what is found.
pub fn detect() -> Vec<(String, String)> {
    let given = |name: &str| std::env::var(name).unwrap_or_default();
    overridden(
        found(),
        &given("OTEL_RESOURCE_ATTRIBUTES"),
        &given("OTEL_SERVICE_NAME"),
    )
}

/// What this host and process are.
fn found() -> Vec<(String, String)> {
    let release = read("/etc/os-release");
    let kernel = read("/proc/sys/kernel/osrelease");
    let attributes = [
        (semconv::SERVICE_NAME, SERVICE.to_owned()),
        (
            semconv::SERVICE_VERSION,
            env!("CARGO_PKG_VERSION").to_owned(),
        ),
        (
            semconv::SERVICE_INSTANCE_ID,
            read("/proc/sys/kernel/random/uuid"),
        ),
        (semconv::HOST_NAME, read("/proc/sys/kernel/hostname")),
        (semconv::HOST_ID, read("/etc/machine-id")),
        (semconv::HOST_ARCH, architecture().to_owned()),
        (semconv::OS_TYPE, "linux".to_owned()),
        (semconv::OS_NAME, release_field(&release, "NAME")),
        (semconv::OS_VERSION, release_field(&release, "VERSION_ID")),
        (
            semconv::OS_DESCRIPTION,
            format!("{}, Linux {kernel}", release_field(&release, "PRETTY_NAME")),
        ),
    ];
    attributes
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// A field of `/etc/os-release`, without its quotes.
fn release_field(release: &str, field: &str) -> String {
    release
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix('='))
        .map(|value| value.trim_matches(['"', '\'']).to_owned())
        .unwrap_or_default()
}

/// Applies `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`. As the specification of the former asks for, one
/// malformed pair discards all of it.
fn overridden(
    mut attributes: Vec<(String, String)>,
    pairs: &str,
    service: &str,
) -> Vec<(String, String)> {
    match parse_pairs(pairs) {
        Some(given) => {
            for (key, value) in given {
                set(&mut attributes, &key, value);
            }
        }
        None => log::error!(
            "OTEL_RESOURCE_ATTRIBUTES is ignored: a part of it is no key=value pair with its value percent-encoded"
        ),
    }
    if !service.is_empty() {
        set(&mut attributes, semconv::SERVICE_NAME, service.to_owned());
    }
    attributes
}

fn set(attributes: &mut Vec<(String, String)>, key: &str, value: String) {
    attributes.retain(|(known, _)| known != key);
    attributes.push((key.to_owned(), value));
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

    fn get<'a>(attributes: &'a [(String, String)], key: &str) -> Option<&'a str> {
        let mut values = attributes.iter().filter(|(known, _)| known == key);
        let value = values.next().map(|(_, value)| &**value);
        assert!(values.next().is_none(), "{key} twice");
        value
    }

    #[test]
    fn the_environment_wins() {
        let attributes = overridden(
            found(),
            "deployment.environment.name=prod%2Ceu, host.name = db1 ,service.name=ignored",
            "audit",
        );
        assert_eq!(
            get(&attributes, "deployment.environment.name"),
            Some("prod,eu")
        );
        assert_eq!(get(&attributes, "host.name"), Some("db1"));
        assert_eq!(get(&attributes, "service.name"), Some("audit"));
        assert_eq!(get(&attributes, "os.type"), Some("linux"));
    }

    #[test]
    fn one_malformed_pair_discards_all() {
        for pairs in ["a=1,b", "a=1,b=%zz", "a=1,=2", "a=1,b=%e"] {
            let attributes = overridden(found(), pairs, "");
            assert_eq!(get(&attributes, "a"), None, "{pairs}");
            assert_eq!(get(&attributes, "service.name"), Some(SERVICE));
        }
    }

    #[test]
    fn reads_os_release() {
        let release = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=12\n";
        assert_eq!(release_field(release, "NAME"), "Debian GNU/Linux");
        assert_eq!(release_field(release, "VERSION_ID"), "12");
        assert_eq!(release_field(release, "ID"), "");
    }
}
