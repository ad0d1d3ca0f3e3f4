"""HTTP/1.1 as the emulator speaks it, byte by byte, and the connections that faults break."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.emulator import server
from bridge.emulator.connection import Chunks, Malformed, parse
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT_SECONDS = 60.0
CREATE = b'{"instance_id":"%b"}'


class Socket:
    """A connection to the emulator, in bytes."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def __aenter__(self) -> Self:
        port = int(self._emulator.base_url.split(":")[2].split("/")[0])
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def head(self, *lines: str, version: str = "HTTP/1.1") -> bytes:
        path = f"/client/v4/accounts/{self._emulator.account_id}/workflows/w/instances"
        token = f"authorization: Bearer {self._emulator.token}"
        return "\r\n".join([f"POST {path} {version}", "host: x", token, *lines, "", ""]).encode()

    def post(self, name: bytes) -> bytes:
        body = CREATE % name
        return self.head(f"content-length: {len(body)}") + body

    async def answer(self) -> tuple[int, bytes]:
        async with asyncio.timeout(LIMIT_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) if b"ength" in head else 0
            return int(head.split()[1]), await self.reader.readexactly(length)

    async def end(self) -> bytes:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.reader.read()


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorSettings(speed=1000)) as emulator:
        yield emulator


def created(emulator: Emulator) -> list[str]:
    return [name for record in emulator.journal.records for name in record.created]


async def test_a_request_in_pieces(emulator: Emulator) -> None:
    """However the bytes come, one request is one request."""
    async with Socket(emulator) as socket:
        for byte in socket.post(b"slow"):
            socket.writer.write(bytes([byte]))
            await socket.writer.drain()
        assert (await socket.answer())[0] == 200
    assert created(emulator) == ["slow"]


async def test_many_requests_at_once_on_one_connection(emulator: Emulator) -> None:
    """What is sent without waiting is answered in order."""
    async with Socket(emulator) as socket:
        socket.writer.write(b"".join(socket.post(b"n-%d" % number) for number in range(50)))
        answers = [await socket.answer() for _ in range(50)]
    assert [orjson.loads(body)["result"]["id"] for _, body in answers] == [f"n-{number}" for number in range(50)]


async def test_a_body_in_chunks(emulator: Emulator) -> None:
    """Chunks are put together, extensions and trailers passed over; the next request is read where it begins."""
    async with Socket(emulator) as socket:
        chunks = b'8;a=b\r\n{"instan\r\nA\r\nce_id":"c"\r\n1\r\n}\r\n0\r\nx: y\r\n\r\n'
        socket.writer.write(socket.head("transfer-encoding: chunked") + chunks + socket.post(b"d"))
        assert [(await socket.answer())[0] for _ in range(2)] == [200, 200]
    assert created(emulator) == ["c", "d"]


async def test_a_client_that_asks_before_it_sends(emulator: Emulator) -> None:
    """``Expect: 100-continue`` is told to go on."""
    async with Socket(emulator) as socket:
        socket.writer.write(socket.head("content-length: 2", "expect: 100-continue"))
        assert (await socket.answer())[0] == 100
        socket.writer.write(b"{}")
        assert (await socket.answer())[0] == 200


@pytest.mark.parametrize(
    ("version", "line", "kept"),
    [
        ("HTTP/1.1", "x: y", True),
        ("HTTP/1.1", "connection: close", False),
        ("HTTP/1.0", "x: y", False),
        ("HTTP/1.0", "connection: keep-alive", True),
    ],
)
async def test_when_a_connection_is_kept(emulator: Emulator, version: str, line: str, *, kept: bool) -> None:
    """By the version, unless the client says otherwise."""
    async with Socket(emulator) as socket:
        socket.writer.write(socket.head("content-length: 2", line, version=version) + b"{}")
        assert (await socket.answer())[0] == 200
        if kept:
            socket.writer.write(socket.post(b"next"))
            assert (await socket.answer())[0] == 200
        else:
            assert await socket.end() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nnonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000, 431),
    ],
)
async def test_what_is_no_request(emulator: Emulator, sent: bytes, status: int) -> None:
    """It is refused, the connection ends, and the emulator goes on."""
    async with Socket(emulator) as socket:
        socket.writer.write(sent)
        assert (await socket.answer())[0] == status
        assert await socket.end() == b""
    assert emulator.journal.records == []


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), min_size=1), st.integers(1, 50))
def test_chunks_of_any_size_in_pieces_of_any_size(body: bytes, sizes: list[int], piece: int) -> None:
    """A body comes out as it went in, and what follows it stays."""
    chunks, place = b"", 0
    for size in [*sizes, len(body) or 1]:
        part = body[place : place + size]
        place += size
        chunks += b"%x\r\n%b\r\n" % (len(part), part) if part else b""
    wire = chunks + b"0\r\n\r\nNEXT"
    reader, buffer, result = Chunks(), bytearray(), None
    for start in range(0, len(wire), piece):
        buffer += wire[start : start + piece]
        result = reader.read(buffer) if result is None else result
    assert (result, bytes(buffer)) == (body, b"NEXT")


@given(st.binary(max_size=200))
def test_no_head_breaks_the_parser(head: bytes) -> None:
    """Any bytes are a head or are refused."""
    with suppress(Malformed):
        assert parse(head).method


async def test_a_lost_connection(emulator: Emulator) -> None:
    """The work is done, then the connection is reset without a byte."""
    emulator.fault(do="lost", count=1)
    async with Socket(emulator) as socket:
        socket.writer.write(socket.post(b"a"))
        with pytest.raises(ConnectionResetError):
            await socket.end()
    assert created(emulator) == ["a"]


async def test_an_answer_that_never_comes(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection stays open and silent; when the emulator stops, it does not wait for it."""
    monkeypatch.setattr(server, "STOP_SECONDS", 3_600.0)
    emulator.fault(do="no-answer")
    async with Socket(emulator) as socket:
        socket.writer.write(socket.post(b"a"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await socket.reader.read(1)
        assert created(emulator) == ["a"]
        async with asyncio.timeout(LIMIT_SECONDS):
            await emulator.__aexit__()


async def test_delays_follow_the_emulators_clock(emulator: Emulator) -> None:
    """100 emulated seconds are a tenth of one at a thousandfold speed; the next request waits its turn."""
    emulator.fault(do="delay", seconds=100, count=1)
    async with Socket(emulator) as socket:
        started = time.monotonic()
        socket.writer.write(socket.post(b"late") + socket.post(b"next"))
        answers = [await socket.answer() for _ in range(2)]
        assert 0.1 <= time.monotonic() - started < LIMIT_SECONDS
    assert [orjson.loads(body)["result"]["id"] for _, body in answers] == ["late", "next"]


async def test_stopping_waits_for_what_is_due(emulator: Emulator) -> None:
    """An answer that is under way is sent before the connection ends."""
    emulator.fault(do="delay", seconds=200)
    async with Socket(emulator) as socket:
        socket.writer.write(socket.post(b"a"))
        while not emulator.journal.records:
            await asyncio.sleep(0)
        await emulator.__aexit__()
        assert (await socket.answer())[0] == 200
        assert await socket.end() == b""
