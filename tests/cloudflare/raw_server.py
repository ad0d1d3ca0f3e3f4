"""An HTTP server that does by path what servers do on bad days; each connection and request is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Self

import orjson

from bridge.cloudflare.transport import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

CHUNK = b"x" * (1 << 20)


class Seen(NamedTuple):
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class RawServer:
    """Use as a context; ``url`` has no path."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""
        self.connections = 0
        self.requests: list[Seen] = []
        self.counts: Counter[str] = Counter()
        self.arrived = asyncio.Event()  # a request for /slow is here
        self.left = asyncio.Event()  # the client of /slow has gone away
        self.protocol: str | None = None  # what TLS agreed on

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._context)
        scheme = "https" if self._context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        tls = writer.get_extra_info("ssl_object")
        self.protocol = tls.selected_alpn_protocol() if tls else None
        try:
            while (seen := await _read(reader)) is not None:
                self.requests.append(seen)
                self.counts[seen.target] += 1
                await self._answer(seen, reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _answer(self, seen: Seen, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers: dict[str, Callable[[], Awaitable[None]]] = {
            "/slow": lambda: self._slow(reader),
            "/slow-body": lambda: _write(writer, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this"),
            "/drip": lambda: _drip(writer),
            "/reset": lambda: _reset(writer),
            "/cut": lambda: _cut(writer),
            "/garbage": lambda: _write(writer, b"220 this is a mail server\r\n\r\n"),
            "/big": lambda: _big(writer),
            "/big-chunked": lambda: _endless(writer),
            "/redirect": lambda: _write(
                writer, b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
            ),
            "/repeat": lambda: _write(writer, b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n"),
            "/busy": lambda: _write(writer, b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"),
        }
        await answers.get(seen.target, lambda: _write(writer, _plain(seen)))()

    async def _slow(self, reader: asyncio.StreamReader) -> None:
        self.arrived.set()
        await reader.read(1)
        self.left.set()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, target, headers, body)


def _plain(seen: Seen) -> bytes:
    body = orjson.dumps({"method": seen.method, "target": seen.target, "body": seen.body.decode()})
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def _write(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(content)
    await writer.drain()


async def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _cut(writer: asyncio.StreamWriter) -> None:
    await _write(writer, b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
    writer.close()


async def _big(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (MAX_ANSWER_BYTES + 1))
    await _write(writer, CHUNK)


async def _drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        await _write(writer, b"x")
        await asyncio.sleep(0.01)


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await _write(writer, b"%x\r\n%b\r\n" % (len(CHUNK), CHUNK))
