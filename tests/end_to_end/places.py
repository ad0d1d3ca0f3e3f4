"""Where messages come from and where their dead letters go, with what a test has to know of either."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from bridge.emulator.server import Emulator
from tests.end_to_end.recorder import Recorder
from tests.services.kafka import KafkaServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    import aio_pika

    from tests.end_to_end.bridge_process import BridgeProcess
    from tests.end_to_end.recorder import Call
    from tests.services.rabbitmq import RabbitServer
    from tests.services.workerd import Workerd

LIMIT_SECONDS = 60
KEY = b"\xfe\x00key"
KAFKA_HEADERS = [("trace", b"\xff\x00"), ("x", b"one"), ("x", b"two")]
RABBIT_HEADERS = {"trace": bytearray(b"\xff\x00"), "count": 7, "text": "t", "flag": True}


class Letter(NamedTuple):
    """A dead letter as its broker has it."""

    body: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, Any]]

    @property
    def reason(self) -> str:
        """Of the header that tells."""
        reason = dict(self.headers)["workflow-bridge-reason"]
        return reason.decode() if isinstance(reason, bytes) else str(reason)

    @property
    def original(self) -> list[tuple[str, Any]]:
        """The headers that the bridge did not add."""
        return [(name, value) for name, value in self.headers if not name.startswith("workflow-bridge-")]


class KafkaInlet:
    """A topic of one partition, and the source that reads it."""

    def __init__(self, server: KafkaServer, topic: str) -> None:
        self.server, self.topic = server, topic
        self.bodies: list[bytes] = []
        self.source: dict[str, Any] = {
            "type": "kafka",
            "bootstrap_servers": [server.bootstrap],
            "topics": [topic],
            "group_id": topic,
            "group_instance_id": "bridge-0",
            "fetch": {"max_records": 10},
        }

    async def fill(self, bodies: Sequence[bytes]) -> None:
        """Produce messages with a key and headers."""
        self.bodies += bodies
        async with AIOKafkaProducer(bootstrap_servers=self.server.bootstrap, linger_ms=5) as producer:
            sent = [await producer.send(self.topic, body, KEY, partition=0, headers=KAFKA_HEADERS) for body in bodies]
            await asyncio.gather(*sent)

    async def acknowledged(self) -> set[bytes]:
        """What the broker will not give again: everything before the committed offset."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.server.bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.topic)
        except GroupCoordinatorNotAvailableError:  # nobody has used a group of this broker yet
            return set()
        finally:
            await admin.close()
        return set(self.bodies[: max((entry.offset for entry in offsets.values()), default=0)])

    async def wait_for_all(self, _: BridgeProcess) -> None:
        """Return as soon as everything is acknowledged."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while len(await self.acknowledged()) < len(self.bodies):
                pass


class RabbitInlet:
    """A queue, and the source that reads it."""

    def __init__(self, server: RabbitServer, queue: str, folder: Path) -> None:
        self.server, self.queue = server, queue
        self.bodies: list[bytes] = []
        self._owed = 0  # messages that a bridge that starts now will be given
        url_file = folder / "amqp-url"
        url_file.write_text(server.url)
        self.source: dict[str, Any] = {
            "type": "rabbitmq",
            "url_file": str(url_file),
            "queues": [queue],
            "prefetch": 20,
        }

    async def fill(self, bodies: Sequence[bytes]) -> None:
        """Publish messages with headers of several types."""
        await self.server.publish(self.queue, bodies, message_id=f"m{len(self.bodies)}-{{}}", headers=RABBIT_HEADERS)
        self.bodies += bodies
        self._owed += len(bodies)

    async def acknowledged(self) -> set[bytes]:
        """What is not in the queue any more, once the broker has noticed that the consumer is gone."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                async with self.server.channel() as channel:
                    declared = await channel.declare_queue(self.queue, passive=True)
                    if not declared.declaration_result.consumer_count:
                        break
        owed = {message.body for message in await look(self.server, self.queue)}
        self._owed = len(owed)
        return set(self.bodies) - owed

    async def wait_for_all(self, bridge: BridgeProcess) -> None:
        """Return as soon as everything is acknowledged, as the bridge tells: the broker does not."""
        received = 'workflow_bridge_source_messages_received_total{source="orders"}'
        held = 'workflow_bridge_source_unacknowledged_messages{source="orders"}'
        async with asyncio.timeout(LIMIT_SECONDS):
            while (told := await asyncio.to_thread(bridge.metrics)).get(received, 0) < self._owed or told[held]:
                pass


class KafkaPlace:
    """A topic of dead letters."""

    def __init__(self, server: KafkaServer, topic: str) -> None:
        self.server, self.partition = server, TopicPartition(topic, 0)
        self.settings = {"type": "kafka", "bootstrap_servers": [server.bootstrap], "topic": topic}

    async def count(self) -> int:
        """Letters so far."""
        async with self._consumer() as consumer:
            return int((await consumer.end_offsets([self.partition]))[self.partition])

    async def letters(self) -> list[Letter]:
        """All of them, from the beginning."""
        found: list[Letter] = []
        async with self._consumer() as consumer, asyncio.timeout(LIMIT_SECONDS):
            count = (await consumer.end_offsets([self.partition]))[self.partition]
            while len(found) < count:
                record = await consumer.getone()
                found.append(Letter(record.value, record.key, list(record.headers)))
        return found

    @contextlib.asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.server.bootstrap, auto_offset_reset="earliest")
        consumer.assign([self.partition])
        async with consumer:
            yield consumer


class RabbitPlace:
    """An exchange of dead letters with a queue behind it."""

    def __init__(self, server: RabbitServer, queue: str, url_file: str) -> None:
        self.server, self.queue = server, queue
        where = {"exchange": f"x-{queue}", "routing_key": "buried"}
        self.settings = {"type": "rabbitmq", "url_file": url_file, **where}

    async def declare(self) -> None:
        """Make the exchange and bind the queue to it."""
        async with self.server.channel() as channel:
            exchange = await channel.declare_exchange(self.settings["exchange"], durable=True)
            declared = await channel.declare_queue(self.queue, passive=True)
            await declared.bind(exchange, self.settings["routing_key"])

    async def count(self) -> int:
        """Letters so far."""
        async with self.server.channel() as channel:
            declared = await channel.declare_queue(self.queue, passive=True)
            return declared.declaration_result.message_count or 0

    async def letters(self) -> list[Letter]:
        """All of them; they stay."""
        found = []
        for message in await look(self.server, self.queue):
            headers = [(name, value) for name, value in message.headers.items() if name != "workflow-bridge-key"]
            key = message.headers.get("workflow-bridge-key")
            found.append(Letter(message.body, key, headers))  # type: ignore[arg-type]  # bytes, or there is none
        return found


async def look(server: RabbitServer, queue: str) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """What is in a queue that nobody reads; it goes back when the channel closes."""
    found = []
    async with server.channel() as channel:
        declared = await channel.declare_queue(queue, passive=True)
        while (message := await declared.get(fail=False)) is not None:
            found.append(message)
    return found


Inlet = KafkaInlet | RabbitInlet
Place = KafkaPlace | RabbitPlace


async def make_inlet(server: KafkaServer | RabbitServer, folder: Path) -> Inlet:
    """An empty one."""
    if isinstance(server, KafkaServer):
        return KafkaInlet(server, await server.topic())
    return RabbitInlet(server, await server.queue(), folder)


async def make_place(server: KafkaServer | RabbitServer, folder: Path) -> Place:
    """An empty one."""
    if isinstance(server, KafkaServer):
        return KafkaPlace(server, await server.topic())
    url_file = folder / f"url-{uuid.uuid4().hex}"
    url_file.write_text(server.url)
    place = RabbitPlace(server, await server.queue(), str(url_file))
    await place.declare()
    return place


@contextlib.asynccontextmanager
async def emulated(
    intercept: Callable[[Call], tuple[int, bytes] | None] = lambda _: None,
) -> AsyncIterator[Recorder]:
    """A recorder in front of the emulator: for what only has to answer as the API does."""
    async with Emulator() as emulator:
        port = int(emulator.base_url.split(":")[2].split("/")[0])
        behind = cast("Workerd", _Behind(port, emulator.token, emulator.account_id))
        async with Recorder(behind, intercept) as recorder:
            yield recorder


class _Behind(NamedTuple):
    """What a recorder asks of the engine."""

    port: int
    token: str
    account_id: str
