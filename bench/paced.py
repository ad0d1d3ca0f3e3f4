"""Messages at an even pace through a process of its own, and when who stands for the API had each of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from confluent_kafka import Producer

from bench.load import body
from bench.running import cpu_seconds, status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.receiving import Receiver
    from bench.scenes import Place

WARM_UP = 200  # messages that are not measured …
WARM_UP_PER_SECOND = 100.0  # … and come no slower than this
PATIENCE_SECONDS = 60.0


class Traffic(NamedTuple):
    """What is produced."""

    per_second: float
    seconds: float


class Played(NamedTuple):
    """What was measured of one run."""

    cpu_us: float  # of the process, user and system, per message
    p50_ms: float  # from just before the produce call to the request's arrival
    p99_ms: float
    max_ms: float
    peak_mib: float
    start_seconds: float  # from the start of the process to its first request


def played(settings: dict[str, Any], place: Place, traffic: Traffic, receiver: Receiver) -> Played:
    """Run a bridge with these settings, whose target is the receiver, and measure it under this traffic."""
    settings["targets"]["main"]["base_url"] = receiver.base_url
    path = place.folder / "bridge.json"
    path.write_text(json.dumps(settings))
    began = time.time_ns()
    with running(["-m", "bridge", "run", "--config", str(path)], place.folder / "log") as pid:
        return measured(pid, began, place, traffic, receiver)


@contextmanager
def running(arguments: Sequence[str], log: Path) -> Iterator[int]:
    """A Python process with these arguments; gives its id, and shows its log where it is found wanting."""
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, *arguments], stdout=file, stderr=file)
    try:
        yield process.pid
    except RuntimeError as error:
        error.add_note(log.read_text()[-3000:])
        raise
    finally:
        process.terminate()
        process.wait(30)


def measured(pid: int, began: int, place: Place, traffic: Traffic, receiver: Receiver) -> Played:
    """Produce, and look at when it came; ``pid`` is who carries it, since ``began`` (Unix nanoseconds)."""
    producer = Producer({"bootstrap.servers": place.address, "linger.ms": 0, "acks": "all"})
    _awaited(receiver, produced(producer, place.input, range(WARM_UP), max(traffic.per_second, WARM_UP_PER_SECOND)))
    first = receiver.receipts().first
    before = cpu_seconds(pid)
    numbers = range(WARM_UP, WARM_UP + int(traffic.per_second * traffic.seconds))
    sent = produced(producer, place.input, numbers, traffic.per_second)
    came = _awaited(receiver, sent)
    spent = cpu_seconds(pid) - before
    latencies = sorted((came[name] - at) / 1e6 for name, at in sent.items())
    return Played(
        spent * 1e6 / len(sent),
        at_share(latencies, 0.5),
        at_share(latencies, 0.99),
        latencies[-1],
        status(pid, "VmHWM:") / 1024,
        (first - began) / 1e9,
    )


def at_share(ordered: list[float], share: float) -> float:
    """The value that so many are not above."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def produced(producer: Producer, topic: str, numbers: range, per_second: float) -> dict[str, int]:
    """Produce these orders at an even pace; gives when, by the instance id that they are about."""
    sent = {}
    began = time.monotonic()
    for place, number in enumerate(numbers):
        while (ahead := began + place / per_second - time.monotonic()) > 0:
            producer.poll(min(ahead, 0.001) if ahead > 0.0005 else 0)  # noqa: PLR2004  half a millisecond
        text = body(number)
        sent[f"o-{number:08}"] = time.time_ns()
        producer.produce(topic, text, f"{number:08}")
        producer.poll(0)
    producer.flush(30)
    return sent


def _awaited(receiver: Receiver, sent: Mapping[str, int]) -> dict[str, int]:
    """When the receiver had each of these."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    came: dict[str, int] = {}
    while time.monotonic() < deadline:
        with suppress(OSError):
            came = receiver.receipts().times
            if sent.keys() <= came.keys():
                return came
        time.sleep(0.2)
    raise RuntimeError(f"{len(sent.keys() - came.keys())} of {len(sent)} messages did not come")
