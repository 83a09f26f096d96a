"""Every name of OpenTelemetry's published registry of semantic conventions, one a line: attributes of package
opentelemetry-semantic-conventions."""

import importlib
from pathlib import Path

import opentelemetry.semconv as semconv

# Not pkgutil.walk_packages: the names that are not stable yet lie in a directory without __init__.py.
root = Path(semconv.__path__[0])
for file in sorted(root.rglob("*_attributes.py")):
    parts = file.relative_to(root).with_suffix("").parts
    module = importlib.import_module(".".join(("opentelemetry.semconv", *parts)))
    for value in vars(module).values():
        if isinstance(value, str) and "." in value and " " not in value:
            print(value)
