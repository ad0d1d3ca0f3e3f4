"""HTTP/1.1 as the emulator speaks it: requests out of bytes, answers into bytes, and answers that never come.

Its own, because a general server would not let a fault drop a connection or keep silent, and costs ten times as much.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, cast

from bridge.emulator.faults import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bridge.emulator.answers import Reply
    from bridge.emulator.faults import Outcome

    Headers = Sequence[tuple[bytes, bytes]]
    Answer = Callable[[str, str, bytes, bytes], Outcome]  # method, target, authorization, body

MAX_HEAD_BYTES = 64 << 10
MAX_BODY_BYTES = 128 << 20  # a batch of a hundred creates of 1 MiB, and some
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):  # noqa: N818  it says what it is
    """These bytes are no request that is served here; the status says why. The connection ends."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Head(NamedTuple):
    """The first lines of a request."""

    method: str
    target: str
    authorization: bytes
    length: int | None  # of the body; None: in chunks
    keep: bool  # whether the connection goes on afterwards
    expects: bool  # whether the client waits to be told to go on


class Connections:
    """Those that are open."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._none = asyncio.Event()

    def add(self, connection: Connection) -> None:
        """It is open."""
        self._open.add(connection)
        self._none.clear()

    def discard(self, connection: Connection) -> None:
        """It is closed."""
        self._open.discard(connection)
        if not self._open:
            self._none.set()

    async def close(self, seconds: float) -> None:
        """Close all: each after the answer that is due, at the latest after this time."""
        for connection in tuple(self._open):
            connection.finish()
        for limit in (seconds, None):
            if self._open:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._none.wait(), limit)
            for connection in tuple(self._open):
                connection.abort()


class Connection(asyncio.Protocol):
    """One connection: its requests one after the other."""

    def __init__(self, answer: Answer, open_ones: Connections, speed: float) -> None:
        """open_ones: where it is listed as long as it is open. speed: seconds of delays in one second."""
        self._answer = answer
        self._open_ones = open_ones
        self._speed = speed
        self._buffer = bytearray()
        self._head: Head | None = None
        self._chunks = Chunks()
        self._busy = False  # an answer is due
        self._silent = False  # and it will never come
        self._closing = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self._open_ones.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        """It is closed."""
        self._transport = None
        self._open_ones.discard(self)

    def data_received(self, data: bytes) -> None:
        """Some more of a request."""
        self._buffer += data
        self._go_on()

    def finish(self) -> None:
        """Close it, after the answer that is due."""
        self._closing = True
        if self._silent:
            self.abort()
        elif not self._busy and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it now."""
        if self._transport is not None:
            self._transport.abort()

    def _reset(self) -> None:
        """End it so that the client sees it break, not end."""
        if self._transport is not None:
            descriptor = os.dup(self._transport.get_extra_info("socket").fileno())
            with socket.socket(fileno=descriptor) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _go_on(self) -> None:
        try:
            while not self._busy and self._transport is not None and (body := self._request()) is not None:
                self._serve(body)
        except Malformed as malformed:
            self._write(malformed.status, b"", (), keep=False)

    def _request(self) -> bytes | None:
        """The body of the next request, whose head is kept; None: it is not all there. Raises Malformed."""
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise Malformed(431)
                return None
            self._head = parse(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            self._chunks = Chunks()
            if self._head.expects and self._transport is not None:
                self._transport.write(_CONTINUE)
        length = self._head.length
        if length is None:
            return self._chunks.read(self._buffer)
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _serve(self, body: bytes) -> None:
        head, self._head = self._head, None
        assert head is not None  # noqa: S101  there is a body, so there is a head
        self._busy = True
        outcome = self._answer(head.method, head.target, head.authorization, body)
        if outcome.delay_seconds:
            later = asyncio.get_running_loop().call_later
            later(outcome.delay_seconds / self._speed, self._deliver, outcome, head.keep)
        else:
            self._deliver(outcome, head.keep)

    def _deliver(self, outcome: Outcome, keep: bool) -> None:  # noqa: FBT001  the loop calls it
        self._silent = outcome.delivery is Delivery.HOLD
        if outcome.delivery is Delivery.LOSE:
            self._reset()
        elif self._silent and self._closing:
            self.abort()
        elif outcome.delivery is Delivery.SEND:
            late = outcome.delay_seconds > 0
            self._send(outcome.reply, keep=keep and not self._closing)
            if late:
                self._go_on()

    def _send(self, reply: Reply, *, keep: bool) -> None:
        self._busy = False
        self._write(reply.status, reply.body, reply.headers, keep=keep)

    def _write(self, status: int, body: bytes, headers: Headers, *, keep: bool) -> None:
        if self._transport is None:
            return
        more = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        kind = b"application/json" if body[:1] != b"<" else b"text/html"
        form = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b%b\r\n"
        rest = b"" if keep else b"connection: close\r\n"
        self._transport.write(form % (status, _REASONS.get(status, b""), kind, len(body), more, rest) + body)
        if not keep:
            self._transport.close()


class Chunks:
    """A body that comes in chunks, as far as it has come."""

    def __init__(self) -> None:
        self._body = bytearray()
        self._last = False  # only trailers are missing

    def read(self, buffer: bytearray) -> bytes | None:
        """Take what is there out of the buffer; the body when it is complete. Raises Malformed."""
        while not self._last:
            line_end = buffer.find(b"\r\n")
            if line_end < 0:
                return None
            size = _hexadecimal(bytes(buffer[:line_end]))
            if len(self._body) + size > MAX_BODY_BYTES:
                raise Malformed(413)
            if size and len(buffer) < line_end + 4 + size:
                return None
            if size:
                self._body += buffer[line_end + 2 : line_end + 2 + size]
            del buffer[: line_end + 2 + (size + 2 if size else 0)]
            self._last = not size
        while (line_end := buffer.find(b"\r\n")) >= 0:
            del buffer[: line_end + 2]
            if line_end == 0:
                return bytes(self._body)
        return None


def parse(head: bytes) -> Head:
    """The head of a request, without the empty line. Raises Malformed."""
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or words[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:  # noqa: PLR2004  method, target, version
        raise Malformed(400)
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise Malformed(400)
        fields[name.lower()] = value.strip()
    connection = fields.get(b"connection", b"").lower()
    keep = connection != b"close" if words[2] == b"HTTP/1.1" else connection == b"keep-alive"
    return Head(
        words[0].decode("latin-1"),
        words[1].decode("latin-1"),
        fields.get(b"authorization", b""),
        _length(fields),
        keep,
        fields.get(b"expect", b"").lower() == b"100-continue",
    )


def _length(fields: Mapping[bytes, bytes]) -> int | None:
    if b"transfer-encoding" in fields:
        if fields[b"transfer-encoding"].lower() != b"chunked":
            raise Malformed(501)
        return None
    length = fields.get(b"content-length", b"0")
    if not length.isdigit():
        raise Malformed(400)
    if int(length) > MAX_BODY_BYTES:
        raise Malformed(413)
    return int(length)


def _hexadecimal(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise Malformed(400) from None
