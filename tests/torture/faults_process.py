"""The bridge's process is killed, at any moment and at named steps, and asked to stop in every awkward way."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from tests.torture.board import STEPS, Cell
from tests.torture.ground import Striking, Watch
from tests.torture.site import GRACE_SECONDS

if TYPE_CHECKING:
    from tests.torture.ground import Ground
    from tests.torture.site import Site

SILENCE = {"do": "no-answer", "name": "silence"}
KILLED, LEFT_AT_ONCE = -signal.SIGKILL, 130


class Killed(Striking):
    """SIGKILL, at a moment in which something is under way."""

    name = "kill"

    async def strike_one(self, ground: Ground) -> str:
        site = _site(ground)
        await asyncio.sleep(site.rng.uniform(0, 1.5))
        board = site.bridge.board
        async with asyncio.timeout(self.seconds):
            while not (under_way := board[Cell.EVENTS] + board[Cell.CREATES]) + board[Cell.UNACKNOWLEDGED]:
                await asyncio.sleep(0)
        site.bridge.kill()
        return f"{under_way} calls under way; {await _start_again(site, self.seconds)}"


class KilledAt(Striking):
    """SIGKILL by the process itself, at a named step."""

    def __init__(self, step: str) -> None:
        self.step, self.name = step, f"kill_{step}"

    async def strike_one(self, ground: Ground) -> str | None:
        site = _site(ground)
        bridge = site.bridge
        bridge.board.arm(self.step, site.rng.randrange(3) if self.step not in {"start_up", "stop"} else 0)
        if self.step == "start_up":
            await asyncio.to_thread(bridge.kill)
            await asyncio.to_thread(bridge.launch)
        if self.step == "stop" and bridge.process is not None:
            bridge.process.send_signal(signal.SIGTERM)
        died = await asyncio.to_thread(bridge.dies, self.seconds)
        struck = bridge.board.disarm()
        if died is None or struck != self.step:
            return None
        return f"killed itself; {await _start_again(site, self.seconds)}"


class Terminated(Striking):
    """SIGTERM under load: an orderly end, within the grace and what the last acknowledgements may take."""

    name = "sigterm"

    async def strike_one(self, ground: Ground) -> str | None:
        site = _site(ground)
        code = await asyncio.to_thread(site.bridge.stop)
        again = await _start_again(site, self.seconds)
        return f"left with {code}; {again}" if code == 0 else None


class TerminatedTwice(Striking):
    """A second SIGTERM while the first one is waited for, because the API does not answer."""

    name = "sigterm_twice"

    async def strike_one(self, ground: Ground) -> str | None:
        site = _site(ground)
        watch = Watch(site, self.seconds)
        async with unanswered(site):
            bridge = site.bridge
            assert bridge.process is not None
            bridge.process.send_signal(signal.SIGTERM)
            await watch.logged("stopping")
            bridge.process.send_signal(signal.SIGTERM)
            code = await asyncio.to_thread(bridge.dies, self.seconds)
        again = await _start_again(site, self.seconds)
        return f"left with {code}; {again}" if code == LEFT_AT_ONCE else None


class TerminatedUnanswered(Striking):
    """SIGTERM while the API keeps silent: what is under way is cut off after the grace."""

    name = "sigterm_unanswered"

    async def strike_one(self, ground: Ground) -> str | None:
        site = _site(ground)
        loop = asyncio.get_running_loop()
        async with unanswered(site):
            began = loop.time()
            code = await asyncio.to_thread(site.bridge.stop)
            took = loop.time() - began
        again = await _start_again(site, self.seconds)
        return f"left with {code} after {took:.1f} s of {GRACE_SECONDS}; {again}" if code == 0 else None


class unanswered:  # noqa: N801  used as a function
    """The API does not answer, and a request has already been left without an answer."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def __aenter__(self) -> None:
        self._site.emulator.fault(**SILENCE)
        try:
            async with asyncio.timeout(60):
                while not self._site.hits("silence"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self._site.mend("silence")
            raise

    async def __aexit__(self, *_: object) -> None:
        self._site.mend("silence")


def _site(ground: Ground) -> Site:
    site: Site = ground  # type: ignore[assignment]  # there are no others in this harness
    return site


async def _start_again(site: Site, seconds: float) -> str:
    site.stopwatch.start()
    watch = Watch(site, seconds)
    await asyncio.to_thread(site.bridge.start)
    return f"the next call delivered {await watch.delivered():.1f} s after it was ready"


KILLS: list[Striking] = [Killed(), *(KilledAt(step) for step in STEPS[1:])]
FAULTS: list[Striking] = [Terminated(), TerminatedTwice(), TerminatedUnanswered()]
