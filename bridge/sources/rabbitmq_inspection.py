"""Looks whether a RabbitMQ broker lets us in and has what the configuration names; declares and consumes nothing."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import aiormq
from aiormq.exceptions import AMQPError, ChannelAccessRefused, ChannelNotFoundEntity

from bridge.finding import Finding
from bridge.sources.rabbitmq_connection import address, explain, ssl_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from aiormq.abc import AbstractConnection
    from yarl import URL

    from bridge.sources.rabbitmq_settings import RabbitConnection, RabbitSettings

_FAILURES = (AMQPError, OSError, ValueError, RuntimeError)


async def inspect(settings: RabbitSettings) -> AsyncGenerator[Finding, None]:
    """The connection, each queue, and the exchanges that queues are bound to or send their dead letters to."""

    async def answers(connection: AbstractConnection) -> AsyncIterator[Finding]:
        for queue in settings.names:
            yield await _queue(connection, queue, declared=settings.declare is not None)
        for exchange in dict.fromkeys(_exchanges(settings)):
            yield await _exchange(connection, exchange)

    async for finding in _connected_first(settings, answers):
        yield finding


async def inspect_exchange(
    settings: RabbitConnection, exchange: str, routing_key: str
) -> AsyncGenerator[Finding, None]:
    """The connection, and an exchange (or the queue behind the default one) that will be published to."""

    async def answers(connection: AbstractConnection) -> AsyncIterator[Finding]:
        if exchange:
            yield await _exchange(connection, exchange)
        else:
            yield await _queue(connection, routing_key, declared=False)

    async for finding in _connected_first(settings, answers):
        yield finding


async def _connected_first(
    settings: RabbitConnection, answers: Callable[[AbstractConnection], AsyncIterator[Finding]]
) -> AsyncGenerator[Finding, None]:
    """Whether there is a connection, and what ``answers`` learns by it."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            connection = await stack.enter_async_context(_connection(settings))
        except _FAILURES as error:
            yield _not_connected(settings, error)
            return
        yield _connected(settings)
        async for finding in answers(connection):
            yield finding


@contextlib.asynccontextmanager
async def _connection(settings: RabbitConnection) -> AsyncIterator[AbstractConnection]:
    url = address(settings)
    connection = await aiormq.connect(url, context=ssl_context(settings, url))
    try:
        yield connection
    finally:
        with contextlib.suppress(*_FAILURES):
            await connection.close()


def _exchanges(settings: RabbitSettings) -> Iterator[str]:
    yield from (bind.exchange for bind in settings.bind)
    letters = settings.declare.arguments.get("x-dead-letter-exchange") if settings.declare else None
    if letters:
        yield str(letters)


def _asked(settings: RabbitConnection) -> str:
    """Without user name and password."""
    try:
        url: URL = address(settings)
    except (OSError, ValueError):
        return "RabbitMQ"
    return f"RabbitMQ at {url.host}:{url.port}{url.path}"


def _connected(settings: RabbitConnection) -> Finding:
    return Finding(_asked(settings), good=True, answer="connected")


def _not_connected(settings: RabbitConnection, error: Exception) -> Finding:
    advice = "check the address, the user and its rights to the virtual host, and that it is reachable from here"
    return Finding(_asked(settings), good=False, answer=explain(error), advice=advice)


async def _queue(connection: AbstractConnection, queue: str, *, declared: bool) -> Finding:
    async def ask(channel: Any) -> str:  # noqa: ANN401  a channel of aiormq
        found = await channel.queue_declare(queue, passive=True)
        return f"{found.message_count} messages, {found.consumer_count} consumers"

    finding = await _passively(connection, f"queue {queue}", ask)
    if declared and finding.answer == _MISSING:
        return finding._replace(good=True, answer="is not there yet; run declares it", advice="")
    return finding


async def _exchange(connection: AbstractConnection, exchange: str) -> Finding:
    async def ask(channel: Any) -> str:  # noqa: ANN401  a channel of aiormq
        await channel.exchange_declare(exchange, passive=True)
        return "is there"

    return await _passively(connection, f"exchange {exchange}", ask)


_MISSING = "is not there"


async def _passively(connection: AbstractConnection, asked: str, ask: Any) -> Finding:  # noqa: ANN401  a coroutine
    """One question on a channel of its own: the broker closes the channel of one that it answers with no."""
    try:
        channel = await connection.channel(publisher_confirms=False)
        answer = await ask(channel)
        await channel.close()
    except ChannelNotFoundEntity:
        return Finding(asked, good=False, answer=_MISSING, advice="create it, or correct the name")
    except ChannelAccessRefused:
        return Finding(asked, good=False, answer="this user may not use it", advice="give the user the right to it")
    except _FAILURES as error:
        return Finding(asked, good=False, answer=explain(error))
    return Finding(asked, good=True, answer=answer)
