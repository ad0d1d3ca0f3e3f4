"""Faults of the machine that the bridge runs on."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import time
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from tests.services.machine import no_more_descriptors, no_more_memory, standing_still
from tests.torture.ground import DELIVERED, Striking, Watch, sum_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.services.machine import Descriptors
    from tests.torture.ground import Ground

HOUR_SECONDS = 3600
LATENESS = "workflow_bridge_end_to_end_duration_seconds_sum"  # from the messages' times to their deliveries
LARGE_BYTES = 900_000  # of a message, below the API's limit: more than a process that has no memory can take in
LARGE_MESSAGES = 20
CUT_LOOKS = 40  # from one cut of all connections to the next


class FullDisk(Striking):
    """The disk under the outbox takes nothing more for some seconds; the bridge goes on by itself."""

    name = "full_disk"

    def suits(self, ground: Ground) -> bool:
        """See Striking."""
        return ground.disk is not None

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        async with full_disk(ground, watch) as taken:
            await asyncio.sleep(ground.rng.uniform(1, 5))
        began = time.monotonic()
        await watch.logged("outbox_writes_again")
        await watch.delivered()
        return (
            f"no room beside {taken:,} bytes; the next call delivered {time.monotonic() - began:.1f} s after there was"
        )


@asynccontextmanager
async def full_disk(ground: Ground, watch: Watch) -> AsyncIterator[int]:
    """The bridge has found out that there is no room; there is again at the end. Gives the bytes that were taken."""
    assert ground.disk is not None
    await asyncio.to_thread(_cut_back_the_log, ground)
    taken = await asyncio.to_thread(ground.disk.fill)
    try:
        await watch.logged("outbox_cannot_write", words="full")
        yield taken
    finally:
        ground.stopwatch.start()
        ground.disk.empty()


def _cut_back_the_log(ground: Ground) -> None:
    """SQLite writes over what its log has from before, for which a full disk has room: leave it nothing of that."""
    with closing(sqlite3.connect(ground.bridge.outbox, timeout=20)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class BrokenDisk(Striking):
    """The disk becomes read-only under the bridge, which is stopped; it is repaired, and the bridge started again."""

    name = "read_only_disk"

    def suits(self, ground: Ground) -> bool:
        """See Striking."""
        return ground.disk is not None and ground.disk.can_break

    async def strike_one(self, ground: Ground) -> str:
        watch, disk = Watch(ground, self.seconds), ground.disk
        assert disk is not None
        await asyncio.to_thread(disk.break_down)
        try:
            said = await watch.logged("outbox_cannot_write")
            alive = ground.bridge.answers("/livez")
        finally:
            try:
                code: int | None = await asyncio.to_thread(ground.bridge.stop)
            except subprocess.TimeoutExpired:
                code = None
                await asyncio.to_thread(ground.bridge.kill)
            await asyncio.to_thread(disk.repair)
            ground.stopwatch.start()
            await asyncio.to_thread(ground.bridge.start)
        await watch.delivered()
        return f"{said['error']}, {'alive' if alive else 'not alive'} meanwhile, left with {code} when asked to"


class ClockJump(Striking):
    """The time of day goes an hour ahead, back, an hour behind, and back again; the bridge delivers throughout."""

    name = "clock_jump"

    def suits(self, ground: Ground) -> bool:
        """See Striking."""
        return ground.clock is not None

    async def strike_one(self, ground: Ground) -> str:
        watch, clock = Watch(ground, self.seconds), ground.clock
        assert clock is not None
        seen = []
        try:
            for hours in (1, -1):
                before = sum_of(ground.bridge, LATENESS)
                clock.jump_to(hours * HOUR_SECONDS)
                # What is delivered now is late, or early, by an hour, as the bridge sees it.
                await watch.until(partial(_later_by, ground, before, hours))
                await watch.delivered(10)
                seen.append(f"{hours:+d} h")
                clock.jump_to(0)
                await watch.delivered(10)
        finally:
            clock.jump_to(0)
        return f"messages were {' and then '.join(seen)} late"


def _later_by(ground: Ground, before: float, hours: int) -> bool:
    return (sum_of(ground.bridge, LATENESS) - before) * hours > HOUR_SECONDS / 2


class StandingStill(Striking):
    """The process gets no time for longer than its consumer group waits: its partitions are given away meanwhile."""

    name = "stand_still"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        assert ground.bridge.process is not None
        began = time.monotonic()
        with standing_still(ground.bridge.process.pid):
            async with asyncio.timeout(self.seconds):
                while await ground.kafka.members(ground.group):
                    await asyncio.sleep(0.2)
            stood = time.monotonic() - began
            ground.stopwatch.start()
        ground.tally["rebalances"] += 2
        await watch.logged("partitions_assigned")
        took = await watch.delivered()
        return f"its group was empty after {stood:.1f} s; the next call delivered {took:.1f} s after it was back in it"


class NoDescriptors(Striking):
    """The bridge can open nothing, just when it has lost its connections; then it can again."""

    name = "no_descriptors"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        assert ground.bridge.process is not None
        with no_more_descriptors(ground.bridge.process.pid) as held:
            said = await watch.logged(
                "source_lost", "config_reload_failed", words="open files", meanwhile=_cut(held, ground)
            )
        took = await watch.delivered()
        return f"{held.opened} open and no more: {said['event']}; delivering {took:.1f} s after"


def _cut(held: Descriptors, ground: Ground) -> Callable[[], None]:
    """Its connections, and again after a while; what it closes then it does not get back, unless it was faster."""
    looks = count()

    def look() -> None:
        if next(looks) % CUT_LOOKS == 0:
            ground.rabbit_proxy.cut()
            ground.kafka.cut()
        held.tighten()

    return look


class NoMemory(Striking):
    """No memory for large messages: the bridge goes on or dies, and then somebody starts it again."""

    name = "no_memory"

    async def strike_one(self, ground: Ground) -> str:
        watch = Watch(ground, self.seconds)
        process = ground.bridge.process
        assert process is not None
        ballast = b'{"type":"ballast","x":"' + b"x" * LARGE_BYTES + b'"}'
        delivered = sum_of(ground.bridge, DELIVERED)
        try:
            with no_more_memory(process.pid, spare_bytes=0) as limit:
                await ground.kafka.produce(ground.growing_topic, [ballast] * LARGE_MESSAGES)
                await watch.until(lambda: process.poll() is not None or watch.find_words("MemoryError"))
            # It may have said so on its way to its end.
            await watch.until(lambda: process.poll() is not None or _delivers(ground, delivered))
        finally:
            died = process.poll()
            ground.stopwatch.start()
            if died is not None:
                ground.bridge.kill()  # it is dead already: whoever counts deaths is told
                ground.tally["kills"] += 1
                await asyncio.to_thread(ground.bridge.start)
        await watch.delivered()
        return f"no more than {limit / 1e6:.0f} MB: {'went on' if died is None else f'died ({died})'}"


def _delivers(ground: Ground, before: float) -> bool:
    with suppress(OSError):
        return sum_of(ground.bridge, DELIVERED) > before
    return False


FAULTS: list[Striking] = [
    FullDisk(),
    BrokenDisk(),
    ClockJump(),
    StandingStill(),
    NoDescriptors(),
    NoMemory(),
]
