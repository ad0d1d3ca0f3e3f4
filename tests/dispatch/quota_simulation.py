"""A token's quota at the API and the clients that share it, simulated: a heap of events, no clock and no network."""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from bridge.cloudflare.ratelimit import Reading
from bridge.dispatch.budget import Budget
from bridge.dispatch.quota import Shares

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

REQUESTS, WINDOW = 1200, 300.0
START = 1_700_000_000.0


class FixedWindow:
    """Counts in windows; each begins with the first request after the last one."""

    def __init__(self) -> None:
        self.used = 0
        self.ends_at = -math.inf

    def take(self, now: float) -> bool:
        if now >= self.ends_at:
            self.used, self.ends_at = 0, now + WINDOW
        self.used += 1
        return self.used <= REQUESTS

    def reading(self, now: float) -> Reading:
        left = max(0, REQUESTS - self.used)
        return Reading("default", REQUESTS, WINDOW, left, float(math.ceil(self.ends_at - now)))


class CalendarWindow(FixedWindow):
    """Windows that begin by the clock, whoever asks; tells the time until the next one rounded down."""

    def take(self, now: float) -> bool:
        if now >= self.ends_at:
            self.used, self.ends_at = 0, now - now % WINDOW + WINDOW
        self.used += 1
        return self.used <= REQUESTS

    def reading(self, now: float) -> Reading:
        return super().reading(now)._replace(reset_seconds=float(math.floor(self.ends_at - now)))


class SlidingWindow:
    """Counts whatever came in the last WINDOW seconds. ``honest``: its headers say so, else they are a fixed one's."""

    def __init__(self, *, honest: bool = True) -> None:
        self.times: deque[float] = deque()
        self.shown = None if honest else FixedWindow()

    def take(self, now: float) -> bool:
        if self.shown is not None:
            self.shown.take(now)
        while self.times and self.times[0] <= now - WINDOW:
            self.times.popleft()
        self.times.append(now)
        return len(self.times) <= REQUESTS

    def reading(self, now: float) -> Reading:
        if self.shown is not None:
            return self.shown.reading(now)
        left = max(0, REQUESTS - len(self.times))
        return Reading("default", REQUESTS, WINDOW, left, float(math.ceil(self.times[0] + WINDOW - now)))


Server = FixedWindow | SlidingWindow


@dataclass
class Client:
    """One bridge. demand: whether it has something to send at a time."""

    budget: Budget
    latency: Callable[[], float]
    demand: Callable[[float], bool]
    concurrency: int = 8
    sent: list[float] = field(default_factory=list)
    asked_at: float = math.inf  # the next look that is planned


class World:
    """Runs until a time; ``exceeded`` lists when the quota was exceeded."""

    def __init__(self, server: Server, random: Random) -> None:
        self.server = server
        self.random = random
        self.now = START
        self.clients: list[Client] = []
        self.exceeded: list[float] = []
        self.foreign: list[float] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), do))

    def join(self, client: Client, when: float = START) -> None:
        self.clients.append(client)
        self.at(when, lambda: self._look(client))

    def bridge(self, latency: float = 0.1, demand: Callable[[float], bool] = lambda _: True, **shares: float) -> Client:
        wanted = Shares(shares.get("reserve", 0.1), shares.get("share", 1.0))
        return Client(Budget(wanted), lambda: latency * (0.3 + 1.4 * self.random.random()), demand)

    def burst(self, when: float, requests: int, spread: float) -> None:
        """Somebody else's requests."""
        for _ in range(requests):
            self.at(when + self.random.random() * spread, self._foreign_request)

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heapq.heappop(self._events)
            do()

    def _foreign_request(self) -> None:
        self.foreign.append(self.now)
        if not self.server.take(self.now):
            self.exceeded.append(self.now)

    def _look(self, client: Client) -> None:
        client.asked_at = math.inf
        while client.budget.in_flight < client.concurrency and client.demand(self.now):
            wait = client.budget.wait_seconds(self.now)
            if wait > 0:
                self._look_again(client, self.now + wait)
                return
            self._send(client)
        if not client.demand(self.now):
            self._look_again(client, self.now + 0.5)

    def _look_again(self, client: Client, when: float) -> None:
        when = max(when, self.now + 0.001)
        if when < client.asked_at:
            client.asked_at = when
            self.at(when, lambda: self._look(client) if client.asked_at == when else None)

    def _send(self, client: Client) -> None:
        sent_at = self.now
        client.budget.sent(sent_at)
        client.sent.append(sent_at)
        there, back = client.latency() / 2, client.latency() / 2
        self.at(sent_at + there, lambda: self._arrive(client, sent_at, back))

    def _arrive(self, client: Client, sent_at: float, back: float) -> None:
        if not self.server.take(self.now):
            self.exceeded.append(self.now)
        reading = self.server.reading(self.now)
        self.at(self.now + back, lambda: self._answer(client, reading, sent_at))

    def _answer(self, client: Client, reading: Reading, sent_at: float) -> None:
        client.budget.answered(200, (reading,), sent_at, self.now)
        self._look(client)
