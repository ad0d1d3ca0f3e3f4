"""``workflow-bridge doctor``: what it finds on a machine, and what it says to do."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bridge.cli import app
from bridge.emulator.fixture import RunningEmulator
from bridge.emulator.settings import EmulatorSettings
from bridge.inspection import machine
from bridge.inspection.machine import skew
from bridge.outbox.base import DeadLetter
from bridge.outbox.overview import Paused
from tests.config.files import Folder
from tests.outbox.subjects import Subject, intake_of, message, soon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bridge.finding import Finding

NOON = "Sun, 01 Mar 2026 12:00:00 GMT"
NOON_MS = 1_772_366_400_000


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    with RunningEmulator(EmulatorSettings(workflows={"fulfil": "completes"})) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator) -> Folder:
    """A configuration with the emulator as its target, and a broker that is not there."""
    made = Folder(tmp_path, monkeypatch)
    (tmp_path / "token").write_text(emulator.token)
    made.load(
        {
            "targets.main.account_id": emulator.account_id,
            "targets.main.base_url": emulator.base_url,
            "sources.orders.bootstrap_servers": ["127.0.0.1:9"],
        }
    )
    return made


def examined(expected: int = 4) -> dict[str, dict[str, Any]]:
    """The answers by what was asked."""
    command = ["doctor", "--config", "bridge.yaml", "--json", "--timeout", "15"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == expected, result.output
    return {answer["asked"]: answer for answer in json.loads(result.stdout)["answers"]}


@pytest.mark.usefixtures("folder")
def test_a_machine_is_looked_at(tmp_path: Path) -> None:
    """Disk, fsync, outbox, clock, token and workflow are well, the broker is not; nothing is left behind."""
    found = examined()
    for asked in (f"disk of {tmp_path}", f"fsync in {tmp_path}", "outbox outbox.db", "workflow fulfil"):
        assert found[asked]["good"], found[asked]
    assert "ms, the median of" in found[f"fsync in {tmp_path}"]["answer"]
    [clock] = [answer for asked, answer in found.items() if asked.startswith("clock against")]
    assert clock["good"]
    assert not all(answer["good"] for answer in found.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bridge.yaml", "token"]


@pytest.mark.usefixtures("folder")
async def test_what_waits_for_a_person_is_told(tmp_path: Path) -> None:
    """Dead letters and pauses in the outbox file, each with the command that helps."""
    subject = Subject("sqlite", tmp_path)
    await subject.outbox.open()
    await soon((await subject.outbox.add(intake_of(dead=[DeadLetter(message(1), "rejected", "no", "r")]))).wait())
    await subject.outbox.ask(lambda store: store.logbook.pause(Paused("rule", "created", "billing", "ann", 1)))  # type: ignore[attr-defined]  # of a file
    await subject.outbox.close()
    findings = [finding async for finding in machine.outbox(subject.path, lambda: False)]
    assert [finding.good for finding in findings] == [True, False, False]
    assert "no bridge that runs on it answers" in findings[0].answer
    assert findings[1].answer == "1 are kept, most of them rejected of rule r"
    assert findings[2] == (
        "rule created", False, "paused by ann: billing", "when that is over: workflow-bridge resume rule created"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("date", "now_ms", "good", "says"),
    [
        (NOON, NOON_MS, True, "agrees, to 1 s"),
        (NOON, NOON_MS + 20_500, True, "agrees, to 20 s"),
        (NOON, NOON_MS + 90_500, False, "is 90 s ahead"),
        (NOON, NOON_MS - 3_600_000 + 500, False, "is 3600 s behind"),
        ("", NOON_MS, True, "the answer has no Date: not compared"),
        ("yesterday", NOON_MS, True, "the answer has no Date: not compared"),
    ],
)
def test_a_clock_that_is_wrong_is_noticed(date: str, now_ms: int, good: bool, says: str) -> None:  # noqa: FBT001  what is expected
    """By more than half a minute: delays and ages go by it."""
    found: Finding = skew("clock", date, now_ms)
    assert (found.good, found.answer) == (good, says)
    assert bool(found.advice) is not good


def test_a_wrong_configuration_is_exit_code_2(folder: Folder) -> None:
    """Nothing else is looked at then."""
    folder.write("sources: {}\n")
    result = CliRunner().invoke(app, ["doctor", "--config", "bridge.yaml"], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "sources" in result.stderr
    result = CliRunner().invoke(app, ["doctor", "--config", "bridge.yaml", "--json"], catch_exceptions=False)
    assert (result.exit_code, json.loads(result.stdout)["good"]) == (2, False)


def test_a_full_disk_and_a_folder_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says what to do."""
    monkeypatch.setattr(machine, "ROOM_BYTES", 1 << 62)
    monkeypatch.setattr(machine, "SLOW_SYNC_MS", -1.0)
    room, sync = _all(tmp_path / "new" / "outbox.db")
    assert (room.good, sync.good) == (False, False)
    assert "make room" in room.advice
    assert "local disk" in sync.advice


def _all(path: Path) -> list[Finding]:

    async def collect() -> list[Finding]:
        return [finding async for finding in machine.disk(path)]

    return asyncio.run(collect())
