from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer

from bridge.sources.kafka_health import stop

if TYPE_CHECKING:
    from tests.services.kafka_cluster import KafkaCluster

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
BODIES = [str(number).encode() for number in range(50)]


async def read(cluster: KafkaCluster, topic: str, count: int) -> list[bytes]:
    """Through the proxies."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=cluster.client_bootstrap, auto_offset_reset="earliest")
    async with asyncio.timeout(30), consumer:
        return [(await consumer.getone()).value for _ in range(count)]


async def test_a_killed_broker_loses_no_record_and_comes_back(kafka_cluster: KafkaCluster) -> None:
    """Another broker leads its partitions; what was written before and meanwhile can be read; it catches up."""
    topic = await kafka_cluster.topic()
    await kafka_cluster.produce(topic, BODIES)
    leader = kafka_cluster.nodes[(await kafka_cluster.leaders(topic))[0] - 1]
    leader.kill()
    await kafka_cluster.produce(topic, BODIES)
    assert (await kafka_cluster.leaders(topic))[0] not in {leader.number, -1}
    assert await read(kafka_cluster, topic, 100) == BODIES * 2
    await kafka_cluster.start(leader)


async def test_leaders_move_with_every_broker_alive(kafka_cluster: KafkaCluster) -> None:
    """Each partition is led by another broker than before, and nothing is lost."""
    topic = await kafka_cluster.topic(3)
    await kafka_cluster.produce(topic, BODIES)
    before = await kafka_cluster.leaders(topic)
    await kafka_cluster.move_leaders(topic)
    after = await kafka_cluster.leaders(topic)
    assert all(after[partition] not in {before[partition], -1} for partition in before)
    assert await read(kafka_cluster, topic, 50) == BODIES


async def test_clients_stay_behind_the_proxies(kafka_cluster: KafkaCluster) -> None:
    """What a client learns from a broker are the proxies' ports: a cut reaches all its connections."""
    topic = await kafka_cluster.topic(3)
    await kafka_cluster.produce(topic, BODIES)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka_cluster.client_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        await consumer.getone()
        addresses = {(broker.host, broker.port) for broker in consumer._client.cluster.brokers()}
        assert addresses == {("127.0.0.1", proxy.port) for proxy in kafka_cluster.proxies}
        assert kafka_cluster.cut()
        await kafka_cluster.produce(topic, [b"after"])
        async with asyncio.timeout(30):
            while (await consumer.getone()).value != b"after":
                pass
    finally:
        await stop(consumer)
