"""Records whose header names are not UTF-8 stop neither themselves nor their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from bridge.sources.kafka import KafkaSource
from bridge.sources.kafka_unpacking import adopt
from tests.sources.kafka_steps import is_committed, run_through, values
from tests.sources.subjects import OutboxPositions, bodies, kafka_settings, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.message import HeaderValue
    from tests.services.kafka import KafkaServer


class RawName(str):
    """A header name that goes to the wire as these bytes, as other languages' clients can send it."""

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        made = super().__new__(cls, raw.decode("latin-1"))
        made.raw = raw
        return made

    def encode(self, *_: object) -> bytes:
        return self.raw


def builder(codec: int = 0, producer: int = -1) -> _DefaultRecordBatchBuilderPy:
    """The one in Python: the compiled one takes no names but real text."""
    return _DefaultRecordBatchBuilderPy(2, codec, int(producer >= 0), producer, 0, 0, 1 << 20)


Header = tuple[str, bytes | None]
BAD: Sequence[Header] = [("plain", b"1"), (RawName(b"caf\xe9"), b"2"), ("none", None)]
READ: Sequence[tuple[str, HeaderValue]] = [("plain", b"1"), ("caf\\xe9", b"2"), ("none", None)]


def body(offset: int) -> bytes:
    return b"%04d" % offset + 200 * b"x"  # worth compressing


def batch(first: int, headers: Sequence[Sequence[Header]], *, codec: int = 0, producer: int = -1) -> bytes:
    """One batch of records at the offsets from ``first`` on, as a broker keeps it."""
    building = builder(codec, producer)
    for delta, some in enumerate(headers):
        building.append(delta, 1000 + delta, b"k", body(first + delta), list(some))
    built = bytes(building.build())
    return first.to_bytes(8, "big") + built[8:]


def block(raw: bytes, offset: int = 0, aborted: Sequence[tuple[int, int]] = ()) -> PartitionRecords:
    made = MemoryRecords(raw)
    options = {"key_deserializer": None, "value_deserializer": None, "check_crcs": True}
    records = PartitionRecords(
        TopicPartition("t", 0), made, list(aborted), offset, isolation_level=READ_COMMITTED, **options
    )
    adopt(records, raw)
    return records


@pytest.mark.parametrize("codec", [0, 1, 4])
def test_the_record_and_its_neighbours_come_once_and_in_order(codec: int) -> None:
    """The name is text with the bytes written out; offsets, times, keys and values are what they were."""
    raw = batch(0, [[], []], codec=codec) + batch(2, [[], BAD, [("a", b"b")], BAD], codec=codec) + batch(6, [BAD, []])
    records = list(block(raw))
    assert [(record.offset, record.value, record.key) for record in records] == [
        (offset, body(offset), b"k") for offset in range(8)
    ]
    assert [record.timestamp for record in records] == [1000, 1001, 1000, 1001, 1002, 1003, 1000, 1001]
    assert {record.offset: list(record.headers) for record in records if record.headers} == {
        3: READ,
        4: [("a", b"b")],
        5: READ,
        6: READ,
    }


def test_a_block_that_is_read_from_its_middle() -> None:
    """The broker sends whole batches: what lies before the offset asked for is passed, be it readable or not."""
    records = block(batch(0, [[], BAD, [], BAD, []]), offset=3)
    assert [record.offset for record in records] == [3, 4]
    assert records.next_fetch_offset == 5


def test_aborted_transactions_stay_left_out() -> None:
    """Unpacking a second time does not forget what was aborted before and after the record that failed."""
    raw = batch(0, [[], []], producer=7) + batch(2, [[], BAD]) + batch(4, [BAD], producer=7) + batch(5, [[]])
    assert [record.offset for record in block(raw, aborted=[(7, 0)])] == [2, 3, 5]


@pytest.mark.kafka
async def test_such_a_record_from_a_real_broker(kafka: KafkaServer) -> None:
    """It is received between its neighbours, and everything is committed."""
    topic, positions = await kafka.topic(), OutboxPositions()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
    async with producer:
        sent = producer.create_batch()
        sent._builder = builder()
        for number, value in enumerate(values(6)):
            sent.append(timestamp=None, key=None, value=value, headers=list(BAD) if number in (2, 3) else [])
        await (await producer.send_batch(sent, topic, partition=0))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    messages = await run_through(source, positions, 6)
    assert bodies(messages) == values(6)
    assert [list(message.headers) for message in messages] == [[], [], READ, READ, [], []]
    assert [message.attributes["offset"] for message in messages] == list(range(6))
    await kafka.produce(topic, [b"after"])
    assert bodies(await run_through(source, positions, 1)) == [b"after"]
    await until(lambda: is_committed(kafka, topic, 7))
    await source.close()
