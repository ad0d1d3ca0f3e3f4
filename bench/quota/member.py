"""An event loop, clocks and a transport that go by the conductor's time, see ``conductor``."""

from __future__ import annotations

import asyncio
import math
import selectors
import socket
import time
from typing import TYPE_CHECKING, Any

from bench.quota.conductor import BEGAN, FIRST, NOW, PAGE, SOCKET, WORKS, page
from bridge.app import Times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from random import Random

    from bridge.cloudflare.transport import Answer, Transport
    from bridge.outbox.store import Store
    from bridge.outbox.writer import Job, Writer, Written

WAY_SECONDS = (0.020, 0.022)  # there, and the same back: what an answer of the API takes on a good line


class Selector(selectors.DefaultSelector):
    """Waits for files as ever, and for times that the conductor tells."""

    def __init__(self, place: Path, number: int) -> None:
        super().__init__()
        self._page = page(place / PAGE)
        self._own = FIRST + number
        self._page[self._own] = WORKS
        self._conductor = socket.socket(socket.AF_UNIX)
        self._conductor.connect(str(place / SOCKET))
        self._conductor.send(bytes([number]))
        self._key = self.register(self._conductor, selectors.EVENT_READ)
        self.away = 0  # what others than the loop do for it, in real time: while they do, this member works
        self._woken = False
        self._left_at = math.nan  # real seconds; the conductor is gone since

    @property
    def now(self) -> float:
        """Seconds since time began."""
        return self._page[NOW] if math.isnan(self._left_at) else self._page[NOW] + time.monotonic() - self._left_at

    @property
    def unix(self) -> float:
        """Unix epoch seconds."""
        return self._page[BEGAN] + self.now

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """See the base. What is ready goes first; only when nothing is, time may go on."""
        due = math.inf if timeout is None else self.now + max(0.0, timeout)
        ready = self._files(0)
        while not ready and self.now < due and math.isnan(self._left_at):
            if not self.away:
                self._rest(due)
            ready = self._files(None)
            self._page[self._own] = WORKS
        return ready if math.isnan(self._left_at) else super().select(timeout)

    def _rest(self, due: float) -> None:
        """Nothing to do until then, unless a file becomes ready."""
        self._page[self._own] = due
        if self._woken:
            self._woken = False
            self._conductor.send(b"r")

    def _files(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready, but for the conductor's word, which is heard at once."""
        ready = super().select(timeout)
        others = [(key, events) for key, events in ready if key is not self._key]
        if len(others) < len(ready):
            self._woken = bool(self._conductor.recv(1))
            if not self._woken:
                self._left_at = time.monotonic()
                self.unregister(self._conductor)
        return others


class MemberLoop(asyncio.SelectorEventLoop):
    """An event loop in the conductor's time. ``place``: the folder that both know. ``number``: its own among all."""

    def __init__(self, place: Path, number: int) -> None:
        self.selector = Selector(place, number)
        super().__init__(self.selector)

    def time(self) -> float:
        """Seconds since time began: small, so that a float tells two nanoseconds apart."""
        return self.selector.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # noqa: ANN401  the base's
        """See the base. Until it is done the member works."""
        future = super().run_in_executor(executor, func, *args)
        self.selector.away += 1
        future.add_done_callback(self._is_back)
        return future

    def _is_back(self, _: asyncio.Future[Any]) -> None:
        self.selector.away -= 1

    def times(self) -> Times:
        """Clocks for a bridge, for any thread."""
        return Times(self.now_ms, self.time)

    def now_ms(self) -> int:
        """Unix epoch."""
        return int(self.selector.unix * 1000)


def counted(writer: type[Writer], selector: Selector) -> type[Writer]:
    """A writer of an outbox file whose thread's work is its member's work."""

    class Counted(writer):  # type: ignore[valid-type, misc]  a class that comes in
        """See Writer."""

        def __init__(self, store: Store, path: Path, tell: Callable[[Written], None], *, count_bytes: bool) -> None:
            def told(written: Written) -> None:
                selector.away -= len(written.jobs)
                tell(written)

            super().__init__(store, path, told, count_bytes=count_bytes)

        def submit(self, job: Job) -> None:
            selector.away += 1
            super().submit(job)

    return Counted


class Distant:
    """Keeps the promises of ``bridge.cloudflare.transport.Transport``: the API is some way off, in the common time.

    What the computer itself takes counts as work of the member.
    """

    def __init__(self, inner: Transport, loop: MemberLoop, chance: Random) -> None:
        self._inner = inner
        self._selector = loop.selector
        self._chance = chance

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_seconds: float
    ) -> Answer:
        """See Transport."""
        await asyncio.sleep(self._chance.uniform(*WAY_SECONDS))
        self._selector.away += 1
        try:
            answer = await self._inner.send(method, url, headers, body, timeout_seconds)
        finally:
            self._selector.away -= 1
        await asyncio.sleep(self._chance.uniform(*WAY_SECONDS))
        return answer

    async def close(self) -> None:
        """See Transport."""
        await self._inner.close()
