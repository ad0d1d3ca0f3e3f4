"""Everything that a dashboard can show, in half a minute: a bridge between real brokers and the emulator."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaConsumer

from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from tests.end_to_end.bridge_process import BridgeProcess
from tests.services.ports import free_ports
from tests.services.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from tests.services.kafka import KafkaServer
    from tests.services.rabbitmq import RabbitServer

LIMIT_SECONDS = 90
PARTITIONS = 4
ORDERS, PAYMENTS, LATE_PAYMENTS, ORPHANS = 240, 160, 8, 6  # orphans: payments whose order never comes
REFUSED, BAD_IDS, NOWHERE, ELSEWHERE, TESTS, NOISE = 3, 12, 5, 4, 25, 40
BREAKS = 7  # instances that end in an error
FAILURES = 15  # events that are answered with an error once
QUOTA = 80
DEAD_BYTES = 1_000_000
EMULATOR: dict[str, Any] = {
    "workflows": {"fulfil": "waits: paid", "strict": "completes", "elsewhere": "completes", "fragile": "fails"},
    "quota": {"requests": QUOTA, "window_seconds": 4, "block_seconds": 4},
    "creation": {"per_workflow": 40, "per_account": 300},
    "faults": [
        {"do": "delay", "seconds": [0.005, 0.03]},
        {"do": "error", "status": 503, "operation": "event", "count": FAILURES},
        {"do": "error", "status": 400, "code": 10002, "workflow": "strict"},
    ],
}
RULES: list[dict[str, Any]] = [
    {"name": "test", "when": 'body.type == "test"', "drop": "test message"},
    {
        "name": "created",
        "when": 'body.type == "order"',
        "create": {"target": "main", "workflow": "fulfil", "id": "o-${body.n}", "params": "${body}"},
    },
    {
        "name": "paid",
        "when": 'body.type == "paid"',
        "event": {
            "target": "main",
            "workflow": "fulfil",
            "id": "o-${body.n}",
            "type": "paid",
            "payload": {"n": "${body.n}"},
        },
    },
    {"name": "misspelt", "when": 'body.type == "order" && body.totl > 1', "drop": "never"},
    {
        "name": "refused",
        "when": 'body.type == "refused"',
        "on_dead": "block",
        "create": {"target": "main", "workflow": "strict", "id": "s-${body.n}"},
    },
    {
        "name": "bad-id",
        "when": 'body.type == "bad-id"',
        "create": {"target": "main", "workflow": "strict", "id": "a b ${body.n}"},
    },
    {
        "name": "nowhere",
        "when": 'body.type == "nowhere"',
        "create": {"target": "main", "workflow": "nowhere", "id": "n-${body.n}"},
    },
    {
        "name": "breaks",
        "when": 'body.type == "breaks"',
        "create": {"target": "main", "workflow": "fragile", "id": "f-${body.n}"},
    },
    {
        "name": "elsewhere",
        "when": 'body.type == "elsewhere"',
        "create": {"target": "other", "workflow": "elsewhere", "id": "e-${body.n}"},
    },
]
SHADOW = [{**rule, "create": {**rule["create"], "params": {}}} if rule["name"] == "created" else rule for rule in RULES]


def bodies(kind: str, count: int, first: int = 0) -> list[bytes]:
    """So many messages of one type, numbered."""
    return [json.dumps({"type": kind, "n": n}).encode() for n in range(first, first + count)]


class Seen(NamedTuple):
    """What there is to ask, once everything has happened."""

    prometheus: Prometheus
    bridge: BridgeProcess
    emulator: Emulator
    sizes: tuple[int, int]  # bytes of all messages from Kafka and from RabbitMQ
    start: float  # Unix seconds
    end: float


class Traffic:
    """Sends it all, and knows when it has been taken."""

    def __init__(self, kafka: KafkaServer, rabbitmq: RabbitServer, folder: Path) -> None:
        self._kafka, self._rabbitmq, self._folder = kafka, rabbitmq, folder
        self.sizes = {"orders": 0, "payments": 0}

    @asynccontextmanager
    async def run(self, rules: Path) -> AsyncIterator[Seen]:
        """From before the first message to after the last; everything is up while the block runs."""
        self._topic, avro = await self._kafka.topic(PARTITIONS), await self._kafka.topic()
        self._letters = await self._kafka.topic()
        self._queue = await self._rabbitmq.queue()
        async with Emulator(EmulatorSettings.model_validate(EMULATOR)) as emulator:
            self._bridge = BridgeProcess(self._folder / "bridge", self._config(emulator, avro))
            address = f"127.0.0.1:{self._bridge.port}"
            with Prometheus(self._folder / "prometheus", {"workflow-bridge": [address]}, [rules]) as prometheus:
                try:
                    await asyncio.to_thread(self._bridge.start)
                    await self._until(lambda told: told.get(_of("source_partitions", "orders"), 0) == PARTITIONS)
                    await _scraped(prometheus, address)
                    start = time.time()
                    self._scraped = partial(_scraped, prometheus, address)
                    await self._scraped()
                    await self._send(avro)
                    await self._scraped()
                    sizes = (self.sizes["orders"], self.sizes["payments"])
                    yield Seen(prometheus, self._bridge, emulator, sizes, start, time.time())
                finally:
                    self._bridge.__exit__()

    def _config(self, emulator: Emulator, avro: str) -> dict[str, Any]:
        folder = self._folder
        for name, text in {"token": emulator.token, "wrong": "nobody's", "url": self._rabbitmq.url}.items():
            (folder / name).write_text(text)
        (folder / "shadow.yaml").write_text(json.dumps({"rules": SHADOW}))
        (nobody,) = free_ports(1)
        target = {"account_id": emulator.account_id, "base_url": emulator.base_url}
        kafka = {"type": "kafka", "bootstrap_servers": [self._kafka.bootstrap], "fetch": {"max_records": 50}}
        letters = {"type": "kafka", "bootstrap_servers": [self._kafka.bootstrap], "topic": self._letters}
        registry = {"url": f"http://127.0.0.1:{nobody}", "timeout_seconds": 1}
        return {
            "targets": {
                "main": {**target, "api_token_file": str(folder / "token")},
                "other": {**target, "api_token_file": str(folder / "wrong")},
            },
            "sources": {
                "orders": {**kafka, "topics": [self._topic], "group_id": self._topic},
                "invoices": {**kafka, "topics": [avro], "group_id": avro, "decode": "avro", "registry": registry},
                "payments": {"type": "rabbitmq", "url_file": str(folder / "url"), "queue": self._queue},
            },
            "rules": RULES,
            "outbox": {"max_entries": 200, "max_bytes": 1 << 30},
            "dead_letters": {"to": letters, "max_bytes": DEAD_BYTES},
            "shadow": str(folder / "shadow.yaml"),
            "reload": {"interval_seconds": 0.1},
        }

    async def _send(self, avro: str) -> None:
        await self._kafka.produce(avro, [b"\x00\x00\x00\x00\x01?"])
        await self._produce([*bodies("test", TESTS), *bodies("noise", NOISE), *bodies("order", ORDERS)])
        await self._publish([*bodies("paid", PAYMENTS), *bodies("paid", ORPHANS, 10_000)])
        await self._produce([*bodies("refused", REFUSED), *bodies("bad-id", BAD_IDS), *bodies("nowhere", NOWHERE)])
        await self._produce([*bodies("elsewhere", ELSEWHERE), *bodies("breaks", BREAKS)])
        await self._until(lambda told: told.get(_made("breaks")) == BREAKS)
        watched = next(rule for rule in RULES if rule["name"] == "breaks") | {"watch": {}}
        self._change({"name": "new", "when": 'body.type == "new"', "drop": "new"}, watched)
        await self._until(lambda told: told["workflow_bridge_config_generation"] > 1)
        self._hang_up()
        await self._until(lambda told: told.get(_reloads("unchanged"), 0) > 0)
        await self._until(lambda told: _waiting(told) == NOWHERE + ELSEWHERE + ORPHANS)
        await self._rabbitmq.delete_queue(self._queue)
        await self._until(lambda told: told[_of("source_connected", "payments")] == 0)
        await self._scraped()
        await self._rabbitmq.queue(self._queue)
        await self._publish(bodies("paid", LATE_PAYMENTS, PAYMENTS))
        await self._rebalance()
        await self._operate("pause", "source", "payments", "--reason", "to be seen")
        await self._until(lambda told: told[_of("source_paused", "payments")] == 1)
        await self._scraped()
        await self._operate("resume", "source", "payments")
        await self._until(lambda told: _received(told) == PAYMENTS + ORPHANS + LATE_PAYMENTS)
        await self._until(lambda told: _waiting(told) == NOWHERE + ELSEWHERE + ORPHANS)
        await self._until(lambda told: told["workflow_bridge_dead_letters_copied_total"] == REFUSED + BAD_IDS)
        await self._until(lambda told: told['workflow_bridge_instances_errored_total{rule="breaks"}'] == BREAKS)
        self._change({"name": "new"})
        await self._until(lambda told: told[_reloads("failed")] > 0)

    async def _produce(self, values: Sequence[bytes]) -> None:
        self.sizes["orders"] += sum(map(len, values))
        for partition in range(PARTITIONS):
            await self._kafka.produce(self._topic, values[partition::PARTITIONS], partition=partition)

    async def _publish(self, values: Sequence[bytes]) -> None:
        self.sizes["payments"] += sum(map(len, values))
        name = f"m{self.sizes['payments']}-{{}}"
        await self._rabbitmq.publish(self._queue, values, message_id=name)

    def _change(self, *rules: dict[str, Any]) -> None:
        config = json.loads(self._bridge.config_file.read_text())
        changed = {rule["name"] for rule in rules}
        config["rules"] = [*(one for one in config["rules"] if one["name"] not in changed), *rules]
        self._bridge.config_file.write_text(json.dumps(config))

    def _hang_up(self) -> None:
        assert self._bridge.process is not None
        self._bridge.process.send_signal(signal.SIGHUP)

    async def _rebalance(self) -> None:
        """Somebody joins the group and leaves it again."""
        assigned = _of("source_partitions", "orders")
        consumer = AIOKafkaConsumer(
            self._topic, bootstrap_servers=self._kafka.bootstrap, group_id=self._topic, enable_auto_commit=False
        )
        async with consumer:
            await self._until(lambda told: told[assigned] < PARTITIONS)
        await self._until(lambda told: told[assigned] == PARTITIONS)

    async def _operate(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "bridge", *arguments, "--config", str(self._bridge.config_file)]
        done = await asyncio.create_subprocess_exec(*command)
        assert await done.wait() == 0

    async def _until(self, condition: Callable[[dict[str, float]], bool]) -> None:
        told: dict[str, float] = {}
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                while not condition(told := await asyncio.to_thread(self._bridge.metrics)):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"it does not come to this:\n{told}\n{self._bridge.log.read_text()[-4000:]}") from None


def _of(name: str, source: str) -> str:
    return f'workflow_bridge_{name}{{source="{source}"}}'


def _reloads(outcome: str) -> str:
    return f'workflow_bridge_config_reloads_total{{outcome="{outcome}"}}'


def _made(rule: str) -> str:
    return f'workflow_bridge_deliveries_total{{operation="create",outcome="delivered",rule="{rule}"}}'


def _waiting(told: dict[str, float]) -> float:
    return sum(value for name, value in told.items() if name.startswith("workflow_bridge_outbox_entries{"))


def _received(told: dict[str, float]) -> float:
    return told[_of("source_messages_received_total", "payments")]


async def _scraped(prometheus: Prometheus, address: str) -> None:
    """What the bridge says from now on has been stored."""
    wanted, found = time.time() + 1, 0.0
    async with asyncio.timeout(LIMIT_SECONDS):
        while found < wanted:
            await asyncio.sleep(0.1)
            expr = f'timestamp(up{{instance="{address}"}} == 1)'
            answer = await asyncio.to_thread(prometheus.instant, expr, time.time())
            found = max((value for series in answer for value in series.values), default=0.0)
