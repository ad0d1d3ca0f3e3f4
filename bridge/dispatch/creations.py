"""How many instances may be created now, by workflow and by account; pure, the clock comes in.

The API takes 100 instances a second of one workflow and 300 of an account
(https://developers.cloudflare.com/workflows/reference/limits/, notes 6 and 8); each element of a batch counts, and so
does each restart. How it counts a second is not documented. What is kept here is the strictest reading: in no stretch
of a second more than that, by the API's own clock. When a request was counted there is only known to lie between its
leaving and its answer, so it is taken to be late by whatever its answer was late.

All times are seconds of one clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from bridge.dispatch.pauses import block_seconds

if TYPE_CHECKING:
    from collections.abc import Collection

PERIOD_SECONDS = 1.0
MARGIN_SECONDS = 0.002  # clocks that count milliseconds
LATEST_SECONDS = 2.0  # without an answer a request is not taken to be counted later than that
ROUND_TRIPS = 32  # of which the shortest is the usual one
FIRST_ROUND_TRIPS = 24
SOON_SECONDS = 0.05  # when to look again after an answer that is overdue; its coming wakes everybody, too
SLOWER, RECOVERED_SECONDS = 0.8, 60.0  # after a refusal: the rate, and how long until it is the whole one again


class Rates(NamedTuple):
    """Instances per second."""

    per_workflow: int
    per_account: int


class Creation(NamedTuple):
    """One request that creates instances; names itself."""

    number: int
    workflow: str
    instances: int
    sent_at: float


class Counted(NamedTuple):
    """When the API has counted it, or will have."""

    likely: float
    latest: float
    creation: Creation


class Creations:
    """One account's. Every request is ``sent`` once and ``ended`` once."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._number = 0
        self._round_trips: deque[float] = deque(maxlen=ROUND_TRIPS)
        self._all: dict[int, Counted] = {}  # those of the last second, by number
        self._refused: dict[str, tuple[float, float]] = {}  # workflow -> (not before, factor then)

    def largest(self, workflow: str, now: float) -> int:
        """The most that one request may create."""
        return max(1, min(self._rate(workflow, now), self._rates.per_account))

    def _rate(self, workflow: str, now: float) -> int:
        until, factor = self._refused.get(workflow, (-math.inf, 1.0))
        recovered = min(1.0, factor + (1 - factor) * max(0.0, now - until) / RECOVERED_SECONDS)
        return int(self._rates.per_workflow * recovered)

    def sent(self, workflow: str, count: int, now: float) -> Creation:
        """A request that creates ``count`` instances goes out."""
        self._number += 1
        creation = Creation(self._number, workflow, count, now)
        self._all[creation.number] = Counted(now, now + LATEST_SECONDS, creation)
        self._forget(now)
        return creation

    def ended(self, creation: Creation, now: float) -> None:
        """It was answered, or given up."""
        self._round_trips.append(now - creation.sent_at)
        counted = self._all.get(creation.number)
        if counted is not None:
            latest = min(counted.latest, now - self._usual_seconds())
            self._all[creation.number] = Counted(latest, latest, creation)

    def _usual_seconds(self) -> float:
        """The shortest round trip; nothing is made of the first ones, which had to connect."""
        return min(self._round_trips) if len(self._round_trips) >= FIRST_ROUND_TRIPS else 0.0

    def refused(self, workflow: str, retry_after_seconds: float | None, now: float) -> None:
        """The API said that it was too many: wait, and go slower for a while."""
        rate = max(0.1, self._rate(workflow, now) / self._rates.per_workflow * SLOWER)
        seconds = PERIOD_SECONDS if retry_after_seconds is None else block_seconds(retry_after_seconds)
        self._refused[workflow] = (now + seconds, rate)

    def wait_seconds(self, workflow: str, count: int, now: float) -> float:
        """How long until ``count`` instances may be created; 0: at once. ``count`` is at most ``largest``.

        While a request is under way it is the time that is expected, and to be asked again when it is over.
        """
        self._forget(now)
        own = [counted for counted in self._all.values() if counted.creation.workflow == workflow]
        until, _ = self._refused.get(workflow, (-math.inf, 1.0))
        return max(
            0.0,
            until - now,
            _wait_seconds(own, self._rate(workflow, now) - count, now),
            _wait_seconds(self._all.values(), self._rates.per_account - count, now),
        )

    def _forget(self, now: float) -> None:
        old = now - PERIOD_SECONDS - MARGIN_SECONDS
        for number in [number for number, counted in self._all.items() if counted.latest <= old]:
            del self._all[number]


def _wait_seconds(counted: Collection[Counted], room: int, now: float) -> float:
    """Until no more than ``room`` instances count any more."""
    surely = _room_seconds([(one.latest, one.creation.instances) for one in counted], room, now)
    if surely <= 0:
        return 0.0
    likely = _room_seconds([(one.likely, one.creation.instances) for one in counted], room, now)
    return max(likely, min(surely, SOON_SECONDS))


def _room_seconds(counted: list[tuple[float, int]], room: int, now: float) -> float:
    over = sum(instances for _, instances in counted) - room
    for at, instances in sorted(counted):
        if over <= 0:
            break
        over -= instances
        if over <= 0:
            return at + PERIOD_SECONDS + MARGIN_SECONDS - now
    return 0.0
