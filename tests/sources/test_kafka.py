"""What only Kafka has: offsets that move, groups, fixed partitions, codecs, security; on a real broker."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bridge.errors import SourceLost
from bridge.sources.kafka import KafkaSource
from bridge.sources.kafka_settings import KafkaSettings
from tests.services.kafka import USERS
from tests.sources.subjects import (
    LIMIT_SECONDS,
    OutboxPositions,
    bodies,
    collect,
    kafka_settings,
    open_again,
    receive,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.message import Message, Position
    from tests.services.kafka import KafkaServer

pytestmark = pytest.mark.kafka


def values(count: int, start: int = 0, prefix: str = "") -> list[bytes]:
    return [f"{prefix}{number:05d}".encode() for number in range(start, start + count)]


async def run_through(source: KafkaSource, positions: OutboxPositions, count: int) -> list[Message]:
    """Receive so many messages, store their positions, acknowledge them."""
    messages: list[Message] = []
    while len(messages) < count:
        batch = await receive(source)
        positions.store(batch)
        messages += batch.messages
        await batch.ack()
    return messages


async def move_group(server: KafkaServer, topic: str, offset: int) -> None:
    """What an operator does with Kafka's tools while the bridge is down."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=server.bootstrap, group_id=f"group-of-{topic}", enable_auto_commit=False
    )
    partition = TopicPartition(topic, 0)
    async with consumer:
        consumer.assign([partition])
        await consumer.commit({partition: offset})


async def committed(server: KafkaServer, topic: str, partition: int = 0) -> int | None:
    """The group's next offset by the broker's word."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=server.bootstrap, group_id=f"group-of-{topic}", enable_auto_commit=False
    )
    async with consumer:
        offset: int | None = await consumer.committed(TopicPartition(topic, partition))
        return offset


async def is_committed(server: KafkaServer, topic: str, offset: int) -> bool:
    return await committed(server, topic) == offset


async def test_positions_and_identity(kafka: KafkaServer) -> None:
    """A message is named by its place; a batch says the last offset and timestamp of each partition."""
    topic = await kafka.topic(2)
    await kafka.produce(topic, values(3), partition=0)
    await kafka.produce(topic, values(4), partition=1)
    source = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await source.open()
    last: dict[str, Position] = {}
    messages: list[Message] = []
    while len(messages) < 7:
        batch = await receive(source)
        messages += batch.messages
        last |= batch.positions
    assert {message.id for message in messages} == {f"{topic}/0/{n}" for n in range(3)} | {
        f"{topic}/1/{n}" for n in range(4)
    }
    for message in messages:
        assert message.id == f"{topic}/{message.attributes['partition']}/{message.attributes['offset']}"
        assert message.channel == topic
        assert abs((message.timestamp_ms or 0) - time.time() * 1000) < 60_000
    assert {name: position.offset for name, position in last.items()} == {f"{topic}/0": 2, f"{topic}/1": 3}
    assert last[f"{topic}/0"].timestamp_ms == next(m.timestamp_ms for m in messages if m.id == f"{topic}/0/2")
    assert sorted(source.assigned) == [f"{topic}/0", f"{topic}/1"]
    assert source.lag == {f"{topic}/0": 0, f"{topic}/1": 0}
    await source.close()


async def test_what_is_stored_but_not_committed_is_skipped(kafka: KafkaServer) -> None:
    """After a crash between storing and committing, the stored messages do not come again, and are committed."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    first = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await first.open()
    batch = await receive(first)
    positions.store(batch)
    stored = len(batch.messages)
    await first.close()  # not acknowledged: as if killed after the transaction
    assert await committed(kafka, topic) == 0
    await kafka.produce(topic, values(5, start=10))
    second = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await second.open()
    assert bodies(await run_through(second, positions, 15 - stored)) == values(15)[stored:]
    await second.close()
    assert await committed(kafka, topic) == 15
    assert positions.next == {f"{topic}/0": 15}


async def test_a_rewind_on_purpose_is_honoured(kafka: KafkaServer) -> None:
    """Offsets moved back below what the outbox knows as committed: the messages come again, the position is reset."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await move_group(kafka, topic, 4)
    await source.open()
    assert bodies(await run_through(source, positions, 6)) == values(6, start=4)
    assert positions.resets == [{f"{topic}/0": 4}]
    await source.close()


async def test_where_another_member_went_on_its_word_counts(kafka: KafkaServer) -> None:
    """A committed offset beyond what is stored here: reading goes on there, and the outbox is told."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.produce(topic, values(10, start=10))
    await move_group(kafka, topic, 15)
    await source.open()
    assert bodies(await run_through(source, positions, 5)) == values(5, start=15)
    assert positions.resets == []
    await source.close()


async def test_a_topic_made_anew_is_read_from_its_beginning(kafka: KafkaServer) -> None:
    """Deleted and created again while the bridge is down: the old offsets mean nothing."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10, prefix="old"))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.delete_topic(topic)
    await create_anew(kafka, topic)
    await kafka.produce(topic, values(20, prefix="new"))
    await source.open()
    assert bodies(await run_through(source, positions, 20)) == values(20, prefix="new")
    assert positions.resets == [{f"{topic}/0": 0}]
    await source.close()


async def create_anew(kafka: KafkaServer, topic: str) -> None:
    """Deletion ends in the background."""

    async def made() -> bool:
        try:
            async with asyncio.timeout(2):
                await kafka.create_topic(topic)
        except TimeoutError:  # the old one was still going away
            return False
        return True

    await until(made)


async def test_expired_offsets_go_on_after_what_is_stored(kafka: KafkaServer) -> None:
    """The broker forgot the group, the log is still the one we know: nothing comes twice, nothing is left out."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.produce(topic, values(5, start=10))
    forgotten = kafka_settings(kafka, topic, group_id=f"another-{topic}")  # has no commits, as after expiry
    source = KafkaSource("orders", forgotten, positions)
    await source.open()
    assert bodies(await run_through(source, positions, 5)) == values(5, start=10)
    assert positions.resets == []
    await source.close()


async def test_messages_that_expire_under_us_are_passed(kafka: KafkaServer) -> None:
    """Retention overtook the reader: it goes on with the oldest message that is left."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 10)
    await source.close()
    await kafka.produce(topic, values(10, start=10))
    await kafka.delete_records(topic, 0, 15)
    await source.open()
    assert bodies(await run_through(source, positions, 5)) == values(5, start=15)
    assert positions.resets == []
    await source.close()


async def test_latest_begins_at_the_end_and_remembers_it(kafka: KafkaServer) -> None:
    """`start_from: latest` leaves out what was there; what comes after the first opening is never left out."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(10, prefix="old"))
    settings = kafka_settings(kafka, topic, start_from="latest")
    source = KafkaSource("orders", settings, positions)
    await source.open()
    waiting = asyncio.create_task(source.receive())
    await until(lambda: is_committed(kafka, topic, 10))
    waiting.cancel()
    await source.close()
    await kafka.produce(topic, values(5))
    source = KafkaSource("orders", settings, OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 5)) == values(5)
    await source.close()


async def test_partitions_added_while_running_are_read_from_their_beginning(kafka: KafkaServer) -> None:
    """New partitions are noticed, and their first messages are not taken for old ones even with `latest`."""
    topic, positions = await kafka.topic(), OutboxPositions()
    source = KafkaSource("orders", kafka_settings(kafka, topic, start_from="latest"), positions)
    await source.open()
    waiting = asyncio.create_task(source.receive())
    await until(lambda: is_committed(kafka, topic, 0))
    await kafka.add_partitions(topic, 3)
    await kafka.produce(topic, values(5), partition=2)
    async with asyncio.timeout(LIMIT_SECONDS):
        batch = await waiting
    await batch.ack()
    rest = 5 - len(batch.messages)
    messages = [*batch.messages, *(await collect(source, rest) if rest else [])]
    assert bodies(messages) == values(5)
    assert {message.attributes["partition"] for message in messages} == {2}
    await source.close()


async def test_a_second_member_takes_over_without_loss(kafka: KafkaServer) -> None:
    """On a rebalance the outbox is told before partitions go, and every message reaches one of the members."""
    topic = await kafka.topic(4)
    for partition in range(4):
        await kafka.produce(topic, values(50, prefix=f"{partition}-"), partition=partition)
    one_positions, two_positions = OutboxPositions(), OutboxPositions()
    one = KafkaSource("orders", kafka_settings(kafka, topic, batch=20), one_positions)
    two = KafkaSource("orders", kafka_settings(kafka, topic, batch=20), two_positions)
    await one.open()
    seen = set(bodies(await run_through(one, one_positions, 60)))
    await two.open()

    async def follow(source: KafkaSource, positions: OutboxPositions) -> None:
        while True:
            batch = await source.receive()
            positions.store(batch)
            seen.update(bodies(batch.messages))
            await batch.ack()

    tasks = [asyncio.create_task(follow(one, one_positions)), asyncio.create_task(follow(two, two_positions))]

    async def shared() -> bool:
        return len(one.assigned) == len(two.assigned) == 2

    await until(shared)
    for partition in range(4):
        await kafka.produce(topic, values(50, start=50, prefix=f"{partition}-"), partition=partition)
    expected = {value for partition in range(4) for value in values(100, prefix=f"{partition}-")}

    async def complete() -> bool:
        return seen == expected

    await until(complete)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert one_positions.withdrawn[0] == {f"{topic}/{partition}" for partition in range(4)}
    await one.close()
    await two.close()


async def test_a_batch_on_its_way_during_a_rebalance_is_not_given_out_twice(kafka: KafkaServer) -> None:
    """What was received and stored around a rebalance is not received again, and its late ack is committed."""
    topic, positions = await kafka.topic(2), OutboxPositions()
    await kafka.produce(topic, values(10), partition=0)
    await kafka.produce(topic, values(10, start=10), partition=1)
    one = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await one.open()
    batches = [await receive(one)]
    while sum(len(batch.messages) for batch in batches) < 20:
        batches.append(await receive(one))
    two = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await two.open()
    async with asyncio.timeout(LIMIT_SECONDS):
        while not two.assigned:
            waiting = asyncio.ensure_future(two.receive())
            await asyncio.wait({waiting}, timeout=0.2)
            waiting.cancel()
    await two.close()
    for batch in batches:
        positions.store(batch)
    await kafka.produce(topic, [b"after"], partition=0)
    await kafka.produce(topic, [b"after"], partition=1)
    assert bodies(await run_through(one, positions, 2)) == [b"after", b"after"]
    for batch in batches:
        await batch.ack()
    await one.close()
    assert [await committed(kafka, topic, partition) for partition in range(2)] == [11, 11]


async def test_fixed_partitions(kafka: KafkaServer) -> None:
    """Replica 1 of 2 reads the odd partitions, commits to the group, and takes new ones as they appear."""
    topic, positions = await kafka.topic(4), OutboxPositions()
    for partition in range(4):
        await kafka.produce(topic, [f"p{partition}".encode()], partition=partition)
    settings = kafka_settings(kafka, topic, assign={"index": 1, "of": 2})
    source = KafkaSource("orders", settings, positions)
    await source.open()
    assert sorted(str(body) for body in bodies(await run_through(source, positions, 2))) == ["b'p1'", "b'p3'"]
    waiting = asyncio.create_task(source.receive())
    await kafka.add_partitions(topic, 6)
    await kafka.produce(topic, [b"p4"], partition=4)
    await kafka.produce(topic, [b"p5"], partition=5)
    async with asyncio.timeout(LIMIT_SECONDS):
        assert bodies((await waiting).messages) == [b"p5"]
    assert sorted(source.assigned) == [f"{topic}/{number}" for number in (1, 3, 5)]
    await kafka.produce(topic, [b"more"], partition=3)
    assert bodies(await run_through(source, positions, 1)) == [b"more"]
    await source.close()
    assert await committed(kafka, topic, 1) == 1
    assert await committed(kafka, topic, 2) is None
    assert positions.resets == []


async def test_topics_by_pattern(kafka: KafkaServer) -> None:
    """A pattern matches whole names, and topics that are created later are added."""
    first, _other = await kafka.topic(), await kafka.topic()
    later = f"{first}.later"
    settings = kafka_settings(kafka, first, topics=[], topics_pattern=f"{first}(\\.later)?")
    source = KafkaSource("orders", settings, OutboxPositions())
    await source.open()
    await kafka.create_topic(f"{first}.later.still")
    await kafka.produce(first, [b"1"])
    assert bodies(await collect(source, 1)) == [b"1"]
    await kafka.create_topic(later)
    await kafka.produce(later, [b"2"])
    assert bodies(await collect(source, 1)) == [b"2"]
    assert set(source.assigned) == {f"{first}/0", f"{later}/0"}
    await source.close()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_read(kafka: KafkaServer, codec: str) -> None:
    """Topics compressed with any of Kafka's codecs are read."""
    topic = await kafka.topic()
    await kafka.produce(topic, values(100), compression_type=codec)
    source = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 100)) == values(100)
    await source.close()


async def test_aborted_transactions_are_left_out_and_markers_committed(kafka: KafkaServer) -> None:
    """Only committed transactions are read; the group's offset comes to the end of the log, markers included."""
    topic = await kafka.topic()
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"tx-{topic}")
    async with producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted", partition=0)
        await producer.abort_transaction()
    source = KafkaSource("orders", kafka_settings(kafka, topic), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 1)) == [b"kept"]
    waiting = asyncio.create_task(source.receive())
    await until(lambda: is_committed(kafka, topic, 4))
    waiting.cancel()
    await source.close()


def secured(kafka: KafkaServer, **sasl: object) -> dict[str, Any]:
    assert kafka.certificates is not None
    return {
        "bootstrap_servers": [kafka.sasl_bootstrap],
        "tls": {"ca_file": kafka.certificates.ca_file},
        "sasl": {"username": "bridge", "password": USERS["bridge"], **sasl},
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_password_over_tls(kafka: KafkaServer, mechanism: str, tmp_path: Path) -> None:
    """Every password mechanism works over TLS, with the password in a file."""
    topic = await kafka.topic()
    await kafka.produce(topic, [b"x"])
    (tmp_path / "password").write_text(USERS["bridge"] + "\n")
    sasl = {"mechanism": mechanism, "password": None, "password_file": tmp_path / "password"}
    source = KafkaSource("orders", kafka_settings(kafka, topic, **secured(kafka, **sasl)), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 1)) == [b"x"]
    await source.close()


def unsecured_token(lives_seconds: int) -> str:
    """A token such as Kafka's development validator takes: not signed."""
    now = int(time.time())
    claims = {"sub": "bridge", "iat": now, "exp": now + lives_seconds}
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


async def test_oauth_token_from_a_file(kafka: KafkaServer, tmp_path: Path) -> None:
    """OAUTHBEARER sends the token that is in the file."""
    topic = await kafka.topic()
    await kafka.produce(topic, [b"x"])
    (tmp_path / "token").write_text(unsecured_token(600))
    changes = secured(kafka) | {"sasl": {"mechanism": "OAUTHBEARER", "token_file": tmp_path / "token"}}
    source = KafkaSource("orders", kafka_settings(kafka, topic, **changes), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 1)) == [b"x"]
    await source.close()


async def test_mutual_tls(kafka: KafkaServer) -> None:
    """With a certificate of our own the TLS listener lets us in; without one the text names the handshake."""
    topic = await kafka.topic()
    await kafka.produce(topic, [b"x"])
    assert kafka.certificates is not None
    files = kafka.certificates
    tls = {"ca_file": files.ca_file, "cert_file": files.client_cert_file, "key_file": files.client_key_file}
    there: dict[str, Any] = {"bootstrap_servers": [kafka.mtls_bootstrap]}
    source = KafkaSource("orders", kafka_settings(kafka, topic, tls=tls, **there), OutboxPositions())
    await source.open()
    assert bodies(await collect(source, 1)) == [b"x"]
    await source.close()
    without = kafka_settings(kafka, topic, tls={"ca_file": files.ca_file}, **there)
    with pytest.raises(SourceLost, match="no broker lets us in"):
        await KafkaSource("orders", without, OutboxPositions()).open()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_called_that(kafka: KafkaServer, mechanism: str) -> None:
    """The error says that authentication failed, where aiokafka only says that it cannot bootstrap; no secret in it."""
    topic = await kafka.topic()
    changes = secured(kafka, mechanism=mechanism, password="not-the-password")  # noqa: S106  on purpose
    with pytest.raises(SourceLost, match="authentication failed") as caught:
        await KafkaSource("orders", kafka_settings(kafka, topic, **changes), OutboxPositions()).open()
    assert "not-the-password" not in str(caught.value)


async def test_a_missing_topic_is_named(kafka: KafkaServer) -> None:
    """Opening fails with the topic's name, and nothing is created by it."""
    with pytest.raises(SourceLost, match=r"no such topic.*: nowhere"):
        await KafkaSource("orders", kafka_settings(kafka, "nowhere"), OutboxPositions()).open()


async def test_an_address_where_nobody_listens_is_named() -> None:
    """The error names the broker that was tried."""
    settings = {"bootstrap_servers": ["127.0.0.1:9"], "topics": ["x"], "group_id": "g", "lost_after_seconds": 2}
    with pytest.raises(SourceLost, match=r"127\.0\.0\.1:9 "):
        await KafkaSource("orders", KafkaSettings.model_validate(settings), OutboxPositions()).open()


async def test_a_deleted_topic_is_noticed(kafka: KafkaServer) -> None:
    """A topic that goes away under the source surfaces as SourceLost, and the source comes back with it."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(3, prefix="old"))
    source = KafkaSource("orders", kafka_settings(kafka, topic), positions)
    await source.open()
    await run_through(source, positions, 3)
    await kafka.delete_topic(topic)
    with pytest.raises(SourceLost):
        await collect(source, 1)
    await create_anew(kafka, topic)
    await kafka.produce(topic, values(2, prefix="new"))
    await open_again(source)
    assert bodies(await run_through(source, positions, 2)) == values(2, prefix="new")
    await source.close()


async def test_nobody_receiving_is_back_pressure(kafka: KafkaServer) -> None:
    """For longer than the session time-out nobody calls receive: the member keeps its partitions."""
    topic, positions = await kafka.topic(), OutboxPositions()
    await kafka.produce(topic, values(100))
    settings = kafka_settings(kafka, topic, batch=10, session_timeout_seconds=1)
    source = KafkaSource("orders", settings, positions)
    await source.open()
    await run_through(source, positions, 10)
    await asyncio.sleep(2)  # the session time-out itself is under test
    await run_through(source, positions, 90)
    assert positions.withdrawn == []
    await source.close()
