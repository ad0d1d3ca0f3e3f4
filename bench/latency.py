"""How long a message is under way at low load: from the produce call to the emulator's receipt of its request.

Beside it, in the same run and at the same pace: a bare consumer with a bare POST, which shows what Kafka, HTTP and the
noise of the machine make of it without a bridge, and the disk's sync.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

from bench.paced import Traffic, at_share, measured, played, running
from bench.receiving import emulated
from bench.running import free_port, make_topic
from bench.scenes import CREATE, Place, Scene, config
from bridge.emulator.settings import EXAMPLE_ACCOUNT, EXAMPLE_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from bench.paced import Played

NAME = "latency"
PACES = (Traffic(20.0, 15.0), Traffic(100.0, 15.0))
AIMS = {"p50_ms": 5.0, "p99_ms": 20.0}
SYNCS = 300
SYNCED_BYTES = 4096


def play(address: str, folder: Path, runs: int) -> Iterator[dict[str, Any]]:
    """One result for each pace: floor and bridge in turn, medians of the runs."""
    for traffic in PACES:
        disk, floors, bridges = [], [], []
        for number in range(runs):
            place = _place(address, folder / f"{traffic.per_second:.0f}-{number}")
            disk.append(_synced(place.folder / "synced"))
            floors.append(_floor(place, traffic))
            bridges.append(_bridge(place, traffic))
        yield {
            "scene": NAME,
            "per_second": traffic.per_second,
            "messages": int(traffic.per_second * traffic.seconds),
            **_medians(bridges),
            "aims": AIMS,
            "floor": _medians(floors),
            "sync_ms": {"p50": statistics.median(p50 for p50, _ in disk), "p99": max(p99 for _, p99 in disk)},
            "runs": [run._asdict() for run in bridges],
        }


def _place(address: str, folder: Path) -> Place:
    folder.mkdir()
    return Place(folder, address, "", 0, free_port())


def _topic(place: Place, what: str) -> Place:
    topic = f"{NAME}-{place.folder.name}-{what}"
    make_topic(place.address, topic)
    return place._replace(input=topic)


def _floor(place: Place, traffic: Traffic) -> Played:
    place = _topic(place, "floor")
    with emulated(place.folder / "floor.jsonl") as receiver:
        url = f"{receiver.base_url}/accounts/{EXAMPLE_ACCOUNT}/workflows/bench/instances"
        command = ["-m", "bench.latency_floor", place.address, place.input, url]
        began = time.time_ns()
        with running(command, place.folder / "floor.log") as pid:
            return measured(pid, began, place, traffic, receiver)


def _bridge(place: Place, traffic: Traffic) -> Played:
    place = _topic(place, "bridge")
    settings = config(Scene(NAME, "", "kafka", CREATE, 0, 0), place)
    settings["targets"]["main"]["account_id"] = EXAMPLE_ACCOUNT
    (place.folder / "token").write_text(EXAMPLE_TOKEN)
    with emulated(place.folder / "journal.jsonl") as receiver:
        return played(settings, place, traffic, receiver)


def _synced(path: Path) -> tuple[float, float]:
    """Median and 99th percentile, in ms, of a small write that is on disk."""
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(bytes(SYNCED_BYTES))
            os.fdatasync(file)
            times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    return at_share(times, 0.5), at_share(times, 0.99)


def _medians(runs: Sequence[Played]) -> dict[str, float]:
    return {field: statistics.median(getattr(run, field) for run in runs) for field in runs[0]._fields}


def show(results: Iterator[dict[str, Any]], *, as_json: bool) -> None:
    """A row each."""
    if not as_json:
        print(
            f"{NAME:8} {'msg/s':>6} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7} {'CPU µs/msg':>10}  floor: p50, p99, CPU"
        )
    for result in results:
        if as_json:
            print(json.dumps(result), flush=True)
            continue
        floor = result["floor"]
        print(
            f"{NAME:8} {result['per_second']:6.0f} {result['p50_ms']:7.2f} {result['p99_ms']:7.2f}"
            f" {result['max_ms']:7.1f} {result['cpu_us']:10.0f}"
            f"  {floor['p50_ms']:.2f}, {floor['p99_ms']:.2f}, {floor['cpu_us']:.0f};"
            f" a sync of the disk {result['sync_ms']['p50']:.2f}, {result['sync_ms']['p99']:.2f} ms",
            flush=True,
        )
