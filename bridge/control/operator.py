"""All that operators can have done by a bridge, whoever asks: a command, or the admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bridge.control.diary import Act
from bridge.control.keeping import InFile, InMemory
from bridge.control.letters import Letters
from bridge.control.switches import Switches
from bridge.errors import OperationRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.control.diary import Diary
    from bridge.control.draining import Drained
    from bridge.control.loudness import Loudness, Told
    from bridge.control.switches import Known
    from bridge.intake import Translation
    from bridge.logs import Level
    from bridge.outbox.base import StoredDeadLetter
    from bridge.outbox.overview import Deed, Paused

NO_LETTERS = "the memory outbox keeps no dead letters: they are where dead_letters.to says"
LONGEST_DRAIN_SECONDS = 86_400.0


class Bridge(Protocol):
    """What an operator works on: the bridge that runs, or the file of one that does not."""

    def known(self) -> Known | None:
        """The names that the configuration in use has; None where it is not known."""

    def halt(self, paused: Sequence[Paused]) -> None:
        """From now on these are paused, and nothing else."""

    async def translation(self, source: str) -> Translation:
        """How messages of a source become calls by today's rules. Raises OperationRefused where they do not."""

    def loudness(self) -> Loudness:
        """Of its log. Raises OperationRefused where it does not run."""

    async def drain(self, seconds: float) -> Drained:
        """Read no more, send what is there, at most so long, and then stop. Raises OperationRefused."""


class Operator:
    """Made by the running bridge, or by a command that has the file of a stopped one.

    diary: None for the memory outbox, which keeps no dead letters, and pauses only as long as the process lives.
    """

    def __init__(self, diary: Diary | None, bridge: Bridge, now_ms: Callable[[], int]) -> None:
        self._diary = diary
        self._bridge = bridge
        self._keeping = InMemory(now_ms) if diary is None else InFile(diary)
        self._letters = None if diary is None else Letters(diary, bridge.translation)
        self.switches = Switches(self._keeping, bridge.known, bridge.halt, now_ms)
        self.is_draining = False  # whether somebody has asked for it

    @property
    def letters(self) -> Letters:
        """Raises OperationRefused where the outbox keeps none."""
        if self._letters is None:
            raise OperationRefused(NO_LETTERS)
        return self._letters

    async def letter(self, number: int) -> StoredDeadLetter:
        """One, as it is now. Raises OperationRefused where there is none."""
        if self._diary is None:
            raise OperationRefused(NO_LETTERS)
        stored = await self._diary.look(lambda store: store.letters.read(number))
        if stored is None:
            raise OperationRefused(f"there is no dead letter {number}")
        return stored

    async def drain(self, seconds: float, who: str) -> Drained:
        """Read no more, deliver what is there, stop: when nothing is left to send, or after so many seconds."""
        if not 0 <= seconds <= LONGEST_DRAIN_SECONDS:
            raise OperationRefused(f"the limit is 0 to {LONGEST_DRAIN_SECONDS:.0f} seconds")
        await self._keeping.note(Act(who, "drain", "all", f"at most {seconds:g} s"))
        self.is_draining = True
        return await self._bridge.drain(seconds)

    async def note(self, who: str, what: str, subject: str, detail: str = "") -> None:
        """Somebody did something that is not done here, such as to an instance. what: a bounded code."""
        await self._keeping.note(Act(who, what, subject, detail))

    def log_level(self) -> Told:
        """How much the log says. Raises OperationRefused where the bridge does not run."""
        return self._bridge.loudness().told

    async def say_log_level(self, level: Level | None, seconds: float | None, who: str) -> Told:
        """From now on, or only for so long, this; None: what the configuration has. Raises OperationRefused."""
        loudness = self._bridge.loudness()
        if level is None:
            loudness.unsay()
        else:
            loudness.say(level, who, seconds)
        limit = "" if seconds is None or level is None else f"for {seconds:g} s"
        await self._keeping.note(Act(who, "log-level", level or "configured", limit))
        return loudness.told

    async def deeds(self, before: int | None = None, limit: int = 100) -> Sequence[Deed]:
        """What operators did, the last first, with a number below ``before``."""
        return await self._keeping.deeds(before, limit)
