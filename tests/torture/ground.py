"""What the faults of brokers and of the machine strike, and how they see that they had an effect."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence
    from random import Random

    from tests.end_to_end.bridge_process import BridgeProcess
    from tests.services.disk import SmallDisk
    from tests.services.kafka_cluster import KafkaCluster
    from tests.services.machine import JumpingClock
    from tests.services.proxy import Proxy
    from tests.services.rabbitmq import RabbitServer

LOOK_SECONDS = 0.05
T = TypeVar("T")
DELIVERED = "workflow_bridge_end_to_end_duration_seconds_count"


class Ground(Protocol):
    """A running bridge with messages coming in, and everything around it."""

    @property
    def rng(self) -> Random: ...
    @property
    def bridge(self) -> BridgeProcess: ...  # its sources are read through proxies
    @property
    def kafka(self) -> KafkaCluster: ...
    @property
    def topic(self) -> str: ...
    @property
    def growing_topic(self) -> str: ...  # read by the same source; each message in it has a lane of its own
    @property
    def group(self) -> str: ...
    @property
    def rabbit(self) -> RabbitServer: ...
    @property
    def rabbit_proxy(self) -> Proxy: ...
    @property
    def queue(self) -> str: ...
    @property
    def spare_queue(self) -> str: ...  # read by the same source; nothing is in it
    @property
    def disk(self) -> SmallDisk | None: ...  # under the outbox file, where there is one
    @property
    def clock(self) -> JumpingClock | None: ...  # of the bridge's process
    @property
    def tally(self) -> Counter[str]: ...  # "rebalances", "broker_restarts"
    @property
    def stopwatch(self) -> Stopwatch: ...


class Stopwatch(Protocol):
    """Measures how long a recovery takes."""

    def start(self) -> None:
        """What was broken is mended now."""


class Grounds(Protocol):
    """All of them."""

    @property
    def rng(self) -> Random: ...
    @property
    def grounds(self) -> Sequence[Ground]: ...


class Striking(ABC):
    """A fault that strikes one bridge, or what is around it."""

    name: str
    seconds = 60.0  # the longest wait for the effect, and for each sign of the recovery

    async def strike(self, world: Grounds) -> str | None:
        """Choose a bridge, strike, wait for the effect, heal; what was seen, None where nothing was."""
        suitable = [ground for ground in world.grounds if self.suits(ground)]
        if not suitable:
            return None
        try:
            return await self.strike_one(world.rng.choice(suitable))
        except TimeoutError:
            return None

    def suits(self, ground: Ground) -> bool:  # noqa: ARG002  most do not mind
        """Whether it can strike there."""
        return True

    @abstractmethod
    async def strike_one(self, ground: Ground) -> str | None:
        """Healed in any case. Raises TimeoutError where nothing was seen."""


class Watch:
    """What happens to a bridge from now on, by its log and its metrics."""

    def __init__(self, ground: Ground, seconds: float) -> None:
        """seconds: the longest wait for one thing."""
        self._ground = ground
        self._seconds = seconds
        self._log = ground.bridge.log
        self._read = self._log.stat().st_size
        self._lines: list[dict[str, Any]] = []

    async def logged(
        self, *events: str, words: str = "", meanwhile: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """The first line with one of these events and the words in it; the others stay for the next question.

        meanwhile: done at each look.
        """

        def look() -> dict[str, Any] | None:
            meanwhile()
            return self._find(events, words)

        return await self.until(look)

    def find_words(self, words: str) -> bool:
        """Whether a new line of the log has them, whatever its event."""
        self._read_on()
        return any(words in json.dumps(line) for line in self._lines)

    async def delivered(self, count: int = 1) -> float:
        """Seconds from now until the bridge has delivered so many calls more."""
        loop = asyncio.get_running_loop()
        began, done, last = loop.time(), 0.0, await self._delivered()
        async with asyncio.timeout(self._seconds):
            while done < count:
                await asyncio.sleep(LOOK_SECONDS)
                now = await self._delivered()
                done += now - last if now >= last else now  # a new process counts from nothing
                last = now
        return loop.time() - began

    async def until(self, look: Callable[[], T | None]) -> T:
        """The first value that is true. Raises TimeoutError."""
        async with asyncio.timeout(self._seconds):
            while not (seen := look()):
                await asyncio.sleep(LOOK_SECONDS)
            return seen

    async def _delivered(self) -> float:
        """As the bridge has it, since its start; nothing while it does not answer."""
        with suppress(OSError):
            return await asyncio.to_thread(sum_of, self._ground.bridge, DELIVERED)
        return 0.0

    def _find(self, events: tuple[str, ...], words: str) -> dict[str, Any] | None:
        self._read_on()
        for place, line in enumerate(self._lines):
            if line.get("event") in events and words in json.dumps(line):
                del self._lines[: place + 1]
                return line
        return None

    def _read_on(self) -> None:
        with self._log.open("rb") as file:
            file.seek(self._read)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._read += len(whole) + 1
            self._lines += [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


def sum_of(bridge: BridgeProcess, metric: str) -> float:
    """A metric of the bridge, over all its labels. Raises OSError where nobody answers."""
    return sum(value for key, value in bridge.metrics().items() if key.partition("{")[0] == metric)
