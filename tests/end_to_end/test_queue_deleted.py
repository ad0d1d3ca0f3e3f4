from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.places import emulated, make_inlet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.services.rabbitmq import RabbitServer

pytestmark = [pytest.mark.rabbitmq, pytest.mark.slow]

LIMIT_SECONDS = 60
RECONNECTS = 'workflow_bridge_source_reconnects_total{source="orders"}'
CONNECTED = 'workflow_bridge_source_connected{source="orders"}'


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("pause", [True, False], ids=["noticed before it is back", "back at once"])
async def test_a_queue_is_deleted_and_declared_again(rabbitmq: RabbitServer, tmp_path: Path, pause: bool) -> None:  # noqa: FBT001
    """The bridge notices, says so, and delivers what is published afterwards; it stays alive and ready meanwhile."""
    inlet = await make_inlet(rabbitmq, tmp_path)
    queue = inlet.source["queues"][0]
    async with emulated() as recorder:
        (tmp_path / "token").write_text(recorder.token)
        target = {"account_id": recorder.account_id, "base_url": recorder.base_url}
        config = {
            "targets": {"main": {**target, "api_token_file": str(tmp_path / "token")}},
            "sources": {"orders": inlet.source},
            "rules": [{"name": "all", "create": {"workflow": "fulfil", "id": "o-${body.id}"}}],
        }
        with BridgeProcess(tmp_path / "bridge", config) as bridge:
            await inlet.fill([b'{"id": %d}' % number for number in range(5)])
            await recorder.reached(5)
            before = bridge.metrics().get(RECONNECTS, 0)
            await rabbitmq.delete_queue(queue)
            if pause:
                await until(lambda: lost(bridge) > 0)
                await until(lambda: bridge.metrics()[CONNECTED] == 0)
                assert bridge.answers("/livez")
                assert bridge.answers("/readyz")
                await until(lambda: f"no queue '{queue}'" in said(bridge))
            await rabbitmq.queue(queue)
            await inlet.fill([b'{"id": %d}' % number for number in range(5, 10)])
            await recorder.reached(10)
            assert lost(bridge) > 0
            metrics = bridge.metrics()
            assert metrics[RECONNECTS] > before
            assert metrics[CONNECTED] == 1
            assert "no queue" not in await asyncio.to_thread(said, bridge)
            assert bridge.stop() == 0
    assert recorder.received == {f"create o-{number}": 1 for number in range(10)}


def said(bridge: BridgeProcess) -> str:
    """What a terminal is told."""
    command = ["status", "--config", str(bridge.config_file)]
    return " ".join(CliRunner(env={"COLUMNS": "400"}).invoke(app, command).output.split())


def lost(bridge: BridgeProcess) -> int:
    """How often the log says that the source was lost."""
    found = [event for event in bridge.events() if event["event"] == "source_lost"]
    assert {event["source"] for event in found} <= {"orders"}
    return len(found)
