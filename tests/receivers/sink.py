"""An OTLP receiver on OpenTelemetry's own protobuf definitions (oteltest's gRPC sink): `sink.py PORT FILE`.

Each request is appended to FILE as one line of OTLP JSON before it is answered.
"""

import json
import logging
import sys
import threading

from google.protobuf.json_format import MessageToDict
from oteltest.sink import GrpcSink
from oteltest.sink.handler import RequestHandler

LOCK = threading.Lock()


class Lines(RequestHandler):
    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")

    def write(self, request, _headers):
        line = json.dumps(MessageToDict(request, use_integers_for_enums=True))
        with LOCK:
            self.file.write(line + "\n")
            self.file.flush()

    handle_logs = handle_metrics = handle_trace = write


port, path = int(sys.argv[1]), sys.argv[2]
sink = GrpcSink(Lines(path), logging.getLogger("sink"), port=port)
sink.start()
print("ready", flush=True)
sink.wait_for_termination()
