"""Faults of RabbitMQ, and of the network between it and the bridge."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.services.rabbitmq import RabbitServer
from tests.torture.faults_machine import full_disk
from tests.torture.ground import Striking, Watch

if TYPE_CHECKING:
    from tests.torture.ground import Ground


class RabbitKilled(Striking):
    """The broker is killed and started again on its data."""

    name = "rabbitmq_kill"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        await asyncio.to_thread(ground.rabbit.kill)
        try:
            said = await watch.logged("source_lost")
        finally:
            await asyncio.to_thread(RabbitServer.start, ground.rabbit)
            ground.stopwatch.start()
        ground.tally["broker_restarts"] += 1
        return f"{said['reason']}; {await _reopened(watch)}"


class RabbitCut(Striking):
    """Every connection to RabbitMQ is reset."""

    name = "rabbitmq_cut"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        await watch.until(lambda: ground.rabbit_proxy.connections)
        ground.stopwatch.start()
        cut = ground.rabbit_proxy.cut()
        said = await watch.logged("source_lost")
        return f"{cut} connections reset: {said['reason']}; {await _reopened(watch)}"


class QueueDeleted(Striking):
    """One queue of a source is deleted under it: the broker cancels the consumer; then the queue is made again."""

    name = "queue_delete"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        await ground.rabbit.delete_queue(ground.spare_queue)
        try:
            said = await watch.logged("source_lost", words=f"cancelled the consumer of queue {ground.spare_queue}")
        finally:
            await ground.rabbit.queue(ground.spare_queue)
        return f"{said['reason']}; {await _reopened(watch)}"


class AckTimesOut(Striking):
    """The bridge cannot store, so it acknowledges nothing for longer than the broker waits: the channel is closed."""

    name = "ack_timeout"

    def suits(self, ground: Ground) -> bool:
        """See Striking."""
        return ground.disk is not None and ground.rabbit.ack_timeout_seconds is not None

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds + (ground.rabbit.ack_timeout_seconds or 0))
        async with full_disk(ground, watch):
            said = await watch.logged("source_lost", words="acknowledgement")
        return f"{said['reason']}; {await _reopened(watch)}"


async def _reopened(watch: Watch) -> str:
    await watch.logged("source_opened")
    return f"the next call delivered {await watch.delivered():.1f} s after it was opened again"


FAULTS: list[Striking] = [RabbitCut(), RabbitKilled(), QueueDeleted(), AckTimesOut()]
