"""What operators do to a real bridge from the command line, beside it and without it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge.call import Call, Operation, Policy
from bridge.cli import app
from bridge.dead_letters.exchange import encode
from bridge.outbox.base import DeadLetter
from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.places import KafkaInlet, KafkaPlace, emulated
from tests.outbox.subjects import message
from tests.services.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.end_to_end.recorder import Recorder
    from tests.services.kafka import KafkaServer


def letter(number: int, **changes: Any) -> DeadLetter:
    """An order that was refused."""
    name = f"order-{number}"
    body = b'{"instance_id":"%s","params":{"n":%d}}' % (name.encode(), number)
    call = Call(Operation.CREATE, "main", "fulfil", name, "", body, Policy("all").encode())
    whole = DeadLetter(message(number, b'{"id":"%s"}' % name.encode()), "rejected", "no", "all", call, 1, 1_000)
    return whole._replace(**changes)


def bridge_for(recorder: Recorder, folder: Path, **more: Any) -> BridgeProcess:
    """A bridge whose broker is not there: what it does comes from its outbox."""
    (folder / "token").write_text(recorder.token)
    target = {"account_id": recorder.account_id, "base_url": recorder.base_url}
    (port,) = free_ports(1)
    source = {"type": "kafka", "bootstrap_servers": [f"127.0.0.1:{port}"], "topics": ["orders"], "group_id": "bridge"}
    config: dict[str, Any] = {
        "targets": {"main": {**target, "api_token_file": str(folder / "token")}},
        "sources": {"orders": source},
        "rules": [{"name": "all", "create": {"workflow": "fulfil", "id": "${body.id}", "params": {"new": True}}}],
        **more,
    }
    return BridgeProcess(folder / "bridge", config)


class Operator:
    """Somebody at a terminal with the bridge's configuration."""

    def __init__(self, bridge: BridgeProcess) -> None:
        self._bridge = bridge

    async def run(self, *arguments: object, given: str = "", expected: int = 0) -> str:
        """What the command prints."""
        return await asyncio.to_thread(self._run, arguments, given, expected)

    def _run(self, arguments: Sequence[object], given: str, expected: int) -> str:
        command = [*map(str, arguments), "--config", str(self._bridge.config_file)]
        done = CliRunner(env={"WORKFLOW_BRIDGE_OPERATOR": "ann"}).invoke(app, command, input=given)
        assert done.exit_code == expected, done.output
        return done.stdout

    async def letters(self, *arguments: object, **more: Any) -> list[dict[str, Any]]:
        """The same of ``dead-letters … --json``, as values."""
        return [
            json.loads(line) for line in (await self.run("dead-letters", *arguments, "--json", **more)).splitlines()
        ]


def lines(letters: Sequence[DeadLetter]) -> str:
    return b"\n".join(encode(letter) for letter in letters).decode()


def create_outbox(bridge: BridgeProcess) -> None:
    """As after a first run."""
    with bridge:
        assert bridge.stop() == 0


@pytest.mark.slow
async def test_dead_letters_are_worked_beside_a_running_bridge(tmp_path: Path) -> None:
    """Imported, edited, redriven as call and by today's rules: the instances exist afterwards; all of it is noted."""
    async with emulated() as recorder:
        bridge = bridge_for(recorder, tmp_path)
        ann = Operator(bridge)
        with bridge:
            await ann.run("dead-letters", "import", "-", given=lines([letter(n) for n in range(1, 5)]))
            assert [found["number"] for found in await ann.letters("list")] == [1, 2, 3, 4]
            changed = '{"call": {"body": {"instance_id": "order-1", "params": {"price": 1.10}}}}'
            await ann.run("dead-letters", "edit", 1, "--from", "-", given=changed)
            await ann.run("dead-letters", "edit", 2, "--from", "-", given=changed, expected=2)  # of another instance
            assert "redrive" in await ann.run("dead-letters", "redrive", "--rule", "all", "--dry-run", "--json")
            await ann.run("dead-letters", "redrive", "--rule", "all", expected=2)  # nobody is there to agree
            done = await ann.letters("redrive", 1, 2, 9, expected=1)
            assert [(one["number"], one["outcome"]) for one in done] == [(1, "redriven"), (2, "redriven"), (9, "gone")]
            assert [one["calls"] for one in await ann.letters("redrive", 3, "--as", "message")] == [1]
            assert await ann.run("dead-letters", "discard", "--all", "--yes") == "discard: 1 discarded\n"
            await until(lambda: len(created(recorder)) == 3)
            assert bridge.stop() == 0
    assert created(recorder) == {"order-1": {"price": 1.1}, "order-2": {"n": 2}, "order-3": {"new": True}}
    assert [event["what"] for event in bridge.events() if event["event"] == "operator_acted"] == [
        *("import", "edit", "redrive", "redrive", "discard")
    ]


@pytest.mark.slow
async def test_dead_letters_are_worked_while_the_bridge_is_stopped(tmp_path: Path) -> None:
    """What is redriven then is sent when it runs again; what was exported comes back to the byte."""
    async with emulated() as recorder:
        bridge = bridge_for(recorder, tmp_path)
        ann = Operator(bridge)
        create_outbox(bridge)
        letters = [letter(1), letter(2, redriven=3), letter(3, call=None)]
        await ann.run("dead-letters", "import", "-", given=lines(letters))
        exported = await ann.run("dead-letters", "export")
        assert [encode(one, number).decode() for number, one in enumerate(letters, 1)] == exported.splitlines()
        done = await ann.letters("redrive", "--all", "--yes", expected=1)
        assert [one["outcome"] for one in done] == ["redriven", "refused", "redriven"]
        assert not created(recorder)
        with bridge:
            await until(lambda: len(created(recorder)) == 2)
            assert bridge.stop() == 0
    assert created(recorder) == {"order-1": {"n": 1}, "order-3": {"new": True}}


@pytest.mark.slow
async def test_the_log_of_a_running_bridge_says_more_for_a_while(tmp_path: Path) -> None:
    """By the command: what it is, for how long, and back; without a bridge there is nothing to work on."""
    async with emulated() as recorder:
        bridge = bridge_for(recorder, tmp_path)
        ann = Operator(bridge)
        with bridge:
            assert await ann.run("log-level") == "info, as configured\n"
            assert (await ann.run("log-level", "debug", "--for", "10m")).startswith("debug; ann has said so until 2")
            await ann.run("log-level", "debug", "--for", "10", expected=2)
            await ann.run("log-level", "--for", "10m", expected=2)
            await ann.run("log-level", "loud", expected=2)
            assert json.loads(await ann.run("log-level", "error", "--json"))["level"] == "error"
            assert await ann.run("log-level", "configured") == "info, as configured\n"
            await ann.run("log-level", "debug", "--for", "1s")
            await until(lambda: [event.get("why") for event in bridge.events()].count("time") == 1)
        await ann.run("log-level", "debug", expected=2)
        told = [json.loads(line)["subject"] for line in (await ann.run("audit", "--json")).splitlines()]
    assert told == ["debug", "configured", "error", "debug"]


def kafka_bridge(recorder: Recorder, inlet: KafkaInlet, folder: Path, **more: Any) -> BridgeProcess:
    """A bridge with a broker."""
    return bridge_for(recorder, folder, sources={"orders": inlet.source}, **more)


def bodies(first: int, last: int) -> list[bytes]:
    return [b'{"id":"order-%d"}' % number for number in range(first, last)]


@pytest.mark.slow
@pytest.mark.kafka
async def test_dead_letters_are_copied_to_a_topic(kafka: KafkaServer, tmp_path: Path) -> None:
    """Each with its reason in a header, and with the key, headers and body of its message; it stays in the outbox."""
    place = KafkaPlace(kafka, await kafka.topic())
    async with emulated() as recorder:
        bridge = bridge_for(recorder, tmp_path, dead_letters={"to": place.settings, "max_bytes": 1_000_000})
        ann = Operator(bridge)
        with bridge:
            await ann.run("dead-letters", "import", "-", given=lines([letter(1), letter(2, redriven=2)]))
            await until(lambda: bridge.metrics()["workflow_bridge_dead_letters_copied_total"] == 2)
            assert bridge.metrics()["workflow_bridge_dead_letter_capacity_bytes"] == 1_000_000
            assert len(await ann.letters("list")) == 2
    first, second = await place.letters()
    assert (first.reason, first.key, first.body) == ("rejected", b"key-1", b'{"id":"order-1"}')
    assert dict(second.headers)["workflow-bridge-redriven"] == b"2"


@pytest.mark.slow
@pytest.mark.kafka
async def test_pauses_lose_nothing_and_survive_a_kill(kafka: KafkaServer, tmp_path: Path) -> None:
    """A paused source leaves its messages to the broker, a paused rule keeps its calls; both go on, then it drains."""
    inlet = KafkaInlet(kafka, await kafka.topic())
    async with emulated() as recorder:
        bridge = kafka_bridge(recorder, inlet, tmp_path)
        ann = Operator(bridge)
        with bridge:
            await ann.run("pause", "source", "order", "--reason", "x", expected=2)
            assert await ann.run("pause", "source", "orders", "--reason", "replay") == "source orders is paused\n"
            await inlet.fill(bodies(0, 20))
            bridge.kill()
            bridge.start()
            assert bridge.metrics()['workflow_bridge_source_paused{source="orders"}'] == 1
            assert "replay" in await ann.run("pauses")
            await ann.run("pause", "rule", "all", "--reason", "billing")
            await ann.run("resume", "source", "orders")
            await until(lambda: bridge.metrics()['workflow_bridge_outbox_entries{state="later"}'] == 20)
            assert bridge.metrics()['workflow_bridge_operator_paused{kind="rule",name="all"}'] == 1
            bridge.kill()
            assert not created(recorder)
            await ann.run("resume", "rule", "all")  # nobody runs: the file is told
            bridge.start()
            await ann.run("resume", "rule", "all", expected=1)
            await until(lambda: len(created(recorder)) == 20)
            await inlet.fill(bodies(20, 30))
            await until(lambda: len(created(recorder)) == 30)
            assert await ann.run("drain", "--limit", 20) == "drained\n"
            assert bridge.process is not None
            assert await asyncio.to_thread(bridge.process.wait, 30) == 0
            await ann.run("drain", expected=2)
    assert recorder.repeated == {}
    told = await ann.run("audit", "--json")
    assert [json.loads(line)["what"] for line in told.splitlines()] == [
        *("drain", "resume", "resume", "pause", "pause")
    ]


@pytest.mark.slow
@pytest.mark.kafka
async def test_a_bridge_without_a_file_is_paused_and_drained(kafka: KafkaServer, tmp_path: Path) -> None:
    """As a preStop hook does it: what was read is delivered and acknowledged, nothing more is read, and it ends."""
    inlet = KafkaInlet(kafka, await kafka.topic())
    async with emulated() as recorder:
        memory = {"outbox": {"type": "memory"}, "dead_letters": "discard"}  # its grace is not waited for twice
        bridge = kafka_bridge(recorder, inlet, tmp_path, **memory)
        ann = Operator(bridge)
        with bridge:
            await ann.run("pause", "workflow", "fulfil", "--reason", "deploy")
            await inlet.fill(bodies(0, 20))
            await until(
                lambda: bridge.metrics()['workflow_bridge_source_messages_received_total{source="orders"}'] == 20
            )
            assert not created(recorder)
            told = json.loads(await ann.run("drain", "--limit", 0.2, "--json", expected=1))
            assert (told["drained"], told["ready"]) == (False, 20)
            assert bridge.process is not None
            assert await asyncio.to_thread(bridge.process.wait, 60) == 0
            assert await inlet.acknowledged() == set()
            bridge.start()  # the pause is gone with its process
            await until(lambda: len(created(recorder)) == 20)
            await ann.run("drain", "--limit", 20)
            assert await asyncio.to_thread(bridge.process.wait, 30) == 0
    assert await inlet.acknowledged() == set(inlet.bodies)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


def created(recorder: Recorder) -> dict[str, Any]:
    """The params of each instance that was created."""
    bodies = [
        item
        for call in recorder.calls
        if call.status == 200 and call.method == "POST"
        for item in (call.body if call.path.endswith("/batch") else [call.body])
    ]
    return {item["instance_id"]: item["params"] for item in bodies}
