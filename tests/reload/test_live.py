"""Targets change while calls are sent, with the real outbox and an emulator for each side."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import pytest

from bridge.config import Config
from bridge.dispatch.batching import Kind, Request
from bridge.dispatch.sending import Done, Sender
from bridge.dispatch.timeline import Clock
from bridge.emulator.server import Emulator
from bridge.errors import ConfigError
from bridge.message import Message
from bridge.metrics import Metrics
from bridge.outbox.settings import SqliteSettings
from bridge.outbox.sqlite import SqliteOutbox
from bridge.parts import Shared
from bridge.reload.live import Live
from bridge.reload.plan import plan_for
from tests.dispatch.entries import entry
from tests.outbox.subjects import create, intake_of
from tests.services.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECONDS = 60.0  # far more than anything here takes


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default outbox is a file of the working folder, and sources write beside it."""
    monkeypatch.chdir(tmp_path)


def config(**targets: Emulator) -> Config:
    (port,) = free_ports(1)  # nobody listens there: no source is ever opened
    source = {"type": "kafka", "bootstrap_servers": [f"127.0.0.1:{port}"], "topics": ["t"], "group_id": "g"}
    rule = {"name": "r", "create": {"workflow": "fulfil-order", "target": next(iter(targets))}}
    made: dict[str, Any] = {
        name: {"account_id": emulator.account_id, "base_url": emulator.base_url, "api_token": emulator.token}
        for name, emulator in targets.items()
    }
    return Config.model_validate({"targets": made, "sources": {"orders": source}, "rules": [rule]})


class Stage:
    """A running second half, and the configuration it has."""

    def __init__(self, folder: Path, first: Config) -> None:
        self.outbox = SqliteOutbox(SqliteSettings(path=folder / "outbox.db"), clock=lambda: 1_800_000_000_000)
        clock = Clock(lambda: 1_800_000_000_000, lambda: 0.5, time.monotonic)
        self.live = Live(first, Shared(self.outbox, Metrics(), clock))
        self.config = first
        self.numbers = iter(range(1_000))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.outbox.open()
        async with asyncio.TaskGroup() as tasks:
            self.live.start(tasks)
            sending = tasks.create_task(self.live.dispatcher.run())
            yield
            self.live.sources.stop_all()
            self.live.dispatcher.stop()
            await asyncio.wait([sending])
        await self.outbox.close()
        await asyncio.wait_for(self.live.close(), SECONDS)

    async def change(self, new: Config, *sources: str) -> None:
        """Take it over, with these sources; without any, with those of before."""
        (known, *_) = self.config.sources.values()
        new = new.model_copy(update={"sources": dict.fromkeys(sources or self.config.sources, known)})
        await self.live.change(self.live.prepare(new, plan_for(self.config, new)))
        self.config = new

    async def arrives(self, emulator: Emulator, target: str = "main") -> None:
        """A call that is stored now is made there."""
        name = f"i{next(self.numbers)}"
        body = b'{"instance_id":"%s"}' % name.encode()
        await self.outbox.add(intake_of(create(int(name[1:]), name, target=target, body=body)))
        async with asyncio.timeout(SECONDS):
            while not any(name in record.created for record in emulator.journal.records):
                await asyncio.sleep(0.002)


async def test_a_target_that_changed_is_called_at_its_new_place(tmp_path: Path) -> None:
    """Calls stored before and after go on; the old connections are closed when their requests have ended."""
    async with Emulator() as here, Emulator() as there:
        stage = Stage(tmp_path, config(main=here))
        async with stage.running():
            await stage.arrives(here)
            old = stage.live._lines["main"].sender
            await stage.change(config(main=there))
            await stage.arrives(there)
            assert stage.live._lines["main"].sender is not old
            await stage.change(config(main=here))
            await stage.arrives(here)


async def test_a_target_that_is_gone_is_still_called_for_what_waits(tmp_path: Path) -> None:
    """And one that is new is called at once."""
    async with Emulator() as here, Emulator() as there:
        stage = Stage(tmp_path, config(main=here))
        async with stage.running():
            await stage.change(config(other=there))
            await stage.arrives(there, "other")
            await stage.arrives(here, "main")


async def test_sources_come_and_go(tmp_path: Path) -> None:
    """One that is new begins, one that is gone ends, and one that stays is the same as before with the new rules."""
    async with Emulator() as here:
        stage = Stage(tmp_path, config(main=here))
        async with stage.running():
            running = stage.live.sources._running
            kept = running["orders"].supervisor
            await stage.change(config(main=here), "orders", "more")
            assert set(running) == {"orders", "more"}
            assert running["orders"].supervisor is kept
            assert kept.current.translation.config == stage.config.digest()
            await stage.change(config(main=here), "more")
            assert set(running) == {"more"}


def with_source(made: Config, name: str, **settings: Any) -> Config:
    """The same with one more source."""
    (known, *_) = made.sources.values()
    source = type(known).model_validate({**known.model_dump(), **settings})
    return made.model_copy(update={"sources": {**made.sources, name: source}})


class CountedClient(httpx.AsyncClient):
    """Remembers those that are open."""

    open: ClassVar[set[httpx.AsyncClient]] = set()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.open.add(self)

    async def aclose(self) -> None:
        await super().aclose()
        self.open.discard(self)


async def test_a_reload_that_fails_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither clients of registries, nor what scrapes are told: a target after them has a file that is of no use."""
    monkeypatch.setattr(httpx, "AsyncClient", CountedClient)
    (tmp_path / "ca.pem").write_text("no certificate")
    registry = {"decode": "avro", "registry": {"url": "http://127.0.0.1:1"}}
    async with Emulator() as here:
        stage = Stage(tmp_path, config(main=here))
        async with stage.running():
            quota = stage.live._shared.metrics.watch._quotas["main"]
            new = with_source(config(main=here), "more", **registry)
            target = new.targets["main"]
            wrong = {"main": target.model_copy(update={"concurrency": 2}),
                     "other": target.model_copy(update={"ca_file": tmp_path / "ca.pem"})}  # fmt: skip
            new = new.model_copy(update={"targets": wrong})
            with pytest.raises(ConfigError, match=r"targets\.other\.ca_file.*holds no certificates"):
                stage.live.prepare(new, plan_for(stage.config, new))
            assert stage.live._shared.metrics.watch._quotas["main"] is quota
            await stage.arrives(here)
    assert not CountedClient.open


async def test_a_source_whose_schema_changed_decodes_by_the_new_one(tmp_path: Path) -> None:
    """It goes on reading; the old codec is closed."""
    schema = tmp_path / "order.json"
    schema.write_text('{"type": "object"}')
    async with Emulator() as here:
        first = with_source(config(main=here), "orders", schema_file=schema)
        first.look_into_files()
        stage = Stage(tmp_path, first)
        async with stage.running():
            running = stage.live.sources._running["orders"]
            body = Message("orders", "1", "t", None, (), b"{}", None, {})
            assert not running.supervisor.current.translation.decoder.decode([body]).failed
            schema.write_text('{"type": "array"}')
            second = with_source(first, "orders", schema_file=schema)
            second.look_into_files()
            plan = plan_for(first, second)
            assert (plan.reread, plan.restart) == (("orders",), ())
            await stage.live.change(stage.live.prepare(second, plan))
            assert stage.live.sources._running["orders"] is running
            assert running.supervisor.current.translation.decoder.decode([body]).failed
            assert not running.task.done()


async def test_a_rotated_token_is_taken_up_when_somebody_asks(tmp_path: Path) -> None:
    """Without waiting until the API refuses the old one."""
    async with Emulator() as here:
        token = tmp_path / "token"
        token.write_text("an-old-one")
        made = config(main=here)
        settings = type(made.targets["main"]).model_validate(
            {"account_id": here.account_id, "base_url": here.base_url, "api_token_file": token}
        )
        stage = Stage(tmp_path, made.model_copy(update={"targets": {"main": settings}}))
        token.write_text(here.token)
        stage.live.reread_tokens()
        async with stage.running():
            await stage.arrives(here)
            assert "" not in {record.token for record in here.journal.records}


class SlowClient:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.closed = False

    async def create(self, _workflow: str, _body: bytes) -> None:
        self.asked.set()
        await self.answer.wait()

    async def close(self) -> None:
        self.closed = True


async def test_connections_stay_until_their_requests_are_answered() -> None:
    """Cutting one off would leave it unknown whether the call was made."""
    client = SlowClient()
    sender = Sender(client, Metrics(), time.monotonic)  # type: ignore[arg-type]  # what it asks of it
    one = entry(1)
    sending = asyncio.create_task(sender.send(Request(Kind.CREATES, one.queue, [one])))
    await client.asked.wait()
    closing = asyncio.create_task(sender.close())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not client.closed
    client.answer.set()
    await asyncio.wait_for(closing, SECONDS)
    assert client.closed
    assert await sending == [(one, Done("created"))]
