"""A rebalance while messages wait to be decoded; on a real broker, with the memory outbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bridge import intake
from bridge.caution.caution import Caution
from bridge.intake import Current, Reader
from bridge.outbox.memory import MemoryOutbox
from bridge.outbox.settings import MemorySettings
from bridge.sources.kafka import KafkaSource
from tests.sources.subjects import OutboxPositions, kafka_settings, receive
from tests.sources.subjects import until as happens
from tests.test_intake import WaitingDecoder, translation

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.kafka import KafkaServer

pytestmark = pytest.mark.kafka


async def until(condition: Callable[[], bool]) -> None:
    async def met() -> bool:
        return condition()

    await happens(met)


async def test_what_waits_for_schemas_goes_to_the_new_owner_alone(
    kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the messages are another member's when the registry is back: each is taken in by one of the two, once."""
    monkeypatch.setattr(intake, "FIRST_WAIT_SECONDS", 0.05)
    topic, outbox, missing = (
        await kafka.topic(2),
        MemoryOutbox(MemorySettings(), None, clock=lambda: 0),
        WaitingDecoder(),
    )
    for n in range(4):
        await kafka.produce(topic, [b'{"type":"order","n":%d}' % n], partition=n % 2)
    await outbox.open()
    one = KafkaSource("orders", kafka_settings(kafka, topic), outbox)
    await one.open()
    current = Current(translation()._replace(decoder=missing))
    reader = Reader(one, current, outbox, Caution("orders", None), lambda: 0.0)
    reading = asyncio.create_task(reader.run())
    await until(lambda: missing.tries > 1)
    two = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await two.open()
    batch = await receive(two)
    missing.up.set()
    await until(lambda: outbox.depth().ready == 4 - len(batch.messages))
    [queue] = outbox.queues()
    entries = await outbox.pending(queue, 0, 10)
    taken = [entry.message_id for entry in entries] + [message.id for message in batch.messages]
    assert sorted(taken) == [f"{topic}/{partition}/{offset}" for partition in range(2) for offset in range(2)]
    assert {name.rpartition("/")[0] for name in taken[:2]} == set(one.assigned) != set(two.assigned)
    reader.stop()
    outbox.rest()
    await asyncio.wait({reading}, timeout=5)
    for source in (two, one):
        await source.close()
    await outbox.close()
