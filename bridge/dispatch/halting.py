"""What an operator has paused: targets and workflows are not called; calls of a rule are put off in the outbox.

A call of a paused rule holds its lane while it is put off, like a retry: what comes after it keeps its order. It has
used nothing up by that, neither an attempt nor its patience.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bridge.outbox.base import PUT_OFF_MS, Queue, Settlement, Verdict, rule_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bridge.dispatch.batching import Request
    from bridge.dispatch.loading import Loader
    from bridge.outbox.base import Entry

OPERATOR = "operator"  # why something is paused, as a metric has it


class Halts(NamedTuple):
    """What is paused."""

    everything: bool = False
    targets: frozenset[str] = frozenset()
    workflows: frozenset[Queue] = frozenset()
    rules: frozenset[str] = frozenset()

    def stops(self, workflow: Queue) -> bool:
        """Whether nothing may be sent to this workflow."""
        return self.everything or workflow.target in self.targets or workflow in self.workflows

    @property
    def stops_some(self) -> bool:
        """Whether something is not to be sent."""
        return self != NONE

    def labels(self) -> list[tuple[str, str, str, str]]:
        """Target, workflow, operation ("": all of them) and why, in order."""
        scopes = [*((target, "") for target in self.targets), *self.workflows]
        return [(*scope, "", OPERATOR) for scope in sorted(scopes)]


NONE = Halts()


class Halting:
    """Puts off what is not to be sent, and fetches it back. ``halts`` gives what is paused now."""

    def __init__(self, loader: Loader, halts: Callable[[], Halts], now_ms: Callable[[], int]) -> None:
        self._loader = loader
        self._halts = halts
        self._now_ms = now_ms
        self._stale = True  # something may be put off that need not be: by an earlier process, or before a change

    def changed(self) -> None:
        """Other things are paused now."""
        self._stale = True

    async def recall(self) -> None:
        """Fetch back what need not wait any more."""
        if self._stale:
            self._stale = False
            await self._loader.recall(self._halts().rules)

    async def going(self, request: Request, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Those of a request that are to be sent; the others are put off."""
        rules = self._halts().rules
        if not rules:
            return entries
        halted = [entry for entry in entries if rule_of(entry) in rules]
        if halted:
            now_ms = self._now_ms()
            put_off = [
                Settlement(entry, Verdict.RETRY, OPERATOR, at_ms=PUT_OFF_MS, settled_ms=now_ms, attempted=False)
                for entry in halted
            ]
            await self._loader.settle(request.queue, put_off)
            self._stale = self._stale or self._halts().rules != rules
        return [entry for entry in entries if rule_of(entry) not in rules]
