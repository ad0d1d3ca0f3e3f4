"""An OpenTelemetry collector's receiver: OTLP over HTTP, decoded, and kept."""

from __future__ import annotations

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KINDS = {3: "client", 5: "consumer"}
LIMIT_SECONDS = 60.0


class Received(NamedTuple):
    """A span as it came; ids are hexadecimal."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: list[tuple[str, str]]
    attributes: Mapping[str, Any]
    failed: bool


class Receiver:
    """Listens on a free port of loopback, in a thread."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.resources: list[Mapping[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.take(self.path, gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_values(part.resource.attributes))
            self.spans += [_span(span) for scope in part.scope_spans for span in scope.spans]

    def until(self, condition: Callable[[list[Received]], bool]) -> list[Received]:
        """All spans, once the condition holds for them."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition(self.spans):
            assert time.monotonic() < deadline, self.spans
            time.sleep(0.02)
        return list(self.spans)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _span(span: Any) -> Received:
    links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
    ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
    return Received(
        span.name, KINDS.get(span.kind, "?"), *ids, links, _values(span.attributes), failed=span.status.code == 2
    )


def _values(attributes: Any) -> dict[str, Any]:
    found = {}
    for pair in attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        found[pair.key] = [one.string_value for one in value.values] if kind == "array_value" else value
    return found
