"""Embedded ClickHouse with the tables of the collector's exporter: `clickhouse.py FILE… -- QUERIES.sql…`.

Fills them from files of OTLP JSON lines as that exporter does, runs each file of queries, and prints the rows of each as one line of
JSON.
"""

import json
import os
import pathlib
import sys
import tempfile
import time

os.environ["TZ"] = "UTC"
from chdb import session  # noqa: E402

KINDS = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"]
CODES = ["Unset", "Ok", "Error"]


def plain(value):
    """An AnyValue as a value of JSON."""
    (kind, inner), = value.items()
    if kind == "arrayValue":
        return [plain(one) for one in inner.get("values", [])]
    return int(inner) if kind == "intValue" else inner


def text(value):
    """As the collector writes attributes into maps of strings."""
    value = plain(value)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def moment(nanoseconds):
    """To the nanosecond."""
    seconds, rest = divmod(int(nanoseconds), 10**9)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest:09}"


def attributes(of):
    return {pair["key"]: text(pair["value"]) for pair in of.get("attributes", [])}


def common(resource, scope):
    found = attributes(resource.get("resource", {}))
    return {
        "ResourceAttributes": found,
        "ServiceName": found.get("service.name", ""),
        "ScopeName": scope["scope"]["name"],
        "ScopeVersion": scope["scope"]["version"],
    }


def logs(record, shared):
    yield "otel_logs", shared | {
        "Timestamp": moment(record["timeUnixNano"]),
        "TraceId": record.get("traceId", ""),
        "SpanId": record.get("spanId", ""),
        "SeverityText": record["severityText"],
        "SeverityNumber": record["severityNumber"],
        "Body": text(record["body"]),
        "LogAttributes": attributes(record),
    }


def spans(span, shared):
    links = span.get("links", [])
    yield "otel_traces", shared | {
        "Timestamp": moment(span["startTimeUnixNano"]),
        "TraceId": span["traceId"],
        "SpanId": span["spanId"],
        "ParentSpanId": span.get("parentSpanId", ""),
        "SpanName": span["name"],
        "SpanKind": KINDS[span["kind"]],
        "SpanAttributes": attributes(span),
        "Duration": int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]),
        "StatusCode": CODES[span.get("status", {}).get("code", 0)],
        "StatusMessage": span.get("status", {}).get("message", ""),
        "Links.TraceId": [link["traceId"] for link in links],
        "Links.SpanId": [link["spanId"] for link in links],
        "Links.TraceState": ["" for _ in links],
        "Links.Attributes": [attributes(link) for link in links],
    }


def metrics(metric, shared):
    kind = "sum" if "sum" in metric else "gauge" if "gauge" in metric else None
    if kind is None:
        return
    for point in metric[kind].get("dataPoints", []):
        row = shared | {
            "MetricName": metric["name"],
            "MetricDescription": metric["description"],
            "MetricUnit": metric["unit"],
            "Attributes": attributes(point),
            "StartTimeUnix": moment(point.get("startTimeUnixNano", "0")),
            "TimeUnix": moment(point["timeUnixNano"]),
            "Value": float(point.get("asInt", point.get("asDouble", 0))),
        }
        if kind == "sum":
            row["AggregationTemporality"] = metric[kind]["aggregationTemporality"]
            row["IsMonotonic"] = metric[kind]["isMonotonic"]
        yield f"otel_metrics_{kind}", row


SIGNALS = [
    ("resourceLogs", "scopeLogs", "logRecords", logs),
    ("resourceSpans", "scopeSpans", "spans", spans),
    ("resourceMetrics", "scopeMetrics", "metrics", metrics),
]


def rows(line):
    for resources, scopes, records, convert in SIGNALS:
        for resource in line.get(resources, []):
            for scope in resource.get(scopes, []):
                for record in scope.get(records, []):
                    yield from convert(record, common(resource, scope))


def statements(script):
    """A script's statements; semicolons stand at the ends of lines."""
    bare = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    return [one for one in (part.strip() for part in bare.split(";\n")) if one.strip(";")]


def main(files, queries):
    with tempfile.TemporaryDirectory() as folder:
        database = session.Session(f"{folder}/database")
        tables = pathlib.Path(__file__).with_name("tables.sql")
        for statement in statements(tables.read_text() + "\n"):
            database.query(statement)
        found = {}
        for file in files:
            for line in pathlib.Path(file).read_text().splitlines():
                for table, row in rows(json.loads(line)):
                    found.setdefault(table, []).append(json.dumps(row))
        for table, lines in found.items():
            path = pathlib.Path(folder) / table
            path.write_text("\n".join(lines))
            database.query(f"INSERT INTO {table} FROM INFILE '{path}' FORMAT JSONEachRow")
        for query in queries:
            answers = []
            for statement in statements(pathlib.Path(query).read_text() + "\n"):
                answer = database.query(statement.rstrip(";"), "JSONEachRow").data()
                answers += [json.loads(line) for line in answer.splitlines()]
            print(json.dumps(answers))


at = sys.argv.index("--")
main(sys.argv[1:at], sys.argv[at + 1 :])
