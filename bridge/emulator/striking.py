"""The faults that are set now: which of them hits a request, and in what order."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from bridge.emulator.faults import Delay, Outcome, Struck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bridge.emulator.answers import Reply
    from bridge.emulator.faults import Fault
    from bridge.emulator.journal import Record


class Active:
    """A fault that is set."""

    def __init__(self, name: str, fault: Fault, since_ms: int, seed: int) -> None:
        self.name = name
        self.fault = fault
        self.rng = Random(f"{seed}/{name}")  # noqa: S311  chance that can be repeated
        self.seen = 0  # requests that fitted in its time
        self.hits = 0
        self._since_ms = since_ms

    def takes(self, record: Record, ids: Callable[[], list[str]]) -> bool:
        """Whether it hits this request, which is counted."""
        fault = self.fault
        seconds = (record.time_ms - self._since_ms) / 1000
        if seconds < fault.begins_seconds or (fault.ends_seconds is not None and seconds >= fault.ends_seconds):
            return False
        if not fault.fits(record, ids):
            return False
        self.seen += 1
        if self.seen <= fault.skip or (fault.count is not None and self.hits >= fault.count):
            return False
        if fault.probability < 1 and self.rng.random() >= fault.probability:
            return False
        self.hits += 1
        return True


class Faults:
    """All that are set, in order. Delays add up; of the others the first one that hits is the one that counts."""

    def __init__(self, faults: Iterable[Fault], seed: int, now_ms: int) -> None:
        self._seed = seed
        self._made = 0
        self._active: dict[str, Active] = {}
        for fault in faults:
            self.add(fault, now_ms)

    def __bool__(self) -> bool:
        return bool(self._active)

    def add(self, fault: Fault, now_ms: int) -> str:
        """Set a fault from now on; one of the same name is replaced. Returns its name."""
        self._made += 1
        name = fault.name or f"fault-{self._made}"
        self._active[name] = Active(name, fault, now_ms, self._seed)
        return name

    def remove(self, name: str | None) -> None:
        """Take one away, or all. Raises KeyError."""
        if name is None:
            self._active.clear()
        else:
            del self._active[name]

    def state(self) -> list[dict[str, Any]]:
        """What is set, and how often it has hit."""
        return [
            active.fault.model_dump(mode="json", exclude_defaults=True)
            | {"name": active.name, "seen": active.seen, "hits": active.hits}
            for active in self._active.values()
        ]

    def strike(
        self, record: Record, body: bytes, ids: Callable[[], list[str]], work: Callable[[bytes], Reply]
    ) -> Outcome:
        """Carry a request out, or not, as the faults that hit it want."""
        late = 0.0
        for active in self._active.values():
            if not active.takes(record, ids):
                continue
            record.fault = f"{record.fault}+{active.name}" if record.fault else active.name
            struck = Struck(record, body, work, active.rng)
            if not isinstance(active.fault, Delay):
                outcome = active.fault.strike(struck)
                return outcome._replace(delay_seconds=late)
            late += active.fault.choose(active.rng)
        return Outcome(work(body), delay_seconds=late)
