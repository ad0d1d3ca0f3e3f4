"""The fastest Workflows API that Python makes: answers every call with success, remembers only how many.

Run as a process of its own: ``python -m bench.stub`` prints its port. ``GET /counts`` tells what it has seen, and with
``python -m bench.stub receipts`` also ``GET /receipts`` when it first saw each instance id. There is no workflow of the
name "missing".
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from typing import ClassVar

import orjson
import uvloop

INSTANCE_ID = re.compile(rb'"instance_id":"([^"]+)"')
CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
EVENT_ID = re.compile(rb"/instances/([^/]+)/events/")
END = b"\r\n\r\n"
UUID = b"0c5aaa5e-0000-4000-8000-000000000000"


class Counts:
    """What was asked so far."""

    requests = 0
    creates = 0
    events = 0


class Receipts:
    """When each instance id was first asked for: Unix nanoseconds."""

    wanted = "receipts" in sys.argv
    first = 0  # the first request of all
    times: ClassVar[dict[str, int]] = {}


class Connection(asyncio.Protocol):
    """HTTP/1.1 with kept connections; understands just what the bridge sends."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self.transport = transport  # type: ignore[assignment]  a stream socket's

    def data_received(self, data: bytes) -> None:
        """Answer every request that has arrived in full."""
        self.data += data
        while (end := self.data.find(END)) >= 0:
            head = self.data[:end]
            found = CONTENT_LENGTH.search(head)
            stop = end + len(END) + (int(found[1]) if found else 0)
            if len(self.data) < stop:
                return
            body = self.data[end + len(END) : stop]
            self.data = self.data[stop:]
            self.transport.write(answer(head.split(b"\r\n", 1)[0], body))


def answer(line: bytes, body: bytes) -> bytes:
    """The answer to one request."""
    if b"/counts" in line:
        return http(orjson.dumps({"requests": Counts.requests, "creates": Counts.creates, "events": Counts.events}))
    if b"/receipts" in line:
        return http(orjson.dumps({"first": Receipts.first, "times": Receipts.times}))
    Counts.requests += 1
    if Receipts.wanted:
        note(line, body)
    if b"/workflows/missing/" in line:
        return MISSING
    if b"/events/" in line:
        Counts.events += 1
        return http(envelope(b'{"instanceId":"x","timestamp":"2026-01-01T00:00:00Z"}'))
    made = [
        b'{"id":"%s","status":"queued","version_id":"%s","workflow_id":"%s"}' % (name, UUID, UUID)
        for name in INSTANCE_ID.findall(body)
    ]
    Counts.creates += len(made)
    return http(envelope(b"[" + b",".join(made) + b"]" if b"/batch" in line else made[0]))


def note(line: bytes, body: bytes) -> None:
    """Remember when the instances of a request were asked for."""
    now = time.time_ns()
    Receipts.first = Receipts.first or now
    event = EVENT_ID.search(line)
    for name in [event[1]] if event else INSTANCE_ID.findall(body):
        Receipts.times.setdefault(name.decode(), now)


def envelope(result: bytes) -> bytes:
    """Production's frame around a result."""
    return b'{"success":true,"errors":[],"messages":[],"result":' + result + b"}"


def http(body: bytes) -> bytes:
    """A 200."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


NO_WORKFLOW = b'{"success":false,"errors":[{"code":10200,"message":"workflow not found"}],"messages":[],"result":null}'
MISSING = http(NO_WORKFLOW).replace(b"200 OK", b"404 Not Found", 1)


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
