"""The least that anybody waits: a bare Kafka consumer and a bare POST, nothing kept, nothing decided.

Run as a process of its own: ``python -m bench.latency_floor BOOTSTRAP TOPIC URL``, until it is ended.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiokafka import AIOKafkaConsumer

from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import open_transport
from bridge.emulator.settings import EXAMPLE_TOKEN

HEADERS = {"authorization": f"Bearer {EXAMPLE_TOKEN}", "content-type": "application/json"}
TIMEOUT_SECONDS = 30.0


async def main(bootstrap: str, topic: str, url: str) -> None:
    """One POST for each message, as soon as it is there."""
    transport = open_transport(TargetSettings.model_validate({"account_id": "floor", "api_token": EXAMPLE_TOKEN}))
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id="floor", auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    async with asyncio.TaskGroup() as posts:
        async for record in consumer:
            text = b'{"instance_id":"o-%s","params":%s}' % (record.key, record.value)
            posts.create_task(transport.send("POST", url, HEADERS, text, TIMEOUT_SECONDS))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
