"""The least that anybody pays for the same input: the client library and a JSON parser, no rules, no outbox, no calls.

Run as a process of its own: ``python -m bench.floor kafka BOOTSTRAP TOPIC COUNT`` or ``rabbitmq URL QUEUE COUNT``.
Prints the CPU seconds (user + system) from the first message to the last.
"""

from __future__ import annotations

import sys
import time

import aio_pika
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer


async def kafka(bootstrap: str, topic: str, count: int) -> float:
    """Aiokafka's getmany and orjson."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id="floor", auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    seen, started = 0, 0.0
    while seen < count:
        for records in (await consumer.getmany(timeout_ms=1000, max_records=2000)).values():
            started = started or time.process_time()
            for record in records:
                orjson.loads(record.value)
            seen += len(records)
    spent = time.process_time() - started
    await consumer.stop()
    return spent


async def rabbitmq(url: str, queue: str, count: int) -> float:
    """aio-pika's consumer, orjson and an acknowledgement each."""
    connection = await aio_pika.connect(url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=1000)
    source = await channel.get_queue(queue)
    seen, started = 0, 0.0
    async with source.iterator() as messages:
        async for message in messages:
            started = started or time.process_time()
            orjson.loads(message.body)
            await message.ack()
            seen += 1
            if seen == count:
                break
    spent = time.process_time() - started
    await connection.close()
    return spent


if __name__ == "__main__":
    kind, address, name, number = sys.argv[1:]
    print(uvloop.run({"kafka": kafka, "rabbitmq": rabbitmq}[kind](address, name, int(number))))
