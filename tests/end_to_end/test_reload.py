"""Fifty reloads while messages flow from real Kafka: each message is routed by one configuration, once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaProducer

from bridge.emulator.server import Emulator
from tests.end_to_end.bridge_process import BridgeProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.services.kafka import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 4
STEPS = 50
BROKEN_EVERY = 5  # the last of so many steps writes something that cannot be used
RESTART_AT = 23  # also changes how one source is read
DURING, AFTER = 320, 80  # messages produced while a reload is under way, and once it is done
MESSAGES = AFTER + STEPS * (DURING + AFTER)
WAIT_SECONDS = 60
WORKFLOWS = ("first", "second")


class Mount:
    """A folder of rules, changed as people and machines change files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.file = folder / "rules.yaml"
        self._versions = 0

    def in_place(self, text: str) -> None:
        """As a careless script does it: half of the file is there for a while."""
        with self.file.open("w") as file:
            file.write(text[: len(text) // 2])
            file.flush()
            file.write(text[len(text) // 2 :])

    def renamed(self, text: str) -> None:
        """As editors do it."""
        new = self.folder / ".rules.new"
        new.write_text(text)
        new.replace(self.file)

    def swapped(self, text: str) -> None:
        """As Kubernetes does it: the file is a link through ``..data``, and that one is pointed elsewhere."""
        self._versions += 1
        version = self.folder / f"..{self._versions}"
        version.mkdir()
        (version / self.file.name).write_text(text)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self.folder / "..data")
        if not self.file.is_symlink():
            link.symlink_to(f"..data/{self.file.name}")
            link.replace(self.file)


class Flow:
    """Produces messages, and knows how many."""

    def __init__(self, producer: AIOKafkaProducer, topics: dict[str, str]) -> None:
        self.produced = 0
        self._producer = producer
        self._topics = topics

    async def produce(self, count: int) -> None:
        """So many more, spread over the partitions of the first topic, and one in ten to the second."""
        sent = []
        for number in range(self.produced, self.produced + count):
            topic = self._topics["payments" if number % 10 == 0 else "orders"]
            value = b'{"n":%d}' % number
            sent.append(await self._producer.send(topic, value, partition=number % PARTITIONS))
            if number % 40 == 0:
                await self._producer.flush()
        await asyncio.gather(*sent)
        self.produced += count


def rules(sources: dict[str, Any], generation: int) -> dict[str, Any]:
    """Two rules for every message, whose calls say which configuration they are from."""
    params = {"generation": "${vars.generation}", "at": "${source}/${partition}", "offset": "${offset}"}
    made = [
        {"name": f"{name}-rule", "create": {"workflow": name, "id": "m-${body.n}", "params": params}}
        for name in WORKFLOWS
    ]
    return {"vars": {"generation": generation}, "sources": sources, "rules": made}


def broken(kind: int, text: str) -> str:
    """Something that cannot be used."""
    other = json.loads(text)
    if kind == 0:
        return text[:-20]
    if kind == 1:
        other["rules"][0]["when"] = "body.n =="
    elif kind == 2:
        other["outbox"] = {"path": "elsewhere.db"}
    elif kind == 3:
        other["rules"][1]["name"] = other["rules"][0]["name"]
    else:
        other["sources"]["orders"]["topcis"] = ["t"]
    return json.dumps(other)


class Story:
    """The bridge, what it reads, and what has been done to it so far."""

    def __init__(self, bridge: BridgeProcess, mount: Mount, sources: dict[str, Any], flow: Flow) -> None:
        self.bridge = bridge
        self.mount = mount
        self.sources = sources
        self.flow = flow
        self.good = 0  # reloads that were right

    async def step(self, number: int) -> None:
        """One reload under load, and its effect."""
        bad = number % BROKEN_EVERY == BROKEN_EVERY - 1
        if number == RESTART_AT:
            self.sources["orders"]["fetch"] = {"max_records": 111}
        before = self.outcome()
        producing = asyncio.create_task(self.flow.produce(DURING))
        await asyncio.sleep(0)
        text = json.dumps(rules(self.sources, self.good + (not bad)))
        self.change(number, broken(number // BROKEN_EVERY % 5, text) if bad else text)
        if bad:
            await self.until(lambda: self.outcome()[0] > before[0])
            assert self.outcome()[1:] == (before[1], 0)
        else:
            self.good += 1
            await self.until(lambda: self.outcome()[1:] == (1 + self.good, 1))
        await producing
        await self.flow.produce(AFTER)
        await self.until(lambda: self.received() >= self.flow.produced)

    def change(self, number: int, text: str) -> None:
        """By a signal, by one of two ways to write a file, or as a mounted ConfigMap."""
        if number >= STEPS - BROKEN_EVERY:
            self.mount.swapped(text)
        elif number % 2:
            self.mount.in_place(text)
            assert self.bridge.process is not None
            os.kill(self.bridge.process.pid, signal.SIGHUP)
        else:
            self.mount.renamed(text)

    def outcome(self) -> tuple[float, float, float]:
        """Reloads that failed, the generation, and whether the last reload succeeded."""
        found = self.bridge.metrics()
        prefix = "workflow_bridge_config_"
        failed = found[prefix + 'reloads_total{outcome="failed"}']
        return failed, found[prefix + "generation"], found[prefix + "last_reload_successful"]

    def received(self) -> float:
        """Messages routed, however often."""
        return self.total("source_messages_received_total")

    def total(self, counter: str) -> float:
        """Over all sources."""
        return sum(value for name, value in self.bridge.metrics().items() if f"_{counter}{{" in name)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.01)


def check_routes(emulator: Emulator) -> None:
    """Nothing lost, nothing doubled, one configuration for each message, and never an older one after a newer."""
    offered = Counter((record.workflow, name) for record in emulator.journal.records for name in record.offered)
    assert offered == {(name, f"m-{number}"): 1 for name in WORKFLOWS for number in range(MESSAGES)}
    first, second = (
        {key: found.params for key, found in emulator.account.workflows[name].instances.items()} for name in WORKFLOWS
    )
    assert first == second
    assert set(emulator.account.workflows) == set(WORKFLOWS)
    routes = sorted((params["at"], params["offset"], params["generation"]) for params in first.values())
    assert len({(at, offset) for at, offset, _ in routes}) == MESSAGES
    for at in {at for at, _, _ in routes}:
        generations = [generation for place, _, generation in routes if place == at]
        assert generations == sorted(generations)
    assert {generation for _, _, generation in routes} == set(range(STEPS - STEPS // BROKEN_EVERY + 1))


async def test_fifty_reloads_under_load(kafka: KafkaServer, tmp_path: Path) -> None:
    """Ten of them broken, 20,000 messages: nothing lost or doubled, and the broken ones change nothing.

    The forty right ones all take effect, from one message of a partition to the next; a source that is read in another
    way restarts, and the other source does not notice. Shadow rules see every message, and call nothing.
    """
    topics = {"orders": await kafka.topic(PARTITIONS), "payments": await kafka.topic(PARTITIONS)}
    sources: dict[str, Any] = {
        name: {"type": "kafka", "bootstrap_servers": [kafka.bootstrap], "topics": [topic], "group_id": topic}
        for name, topic in topics.items()
    }
    mount = Mount(tmp_path / "rules")
    mount.renamed(json.dumps(rules(sources, 0)))
    shadow = tmp_path / "shadow.yaml"
    shadow.write_text("rules: [{name: never, create: {workflow: shadow, id: 'm-${body.n}'}}]")
    started = time.monotonic()
    async with Emulator() as emulator, AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        token = tmp_path / "token"
        token.write_text(emulator.token)
        target = {"account_id": emulator.account_id, "base_url": emulator.base_url, "api_token_file": str(token)}
        config = {
            "targets": {"main": target},
            "include": f"{mount.folder}/*.yaml",
            "shadow": str(shadow),
            "reload": {"interval_seconds": 0.1},
        }
        bridge = BridgeProcess(tmp_path / "bridge", config)
        with bridge:
            story = Story(bridge, mount, sources, Flow(producer, topics))
            await story.flow.produce(AFTER)
            await story.until(lambda: story.received() == AFTER)
            for number in range(STEPS):
                await story.step(number)
            await story.until(lambda: bridge.stored() == 0)
            assert story.total("shadow_differing_total") == story.total("shadow_messages_total") == MESSAGES
            assert await asyncio.to_thread(bridge.stop) == 0
        check_routes(emulator)
    events = Counter((event["event"], event.get("source", "")) for event in bridge.events())
    assert events["config_reloaded", ""] == story.good == STEPS - STEPS // BROKEN_EVERY
    assert events["source_opened", "orders"] == 2
    assert events["source_opened", "payments"] == events["partitions_assigned", "payments"] == 1
    assert not {name for name, _ in events} & {"source_lost", "source_stopped_early", "messages_dead_lettered"}
    failures = [event["problems"] for event in bridge.events() if event["event"] == "config_reload_failed"]
    assert len(failures) >= STEPS // BROKEN_EVERY
    assert all(failures)
    print(f"{STEPS} reloads, {MESSAGES} messages in {time.monotonic() - started:.1f} s")  # noqa: T201
