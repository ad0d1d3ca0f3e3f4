"""Connections that end under uvloop, whose transports refuse to be written to when they are closed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
import uvloop
from aiokafka.errors import KafkaConnectionError, NodeNotReadyError

from bridge.sources.kafka_connection import lose_closed_connections


async def send_on_closed_connection() -> None:
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())

        async def send(node_id: int, request: bytes, **_: object) -> None:
            del node_id
            writer.write(request)

        client = SimpleNamespace(send=send)
        lose_closed_connections(client)
        await client.send(1, b"while it is open")
        writer.transport.abort()
        await writer.wait_closed()
        await client.send(1, b"afterwards", group=0)


def test_a_request_on_a_closed_connection_is_lost() -> None:
    """As aiokafka's callers, and its own tasks, expect it; the transport's RuntimeError would end them."""
    with pytest.raises(KafkaConnectionError, match="node 1 has ended: unable to perform operation"):
        uvloop.run(send_on_closed_connection())


async def test_errors_of_the_client_stay_what_they_are() -> None:
    """They are RuntimeErrors, too."""

    async def send(node_id: int, request: bytes) -> None:
        raise NodeNotReadyError(f"{node_id} {request!r}")

    client = SimpleNamespace(send=send)
    lose_closed_connections(client)
    with pytest.raises(NodeNotReadyError):
        await client.send(1, b"x")
