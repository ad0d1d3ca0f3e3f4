"""A schema registry with the REST interface of Confluent's, over HTTP or HTTPS, that tests start, stall and stop.

The paths, answers and error codes are those of docs.confluent.io/platform/current/schema-registry/develop/api.html, as
far as somebody who only reads schemas meets them. A .proto file is registered as its descriptor, for there is no parser
here: with ``?format=serialized`` it is given as it is, without as a text that says so.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.services.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.services.certificates import Certificates

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


class Schema(NamedTuple):
    """One registered schema; references are (name, subject, version)."""

    kind: str
    text: str
    serialized: str
    references: Sequence[tuple[str, str, int]]


class Answer(NamedTuple):
    """What one request gets."""

    status: int
    body: Any


class SchemaRegistryServer:
    """Keeps what is registered over ``stop`` and ``start``, always at the same address."""

    def __init__(self, *, certificates: Certificates | None = None, authorization: str | None = None) -> None:
        """authorization: the header's value without which every request is refused."""
        (self.port,) = free_ports(1)
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{self.port}"
        self.requests: list[str] = []
        self.broken: Answer | bytes | None = None  # what every request gets instead; bytes: no HTTP at all
        self.serializes = True  # False: ``format=serialized`` is ignored
        self.stalled = threading.Event()
        self.released = threading.Event()
        self.authorization = authorization
        self._certificates = certificates
        self._schemas: list[Schema] = []
        self._subjects: dict[str, list[int]] = {}
        self._server: ThreadingHTTPServer | None = None

    def register(
        self,
        subject: str,
        text: str = "",
        *,
        descriptor: bytes | None = None,
        references: Sequence[tuple[str, str, int]] = (),
        kind: str | None = None,
    ) -> int:
        """A new version of a subject; returns the schema's id, from 1."""
        kind = kind or ("AVRO" if descriptor is None else "PROTOBUF")
        serialized = text if descriptor is None else b64encode(descriptor).decode()
        self._schemas.append(Schema(kind, text or 'syntax = "proto3"; // as text', serialized, references))
        self._subjects.setdefault(subject, []).append(len(self._schemas))
        return len(self._schemas)

    def start(self) -> Self:
        """Answer from now on."""
        registry = self

        class Request(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                registry.serve(self)

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Request)
        self._server.daemon_threads = True
        if self._certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificates.server_cert_file, self._certificates.server_key_file)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Connections are refused from now on."""
        self.released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request; the connection is not kept, so that ``stop`` leaves none open."""
        self.requests.append(request.path)
        if self.stalled.is_set():
            self.released.wait()
        if isinstance(self.broken, bytes):
            request.wfile.write(self.broken)
            request.close_connection = True
            return
        status, body = self.broken or self._authorized(request) or self._answer(request.path)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(status)
        for name, value in (("Content-Type", MEDIA_TYPE), ("Content-Length", len(content)), ("Connection", "close")):
            request.send_header(name, str(value))
        request.end_headers()
        request.wfile.write(content)

    def _authorized(self, request: BaseHTTPRequestHandler) -> Answer | None:
        if self.authorization is None or request.headers["authorization"] == self.authorization:
            return None
        return Answer(401, {"error_code": 401, "message": "Unauthorized"})

    def _answer(self, target: str) -> Answer:
        parts = urlsplit(target)
        serialized = parse_qs(parts.query).get("format") == ["serialized"] and self.serializes
        if found := re.fullmatch(r"/schemas/ids/(\d+)", parts.path):
            number = int(found[1])
            if not 0 < number <= len(self._schemas):
                return Answer(404, {"error_code": 40403, "message": f"Schema {number} not found"})
            return Answer(200, self._described(number, serialized=serialized))
        if found := re.fullmatch(r"/subjects/([^/]+)/versions/(\d+)", parts.path):
            return self._version(unquote(found[1]), int(found[2]), serialized=serialized)
        return Answer(404, {"error_code": 404, "message": "HTTP 404 Not Found"})

    def _version(self, subject: str, version: int, *, serialized: bool) -> Answer:
        numbers = self._subjects.get(subject)
        if numbers is None:
            return Answer(404, {"error_code": 40401, "message": f"Subject '{subject}' not found."})
        if not 0 < version <= len(numbers):
            return Answer(404, {"error_code": 40402, "message": f"Version {version} not found."})
        number = numbers[version - 1]
        body = {"subject": subject, "version": version, "id": number}
        return Answer(200, body | self._described(number, serialized=serialized))

    def _described(self, number: int, *, serialized: bool) -> dict[str, Any]:
        schema = self._schemas[number - 1]
        found: dict[str, Any] = {"schema": schema.serialized if serialized else schema.text}
        if schema.kind != "AVRO":
            found["schemaType"] = schema.kind
        if schema.references:
            names = ("name", "subject", "version")
            found["references"] = [dict(zip(names, reference, strict=True)) for reference in schema.references]
        return found


def framed(number: int, data: bytes) -> bytes:
    """A body as Confluent's serializers write it."""
    return b"\0" + number.to_bytes(4, "big") + data
