"""Who stands for the API in a paced scene, and when it had each instance's first request."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import orjson

from bench.running import free_port, stub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EVENTS = "/events/"


class Receipts(NamedTuple):
    """Unix nanoseconds."""

    first: int  # the first request of all; 0: none yet
    times: dict[str, int]  # by instance id


class Receiver(NamedTuple):
    """A running one."""

    base_url: str
    receipts: Callable[[], Receipts]


@contextmanager
def stubbed() -> Iterator[Receiver]:
    """The stub of the benchmark: it costs the least, and counts nanoseconds."""
    with stub("receipts") as port:
        yield Receiver(f"http://127.0.0.1:{port}/client/v4", lambda: _of_stub(port))


def _of_stub(port: int) -> Receipts:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/receipts", timeout=5) as answer:
        found = orjson.loads(answer.read())
    return Receipts(found["first"], found["times"])


@contextmanager
def emulated(journal: Path) -> Iterator[Receiver]:
    """The emulator, without limits; what its journal in this file says."""
    port = free_port()
    command = [sys.executable, "-m", "bridge", "emulator", "--port", str(port), "--quota", "off", "--creation", "off"]
    process = subprocess.Popen([*command, "--journal", str(journal)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101  it was asked for above
        base_url = process.stdout.readline().split()[1]
        yield Receiver(base_url, lambda: _of_journal(journal))
    finally:
        process.terminate()
        process.wait(30)


def _of_journal(journal: Path) -> Receipts:
    """The journal tells the millisecond in which a request was there: its end is taken, so none is shown as quicker."""
    times: dict[str, int] = {}
    records = [orjson.loads(line) for line in journal.read_bytes().splitlines()]
    for record in records:
        event = [record["path"].split("/")[-3]] if EVENTS in record["path"] else []
        for name in [*event, *record["offered"]]:
            times.setdefault(name, (record["time_ms"] + 1) * 1_000_000)
    return Receipts(records[0]["time_ms"] * 1_000_000 if records else 0, times)
