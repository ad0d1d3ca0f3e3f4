"""What operators pause and resume, with a file and without one; when a bridge is drained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge.control.draining import Drained, Left, ended, is_drained
from bridge.control.keeping import InMemory
from bridge.control.operator import Operator
from bridge.control.switches import PauseKind, Switches, halts, sources
from bridge.dispatch.halting import Halts
from bridge.errors import OperationRefused
from bridge.outbox.base import Depth, Queue
from bridge.outbox.overview import Paused
from tests.control.desk import Desk
from tests.outbox.subjects import START_MS

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_pause_outlives_its_process(desk: Desk, tmp_path: Path) -> None:
    """With its reason, who said so, and since when; what is not sent and not read follows from it."""
    switches = desk.operator.switches
    await switches.pause(PauseKind.RULE, "audit", "double billing", "ann")
    await switches.pause(PauseKind.WORKFLOW, "fulfil-order", "deploying", "ann")
    await switches.pause(PauseKind.SOURCE, "orders", "replaying", "ben")
    await desk.outbox.close()
    again = Desk(tmp_path)
    await again.outbox.open()
    await again.operator.switches.open()
    expected = [
        Paused("rule", "audit", "double billing", "ann", START_MS),
        Paused("source", "orders", "replaying", "ben", START_MS),
        Paused("workflow", "main/fulfil-order", "deploying", "ann", START_MS),
    ]
    assert again.operator.switches.paused == again.halted == again.admin.pauses() == expected
    stopped = Halts(rules=frozenset({"audit"}), workflows=frozenset({Queue("main", "fulfil-order")}))
    assert (halts(expected), sources(expected)) == (stopped, frozenset({"orders"}))
    assert await again.operator.switches.resume(PauseKind.RULE, "audit", "ben")
    assert not await again.operator.switches.resume(PauseKind.RULE, "audit", "ben")
    assert [(deed.who, deed.what, deed.subject) for deed in again.admin.audit()][:2] == [
        ("ben", "resume", "rule audit"),
        ("ben", "pause", "source orders"),
    ]
    assert await again.operator.switches.resume(PauseKind.WORKFLOW, "fulfil-order", "ben")
    assert again.halted == [expected[1]]
    await again.outbox.close()


@pytest.mark.parametrize(
    ("kind", "name", "reason", "says"),
    [
        (PauseKind.RULE, "audits", "x", "no rule 'audits'; is audit meant"),
        (PauseKind.SOURCE, "?", "x", "no source '?'; there are orders"),
        (PauseKind.TARGET, "second", "x", "no target 'second'"),
        (PauseKind.WORKFLOW, "second/x", "x", "no target 'second'"),
        (PauseKind.SOURCE, "", "x", "say which source; there are orders"),
        (PauseKind.WORKFLOW, "", "x", "say which workflow"),
        (PauseKind.ALL, "orders", "x", "all has no name"),
        (PauseKind.ALL, "", " ", "say why"),
    ],
)
async def test_what_cannot_be_paused_says_why(desk: Desk, kind: PauseKind, name: str, reason: str, says: str) -> None:
    """And nothing is."""
    with pytest.raises(OperationRefused, match=says.replace("?", r"\?")):
        await desk.operator.switches.pause(kind, name, reason, "ann")
    assert desk.admin.pauses() == []


async def test_without_names_a_workflow_needs_its_target(desk: Desk) -> None:
    """Nobody knows the configuration there: any name is taken, and a workflow is named in full."""
    told: list[object] = []
    switches = Switches(InMemory(desk.clock), lambda: None, told.append, desk.clock)
    await switches.pause(PauseKind.RULE, "whatever", "x", "ann")
    with pytest.raises(OperationRefused, match="TARGET/fulfil"):
        await switches.pause(PauseKind.WORKFLOW, "fulfil", "x", "ann")
    assert switches.labels() == [("rule", "whatever")]


async def test_without_a_file_pauses_and_deeds_are_the_process_s_own(desk: Desk) -> None:
    """The same words; dead letters are elsewhere."""
    operator = Operator(None, desk, desk.clock)
    await operator.switches.pause(PauseKind.ALL, "", "fire", "ann")
    assert halts(operator.switches.paused).everything
    assert await operator.switches.resume(PauseKind.ALL, "", "ann")
    assert not await operator.switches.resume(PauseKind.ALL, "", "ann")
    assert [deed.what for deed in await operator.deeds()] == ["resume", "pause"]
    assert [deed.what for deed in await operator.deeds(before=2)] == ["pause"]
    with pytest.raises(OperationRefused, match="keeps no dead letters"):
        operator.letters  # noqa: B018  asking is enough
    with pytest.raises(OperationRefused, match="keeps no dead letters"):
        await operator.letter(1)


@pytest.mark.parametrize(
    ("left", "drained"),
    [
        (Left(0, 0, 0, 0, None), True),
        (Left(1, 0, 0, 0, None), False),  # not acknowledged yet
        (Left(0, 1, 0, 0, None), False),
        (Left(0, 0, 0, 1, None), False),  # not answered yet
        (Left(0, 0, 1, 0, 1_000), False),  # a retry that is due in time
        (Left(0, 0, 1, 0, 1_001), True),  # nobody waits so long
    ],
)
def test_drained_is_what_can_do_no_more_in_time(left: Left, drained: bool) -> None:  # noqa: FBT001  what is expected
    """What is due after the limit is left to the next process."""
    assert is_drained(left, 1_000) is drained
    assert ended(left, Depth(0, 0, 3, 0), 1_000) == Drained(drained, left.ready, left.later, 3)
