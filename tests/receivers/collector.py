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
for name, exporter in config["exporters"].items():
    storage = exporter.get("sending_queue", {}).get("storage")
    assert storage in (None, *config["extensions"]), (name, storage)
secrets = re.findall(r"(?m)^ *(?:password|authorization): *(.*)$", open(sys.argv[1], encoding="utf-8").read())
assert secrets and all(secret.startswith("${env:") for secret in secrets), secrets
