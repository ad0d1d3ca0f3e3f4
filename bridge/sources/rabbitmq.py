"""A source of messages from RabbitMQ queues; the parts of it have files of their own, ``rabbitmq_*``."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiormq
import structlog
from aiormq.exceptions import AMQPError

from bridge.errors import SourceLost
from bridge.sources.progress import Standing
from bridge.sources.rabbitmq_acks import RabbitAcks, RabbitBatch
from bridge.sources.rabbitmq_connection import address, explain, ssl_context
from bridge.sources.rabbitmq_frames import DeliveryTransport
from bridge.sources.rabbitmq_properties import message_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiormq.abc import AbstractChannel, AbstractConnection

    from bridge.sources.rabbitmq_frames import Delivery
    from bridge.sources.rabbitmq_settings import RabbitSettings

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0  # the longest that the broker may hold up ``close``
_FAILURES = (AMQPError, OSError, TimeoutError, ValueError, RuntimeError)


class RabbitSource:
    """A consumer of queues; see bridge.sources.base.Source for the contract."""

    def __init__(self, name: str, settings: RabbitSettings) -> None:
        self.name = name
        self._settings = settings
        self._link: _Link | None = None
        self._number = 0  # counts the connections
        self._counts = {"commits": 0}

    @property
    def connected(self) -> bool:
        """Between a successful ``open`` and the loss of the connection, or ``close``."""
        return self._link is not None and self._link.lost is None

    @property
    def assigned(self) -> Collection[str]:
        """The queues that are consumed now."""
        return self._settings.names if self.connected else []

    @property
    def lag(self) -> Mapping[str, int]:
        """Nothing: the broker tells how long a queue is only when asked."""
        return {}

    @property
    def received_ms(self) -> Mapping[str, int]:
        """Nothing: what a queue gave last says nothing about its length."""
        return {}

    @property
    def counts(self) -> Mapping[str, int]:
        """``commits``: frames of acknowledgements."""
        return self._counts

    async def standing(self) -> Mapping[str, Standing]:
        """What the broker says of each queue, on a channel beside the one that consumes."""
        link = self._link
        if link is None or link.lost is not None:
            return {}
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                return await link.standing(self._settings)
        except _FAILURES:
            return {}

    async def open(self) -> None:
        """Connect, see to the queues, consume. Raises SourceLost."""
        self._number += 1
        link = _Link(self.name, self._counts)
        try:
            await link.connect(self._settings)
            for queue in self._settings.names:
                await link.topology(queue, self._settings)
            for queue in self._settings.names:
                await link.consume(queue, self._settings)
        except BaseException as error:
            await link.close()
            if isinstance(error, _FAILURES):
                raise SourceLost(f"{self.name}: {explain(error)}") from error
            raise
        self._link = link

    async def receive(self) -> RabbitBatch:
        """What has arrived, of all queues. Raises SourceLost."""
        while True:
            link = self._link
            if link is None:
                raise SourceLost(f"{self.name} is closed")
            if link.lost is not None:
                raise SourceLost(f"{self.name}: {link.lost}")
            if arrived := link.take(self._settings.max_records):
                return self._batch(link, arrived)
            await link.wait()

    async def close(self) -> None:
        """Let go; the broker takes back what is not acknowledged."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def _batch(self, link: _Link, arrived: list[Delivery]) -> RabbitBatch:
        body_hash = self._settings.identity == "body-hash"
        queues, number = link.queues, self._number
        messages = [
            message_of(self.name, queues[delivery.consumer_tag], delivery, number, body_hash=body_hash)
            for delivery in arrived
        ]
        rejected = False
        if size := link.oversized(arrived[0].tag):  # which is alone
            messages = [messages[0]._replace(attributes={**messages[0].attributes, "body_bytes": size})]
            # What a dead letter exchange has brought back is not sent round once more.
            rejected = not any(name == "x-death" for name, _ in messages[0].headers)
        return RabbitBatch(messages, link.acks.give(arrived[0].tag, arrived[-1].tag, rejected=rejected), link.acks)


class _Link:
    """What belongs to one connection and ends with it. Every wait for the broker has a limit."""

    def __init__(self, source: str, counts: dict[str, int]) -> None:
        self.lost: str | None = None  # why it is of no more use
        self.queues: dict[bytes, str] = {}  # by consumer tag
        self.acks: RabbitAcks
        self._source = source
        self._counts = counts
        self._arrival = asyncio.Event()
        self._transport: DeliveryTransport | None = None
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def connect(self, settings: RabbitSettings) -> None:
        """Open a connection and a channel."""
        url = address(settings)
        most = settings.max_message_bytes
        transport = self._transport = DeliveryTransport(ssl_context(settings, url), self._arrival.set, most)
        limit = settings.timeout_seconds
        async with asyncio.timeout(limit):
            connection = self._connection = await aiormq.connect(url, transport_factory=transport)
            channel = self._channel = await connection.channel(publisher_confirms=False)
        connection.closing.add_done_callback(self._closed)
        channel.closing.add_done_callback(self._closed)
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        transport.reader.channel = channel.number
        self.acks = RabbitAcks(channel, limit, self._lose, self._counts)
        await channel.basic_qos(prefetch_count=settings.prefetch, timeout=limit)

    async def topology(self, queue: str, settings: RabbitSettings) -> None:
        """See that the queue is there, or declare and bind it."""
        channel, limit = self._open_channel(), settings.timeout_seconds
        declare = settings.declare
        if declare is None:
            await channel.queue_declare(queue, passive=True, timeout=limit)
        else:
            arguments: dict[str, Any] = dict(settings.arguments)
            await channel.queue_declare(queue, durable=declare.durable, arguments=arguments, timeout=limit)
        for bind in settings.bind:
            await channel.queue_bind(queue, bind.exchange, bind.routing_key, timeout=limit)

    async def consume(self, queue: str, settings: RabbitSettings) -> None:
        """Begin to consume. A broker can leave this unanswered for ever, for one with a broken quorum queue."""
        tag = f"{settings.name}-{len(self.queues)}"
        self.queues[tag.encode()] = queue
        await self._open_channel().basic_consume(queue, _never, consumer_tag=tag, timeout=settings.timeout_seconds)

    def take(self, count: int) -> list[Delivery]:
        """The first of what has arrived, out of it; a message that is too large comes alone."""
        reader = self._transport.reader if self._transport else None
        if reader is None or not reader.arrived:
            self._arrival.clear()
            return []
        taken = reader.arrived[:count]
        if reader.oversized:
            taken = taken[: max(_first(taken, reader.oversized), 1)]
        del reader.arrived[: len(taken)]
        return taken

    def oversized(self, tag: int) -> int:
        """The bytes of this delivery's body where it is too large, else 0; said once."""
        return self._transport.reader.oversized.pop(tag, 0) if self._transport else 0

    async def standing(self, settings: RabbitSettings) -> dict[str, Standing]:
        """See RabbitSource. A queue is behind only where nothing but us keeps its messages from us.

        Who holds all that it may is given no more; another consumer may come before us, by priority or as the active
        one.
        """
        assert self._connection is not None  # noqa: S101  there is no link without one
        transport = self._transport
        full = self.acks.held + (len(transport.reader.arrived) if transport else 0) >= settings.prefetch
        channel = await self._connection.channel(publisher_confirms=False)
        try:
            found = {}
            for queue in self.queues.values():
                declared = await channel.queue_declare(queue, passive=True, timeout=settings.timeout_seconds)
                alone = (declared.consumer_count or 0) <= 1
                found[queue] = Standing(self.acks.given, (declared.message_count or 0) if alone and not full else 0)
            return found
        finally:
            await channel.close()

    async def wait(self) -> None:
        """Until something arrives, or the link is lost."""
        await self._arrival.wait()

    async def close(self) -> None:
        """The channel first: its close follows the acknowledgements that are on their way."""
        self._lose("closed")
        for part in (self._channel, self._connection):
            if part is not None and not part.is_closed:
                with contextlib.suppress(*_FAILURES, asyncio.InvalidStateError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await part.close()

    def _open_channel(self) -> AbstractChannel:
        if self._channel is None:
            raise RuntimeError("not connected")
        return self._channel

    def _lose(self, reason: str) -> None:
        self.lost = self.lost or reason
        self._arrival.set()

    def _closed(self, future: asyncio.Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        self._lose(f"the connection ended: {explain(error)}" if error else "the connection ended")

    def _cancelled(self, frame: aiormq.spec.Basic.Cancel) -> None:
        """The broker took a consumer away: its queue was deleted, or moved to another node."""
        queue = self.queues.get((frame.consumer_tag or "").encode(), "?")
        self._lose(f"the broker cancelled the consumer of queue {queue}: it was deleted or has moved")


def _first(deliveries: list[Delivery], tags: Collection[int]) -> int:
    """The place of the first that has one of these tags; their number where none has."""
    return next((place for place, delivery in enumerate(deliveries) if delivery.tag in tags), len(deliveries))


async def _never(_: object) -> None:
    """Deliveries are taken out of the stream before aiormq would call a consumer."""
