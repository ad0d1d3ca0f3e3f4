"""What came of a demo run, from the emulator's own records and what was produced; asks the bridge nothing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from bridge.demo.orders import ORDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridge.demo.orders import Produced
    from bridge.emulator.journal import Record

OK = 200
CREATES = frozenset({"create", "batch"})


class Summary(NamedTuple):
    """The figures of a run, in the order in which they are shown."""

    messages: int  # produced
    instances: int
    events: int  # accepted, repeated ones included
    requests: int  # to the API, refused ones included
    instances_per_create_request: float
    lost: int  # messages whose instance or event never arrived
    duplicates: int  # instances or events beyond the first for a message, or of no message at all
    p50_ms: float  # from produced to accepted
    p99_ms: float

    @property
    def good(self) -> bool:
        """Everything arrived, once."""
        return not self.lost and not self.duplicates


def arrivals(records: Iterable[Record]) -> Iterable[tuple[str, int]]:
    """(name of the message as the API saw it, Unix milliseconds) for each instance created and event accepted."""
    for record in records:
        for instance_id in record.created:
            yield f"instance/{instance_id}", record.time_ms
        if record.operation == "event" and record.status == OK:
            yield f"event/{record.payload.get('payment')}", record.time_ms


def expected(message: Produced) -> str:
    """The arrival that a message must lead to."""
    return f"instance/order-{message.key}" if message.topic == ORDERS else f"event/pay-{message.key}"


def summarise(produced: Mapping[Produced, int], records: Sequence[Record]) -> Summary:
    """Compare. produced: message -> when, Unix milliseconds."""
    seen = list(arrivals(records))
    counts = Counter(name for name, _ in seen)
    first = dict(reversed(seen))
    wanted = {expected(message): time_ms for message, time_ms in produced.items()}
    waits = sorted(first[name] - time_ms for name, time_ms in wanted.items() if name in first)
    creates = [record for record in records if record.operation in CREATES]
    instances = sum(len(record.created) for record in creates)
    return Summary(
        messages=len(produced),
        instances=instances,
        events=sum(count for name, count in counts.items() if name.startswith("event/")),
        requests=len(records),
        instances_per_create_request=round(instances / len(creates), 1) if creates else 0.0,
        lost=len(wanted.keys() - first.keys()),
        duplicates=sum(count - 1 for count in counts.values()) + len(first.keys() - wanted.keys()),
        p50_ms=_quantile(waits, 0.5),
        p99_ms=_quantile(waits, 0.99),
    )


def _quantile(values: Sequence[int], share: float) -> float:
    """The smallest value that is not below ``share`` of all; 0 for none."""
    return float(values[min(len(values) - 1, int(len(values) * share))]) if values else 0.0
