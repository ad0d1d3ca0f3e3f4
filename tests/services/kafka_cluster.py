"""Three real Kafka brokers (KRaft) that hold every record three times; clients reach them through proxies of ours."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from confluent_kafka import ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient

from bridge.sources.kafka_health import stop
from tests.services.kafka import QUICK_START, KafkaServer, new_cluster_id
from tests.services.kafka_topics import KafkaTopics
from tests.services.ports import free_ports
from tests.services.presence import missing
from tests.services.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

NODES = 3
JVM = (*(flag for flag in QUICK_START if not flag.startswith("-Xm")), "-Xms64m", "-Xmx256m")
REASSIGN_MS = 30_000


class Node(KafkaServer):
    """One of the brokers, a controller too; numbered from 1."""

    def __init__(self, folder: Path, number: int, cluster_id: str, controllers: Sequence[int], proxy: Proxy) -> None:
        """controllers: the ports of all; proxy: what clients are told to connect to."""
        self._cluster_id = cluster_id
        (inner,) = free_ports(1)
        listeners = {"PLAINTEXT": inner, "CLIENT": proxy.target_port, "CONTROLLER": controllers[number - 1]}
        voters = ",".join(f"{place}@127.0.0.1:{port}" for place, port in enumerate(controllers, 1))
        properties = _replicated() | {
            "node.id": number,
            "controller.quorum.bootstrap.servers": None,
            "controller.quorum.voters": voters,
            "listeners": _addresses(listeners),
            "advertised.listeners": _addresses({"PLAINTEXT": inner, "CLIENT": proxy.port}),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        }
        super().__init__(folder, properties=properties, jvm=JVM)
        self.number, self.port, self.bootstrap = number, inner, f"127.0.0.1:{inner}"

    def _format(self) -> None:
        self._tool("kafka.tools.StorageTool", "format", f"--cluster-id={self._cluster_id}", f"--config={self.config}")


class KafkaCluster(KafkaTopics):
    """Every topic has three replicas, and is written with two: one broker may be away.

    ``bootstrap`` goes past the proxies: it is for the test's own questions. ``client_bootstrap`` is for what is tested.
    """

    replication = NODES

    def __init__(self, folder: Path) -> None:
        cluster_id, controllers = new_cluster_id(), free_ports(NODES)
        self.proxies = [Proxy(port) for port in free_ports(NODES)]
        self.nodes = [
            Node(folder / f"node{number}", number, cluster_id, controllers, proxy)
            for number, proxy in enumerate(self.proxies, 1)
        ]
        self.bootstrap = ",".join(node.bootstrap for node in self.nodes)
        self.client_bootstrap = [f"127.0.0.1:{proxy.port}" for proxy in self.proxies]

    async def __aenter__(self) -> Self:
        for proxy in self.proxies:
            await proxy.start()
        try:
            await asyncio.to_thread(self._start)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes:  # the data goes anyway: no orderly stop
            node.kill()
        for proxy in self.proxies:
            await proxy.close()

    def _start(self) -> None:
        with ThreadPoolExecutor() as threads:
            list(threads.map(KafkaServer.launch, self.nodes))
        for node in self.nodes:
            node.wait_until_ready()

    def cut(self) -> int:
        """Reset every client's connection to every broker; returns how many there were."""
        return sum(proxy.cut() for proxy in self.proxies)

    async def start(self, node: Node) -> None:
        """Start one that was killed or stopped; return when every partition has all its replicas again."""
        await asyncio.to_thread(KafkaServer.start, node)
        await self.wait_until_whole()

    async def stop(self, node: Node) -> None:
        """An orderly stop: its partitions get other leaders first."""
        await asyncio.to_thread(KafkaServer.stop, node)

    async def wait_until_whole(self, seconds: float = 60) -> None:
        """Return when all replicas of all partitions are in sync."""
        async with asyncio.timeout(seconds), self._admin() as admin:
            while any(
                len(part["isr"]) < NODES for topic in await admin.describe_topics() for part in topic["partitions"]
            ):
                await asyncio.sleep(0.05)

    async def wait_until_led(self, topic: str, seconds: float = 60) -> None:
        """Return when every partition has a leader that is alive."""
        alive = {node.number for node in self.nodes if node.process is not None}
        async with asyncio.timeout(seconds):
            while not set((await self.leaders(topic)).values()) <= alive:
                await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def member(self, group: str, topics: Sequence[str]) -> AsyncIterator[AIOKafkaConsumer]:
        """One more consumer in a group, which reads and commits nothing."""
        consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=self.bootstrap,
            group_id=group,
            enable_auto_commit=False,
            heartbeat_interval_ms=500,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await stop(consumer)

    async def members(self, group: str) -> int:
        """How many are in a group now."""
        async with self._admin() as admin:
            (answer,) = await admin.describe_consumer_groups([group])
        return sum(len(described[5]) for described in answer.groups)

    async def leaders(self, topic: str) -> dict[int, int]:
        """Partition -> number of the node that leads it; -1 where none does."""
        return {number: part["leader"] for number, part in (await self._partitions(topic)).items()}

    async def move_leaders(self, topic: str) -> None:
        """Let the next replica of each partition lead it; return when it does. All replicas are to be in sync."""
        order = {
            number: [*part["replicas"][1:], part["replicas"][0]]
            for number, part in (await self._partitions(topic)).items()
        }
        async with self._admin() as admin:
            wish: list[tuple[int, list[int], dict[int, bytes]]] = [
                (number, replicas, {}) for number, replicas in order.items()
            ]
            await admin._send_to_controller(
                AlterPartitionReassignmentsRequest(REASSIGN_MS, [(topic, wish, {})], {})  # type: ignore[no-untyped-call,unused-ignore]
            )
        async with asyncio.timeout(REASSIGN_MS / 1000):
            while await self.leaders(topic) != {number: replicas[0] for number, replicas in order.items()}:
                await asyncio.to_thread(self._elect, topic, list(order))

    def _elect(self, topic: str, partitions: Sequence[int]) -> None:
        """Ask for the first replica of each as its leader; one that leads already is no error of ours."""
        client = AdminClient({"bootstrap.servers": self.bootstrap})
        places = [TopicPartition(topic, number) for number in partitions]
        client.elect_leaders(ElectionType.PREFERRED, places).result(REASSIGN_MS / 1000)

    async def _partitions(self, topic: str, seconds: float = 60) -> dict[int, dict[str, Any]]:
        """What a broker says of them; one that is away is asked in vain, and then another one."""
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(KafkaError):
                    async with self._admin() as admin:
                        (described,) = await admin.describe_topics([topic])
                    return {part["partition"]: part for part in described["partitions"]}
                await asyncio.sleep(0.05)


def _addresses(ports: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())


def _replicated() -> dict[str, object]:
    return {
        "default.replication.factor": NODES,
        "min.insync.replicas": 2,
        "offsets.topic.replication.factor": NODES,
        "transaction.state.log.replication.factor": NODES,
        "transaction.state.log.min.isr": 2,
        "share.coordinator.state.topic.replication.factor": NODES,
        "share.coordinator.state.topic.min.isr": 2,
        "auto.leader.rebalance.enable": "false",  # leaders move when a test says so
        # Three brokers on a busy machine: a slow moment of one is not its end.
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 3000,
    }


@pytest.fixture(scope="session")
async def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaCluster]:
    """One cluster for the whole session; a test that breaks it mends it."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            missing(f"{program} (for a real Kafka)")
    async with KafkaCluster(tmp_path_factory.mktemp("kafka-cluster")) as cluster:
        yield cluster
