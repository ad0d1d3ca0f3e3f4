"""One bridge under torture, with its topics, queues, emulator and ledger: the ground that faults strike."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings
from bridge.outbox.admin import SqliteOutboxAdmin
from tests.end_to_end.bridge_process import BridgeProcess
from tests.services.disk import SmallDisk
from tests.services.machine import JumpingClock, descriptors
from tests.services.proxy import Proxy
from tests.torture.board import Board, Cell
from tests.torture.ledger import Allowed, Findings, Key, Ledger
from tests.torture.traffic import AUDIT, FULFIL, PARTITIONS, RULES, SIGNALLED, Traffic, key_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bridge.emulator.journal import Record
    from tests.services.kafka_cluster import KafkaCluster
    from tests.services.rabbitmq import RabbitServer

SESSION_SECONDS = 6
GRACE_SECONDS = 4
WORKFLOWS = dict.fromkeys((FULFIL, SIGNALLED), "waits:never") | {AUDIT: "completes"}
KEPT_RECORDS = 1000  # of the emulator's journal: the ledger listens to all


class TorturedBridge(BridgeProcess):
    """A bridge that the launcher has started; whenever it ends, what was under way is written down."""

    module = "tests.torture.launcher"
    start_seconds = 90

    def __init__(self, folder: Path, config: dict[str, Any], environment: Mapping[str, str]) -> None:
        self.board = Board(folder.with_suffix(".board"))
        super().__init__(folder, config, {**environment, "TORTURE_BOARD": str(folder.with_suffix(".board"))})
        self.under_way = Counter[str]()  # at the ends of its processes: events, creates, messages
        self.ends = Counter[int]()  # exit codes
        self.began = 0.0
        self.usage: list[tuple[float, int, int]] = []  # of each life: its seconds, MiB and descriptors

    def start(self) -> Self:
        self._ended()
        self.began = time.monotonic()
        super().start()
        return self

    def kill(self) -> None:
        self.look()
        super().kill()
        self._ended()

    def stop(self) -> int:
        self.look()
        try:
            return super().stop()
        finally:
            self._ended()

    def dies(self, seconds: float) -> int | None:
        """Its exit code, once it has ended by itself; None: it has not in that time."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while (code := self.process.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self._ended()
        return code

    def launch(self) -> None:
        """Start, and do not wait for it."""
        with contextlib.suppress(AssertionError):
            patience, self.start_seconds = self.start_seconds, 0
            try:
                self.start()
            finally:
                self.start_seconds = patience

    def look(self) -> None:
        """Write down what a life uses."""
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(OSError, StopIteration):
            opened = len(descriptors(self.process.pid))
            self.usage.append((time.monotonic() - self.began, self.rss_mib(), opened))

    def _ended(self) -> None:
        if self.process is None or self.process.poll() is None:
            return
        self.ends[self.process.returncode] += 1
        self.process = None
        board = self.board
        self.under_way.update(
            events=board[Cell.EVENTS], creates=board[Cell.CREATES], messages=board[Cell.UNACKNOWLEDGED]
        )
        for cell in (Cell.EVENTS, Cell.CREATES, Cell.UNACKNOWLEDGED):
            board[cell] = 0


class Site:
    """See ``Ground``. ``kind``: of the outbox."""

    def __init__(self, name: str, kind: str, folder: Path, seed: int) -> None:
        self.name, self.kind, self.folder, self.rng = name, kind, folder, Random(f"{seed}/{name}")
        self.emulator = Emulator(EmulatorSettings(workflows=WORKFLOWS, journal_records=KEPT_RECORDS, seed=seed))
        self.ledger = Ledger(strict=kind == "sqlite")
        self.traffic = Traffic(self.ledger, name, Random(f"{seed}/{name}/traffic"), 0.05)
        self.disk = SmallDisk(folder / "disk") if kind == "sqlite" else None
        self.clock = JumpingClock(folder / "offset") if kind == "sqlite" else None
        self.topic = self.growing_topic = self.group = self.queue = self.spare_queue = self.dead_topic = ""
        self.tally, self.stopwatch = Counter[str](), Recovery()
        self.rabbit_proxy: Proxy
        self.bridge: TorturedBridge
        self.kafka: KafkaCluster
        self.rabbit: RabbitServer

    async def open(self, kafka: KafkaCluster, rabbit: RabbitServer, **environment: str) -> None:
        """Make topics and queues, and start the bridge."""
        self.kafka, self.rabbit = kafka, rabbit
        self.topic, self.growing_topic = await kafka.topic(PARTITIONS), await kafka.topic(1)
        self.dead_topic = await kafka.topic(1)
        self.queue, self.spare_queue = await _single_queue(rabbit), await rabbit.queue()
        self.group = self.topic
        self.rabbit_proxy = await Proxy(rabbit.port).start()
        await self.emulator.__aenter__()
        add = self.emulator.journal.add

        def heard(record: Record) -> None:
            add(record)
            if self.ledger.heard(record):
                self.stopwatch.delivered()

        self.emulator.journal.add = heard  # type: ignore[method-assign]  # to listen to every record
        if self.disk is not None:
            self.disk.__enter__()
        clock = {} if self.clock is None else dict(self.clock.environment)
        self.bridge = TorturedBridge(self.folder / "bridge", self._config(), {**clock, **environment})
        await asyncio.to_thread(self.bridge.start)

    async def close(self) -> None:
        await self.traffic.stop()
        if hasattr(self, "bridge"):
            await asyncio.to_thread(self.bridge.__exit__)
        if self.disk is not None:
            self.disk.__exit__()
        await self.rabbit_proxy.close()
        await self.emulator.__aexit__()

    def start_traffic(self) -> None:
        """Begin to publish."""
        self.traffic.start(self.kafka, (self.topic, self.growing_topic), self.rabbit, self.queue)

    def hits(self, fault: str) -> int:
        """How many requests a fault of the emulator has hit; 0 where it is not set."""
        return next((state["hits"] for state in self.emulator.application._faults.state() if state["name"] == fault), 0)

    def mend(self, fault: str) -> int:
        """Take a fault away; returns how many requests it has hit."""
        hits = self.hits(fault)
        self.emulator._tell("DELETE", f"faults/{fault}", {})
        return hits

    async def drain(self, seconds: float) -> None:
        """Publish no more, and return when everything has been delivered, or nothing has moved for so long."""
        await self.traffic.stop()
        loop = asyncio.get_running_loop()
        left, moved = self.ledger.missing(), loop.time()
        while left and loop.time() - moved < seconds:
            await asyncio.sleep(0.5)
            now = self.ledger.missing()
            if now < left:
                left, moved = now, loop.time()

    async def findings(self) -> Findings:
        """The comparison, once the bridge has been stopped."""
        board, under_way = self.bridge.board, self.bridge.under_way
        again = 0 if self.kind == "sqlite" else under_way["messages"] + board[Cell.RETURNED]
        allowed = Allowed(
            events=board[Cell.UNKNOWN_EVENTS] + under_way["events"],
            creates=board[Cell.UNKNOWN_CREATES] + under_way["creates"] + self.tally["left_out"],
            messages=again,
        )
        audits: Counter[str] = Counter()
        now_ms = self.emulator.application.now_ms()
        for instance in self.emulator.account.workflow(AUDIT, now_ms).instances.values():
            audits[instance.params["audited"]] += 1
        return self.ledger.compare(audits, await self.dead_letters(), allowed)

    async def dead_letters(self) -> Counter[Key]:
        """Messages that were dead-lettered."""
        if self.kind == "sqlite":
            admin, found, last = SqliteOutboxAdmin(self.bridge.outbox), Counter[Key](), 0
            while page := admin.dead_letters(last, 1000):
                found.update(key_of(stored.letter.message.body) for stored in page)
                last = page[-1].number
            return found
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka.bootstrap, auto_offset_reset="earliest")
        place = TopicPartition(self.dead_topic, 0)
        consumer.assign([place])
        async with consumer:
            found, count = Counter(), (await consumer.end_offsets([place]))[place]
            while found.total() < count:
                found[key_of((await consumer.getone()).value)] += 1
        return found

    async def overcommitted(self) -> list[str]:
        """Partitions whose committed offset is past what is safe; asked while no process of the bridge runs."""
        committed = await self._committed()
        if self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(f"file:{self.bridge.outbox}?mode=ro", uri=True)) as database:
                rows = database.execute("SELECT partition, last_offset FROM positions WHERE last_offset IS NOT NULL")
                stored = {name: last + 1 for name, last in rows}
            return [
                f"{name}: {at} > {stored.get(name, 0)}" for name, at in committed.items() if at > stored.get(name, 0)
            ]
        return [
            f"{sent.id}/{sent.seq} at {sent.partition}/{sent.offset}"
            for sent in self.ledger.sent
            if 0 <= sent.offset < committed.get(f"{self.topic}/{sent.partition}", 0)
            and sent.kind != "bad"
            and not self.ledger.delivered(sent)
        ]

    async def _committed(self) -> dict[str, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        return {f"{place.topic}/{place.partition}": entry.offset for place, entry in offsets.items()}

    def damage(self) -> list[str]:
        """What SQLite says of the outbox file; nothing where it is whole."""
        if self.kind != "sqlite":
            return []
        with contextlib.closing(sqlite3.connect(self.bridge.outbox)) as database:
            said = [row[0] for row in database.execute("PRAGMA integrity_check")]
        return [] if said == ["ok"] else said

    def _config(self) -> dict[str, Any]:
        token, url = self.folder / "token", self.folder / "url"
        token.write_text(self.emulator.token)
        url.write_text(f"amqp://guest:guest@127.0.0.1:{self.rabbit_proxy.port}/")
        return {
            "targets": {"main": self._target(str(token))},
            "sources": {"kafka": self._kafka(), "rabbitmq": self._rabbit(str(url))},
            "rules": RULES,
            "shutdown": {"grace_seconds": GRACE_SECONDS},
            **self._outbox(),
        }

    def _target(self, token: str) -> dict[str, Any]:
        return {
            "account_id": self.emulator.account_id,
            "base_url": self.emulator.base_url,
            "api_token_file": token,
            "timeout_seconds": 3,
        }

    def _kafka(self) -> dict[str, Any]:
        return {
            "type": "kafka",
            "bootstrap_servers": self.kafka.client_bootstrap,
            "topics": [self.topic, self.growing_topic],
            "group_id": self.group,
            "group_instance_id": self.name,
            "session_timeout_seconds": SESSION_SECONDS,
            "rebalance_timeout_seconds": SESSION_SECONDS,
            "lost_after_seconds": 8,
            "metadata_refresh_seconds": 1,
        }

    def _rabbit(self, url: str) -> dict[str, Any]:
        return {"type": "rabbitmq", "url_file": url, "queues": [self.queue, self.spare_queue], "prefetch": 20}

    def _outbox(self) -> dict[str, Any]:
        if self.disk is not None:
            return {"outbox": {"type": "sqlite", "path": str(self.disk.folder / "outbox.db")}}
        letters = {"type": "kafka", "bootstrap_servers": self.kafka.client_bootstrap, "topic": self.dead_topic}
        return {"outbox": {"type": "memory"}, "dead_letters": {"to": letters}}


class Recovery:
    """From the moment in which something is mended to the next call that the API carries out."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._since: float | None = None

    def start(self) -> None:
        """See Stopwatch."""
        self._since = time.monotonic()

    def delivered(self) -> None:
        """A call was carried out."""
        if self._since is not None:
            self.seconds.append(time.monotonic() - self._since)
            self._since = None


async def _single_queue(rabbit: RabbitServer) -> str:
    """With one active consumer: what a killed one had comes back before another is given what follows."""
    name = await rabbit.queue()
    await rabbit.delete_queue(name)
    async with rabbit.channel() as channel:
        await channel.declare_queue(name, durable=True, arguments={"x-single-active-consumer": True})
    return name
