from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.recorder import Recorder
from tests.end_to_end.scenario import Scenario, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer
    from tests.services.workerd import Workerd

pytestmark = [pytest.mark.workerd, pytest.mark.slow]
SCENARIO = Scenario(orders=500, paid=100)


async def see_through(bridge: BridgeProcess, recorder: Recorder) -> None:
    """Run the bridge until every call has arrived; then let the engine say what it has."""
    with bridge:
        await recorder.reached(SCENARIO.calls)
        found = await statuses(recorder, SCENARIO)
        assert bridge.stop() == 0
    assert Counter(found.values()) == {"complete": 500}
    received = recorder.received
    assert set(received) == SCENARIO.names
    creates = [call for call in recorder.calls if call.names and call.names[0].startswith("create")]
    assert max(len(call.names) for call in creates) == 100
    assert len(creates) < 100
    assert [name for name, count in received.items() if count > 1 and name.startswith("create")] == []


@pytest.mark.kafka
async def test_kafka_to_the_engine(kafka: KafkaServer, engine: Workerd, token_file: Path, tmp_path: Path) -> None:
    """500 orders from real Kafka create 500 instances in batches; 100 of them get their event and complete."""
    topic = await kafka.topic(partitions=3)
    for partition in range(3):
        await kafka.produce(topic, SCENARIO.bodies[partition::3], partition=partition)
    source = {"type": "kafka", "bootstrap_servers": [kafka.bootstrap], "topics": [topic], "group_id": topic}
    async with Recorder(engine, quota=100_000) as recorder:
        config = SCENARIO.config(source, recorder, token_file=str(token_file))
        await see_through(BridgeProcess(tmp_path, config), recorder)


@pytest.mark.rabbitmq
async def test_rabbitmq_to_the_engine(
    rabbitmq: RabbitServer, engine: Workerd, token_file: Path, tmp_path: Path
) -> None:
    """The same from real RabbitMQ."""
    queue = await rabbitmq.queue()
    await rabbitmq.publish(queue, SCENARIO.bodies)
    url_file = tmp_path / "url"
    url_file.write_text(rabbitmq.url)
    source = {"type": "rabbitmq", "url_file": str(url_file), "queues": [queue]}
    async with Recorder(engine, quota=100_000) as recorder:
        config = SCENARIO.config(source, recorder, token_file=str(token_file))
        await see_through(BridgeProcess(tmp_path, config), recorder)
