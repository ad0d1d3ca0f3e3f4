"""A TCP proxy that tests put before a server, to cut, stall and slow down its connections while they are used."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Self

from tests.services.ports import free_ports

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

CHUNK_BYTES = 65_536
RESET = struct.pack("ii", 1, 0)  # linger for no time: closing throws away what is unsent, and says RST


class Proxy:
    """Passes bytes on, both ways, until it is told otherwise; everything it is told holds until it is told to stop."""

    def __init__(self, target_port: int, port: int | None = None) -> None:
        """Both on loopback; port: left out, a free one."""
        self.target_port = target_port
        self.port = port or free_ports(1)[0]
        self.delay_seconds = 0.0  # before each chunk is passed on
        self.refusing = False  # a new connection is reset at once
        self.accepted = 0  # connections, since the start
        self.passed_bytes = 0
        self.waiting_chunks = 0  # held back by ``stall``
        self._left_bytes: int | None = None  # pass so many, then cut
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._links)

    async def start(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def close(self) -> None:
        """Stop listening, and reset what is open."""
        if self._server is not None:
            self._server.close()
        self.refusing = True
        self.flow()
        self.cut()
        async with asyncio.timeout(10):
            while self._links:
                await asyncio.sleep(0.001)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def cut(self) -> int:
        """Reset every open connection, on both sides; returns how many there were."""
        links = list(self._links)
        for link in links:
            link.reset()
        return len(links)

    def cut_after(self, count: int) -> None:
        """Pass so many bytes more, in whichever direction, and then cut: in the middle of a request or an answer."""
        self._left_bytes = count

    def stall(self) -> None:
        """Keep the connections, and pass nothing on."""
        self._flowing.clear()

    def flow(self) -> None:
        """Go on after ``stall``; what was held back arrives."""
        self._flowing.set()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.accepted += 1
        link = _Link(writer)
        self._links.add(link)
        try:
            if self.refusing:
                return
            with contextlib.suppress(OSError):
                behind_reader, link.behind = await asyncio.open_connection("127.0.0.1", self.target_port)
                link.pumps = [
                    asyncio.create_task(self._pump(reader, link.behind)),
                    asyncio.create_task(self._pump(behind_reader, writer)),
                ]
                await asyncio.wait(link.pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            link.reset()
            await asyncio.gather(*link.pumps, return_exceptions=True)
            self._links.discard(link)

    async def _pump(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Until one end closes. A connection ends as a whole: no protocol here uses a half of one."""
        while chunk := await reader.read(CHUNK_BYTES):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            self.waiting_chunks += 1
            try:
                await self._flowing.wait()
            finally:
                self.waiting_chunks -= 1
            writer.write(self._take(chunk))
            await writer.drain()
        await writer.drain()
        writer.close()

    def _take(self, chunk: bytes) -> bytes:
        """The part of a chunk that may pass."""
        if self._left_bytes is not None:
            chunk = chunk[: self._left_bytes]
            self._left_bytes -= len(chunk)
            if not self._left_bytes:
                self._left_bytes = None
                asyncio.get_running_loop().call_soon(self.cut)
        self.passed_bytes += len(chunk)
        return chunk


class _Link:
    """One connection: the client's side, and the server's once it is there."""

    def __init__(self, front: StreamWriter) -> None:
        self.front = front
        self.behind: StreamWriter | None = None
        self.pumps: list[asyncio.Task[None]] = []

    def reset(self) -> None:
        """RST to both sides; nothing where a side is closed already."""
        for pump in self.pumps:
            pump.cancel()
        for writer in (self.front, self.behind):
            if writer is not None and not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
