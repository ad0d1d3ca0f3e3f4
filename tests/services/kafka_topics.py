"""What tests do with the topics of a Kafka, be it one broker or several."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


class KafkaTopics:
    """Topics, their partitions and their records."""

    bootstrap: str  # "host:port", or several with commas between
    replication = 1  # of new topics

    async def topic(self, partitions: int = 1, **settings: str) -> str:
        """The name of a new topic; settings by their Kafka names with "_" for "."."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        await self.create_topic(name, partitions, **settings)
        return name

    async def create_topic(self, name: str, partitions: int = 1, **settings: str) -> None:
        """Create a topic of this name."""
        config = {key.replace("_", "."): value for key, value in settings.items()}
        async with self._admin() as admin:
            await admin.create_topics([NewTopic(name, partitions, self.replication, topic_configs=config)])
            await _visible(admin, name, partitions)

    async def delete_topic(self, name: str) -> None:
        """Delete a topic, with its records and committed offsets."""
        async with self._admin() as admin:
            await admin.delete_topics([name])

    async def add_partitions(self, name: str, total: int) -> None:
        """Let a topic have so many partitions."""
        async with self._admin() as admin:
            await admin.create_partitions({name: NewPartitions(total)})
            await _visible(admin, name, total)

    async def delete_records(self, name: str, partition: int, before: int) -> None:
        """Move the start of a partition's log, as retention does."""
        async with self._admin() as admin:
            await admin.delete_records({TopicPartition(name, partition): RecordsToDelete(before)})

    async def produce(self, topic: str, values: Iterable[bytes | None], **options: object) -> None:
        """Write values to partition 0, or to ``partition=``; ``compression_type=`` names a codec."""
        partition = options.pop("partition", 0)
        producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all", linger_ms=5, **options)
        async with producer:
            sent = [await producer.send(topic, value=value, partition=partition) for value in values]
            for future in sent:
                await future

    @contextlib.asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


async def _visible(admin: AIOKafkaAdminClient, name: str, partitions: int) -> None:
    """The broker tells clients of a new topic a little after it has told us that it is made."""
    async with asyncio.timeout(30):
        while True:
            (topic,) = await admin.describe_topics([name])
            if len(topic["partitions"]) == partitions and all(part["leader"] >= 0 for part in topic["partitions"]):
                return
            await asyncio.sleep(0.02)
