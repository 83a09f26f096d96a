"""Is a configuration of the OpenTelemetry Collector whole? `collector.py FILE`: what is used is defined, what is defined is used, and
every component is one of the contrib distribution's."""

import re
import sys

import yaml

KNOWN = {
    "receivers": {"otlp"},
    "processors": {"memory_limiter", "filter", "batch", "resource", "attributes"},
    "exporters": {"clickhouse", "prometheusremotewrite", "otlphttp", "otlp", "debug"},
    "extensions": {"health_check", "file_storage"},
}

# Keys of each component that the configuration may use, by its published schema (`config.schema.yaml`, or `config.go`).
TLS = {"cert_file", "key_file", "client_ca_file"}
KEYS = {
    "otlp": {"protocols": {"grpc": {"endpoint": None, "tls": TLS}, "http": {"endpoint": None, "tls": TLS}}},
    "memory_limiter": {"check_interval", "limit_mib", "limit_percentage", "spike_limit_mib", "spike_limit_percentage"},
    "filter": {"error_mode": None, "logs": {"log_record"}},
    "clickhouse": {
        "endpoint": None, "username": None, "password": None, "database": None, "ttl": None, "create_schema": None,
        "retry_on_failure": {"enabled", "max_elapsed_time"}, "sending_queue": {"enabled", "storage", "queue_size"},
    },
    "prometheusremotewrite": {
        "endpoint": None, "resource_to_telemetry_conversion": {"enabled"},
        "retry_on_failure": {"enabled", "max_elapsed_time"},
    },
    "otlphttp": {
        "endpoint": None, "headers": None, "retry_on_failure": {"enabled", "max_elapsed_time"},
        "sending_queue": {"enabled", "storage", "queue_size"},
    },
    "health_check": {"endpoint"},
    "file_storage": {"directory", "create_directory"},
}


def known_keys(where, value, keys):
    """Every key of a block is known, at any depth; `None`: whatever is in it."""
    if keys is None:
        return
    for key, inner in value.items():
        assert key in keys, f"{where}: no such key: {key}"
        if isinstance(keys, dict):
            known_keys(f"{where}.{key}", inner, keys[key])


config = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
used = {kind: set() for kind in KNOWN}
used["extensions"] = set(config["service"]["extensions"])
for name, pipeline in config["service"]["pipelines"].items():
    assert name.split("/")[0] in ("logs", "traces", "metrics"), name
    for kind in ("receivers", "processors", "exporters"):
        used[kind] |= set(pipeline[kind])
    assert pipeline["processors"][0] == "memory_limiter", f"{name}: first, or it is of no use"
signals = {name.split("/")[0] for name in config["service"]["pipelines"]}
assert signals == {"logs", "traces", "metrics"}, signals
for kind, known in KNOWN.items():
    defined = set(config[kind])
    assert defined == used[kind], (kind, defined ^ used[kind])
    for name in defined:
        assert name.split("/")[0] in known, f"{kind}: {name}"
        known_keys(name, config[kind][name], KEYS[name.split("/")[0]])
for name, exporter in config["exporters"].items():
    storage = exporter.get("sending_queue", {}).get("storage")
    assert storage in (None, *config["extensions"]), (name, storage)
secrets = re.findall(r"(?m)^ *(?:password|authorization): *(.*)$", open(sys.argv[1], encoding="utf-8").read())
assert secrets and all(secret.startswith("${env:") for secret in secrets), secrets
