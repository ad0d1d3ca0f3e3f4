"""What operators pause and resume; survives a restart where there is a file."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.control.diary import Act
from bridge.dispatch.halting import Halts
from bridge.errors import OperationRefused
from bridge.outbox.base import Queue
from bridge.outbox.overview import Paused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from bridge.control.keeping import Keeping

REASON_CHARACTERS = 500


class PauseKind(StrEnum):
    """What can be paused."""

    ALL = "all"  # nothing is read, nothing is sent
    SOURCE = "source"  # it lets go of its broker, which keeps its messages
    RULE = "rule"  # its calls are made and stored, and not sent
    WORKFLOW = "workflow"  # nothing is sent to it; its name is "target/workflow"
    TARGET = "target"  # nothing is sent there


class Known(NamedTuple):
    """The names of the configuration in use."""

    sources: Collection[str]
    rules: Collection[str]
    targets: Collection[str]


class Switches:
    """What is paused now. ``halted`` is told whenever that is something else."""

    def __init__(
        self,
        keeping: Keeping,
        known: Callable[[], Known | None],
        halted: Callable[[Sequence[Paused]], None],
        now_ms: Callable[[], int],
    ) -> None:
        """known: None where nobody knows which names there are."""
        self._keeping = keeping
        self._known = known
        self._halted = halted
        self._now_ms = now_ms
        self._turn = asyncio.Lock()
        self.paused: Sequence[Paused] = ()  # as of the last change

    async def open(self) -> None:
        """Take up what was paused before. Raises OutboxError."""
        self.paused = await self._keeping.pauses()
        self._halted(self.paused)

    def labels(self) -> list[tuple[str, str]]:
        """Kind and name of each, for a metric."""
        return [(one.kind, one.name) for one in self.paused]

    async def pause(self, kind: PauseKind, name: str, reason: str, who: str) -> Paused:
        """From now on; what is in flight ends as it may. Raises OperationRefused where there is no such thing."""
        name = self._checked(kind, name)
        if not reason.strip():
            raise OperationRefused("say why, for whoever finds it paused: a reason")
        paused = Paused(kind, name, reason[:REASON_CHARACTERS], who, self._now_ms())
        async with self._turn:
            await self._keeping.pause(paused, Act(who, "pause", shown(kind, name), paused.reason))
            await self.open()
        return paused

    async def resume(self, kind: PauseKind, name: str, who: str) -> bool:
        """Let it go on; False where it was not paused."""
        if kind is PauseKind.WORKFLOW:
            name = self._with_target(name)
        async with self._turn:
            was = await self._keeping.resume(kind, name, Act(who, "resume", shown(kind, name)))
            await self.open()
        return was

    def _checked(self, kind: PauseKind, name: str) -> str:
        known = self._known()
        if kind is PauseKind.ALL:
            if name:
                raise OperationRefused("all has no name")
            return ""
        if kind is PauseKind.WORKFLOW and not name.rpartition("/")[2]:
            raise OperationRefused("say which workflow: NAME, or TARGET/NAME where there are several targets")
        if kind is PauseKind.WORKFLOW:
            name = self._with_target(name)
            _among("target", name.partition("/")[0], known and known.targets)
        else:
            _among(kind, name, known and getattr(known, f"{kind}s"))
        return name

    def _with_target(self, name: str) -> str:
        """As target/workflow, also of a workflow's name alone where there is one target."""
        if "/" in name:
            return name
        known = self._known()
        if known is None or len(known.targets) != 1:
            raise OperationRefused(f"say of which target the workflow {name} is: TARGET/{name}")
        return f"{next(iter(known.targets))}/{name}"


def _among(kind: str, name: str, names: Collection[str] | None) -> None:
    if names is None or name in names:
        return
    if not name:
        raise OperationRefused(f"say which {kind}; there are {', '.join(sorted(names)) or 'none'}")
    close = get_close_matches(name, names, 1)
    hint = f"is {close[0]} meant?" if close else f"there are {', '.join(sorted(names)) or 'none'}"
    raise OperationRefused(f"there is no {kind} {name!r}; {hint}")


def shown(kind: str, name: str) -> str:
    """In words."""
    return f"{kind} {name}" if name else kind


def halts(paused: Sequence[Paused]) -> Halts:
    """What must not be sent."""
    return Halts(
        everything=any(one.kind == PauseKind.ALL for one in paused),
        targets=frozenset(one.name for one in paused if one.kind == PauseKind.TARGET),
        workflows=frozenset(Queue(*one.name.split("/", 1)) for one in paused if one.kind == PauseKind.WORKFLOW),
        rules=frozenset(one.name for one in paused if one.kind == PauseKind.RULE),
    )


def sources(paused: Sequence[Paused]) -> frozenset[str]:
    """What must not be read, beside everything where all is paused."""
    return frozenset(one.name for one in paused if one.kind == PauseKind.SOURCE)
