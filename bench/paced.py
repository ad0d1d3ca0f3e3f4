"""Messages at an even pace through a bridge of its own process, and when the API's stand-in had each of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from confluent_kafka import Producer

from bench.load import body
from bench.running import cpu_seconds, status, stub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.scenes import Place

WARM_UP = 200  # messages that are not measured
PATIENCE_SECONDS = 60.0


class Traffic(NamedTuple):
    """What is produced."""

    per_second: float
    seconds: float


class Played(NamedTuple):
    """What was measured of one run."""

    cpu_us: float  # of the bridge's process, user and system, per message
    p50_ms: float  # from just before the produce call to the request's arrival
    p99_ms: float
    max_ms: float
    peak_mib: float
    start_seconds: float  # from the start of the process to its first request


def played(settings: dict[str, Any], place: Place, traffic: Traffic) -> Played:
    """Run a bridge with these settings, whose target is the stub, and measure it under this traffic."""
    with stub("receipts") as port:
        settings["targets"]["main"]["base_url"] = f"http://127.0.0.1:{port}/client/v4"
        path = place.folder / "bridge.json"
        path.write_text(json.dumps(settings))
        with (place.folder / "log").open("wb") as log:
            began = time.time_ns()
            process = subprocess.Popen(
                [sys.executable, "-m", "bridge", "run", "--config", str(path)], stdout=log, stderr=log
            )
        try:
            return _measured(process.pid, port, began, place, traffic)
        except RuntimeError as error:
            error.add_note((place.folder / "log").read_text()[-3000:])
            raise
        finally:
            process.terminate()
            process.wait(30)


def _measured(pid: int, port: int, began: int, place: Place, traffic: Traffic) -> Played:
    producer = Producer({"bootstrap.servers": place.address, "linger.ms": 0, "acks": "all"})
    _awaited(port, produced(producer, place.input, range(WARM_UP), traffic.per_second))
    first = _receipts(port)["first"]
    before = cpu_seconds(pid)
    numbers = range(WARM_UP, WARM_UP + int(traffic.per_second * traffic.seconds))
    sent = produced(producer, place.input, numbers, traffic.per_second)
    came = _awaited(port, sent)
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


def _awaited(port: int, sent: Mapping[str, int]) -> dict[str, int]:
    """When the stub had each of these."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            came: dict[str, int] = _receipts(port)["times"]
            if sent.keys() <= came.keys():
                return came
        time.sleep(0.2)
    raise RuntimeError(f"{len(sent.keys() - came.keys())} of {len(sent)} messages did not come")


def _receipts(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/receipts", timeout=5) as answer:
        receipts: dict[str, Any] = orjson.loads(answer.read())
    return receipts
