"""Who waits for instances, and which instances come; wakes the one when the other happens.

A call to an instance may be under way while its create is answered: its own "not found" is then older than the
instance, and what is parked because of it would be parked after everybody was woken.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge.call import Operation
from bridge.dispatch.batching import Kind
from bridge.outbox.base import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.dispatch.batching import Request
    from bridge.outbox.base import Outbox, Queue, Settlement

_CREATE = Operation.CREATE.value
_TO_AN_INSTANCE = frozenset({Kind.EVENT, Kind.STATUS, Kind.SIGNAL})


class Arrivals:
    """Instances that come, and the calls that are parked or under way to them."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._under_way: Counter[tuple[Queue, str]] = Counter()  # workflow, instance id -> requests to it
        self._came: set[tuple[Queue, str]] = set()  # of those: the instance was made since the oldest of them began

    @contextmanager
    def awaited(self, request: Request) -> Iterator[None]:
        """While the request is under way and until its outcome is stored."""
        if request.kind not in _TO_AN_INSTANCE:
            yield
            return
        key = request.scope, request.entries[0].instance_id
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
                self._came.discard(key)

    def made(self, request: Request, settlements: Sequence[Settlement]) -> list[str]:
        """The instances that there are now because of this request, or that it has shown to be there."""
        ids = [s.entry.instance_id for s in settlements if s[1] is Verdict.DELIVERED and s[0].operation == _CREATE]
        if request.kind is Kind.START:
            ids += [entry.instance_id for entry in request.entries]
        if ids and self._under_way:
            self._came.update({(request.scope, instance_id) for instance_id in ids} & self._under_way.keys())
        return ids

    def anybody_waits(self) -> bool:
        """Whether anything may be parked."""
        return self._outbox.next_due_ms() is not None

    def missed(self, request: Request, settlements: Sequence[Settlement]) -> list[str]:
        """Instances that came while the request was under way, and for which it is parked now all the same."""
        if not self._came:
            return []
        ids = [settlement.entry.instance_id for settlement in settlements if settlement.verdict is Verdict.PARK]
        return [instance_id for instance_id in ids if (request.scope, instance_id) in self._came]

    async def wake(self, request: Request, instance_ids: Sequence[str]) -> None:
        """What is parked for these instances goes as soon as it may."""
        if instance_ids and self.anybody_waits():
            await self._outbox.unpark(request.scope, instance_ids)
