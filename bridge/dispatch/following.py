"""Requests that follow another one about the same call, until they may go; chooses, sends nothing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from bridge.call import second_body
from bridge.dispatch.batching import BATCH_BYTES, BATCH_INSTANCES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.dispatch.batching import Request
    from bridge.outbox.base import Entry, Queue


class FollowUps:
    """In order of arrival for each workflow and operation; those take turns."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[Queue, str], deque[Request]] = {}

    def add(self, request: Request) -> None:
        """It goes when it may."""
        self._waiting.setdefault((request.scope, request.endpoint.operation), deque()).append(request)

    def take(self, may_go: Callable[[Queue, str, int], bool]) -> Request | None:
        """The next one to a workflow that may be called; several that start instances become one."""
        going = (place for place, waiting in self._waiting.items() if may_go(*place, _creations(waiting)))
        place = next(going, None)
        if place is None:
            return None
        waiting = self._waiting.pop(place)
        request = waiting.popleft()
        if request.kind is Kind.START and len(request.entries) == 1:
            request, waiting = _together(request, waiting)
        if waiting:
            self._waiting[place] = waiting
        return request


def _creations(waiting: deque[Request]) -> int:
    """How many instances the next one would create."""
    first = waiting[0]
    if first.kind is not Kind.START or len(first.entries) > 1:
        return first.creations
    return min(BATCH_INSTANCES, sum(request.kind is Kind.START for request in waiting))


def _together(first: Request, waiting: deque[Request]) -> tuple[Request, deque[Request]]:
    """A batch of starts out of those that wait; what does not fit or is something else stays."""
    taken: list[Entry] = list(first.entries)
    ids = {first.entries[0].instance_id}
    room = BATCH_BYTES - len(second_body(first.entries[0].body))
    rest: deque[Request] = deque()
    for request in waiting:
        entry = request.entries[0]
        size = len(second_body(entry.body)) + 1
        joins = request.kind is Kind.START and len(request.entries) == 1 and request.queue == first.queue
        if joins and len(taken) < BATCH_INSTANCES and size <= room and entry.instance_id not in ids:
            taken.append(entry)
            ids.add(entry.instance_id)
            room -= size
        else:
            rest.append(request)
    return first._replace(entries=taken), rest
