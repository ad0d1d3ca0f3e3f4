"""Faults of Kafka, and of the network between it and the bridge."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.torture.ground import Striking, Watch

if TYPE_CHECKING:
    from tests.torture.ground import Ground


class KafkaKilled(Striking):
    """A broker that leads partitions of the topic is killed, others take over, and it comes back."""

    name = "kafka_kill"

    async def strike_one(self, ground: Ground) -> str | None:
        watch = Watch(ground, self.seconds)
        before = await ground.kafka.leaders(ground.topic)
        leading, proxies = sorted(set(before.values())), ground.kafka.proxies
        # A bridge that has just been started is not connected yet, and would notice nothing.
        number = ground.rng.choice(await watch.until(lambda: [n for n in leading if proxies[n - 1].connections]))
        node, connections = ground.kafka.nodes[number - 1], proxies[number - 1].connections
        node.kill()
        try:
            await ground.kafka.wait_until_led(ground.topic)
            after = await ground.kafka.leaders(ground.topic)
            took = await watch.delivered()
        finally:
            await ground.kafka.start(node)
        ground.tally["broker_restarts"] += 1
        moved = [partition for partition in before if before[partition] != after[partition]]
        if not moved or not connections:
            return None
        return f"node {number} killed with {connections} connections, {len(moved)} leaders moved, {took:.1f} s"


class KafkaLeadersMove(Striking):
    """Every partition gets another leader while all brokers are alive."""

    name = "leader_change"

    async def strike_one(self, ground: Ground) -> str | None:
        watch = Watch(ground, self.seconds)
        before = await ground.kafka.leaders(ground.topic)
        await ground.kafka.move_leaders(ground.topic)
        after = await ground.kafka.leaders(ground.topic)
        await watch.delivered(5)
        moved = [partition for partition in before if before[partition] != after[partition]]
        return f"{len(moved)} of {len(before)} leaders moved" if moved else None


class KafkaRollingRestart(Striking):
    """Each broker in turn is stopped in order and started again, as an upgrade does it."""

    name = "rolling_restart"

    async def strike_one(self, ground: Ground) -> str | None:
        watch = Watch(ground, self.seconds)
        cut = 0
        for node, proxy in zip(ground.kafka.nodes, ground.kafka.proxies, strict=True):
            cut += proxy.connections
            try:
                await ground.kafka.stop(node)
                await watch.delivered()
            finally:
                await ground.kafka.start(node)
            ground.tally["broker_restarts"] += 1
        await watch.delivered()
        return f"{len(ground.kafka.nodes)} brokers restarted, under {cut} connections" if cut else None


class KafkaCut(Striking):
    """Every connection to Kafka is reset, half of the times in the middle of an answer."""

    name = "kafka_cut"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        proxies = ground.kafka.proxies
        await watch.until(lambda: sum(proxy.connections for proxy in proxies))
        ground.stopwatch.start()
        accepted, cut = sum(proxy.accepted for proxy in proxies), ground.kafka.cut()
        if ground.rng.random() < 0.5:
            for proxy in proxies:
                proxy.cut_after(ground.rng.randrange(100, 5000))
        await watch.until(lambda: sum(proxy.accepted for proxy in proxies) > accepted)
        took = await watch.delivered()
        return f"{cut} connections reset, the next call delivered after {took:.1f} s"


class KafkaStalls(Striking):
    """The connections stay, and nothing comes through until the bridge has given up on them."""

    name = "kafka_stall"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        for proxy in ground.kafka.proxies:
            proxy.stall()
        try:
            said = await watch.logged("source_lost")
        finally:
            ground.stopwatch.start()
            for proxy in ground.kafka.proxies:
                proxy.flow()
        await watch.logged("source_opened")
        return f"{said['reason']}; the next call delivered after {await watch.delivered():.1f} s"


class NewPartitions(Striking):
    """A topic gets a partition more, and the bridge finds it."""

    name = "new_partitions"
    most = 12

    async def strike_one(self, ground: Ground) -> str | None:
        watch = Watch(ground, self.seconds)
        number = len(await ground.kafka.leaders(ground.growing_topic))
        if number >= self.most:
            return f"there are {number} already"
        await ground.kafka.add_partitions(ground.growing_topic, number + 1)
        await watch.logged("partitions_assigned", words=f'"{ground.growing_topic}/{number}"')
        await watch.delivered()
        return f"partition {number} was given to the bridge"


class MembersJoinAndLeave(Striking):
    """Consumers join the group, take partitions for a moment, acknowledge nothing, and leave."""

    name = "rebalance"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        rounds = ground.rng.randrange(1, 4)
        taken = 0
        for _ in range(rounds):
            async with ground.kafka.member(ground.group, [ground.topic]) as member:
                async with asyncio.timeout(self.seconds):
                    while not member.assignment():
                        await asyncio.sleep(0.05)
                taken += len(member.assignment())
                await asyncio.sleep(ground.rng.uniform(0, 2))
            ground.tally["rebalances"] += 2
            await watch.logged("partitions_assigned")
        took = await watch.delivered()
        return f"{rounds} members took {taken} partitions and left; the next call delivered after {took:.1f} s"


FAULTS: list[Striking] = [
    KafkaCut(),
    KafkaKilled(),
    KafkaLeadersMove(),
    KafkaRollingRestart(),
    KafkaStalls(),
    NewPartitions(),
    MembersJoinAndLeave(),
]
