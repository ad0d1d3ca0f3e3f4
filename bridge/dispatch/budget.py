"""How many requests a target's token has left for this process, and when the next one may go; pure, the clock comes in.

    unknown    nothing was heard yet: one request, then its answer decides
    counted    answers tell of a quota: its policies decide, see ``quota``; a request needs room in each of them
    open       answers come without such headers (a gateway, a server of one's own): no limit here

A 429 that is not about the creation of instances blocks the token for as long as it says. All times are seconds of a
steady clock: one that nobody sets. What outlives the process is told in the time of day, and never believed to mean a
longer wait than it meant when it was told.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.cloudflare.ratelimit import DEFAULT_REQUESTS, DEFAULT_WINDOW_SECONDS, Reading
from bridge.dispatch.pauses import LONGEST_BLOCK_SECONDS, block_seconds
from bridge.dispatch.quota import AT_ONCE, SLICES, Quota, Shares

if TYPE_CHECKING:
    from collections.abc import Sequence

HTTP_OK = range(200, 300)
HTTP_TOO_MANY = 429


class State(Enum):
    """What is known; see the module's text."""

    UNKNOWN = "unknown"
    COUNTED = "counted"
    OPEN = "open"


class EvenLine(NamedTuple):
    """What a process may use of a quota, spread evenly over its windows."""

    requests: float  # in a window, without the reserve and the shares of others
    window_seconds: float

    @property
    def seconds(self) -> float:
        """From one request to the next."""
        return self.window_seconds / self.requests


class Budget:
    """One token's. Every request is ``sent`` once and ends once: ``answered`` or ``lost``."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self.state = State.UNKNOWN
        self.in_flight = 0
        self.blocked_until = -math.inf
        self.quotas: dict[str, Quota] = {}
        self._last_sent_at = -math.inf

    # --- what happens ------------------------------------------------------------------------------------------------

    def sent(self, now: float) -> None:
        """A request goes out."""
        self.in_flight += 1
        self._last_sent_at = now
        for quota in self.quotas.values():
            quota.sent(now)

    def lost(self, *, counted: bool = True) -> None:
        """A request ended without an answer. counted: the API may have counted it."""
        self.in_flight -= 1
        for quota in self.quotas.values():
            quota.lost(counted=counted)

    def answered(self, status: int, readings: Sequence[Reading], sent_at: float, now: float) -> None:
        """The answer to a request that went out at ``sent_at``. ``blocked`` is told beside it."""
        if not readings:
            self.lost()
            if self.state is State.UNKNOWN and status in HTTP_OK:
                self.state = State.OPEN
            return
        self.in_flight -= 1
        self.state = State.COUNTED
        for reading in readings:
            quota = self.quotas.get(reading.name)
            if quota is None:
                quota = self.quotas[reading.name] = Quota(reading, self._shares)
            quota.read(reading, sent_at, now, self.in_flight)

    def blocked(self, retry_after_seconds: float | None, now: float) -> None:
        """The API said 429: nothing goes to it for so long, 5 minutes if it does not say."""
        self.blocked_until = max(self.blocked_until, now + block_seconds(retry_after_seconds))

    # --- when the next one may go ------------------------------------------------------------------------------------

    def wait_seconds(self, now: float, more: int = 0) -> float:
        """How long until a request may go, after ``more`` others that go before it; 0: at once.

        inf: not before an answer has come. Ask again when one has, or when the time is over.
        """
        if now < self.blocked_until:
            return self.blocked_until - now
        if self.state is State.OPEN:
            return 0.0
        if self.state is State.UNKNOWN:
            return self._first_seconds(now)
        return max([quota.wait_seconds(now, self.in_flight, more) for quota in self.quotas.values()])

    def _first_seconds(self, now: float) -> float:
        """One at a time, and along the even line of the quota that every token has."""
        return math.inf if self.in_flight else max(0.0, self._last_sent_at + self._default_line.seconds - now)

    # --- what the requests of one purpose are measured by -------------------------------------------------------------

    def even_line(self) -> EvenLine | None:
        """That of the policy that allows least; before anything is known that of every token. None: no limit here."""
        if self.state is State.OPEN:
            return None
        lines = [EvenLine(quota.budget, quota.window_seconds) for quota in self.quotas.values()]
        return max(lines, key=lambda line: line.seconds, default=self._default_line)

    @property
    def _default_line(self) -> EvenLine:
        return EvenLine(DEFAULT_REQUESTS * (1 - self._shares.reserve) * self._shares.share, DEFAULT_WINDOW_SECONDS)

    # --- what people look at -----------------------------------------------------------------------------------------

    def tightest(self, now: float) -> Quota | None:
        """The policy that leaves least of itself; None where there is none."""
        live = [quota for quota in self.quotas.values() if now < quota.reset_at]
        return min(live, key=lambda quota: quota.remaining / quota.requests, default=None)

    @property
    def few(self) -> float:
        """Requests so few that the reserve covers them, unseen, in every policy; at least one."""
        return max(1.0, min([AT_ONCE * quota.reserved for quota in self.quotas.values()], default=1.0))

    # --- what outlives the process -----------------------------------------------------------------------------------

    def encode(self, now: float, wall: float) -> str:
        """All that a new process has to know, as JSON; what is in flight counts as used. wall: Unix epoch, now."""
        shift = wall - now
        policies = {
            name: {
                "policy": [quota.requests, quota.window_seconds],
                "remaining": quota.remaining - quota.unseen - self.in_flight,
                "reset_at": quota.reset_at + shift,
                "own": quota.own,
                "last_sent_at": quota.last_sent_at + shift,
                "slices": [(end + shift, count) for end, count in quota.slices],
            }
            for name, quota in self.quotas.items()
            if math.isfinite(quota.reset_at)
        }
        blocked_until = max(self.blocked_until + shift, 0.0)
        known = {"at": wall, "state": self.state, "blocked_until": blocked_until, "quotas": policies}
        return orjson.dumps(known).decode()

    def restore(self, text: str, now: float, wall: float) -> None:
        """Take up what ``encode`` gave an earlier process; anything that does not look like that is ignored.

        Where the time of day is before that of the text, it was set back, and how much time has passed is not known:
        none, then. So a wait is never longer than it was, nor than a window or the longest block.
        """
        try:
            stored = orjson.loads(text)
            since = _Since(now - max(wall, float(stored["at"])), now)
            state, blocked_until = State(stored["state"]), float(stored["blocked_until"])
            quotas = {str(name): self._restored(values, since) for name, values in stored["quotas"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        self.quotas = quotas
        # An open target may be another one by now: it is asked again, which costs one round trip.
        self.state = State.COUNTED if state is State.COUNTED and quotas else State.UNKNOWN
        self.blocked_until = since.at(blocked_until, LONGEST_BLOCK_SECONDS)

    def _restored(self, values: dict[str, Any], since: _Since) -> Quota:
        requests, window_seconds = values["policy"]
        quota = Quota(Reading("", int(requests), float(window_seconds), int(requests), 0.0), self._shares)
        quota.remaining = int(values["remaining"])
        quota.reset_at = since.at(float(values["reset_at"]), quota.window_seconds)
        quota.own = int(values["own"])
        quota.last_sent_at = since.at(float(values["last_sent_at"] or -math.inf), 0)
        slice_seconds = quota.window_seconds / SLICES
        quota.slices.extend((since.at(float(end), slice_seconds), int(count)) for end, count in values["slices"])
        return quota


class _Since(NamedTuple):
    """How times of day of an earlier process are read."""

    shift: float  # from them to the steady clock
    now: float  # of the steady clock

    def at(self, wall: float, most_seconds: float) -> float:
        """On the steady clock; at most so far ahead."""
        return min(wall + self.shift, self.now + most_seconds)
