from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

import pytest

from tests.services.proxy import Proxy

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    while chunk := await reader.read(1000):
        writer.write(chunk)
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that says everything again."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as running:
        yield running


class Client:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self, count: int) -> bytes:
        async with asyncio.timeout(30):
            return await self.reader.readexactly(count)


async def test_bytes_pass_both_ways(proxy: Proxy) -> None:
    """What goes in comes out, and the end of one side is the end of the other."""
    async with Client(proxy) as client:
        client.say(b"hello" * 100_000)
        assert await client.hear(500_000) == b"hello" * 100_000
        assert proxy.connections == 1
        client.writer.close()
        async with asyncio.timeout(30):
            while proxy.connections:
                await asyncio.sleep(0)
    assert proxy.passed_bytes == 1_000_000


async def test_a_cut_is_a_reset_and_new_connections_work(proxy: Proxy) -> None:
    """Both sides see a reset, not an orderly end; whoever connects again is served."""
    async with Client(proxy) as client, Client(proxy) as second:
        for one in (client, second):
            one.say(b"x")
            assert await one.hear(1) == b"x"
        assert proxy.cut() == 2
        with pytest.raises(ConnectionResetError):
            await client.hear(1)
    async with Client(proxy) as again:
        again.say(b"y")
        assert await again.hear(1) == b"y"


async def test_a_cut_in_the_middle_of_an_answer(proxy: Proxy) -> None:
    """So many bytes pass and no more."""
    proxy.cut_after(15)  # ten to the server, five back
    async with Client(proxy) as client:
        client.say(b"0123456789")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.hear(10)
    assert proxy.passed_bytes == 15


async def test_a_stall_keeps_the_connection_and_what_was_sent(proxy: Proxy) -> None:
    """Nothing comes through while it lasts; afterwards everything does."""
    async with Client(proxy) as client:
        proxy.stall()
        client.say(b"patience")
        async with asyncio.timeout(30):
            while not proxy.waiting_chunks:
                await asyncio.sleep(0)
        assert proxy.passed_bytes == 0
        proxy.flow()
        assert await client.hear(8) == b"patience"


async def test_latency_holds_each_chunk_back(proxy: Proxy) -> None:
    """There and back takes twice the delay."""
    proxy.delay_seconds = 0.05
    async with Client(proxy) as client:
        loop = asyncio.get_running_loop()
        began = loop.time()
        client.say(b"x")
        await client.hear(1)
        assert loop.time() - began >= 0.1


async def test_a_refused_connection_is_reset(proxy: Proxy) -> None:
    """The port is open and nobody is served."""
    proxy.refusing = True
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        async with Client(proxy) as client:
            await client.hear(1)
