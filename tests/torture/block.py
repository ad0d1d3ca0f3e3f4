"""The block of a quota that somebody else has used up, five minutes of a time that runs faster for bridge and API."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.emulator.quota import QuotaSettings
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from tests.torture.site import TorturedBridge

if TYPE_CHECKING:
    from tests.services.kafka_topics import KafkaTopics

SPEED = 20.0
MESSAGES = 40  # before the block, and as many while it lasts
LIMIT_SECONDS = 120
WORKFLOW = "fulfil"


class Blocked(NamedTuple):
    """What a block has shown; seconds are those of the API."""

    block_seconds: float
    requests_meanwhile: int
    recovery_seconds: float  # from its end to the next call that the API carries out
    lost: int

    def rows(self) -> dict[str, Any]:
        """For a table."""
        return {
            "seconds that the API refuses everything": self.block_seconds,
            "requests that the bridge makes meanwhile": self.requests_meanwhile,
            "seconds from the end of the block to the next call carried out": round(self.recovery_seconds, 1),
            "lost": self.lost,
        }


async def blocked(kafka: KafkaTopics) -> Blocked:
    """One block, from a bridge that works to a bridge that works. Raises TimeoutError where it does not."""
    settings = {"workflows": {WORKFLOW: "completes"}, "quota": {}, "speed": SPEED}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="block-", ignore_cleanup_errors=True)))
        emulator = await stack.enter_async_context(Emulator(EmulatorSettings.model_validate(settings)))
        topic = await kafka.topic(1)
        bridge = TorturedBridge(folder / "bridge", _config(folder, emulator, kafka, topic), {"SPEED": str(SPEED)})
        stack.callback(bridge.__exit__)
        await asyncio.to_thread(bridge.start)
        await kafka.produce(topic, [_order(number) for number in range(MESSAGES)])
        await _created(emulator, MESSAGES)
        began_ms = _use_up(emulator)
        before = emulator.journal.total
        await kafka.produce(topic, [_order(number) for number in range(MESSAGES, 2 * MESSAGES)])
        await _created(emulator, 2 * MESSAGES)
        records = emulator.journal.records[before:]
        first_ms = next(record.time_ms for record in records if record.created)
        refused = [record for record in records if record.limit]
        block = QuotaSettings().block_seconds
        lost = 2 * MESSAGES - len(emulator.account.workflow(WORKFLOW, first_ms).instances)
    return Blocked(block, len(refused), (first_ms - began_ms) / 1000 - block, lost)


def _use_up(emulator: Emulator) -> int:
    """Somebody else on the token asks until it is blocked; returns when that began."""
    path = f"/client/v4/accounts/{emulator.account_id}/workflows/{WORKFLOW}/instances/none"
    while True:
        emulator.application.answer("GET", path, b"Bearer " + emulator.token.encode(), b"")
        record = emulator.journal.records[-1]
        if record.limit:
            return record.time_ms


async def _created(emulator: Emulator, count: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while sum(len(record.created) for record in emulator.journal.records) < count:
            await asyncio.sleep(0.02)


def _order(number: int) -> bytes:
    return orjson.dumps({"id": f"o{number}"})


def _config(folder: Path, emulator: Emulator, kafka: KafkaTopics, topic: str) -> dict[str, Any]:
    token = folder / "token"
    token.write_text(emulator.token)
    source = {
        "type": "kafka",
        "bootstrap_servers": kafka.bootstrap.split(","),
        "topics": [topic],
        "group_id": topic,
        "lost_after_seconds": 600,
        "request_timeout_seconds": 600,
    }
    return {
        "targets": {
            "main": {"account_id": emulator.account_id, "base_url": emulator.base_url, "api_token_file": str(token)}
        },
        "sources": {"kafka": source},
        "rules": [{"name": "order", "create": {"workflow": WORKFLOW, "id": "${body.id}"}}],
    }
