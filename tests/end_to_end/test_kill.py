"""kill -9 of the bridge and of the broker in the middle of the main job, against the real engine."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.recorder import Recorder
from tests.end_to_end.scenario import Scenario, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer
    from tests.services.workerd import Workerd

pytestmark = [pytest.mark.workerd, pytest.mark.slow]

SCENARIO = Scenario(orders=400, paid=300, audited=True)
KILLS = 10
QUOTA = 100_000  # what comes first is refused, which alone would tell of no quota, nor of there being none
PREFETCH = 100  # messages that RabbitMQ has given out and that are not acknowledged
CALLS_PER_MESSAGE = 2
FINISH_SECONDS = 120


class Broker(NamedTuple):
    """A broker with the scenario's messages in it, and the source that reads them."""

    server: KafkaServer | RabbitServer
    source: dict[str, Any]

    async def unacknowledged(self) -> set[int] | None:
        """Indices of the scenario's messages that the broker would give again; None: only their number is known."""
        if "topics" not in self.source:
            return None
        admin = AIOKafkaAdminClient(bootstrap_servers=self.source["bootstrap_servers"][0])
        await admin.start()
        offsets = await admin.list_consumer_group_offsets(self.source["group_id"])
        await admin.close()
        committed = max((entry.offset for entry in offsets.values()), default=0)
        return set(range(max(committed, 0), len(SCENARIO.bodies)))


@pytest.fixture(
    params=[pytest.param("kafka", marks=pytest.mark.kafka), pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Broker:
    """Real Kafka, then real RabbitMQ."""
    server = request.getfixturevalue(request.param)
    if request.param == "kafka":
        topic = await server.topic()
        await server.produce(topic, SCENARIO.bodies)
        kafka = {"type": "kafka", "bootstrap_servers": [server.bootstrap], "topics": [topic], "group_id": topic}
        return Broker(server, {**kafka, "group_instance_id": "bridge-0", "fetch": {"max_records": 40}})
    queue = await server.queue()
    await server.publish(queue, SCENARIO.bodies)
    url_file = tmp_path / "url"
    url_file.write_text(server.url)
    return Broker(server, {"type": "rabbitmq", "url_file": str(url_file), "queues": [queue], "prefetch": PREFETCH})


@pytest.fixture(params=["sqlite", "memory"])
def outbox(request: pytest.FixtureRequest) -> str:
    """Both ways to keep calls."""
    return str(request.param)


def bridge_for(broker: Broker, outbox: str, recorder: Recorder, token_file: Path, tmp_path: Path) -> BridgeProcess:
    more: dict[str, Any] = {"outbox": {"type": outbox}}
    if outbox == "memory":
        more["dead_letters"] = "discard"
    config = SCENARIO.config(broker.source, recorder, token_file=str(token_file), **more)
    return BridgeProcess(tmp_path / "bridge", config)


def names_of(index: int) -> set[str]:
    """The calls with a known name that message number ``index`` leads to."""
    early, orders = SCENARIO.paid // 4, SCENARIO.orders
    if index < early:
        return {f"event o-{index} {index}"}
    if index < early + orders:
        return {f"create o-{index - early}"}
    return {f"event o-{index - orders} {index - orders}"}


async def check_nothing_lost(recorder: Recorder, bridge: BridgeProcess) -> None:
    """Every call arrived, every instance is there once and has ended well, and nothing is left."""
    await recorder.reached(SCENARIO.calls, FINISH_SECONDS)
    found = await statuses(recorder, SCENARIO)
    assert Counter(found.values()) == {"complete": SCENARIO.orders}
    assert bridge.stop() == 0
    received = set(recorder.received)
    assert received >= SCENARIO.names
    instances = {name for name in received if name.startswith("create ")}
    assert len(instances) == SCENARIO.orders + SCENARIO.audits


async def test_the_bridge_is_killed(
    broker: Broker, outbox: str, engine: Workerd, token_file: Path, tmp_path: Path
) -> None:
    """Ten kills at seeded points: nothing lost, no instance twice, and no call repeated without need.

    With sqlite only what was in flight at a kill is made again, with memory only what was not acknowledged.
    """
    points = sorted(random.Random(41).sample(range(20, SCENARIO.calls - 40), KILLS))
    allowed: set[str] = set()
    bound = 0
    async with Recorder(engine, quota=QUOTA) as recorder:
        with bridge_for(broker, outbox, recorder, token_file, tmp_path) as bridge:
            for point in points:
                await recorder.reached(point)
                bridge.kill()
                in_flight = await recorder.in_flight(time.monotonic())
                unacknowledged = await broker.unacknowledged()
                waiting = bridge.stored() if outbox == "sqlite" else len(unacknowledged or in_flight)
                assert waiting or in_flight, "a kill with nothing to lose shows nothing"
                if outbox == "sqlite":
                    allowed |= in_flight
                    bound += len(in_flight)
                elif unacknowledged is not None:
                    allowed |= set().union(*map(names_of, unacknowledged))
                    bound += len(unacknowledged) * CALLS_PER_MESSAGE
                else:
                    allowed |= set(recorder.received)
                    bound += PREFETCH * CALLS_PER_MESSAGE
                recorder.life += 1
                bridge.start()
            await check_nothing_lost(recorder, bridge)
        repeated = recorder.repeated
        known = {name for name in repeated if name in SCENARIO.names}
        assert known <= allowed
        assert repeated.total() <= bound
        print(f"{outbox}: {KILLS} kills, {repeated.total()} calls repeated, {bound} allowed")  # noqa: T201


async def test_the_broker_is_killed(
    broker: Broker, outbox: str, engine: Workerd, token_file: Path, tmp_path: Path
) -> None:
    """The broker dies twice and comes back: nothing lost, no instance twice."""
    async with Recorder(engine, quota=QUOTA) as recorder:
        with bridge_for(broker, outbox, recorder, token_file, tmp_path) as bridge:
            for point in (100, 400):
                await recorder.reached(point)
                broker.server.kill()
                broker.server.start()
            await check_nothing_lost(recorder, bridge)
