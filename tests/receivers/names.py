"""Every name of OpenTelemetry's published registry of semantic conventions, one a line: attributes of package
opentelemetry-semantic-conventions."""

import importlib
import pkgutil

import opentelemetry.semconv as semconv

for module in pkgutil.walk_packages(semconv.__path__, "opentelemetry.semconv."):
    if module.name.endswith("_attributes"):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, str) and "." in value and " " not in value:
                print(value)
