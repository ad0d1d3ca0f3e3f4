"""Hostile messages through brokers, a bridge in a process of its own and the emulator; what became of each of them.

``python -m tests.hostile.storm --seed 1 --count 100000`` says it as one line of JSON; exit 1: something was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aio_pika
import orjson
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from bridge.emulator.server import Emulator
from bridge.emulator.settings import ANY, EmulatorSettings
from bridge.outbox.admin import SqliteOutboxAdmin
from tests.end_to_end.bridge_process import BridgeProcess
from tests.hostile.figures import Figures, total, way
from tests.hostile.generator import messages
from tests.hostile.rules import DECODERS, config, source_of
from tests.services.kafka import KafkaServer
from tests.services.rabbitmq import RabbitServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bridge.emulator.faults import Outcome
    from tests.end_to_end.places import KafkaPlace
    from tests.hostile.generator import Hostile

LIMIT_SECONDS = 300
GOOD_EVERY_SECONDS = 0.05
WARM, QUIET = 10, 60  # good messages before the others
PER_SECOND = 2_000  # hostile ones; the bridge on one core takes more
BURST = 50  # of them at once
PARTITIONS = 2
LARGEST_MESSAGE = 4 << 20


class Listening:
    """What arrives at the emulator: which messages its calls are of, and when the good ones came."""

    def __init__(self, emulator: Emulator) -> None:
        self.calls: Counter[str] = Counter()  # by message
        self.good: dict[str, float] = {}  # instance id -> seconds since it was sent
        self._answer = emulator.application.answer
        emulator.application.answer = self._listen  # type: ignore[method-assign]

    def _listen(self, method: str, target: str, authorization: bytes, body: bytes) -> Outcome:
        outcome = self._answer(method, target, authorization, body)
        if method == "POST" and (outcome.reply.status == 200 or b"10405" in outcome.reply.body):
            content = orjson.loads(body)
            for item in content if isinstance(content, list) else [content]:
                self._take(item)
        return outcome

    def _take(self, item: Mapping[str, Any]) -> None:
        told = item.get("params", item)
        if "sent" in told:
            self.good.setdefault(item["instance_id"], time.monotonic() - told["sent"])
        else:
            self.calls[identity(told["at"], told["n"])] += 1


def identity(message_id: str, number: object) -> str:
    """How a message is known here: RabbitMQ's by the number in its headers, Kafka's by its place."""
    return message_id if number is None else f"rabbit-{number}"


class Storm:
    """One bridge with all sources, and the messages that it is to be given."""

    def __init__(self, kafka: KafkaServer, rabbitmq: RabbitServer | None, folder: Path, seed: int, count: int) -> None:
        self._kafka, self._rabbitmq, self._folder, self._seed = kafka, rabbitmq, folder, seed
        self._mine = [one for one in messages(seed, count) if one.source != "rabbit" or rabbitmq]
        self._good = 0
        self.sent: dict[str, str] = {}  # message -> kind

    async def run(self, per_second: int, place: KafkaPlace | None = None) -> Figures:
        """From the first message to the last ending. place: of dead letters, for a memory outbox; None: sqlite."""
        more: dict[str, object] = {}
        if place is not None:
            more = {"outbox": {"type": "memory"}, "dead_letters": {"to": place.settings}}
        self._folder.mkdir(parents=True, exist_ok=True)
        topics = {name: await self._topic() for name in ("good", *DECODERS)}
        sources = {
            name: source_of(self._kafka.bootstrap, topic, DECODERS.get(name, "json"), self._folder)
            for name, topic in topics.items()
        }
        sources["raw"]["unmatched"] = "dead-letter"
        if self._rabbitmq is not None:
            (self._folder / "url").write_text(self._rabbitmq.url)
            topics["rabbit"] = await self._rabbitmq.queue()
            sources["rabbit"] = {"type": "rabbitmq", "url_file": f"{self._folder}/url", "queue": topics["rabbit"]}
        emulator = Emulator(EmulatorSettings(workflows={ANY: "completes", "signals": "waits: never"}))
        listening = Listening(emulator)
        async with emulator:
            bridge = BridgeProcess(self._folder, config(emulator, sources, self._folder, **more))
            await asyncio.to_thread(bridge.start)
            try:
                figures = await self._watch(bridge, listening, topics, per_second)
                letters = list(stored_letters(bridge)) if place is None else await published_letters(place)
                return self._counted(figures, listening, bridge.metrics(), letters)
            finally:
                bridge.__exit__()

    async def _topic(self) -> str:
        return await self._kafka.topic(PARTITIONS, max_message_bytes=str(LARGEST_MESSAGE))

    async def _watch(
        self, bridge: BridgeProcess, listening: Listening, topics: Mapping[str, str], per_second: int
    ) -> Figures:
        async with AIOKafkaProducer(bootstrap_servers=self._kafka.bootstrap) as producer:
            good = partial(self._send_good, producer, topics["good"])
            for _ in range(WARM):
                await good()
            for _ in range(QUIET):
                await good()
            began, before, seconds = time.monotonic(), bridge.rss_mib(), 0.0
            most, quiet = before, self._good
            async with asyncio.TaskGroup() as tasks:
                sending = [
                    tasks.create_task(asyncio.to_thread(self._produce, topics, per_second)),
                    tasks.create_task(self._publish(topics.get("rabbit", ""), per_second)),
                ]
                while not seconds and time.monotonic() - began < LIMIT_SECONDS:
                    await good()
                    most = max(most, bridge.rss_mib())
                    done = self._good % 10 == 0 and all(task.done() for task in sending)
                    if done and self._ended(await asyncio.to_thread(bridge.metrics)):
                        seconds = time.monotonic() - began
        await _until(lambda: len(listening.good) == self._good)
        ways = [listening.good.get(f"g-{number}", math.inf) for number in range(1, self._good + 1)]
        return Figures(
            seed=self._seed,
            messages=len(self.sent),
            seconds=round(seconds, 1),
            quiet_ms=way(ways[WARM:quiet]),
            storm_ms=way(ways[quiet:]),
            good_lost=ways.count(math.inf),
            rss_mib=(before, most),
            tracebacks=bridge.log.read_text(errors="replace").count("Traceback"),
        )

    async def _send_good(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._good += 1
        body = orjson.dumps({"n": self._good, "sent": time.monotonic()})
        await producer.send_and_wait(topic, body)
        await asyncio.sleep(GOOD_EVERY_SECONDS)

    def _produce(self, topics: Mapping[str, str], per_second: int) -> None:
        """With the client that sends whatever it is told, nothing with a null key too."""
        producer = Producer(
            {"bootstrap.servers": self._kafka.bootstrap, "linger.ms": 5, "message.max.bytes": LARGEST_MESSAGE}
        )

        def produced(kind: str, error: object, place: Any) -> None:
            assert error is None, error
            self.sent[f"{place.topic()}/{place.partition()}/{place.offset()}"] = kind

        began = time.monotonic()
        for number, one in enumerate(self._mine):
            if one.source == "rabbit":
                continue
            told = partial(produced, f"{one.source}: {one.kind}")
            producer.produce(topics[one.source], one.body, one.key, headers=list(one.headers), on_delivery=told)
            if number % BURST == 0:
                due = began + number / per_second
                while (left := due - time.monotonic()) > 0:
                    producer.poll(left)  # which ends with the first delivery that it tells of
        assert producer.flush(60) == 0

    async def _publish(self, queue: str, per_second: int) -> None:
        if self._rabbitmq is None:
            return
        began, confirmed = time.monotonic(), []
        async with self._rabbitmq.channel() as channel:
            for number, one in enumerate(self._mine):
                if one.source == "rabbit":
                    confirmed.append(channel.default_exchange.publish(_amqp(one, number), queue))
                    self.sent[f"rabbit-{number}"] = f"rabbit: {one.kind}"
                if number % BURST == 0:
                    await asyncio.gather(*confirmed)
                    confirmed.clear()
                    await asyncio.sleep(max(0.0, began + number / per_second - time.monotonic()))
            await asyncio.gather(*confirmed)

    def _ended(self, metrics: Mapping[str, float]) -> bool:
        """Everything is read, and no call waits."""
        received = total(metrics, "source_messages_received_total") - metrics.get(_RECEIVED_GOOD, 0)
        waiting = total(metrics, "outbox_entries") + total(metrics, "source_unacknowledged_messages")
        return received >= len(self._mine) and waiting <= 3  # of the good ones, which go on

    def _counted(
        self, figures: Figures, listening: Listening, metrics: Mapping[str, float], letters: Sequence[tuple[str, str]]
    ) -> Figures:
        """With the endings. What is neither called nor a dead letter has been counted, or it is lost."""
        dead = {message for message, _ in letters}
        delivered = listening.calls.keys() - dead
        strangers = (dead | delivered) - self.sent.keys()
        assert not strangers, sorted(strangers)[:5]
        dropped, buried = int(total(metrics, "messages_dropped_total")), Counter(reason for _, reason in letters)
        unmatched = int(total(metrics, "messages_unmatched_total")) - buried["unmatched"]
        return figures._replace(
            delivered=len(delivered),
            dead=len(dead),
            unmatched=unmatched,
            dropped=dropped,
            lost=len(self.sent) - len(delivered) - len(dead) - unmatched - dropped,
            reasons=dict(buried.most_common()),
            kinds_delivered=len({self.sent[one] for one in delivered}),
            kinds=len(set(self.sent.values())),
        )


_RECEIVED_GOOD = 'workflow_bridge_source_messages_received_total{source="good"}'


def _amqp(one: Hostile, number: int) -> aio_pika.Message:
    """Its headers say which one it is; a third has an id of its own, the others none or the same."""
    headers = {name: bytearray(value) for name, value in one.headers} | {"n": number}
    own = (f"m-{number}", None, "\x00\x1b[31m")[number % 3]
    return aio_pika.Message(one.body or b"", headers=headers, message_id=own)  # type: ignore[arg-type]  # its own types


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


def stored_letters(bridge: BridgeProcess) -> Iterator[tuple[str, str]]:
    """Message and reason of each dead letter in the outbox."""
    admin, after = SqliteOutboxAdmin(bridge.outbox), 0
    while page := admin.dead_letters(after, 500):
        for stored in page:
            message = stored.letter.message
            number = dict(message.headers).get("n") if message.source == "rabbit" else None
            yield identity(message.id, number), stored.letter.reason
        after = page[-1].number


async def published_letters(place: KafkaPlace) -> list[tuple[str, str]]:
    """The same, where they are in a topic."""
    found = []
    for letter in await place.letters():
        told = {name: value.decode(errors="replace") for name, value in letter.headers if value is not None}
        number = told["n"] if told["workflow-bridge-source"] == "rabbit" else None
        found.append((identity(told["workflow-bridge-message-id"], number), letter.reason))
    return found


async def storm(folder: Path, seed: int, count: int, per_second: int) -> Figures:
    """With servers of its own."""
    (folder / "rabbitmq").mkdir()
    with KafkaServer(folder / "kafka") as kafka, RabbitServer(folder / "rabbitmq") as rabbitmq:
        return await Storm(kafka, rabbitmq, folder / "bridge", seed, count).run(per_second)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--per-second", type=int, default=PER_SECOND, help="how many of them are sent in a second")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(storm(Path(folder), given.seed, given.count, given.per_second))
    sys.stdout.write(json.dumps(figures._asdict()) + "\n")
    sys.exit(int(bool(figures.lost or figures.good_lost or figures.tracebacks)))


if __name__ == "__main__":
    main()
