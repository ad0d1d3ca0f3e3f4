"""One run: two bridges, faults drawn from a seed until the time is over or enough kills were made, and a comparison."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.services.rabbitmq import RabbitServer
from tests.torture import faults_api, faults_brokers, faults_machine, faults_process
from tests.torture.site import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.services.kafka_cluster import KafkaCluster
    from tests.torture.ground import Striking
    from tests.torture.ledger import Findings

KINDS = ("sqlite", "memory")
ACK_TIMEOUT_SECONDS = 15  # of RabbitMQ: the memory outbox holds messages while the API is away
# These strike what both bridges use, so one of them at a time.
SHARED = {"kafka_kill", "rolling_restart", "leader_change", "kafka_cut", "kafka_stall", "rabbitmq_kill"}
GROWTH_MIB = 60  # of resident memory, from the first lives to the last
GROWTH_DESCRIPTORS = 15
LONG_ENOUGH_SECONDS = 5  # of a life whose use counts
FAULTS: list[Striking] = [
    *faults_process.FAULTS,
    *faults_api.FAULTS,
    *faults_brokers.FAULTS,
    *faults_machine.FAULTS,
]


class Plan(NamedTuple):
    """What a run is to be."""

    seed: int
    minutes: float
    kills: int = 0  # it ends earlier with so many; 0: not
    sabotage: str = ""
    kinds: Sequence[str] = KINDS
    names: frozenset[str] | None = None  # of the faults that strike; None: all. Kills always do
    once: bool = False  # it ends earlier when every fault has had an effect
    kills_per_fault: int = 5
    pause_seconds: float = 0.05  # between two messages to one broker
    drain_seconds: float = 90  # of waiting at the end without any progress
    logs: Path | None = None  # a folder for the logs of the bridges


class Report(NamedTuple):
    """What a run has shown."""

    plan: Plan
    minutes: float
    strikes: Counter[str]
    effects: Counter[str]
    tally: Counter[str]
    recoveries: dict[str, float]  # the worst of each fault
    findings: dict[str, Findings]
    problems: Sequence[str]


class OnlyOne(NamedTuple):
    """See ``Grounds``: a fault chooses among one."""

    rng: Random
    grounds: Sequence[Site]


class Run:
    """Faults and their effects, of all sites."""

    def __init__(self, plan: Plan, kafka: KafkaCluster) -> None:
        self.plan = plan
        self.kafka = kafka
        self.sites: list[Site] = []
        self.strikes, self.effects = Counter[str](), Counter[str]()
        self.problems: list[str] = []
        self.recoveries: dict[str, float] = {}
        self._shared = asyncio.Lock()
        self._ends = 0.0
        self._began = 0.0

    async def __call__(self) -> Report:
        """Raises nothing for what the bridges do; that is in the report."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            if self.plan.logs is not None:
                self.plan.logs.mkdir(parents=True, exist_ok=True)
            await self._open(stack)
            self._began = loop.time()
            self._ends = self._began + self.plan.minutes * 60
            for site in self.sites:
                site.start_traffic()
            await asyncio.gather(*map(self._torture, self.sites))
            minutes = (loop.time() - self._began) / 60
            for site in self.sites:
                site.emulator.clear_faults()
            await asyncio.gather(*(site.drain(self.plan.drain_seconds) for site in self.sites))
            findings = {site.name: await self._compare(site) for site in self.sites}
        self._complain(findings)
        tally = sum((site.tally for site in self.sites), Counter[str]())
        return Report(self.plan, minutes, self.strikes, self.effects, tally, self.recoveries, findings, self.problems)

    async def _open(self, stack: AsyncExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-", ignore_cleanup_errors=True)))
        (folder / "rabbitmq").mkdir()
        rabbit = RabbitServer(folder / "rabbitmq", ack_timeout_seconds=ACK_TIMEOUT_SECONDS)
        stack.callback(rabbit.end)
        await asyncio.to_thread(rabbit.start)
        for kind in self.plan.kinds:
            place = folder / kind
            place.mkdir()
            site = Site(kind, kind, place, self.plan.seed)
            site.traffic.pause_seconds = self.plan.pause_seconds
            stack.push_async_callback(site.close)
            self.sites.append(site)
            await site.open(self.kafka, rabbit, SABOTAGE=self.plan.sabotage)

    async def _torture(self, site: Site) -> None:
        """Some kills, a fault, and so on: each kind in an order of its own, and anew when all have been."""
        kills, faults = Deck(faults_process.KILLS, site), Deck(self._enabled(site), site)
        while not self._over():
            for deck in (*[kills] * self.plan.kills_per_fault, faults):
                if deck.faults and not self._over():
                    await asyncio.sleep(site.rng.uniform(0, 1))
                    await self._strike(site, deck.draw())

    def _enabled(self, site: Site) -> list[Striking]:
        names = self.plan.names
        return [fault for fault in FAULTS if fault.suits(site) and (names is None or fault.name in names)]

    def _over(self) -> bool:
        if self.plan.once and self.plan.names is not None:
            wanted = self.plan.names | {fault.name for fault in faults_process.KILLS}
            if all(self.effects[name] for name in wanted):
                return True
        enough = self.plan.kills and self.kills() >= self.plan.kills
        return bool(enough) or asyncio.get_running_loop().time() >= self._ends

    def kills(self) -> int:
        """SIGKILLs so far."""
        return sum(site.bridge.ends[faults_process.KILLED] for site in self.sites)

    async def _strike(self, site: Site, fault: Striking) -> None:
        began = time.monotonic()
        if fault.name in SHARED:
            async with self._shared:
                began = time.monotonic()
                seen = await self._seen(site, fault)
        else:
            seen = await self._seen(site, fault)
        self.strikes[fault.name] += 1
        self.effects[fault.name] += seen is not None
        if site.stopwatch.seconds:
            worst = max(site.stopwatch.seconds)
            site.stopwatch.seconds.clear()
            self.recoveries[fault.name] = max(self.recoveries.get(fault.name, 0.0), worst)
        said = {"second": round(time.monotonic() - self._began), "site": site.name, "fault": fault.name, "seen": seen}
        sys.stderr.write(json.dumps({**said, "took": round(time.monotonic() - began, 1)}) + "\n")
        await asyncio.to_thread(site.bridge.look)

    async def _seen(self, site: Site, fault: Striking) -> str | None:
        try:
            return await fault.strike(OnlyOne(site.rng, [site]))
        except Exception as error:  # noqa: BLE001  a bridge that does not start again is what is looked for
            self._trouble(f"{site.name}: {fault.name}: {error!r}"[:2000])
        finally:
            if site.bridge.process is None or site.bridge.process.poll() is not None:
                await self._revive(site, fault)
        return None

    async def _revive(self, site: Site, fault: Striking) -> None:
        """It has ended where it should not have, or has not been started again."""
        self._trouble(f"{site.name}: {fault.name}: no process runs after it")
        with contextlib.suppress(RuntimeError):
            if site.disk is not None and fault.name == "read_only_disk":
                await asyncio.to_thread(site.disk.repair)
        await asyncio.to_thread(site.bridge.start)

    def _trouble(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        self.problems.append(text)

    async def _compare(self, site: Site) -> Findings:
        code = await asyncio.to_thread(site.bridge.stop)
        if code:
            self.problems.append(f"{site.name}: left with {code} at the end")
        self.problems += [f"{site.name}: committed past what is safe: {text}" for text in await site.overcommitted()]
        self.problems += [f"{site.name}: the outbox file is damaged: {text}" for text in site.damage()]
        self.problems += [f"{site.name}: {text}" for text in grown(site.bridge.usage)]
        site.tally["kills"] = site.bridge.ends[faults_process.KILLED]
        findings = await site.findings()
        if self.plan.logs is not None:
            await asyncio.to_thread(shutil.copy, site.bridge.log, self.plan.logs / f"{site.name}.log")
        return findings

    def _complain(self, findings: dict[str, Findings]) -> None:
        for name, found in findings.items():
            self.problems += [f"{name}: {text}" for text in found.problems]
        idle = [name for name, struck in self.strikes.items() if struck and not self.effects[name]]
        self.problems += [f"{name} had no effect" for name in idle]


class Deck:
    """Faults in a random order, and again in another when all have been drawn."""

    def __init__(self, faults: Sequence[Striking], site: Site) -> None:
        self.faults = faults
        self._rng = Random(f"{site.rng.random()}")
        self._left: list[Striking] = []

    def draw(self) -> Striking:
        if not self._left:
            self._left = self._rng.sample(list(self.faults), len(self.faults))
        return self._left.pop()


def grown(usage: Sequence[tuple[float, int, int]]) -> list[str]:
    """Whether the last lives of a process used more than the first ones; (seconds, MiB, descriptors) of each look."""
    lives = [look for look in usage if look[0] >= LONG_ENOUGH_SECONDS]
    if len(lives) < 8:
        return []
    first, last = lives[: len(lives) // 4], lives[-(len(lives) // 4) :]
    found = []
    for place, (what, most) in enumerate([("MiB", GROWTH_MIB), ("descriptors", GROWTH_DESCRIPTORS)], 1):
        before, after = (sorted(look[place] for look in part)[len(part) // 2] for part in (first, last))
        if after > before + most:
            found.append(f"from {before} to {after} {what}")
    return found
