"""A consumer joins the bridge's group or leaves it every few seconds, for minutes, under load: nothing else happens."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.services.rabbitmq import RabbitServer
from tests.torture.site import Site

if TYPE_CHECKING:
    from tests.services.kafka_cluster import KafkaCluster
    from tests.torture.ledger import Findings

EACH_SECONDS = 3.0
PAUSE_SECONDS = 0.006  # between two messages, at either broker
DRAIN_SECONDS = 60


class Storm(NamedTuple):
    """What a storm has shown."""

    minutes: float
    joined: int
    rebalances: int  # assignments, as the bridge counts them
    findings: Findings
    mib: tuple[int, int]  # resident memory after a fifth, and at the end
    descriptors: tuple[int, int]

    def rows(self) -> dict[str, Any]:
        """For a table."""
        found = self.findings
        return {
            "minutes": round(self.minutes, 1),
            "messages a second": round(found.messages / self.minutes / 60),
            "messages": found.messages,
            "members joined and left": self.joined,
            "assignments of the bridge": self.rebalances,
            "lost": len(found.lost),
            "duplicate instances": len(found.duplicate_instances),
            "duplicate events": found.duplicate_events,
            "order violations": len(found.order_violations),
            "MiB after a fifth, at the end": f"{self.mib[0]}, {self.mib[1]}",
            "descriptors after a fifth, at the end": f"{self.descriptors[0]}, {self.descriptors[1]}",
        }


async def storm(kafka: KafkaCluster, minutes: float, seed: int, kind: str = "sqlite") -> Storm:
    """One storm; raises AssertionError where something was lost or made twice."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="storm-", ignore_cleanup_errors=True)))
        (folder / "rabbitmq").mkdir()
        rabbit = RabbitServer(folder / "rabbitmq")
        stack.callback(rabbit.end)
        await asyncio.to_thread(rabbit.start)
        site = Site("storm", kind, folder, seed)
        site.traffic.pause_seconds = PAUSE_SECONDS
        stack.push_async_callback(site.close)
        await site.open(kafka, rabbit)
        site.start_traffic()
        began, joined = loop.time(), 0
        while loop.time() < began + minutes * 60:
            async with kafka.member(site.group, [site.topic]):
                await asyncio.sleep(EACH_SECONDS)
            joined += 1
            await asyncio.sleep(EACH_SECONDS)
            site.bridge.look()
        took = (loop.time() - began) / 60
        await site.drain(DRAIN_SECONDS)
        rebalances = sum(1 for line in site.bridge.events() if line.get("event") == "partitions_assigned")
        site.bridge.look()
        await asyncio.to_thread(site.bridge.stop)
        early, late = site.bridge.usage[len(site.bridge.usage) // 5], site.bridge.usage[-1]
        findings = await site.findings()
    return Storm(took, joined, rebalances, findings, (early[1], late[1]), (early[2], late[2]))
