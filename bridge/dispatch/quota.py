"""One policy of a token's rate limit, and when the next request fits into it; pure, the clock comes in.

What is known is what the last answer said, and that is always a little old: requests of this process that are in
flight are counted here, those of others are not seen before a later answer tells. So three things keep the token from
being blocked, however the API counts (in fixed windows, or over the last ``window_seconds`` at any time):

    the reserve    the last tenth of the quota is not touched; it also covers what others have in flight
    one probe      on old news, and in a window of which nothing is known yet, one request at a time
    few at once    near the reserve, and never more in flight than a tenth of it

Above that it is a matter of pace. The even line leads from the whole quota at the start of a window to nothing at its
end. While more is left than the line says, a request may go at once; else requests are spread over the time that is
left. A fall that this process did not cause is foreign use; what it is expected to take is left for it.

All times are seconds of one steady clock.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridge.cloudflare.ratelimit import Reading

FRESH_SECONDS = 2.0  # how long an answer counts as news
PROBE_SECONDS = 0.5  # between requests into a window of which nothing is known; doubled each time it brings nothing
FOREIGN_SECONDS = 30.0  # how quickly an old rate of foreign use is forgotten
WIDER_SECONDS = 20.0  # of foreign use at that rate: by so much the reserve is wider, at most twice as wide
YIELDED = 0.75  # of what others are expected to take: with the whole of it whoever was first would stay ahead for ever
LEAST_PACE = 0.1  # of an even pace: foreign use slows this process down to that, never to a stop
AT_ONCE = 0.1  # of the reserve, or of what is left: requests in flight
SLICES = 60  # of a window, in which this process's own requests are counted


class Shares(NamedTuple):
    """How much of a quota is for this process."""

    reserve: float  # 0 to below 1: of the quota, left for people on the same token
    share: float  # above 0 to 1: of the rest


class Quota:
    """See the module's text. ``in_flight`` is kept by the caller: a request counts against every policy."""

    def __init__(self, reading: Reading, shares: Shares) -> None:
        self.shares = shares
        self.requests = reading.requests
        self.window_seconds = reading.window_seconds
        self.remaining = reading.requests  # as of the last answer
        self.reset_at = -math.inf  # the end of the window that this is about
        self.known_at = -math.inf  # when that answer had come
        self.last_sent_at = -math.inf
        self.own = 0  # requests of this process in this window, sent
        self.own_answered = 0  # since ``_first_remaining``
        self.unseen = 0  # sent, and ended without news; the API may have counted them
        self.foreign = 0  # requests of others in this window, as far as seen
        self.in_vain = 0  # resets in a row after which nothing was left all the same
        self._first_remaining = reading.requests  # before the first answer of this window
        self._foreign_recent = 0.0  # decays with FOREIGN_SECONDS
        self._foreign_at = -math.inf  # when it was last brought up to date
        self._foreign_since = -math.inf  # since when it has been watched
        self.slices: deque[tuple[float, int]] = deque()  # (end of a slice, own requests in it), oldest first

    # --- what happens ------------------------------------------------------------------------------------------------

    def sent(self, now: float) -> None:
        """A request goes out."""
        self.last_sent_at = now
        self.own += 1
        if not self.slices or self.slices[-1][0] <= now:
            self.slices.append((now + self.window_seconds / SLICES, 0))
        end, count = self.slices[-1]
        self.slices[-1] = (end, count + 1)
        self._forget(now)

    def lost(self, *, counted: bool) -> None:
        """A request ended without news. counted: the API may have counted it."""
        self.unseen += counted
        self.own_answered += counted
        self.own -= not counted

    def read(self, reading: Reading, sent_at: float, now: float, in_flight: int) -> None:
        """An answer to a request that went out at ``sent_at`` has come; ``in_flight`` others are under way."""
        self.requests, self.window_seconds = reading.requests, reading.window_seconds
        self.own_answered += 1
        self.last_sent_at = max(self.last_sent_at, sent_at)
        later = sent_at >= self.known_at  # surely counted after the last known one, which had been answered by then
        if now >= self.reset_at or (later and reading.remaining > self.remaining):
            self._new_window(reading, now, in_flight)
        elif later or reading.remaining <= self.remaining:
            self._foreign_use(now, in_flight, reading.remaining)
            self.reset_at = min(self.reset_at, now + reading.reset_seconds)
        else:
            return  # overtaken by an answer that knows more
        self.remaining = reading.remaining
        self.known_at = now
        self.unseen = 0 if later else self.unseen

    def _new_window(self, reading: Reading, now: float, in_flight: int) -> None:
        joined = self.known_at == -math.inf  # what was used before this process came is nobody's rate
        used = reading.requests - reading.remaining - 1 - in_flight
        self.reset_at = now + reading.reset_seconds
        self._first_remaining = reading.remaining + 1
        self.own, self.own_answered, self.foreign = 1 + in_flight, 1, 0
        nothing_left = reading.remaining - in_flight - self.reserved < 1
        self.in_vain = self.in_vain + 1 if nothing_left else 0
        self._decay(now)
        if not joined and reading.reset_seconds > self.window_seconds * 0.9:
            self._add_foreign(max(0, used))

    def _foreign_use(self, now: float, in_flight: int, remaining: int) -> None:
        """Whatever fell and was surely not this process."""
        self._decay(now)
        fell = self._first_remaining - remaining
        self._add_foreign(max(0, fell - self.own_answered - in_flight - self.foreign))

    def _add_foreign(self, many: int) -> None:
        self.foreign += many
        self._foreign_recent += many

    def _decay(self, now: float) -> None:
        if self._foreign_since == -math.inf:
            self._foreign_since = now
        else:
            self._foreign_recent *= math.exp(min(0.0, self._foreign_at - now) / FOREIGN_SECONDS)
        self._foreign_at = now

    def foreign_rate(self, now: float) -> float:
        """Requests of others per second, lately."""
        watched = now - self._foreign_since
        if not 0 < watched < math.inf:
            return 0.0
        decayed = self._foreign_recent * math.exp(min(0.0, self._foreign_at - now) / FOREIGN_SECONDS)
        return decayed / (FOREIGN_SECONDS * -math.expm1(-max(watched, 1.0) / FOREIGN_SECONDS))

    # --- when the next one may go ------------------------------------------------------------------------------------

    @property
    def reserved(self) -> int:
        """Requests of a window that are never made here."""
        return math.ceil(self.requests * self.shares.reserve)

    def _wider(self, now: float) -> float:
        """What the reserve is widened by, for bursts of others that come between two answers."""
        return min(self.reserved, WIDER_SECONDS * self.foreign_rate(now))

    @property
    def budget(self) -> float:
        """Requests of a window that this process may make."""
        return (self.requests - self.reserved) * self.shares.share

    def left(self, now: float, in_flight: int) -> float:
        """Requests that still fit above the reserve and into this process's share."""
        above = self.remaining - self.unseen - in_flight - self.reserved - self._wider(now)
        return above if self.shares.share == 1 else min(above, self.budget - self.own)

    def wait_seconds(self, now: float, in_flight: int, more: int = 0) -> float:
        """How long until a request may go, after ``more`` others that go first; inf: not before an answer has come."""
        if now >= self.reset_at:
            return self._probe_seconds(now, in_flight)
        left = self.left(now, in_flight) - more
        if left < 1:
            return self.reset_at - now
        if in_flight >= self._at_once(now, left):
            return math.inf
        return max(self._pace_seconds(now, left, more), self._window_seconds(now, more))

    def _probe_seconds(self, now: float, in_flight: int) -> float:
        if self.last_sent_at >= self.reset_at and in_flight:
            return math.inf
        between = min(PROBE_SECONDS * 2.0 ** min(self.in_vain, 16), self.window_seconds / 10)
        return max(0.0, self.last_sent_at + between - now)

    def _at_once(self, now: float, left: float) -> float:
        if now - self.known_at > FRESH_SECONDS:
            return 1
        return max(1, AT_ONCE * min(self.reserved, left))

    def _pace_seconds(self, now: float, left: float, more: int) -> float:
        """Until the line has come down to what is left, or the next place of an even pace, whichever is first."""
        span = self.reset_at - now
        on_line = self.reset_at - (left - 1) * self.window_seconds / self.budget
        pace = max(left / span - YIELDED * self.foreign_rate(now), LEAST_PACE * left / span)
        return max(0.0, min(on_line, self.last_sent_at + (1 + more) / pace) - now)

    def _window_seconds(self, now: float, more: int) -> float:
        """Until this process's own requests of the last ``window_seconds`` leave room, should they be counted so."""
        self._forget(now)
        over = sum(count for _, count in self.slices) + 1 + more - (self.requests - self.reserved / 2)
        for end, count in self.slices:
            if over <= 0:
                break
            over -= count
            if over <= 0:
                return end + self.window_seconds - now
        return 0.0

    def _forget(self, now: float) -> None:
        while self.slices and self.slices[0][0] + self.window_seconds <= now:
            self.slices.popleft()
