from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.services.disk import SmallDisk
from tests.services.machine import JumpingClock, descriptors, no_more_descriptors, no_more_memory, standing_still

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Answers each line with the value of the expression in it.
ANSWERS = """
import sys, time
for line in sys.stdin:
    try:
        print(eval(line), flush=True)
    except (OSError, MemoryError) as error:
        print(type(error).__name__, getattr(error, "errno", ""), flush=True)
"""


class Process:
    """Another Python, which is asked for values."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", ANSWERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        self.pid = self.popen.pid

    def ask(self, expression: str) -> str:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(expression + "\n")
        self.popen.stdin.flush()
        return self.popen.stdout.readline().strip()

    def end(self) -> None:
        self.popen.kill()
        self.popen.communicate()


@pytest.fixture
def process() -> Iterator[Process]:
    running = Process({})
    assert running.ask("1 + 1") == "2"
    yield running
    running.end()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk", megabytes=8) as mounted:
        yield mounted


def test_a_clock_jumps_while_its_process_runs(tmp_path: Path) -> None:
    """The time of day goes an hour ahead and two back at once; the clock that waits are measured with does not."""
    clock = JumpingClock(tmp_path / "offset")
    process = Process(clock.environment)
    try:
        for offset in (0, 3600, -3600):
            clock.jump_to(offset)
            assert float(process.ask("time.time()")) == pytest.approx(time.time() + offset, abs=5)
            assert float(process.ask("time.monotonic()")) == pytest.approx(time.monotonic(), abs=5)
    finally:
        process.end()


HANDING = """
import queue, threading, time
given, back = queue.SimpleQueue(), queue.SimpleQueue()
def count():
    for _ in range(20_000):
        pass
def work():
    while given.get():
        count()
        back.put(1)
threading.Thread(target=work, daemon=True).start()
began = time.process_time()
for _ in range(20):
    given.put(1)
    count()
    back.get()
print(time.process_time() - began)
"""


def test_threads_of_a_process_with_such_a_clock_wait_for_each_other_as_ever(tmp_path: Path) -> None:
    """What two threads do by turns takes as much of the processor as without; the library can make it a hundredfold."""

    def seconds(environment: Mapping[str, str]) -> float:
        command = [sys.executable, "-c", HANDING]
        return float(subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=True).stdout)

    assert seconds(JumpingClock(tmp_path / "offset").environment) < 10 * seconds({})


def test_descriptors_run_out_and_come_back(process: Process) -> None:
    """Nothing can be opened, nor again what was closed, where that is wanted; afterwards all is as it was."""
    opened = descriptors(process.pid)
    assert process.ask("globals().update(file=open('/dev/null'))") == "None"
    with no_more_descriptors(process.pid) as held:
        assert held.opened == len(opened) + 1
        assert process.ask("open('/dev/null')") == f"OSError {errno.EMFILE}"
        assert process.ask("file.close()") == "None"
        held.tighten()
        assert process.ask("open('/dev/null')") == f"OSError {errno.EMFILE}"
    assert "TextIOWrapper" in process.ask("open('/dev/null')")


def test_memory_runs_out_and_comes_back(process: Process) -> None:
    """A megabyte more is there, and a hundred are not."""
    with no_more_memory(process.pid, 20_000_000):
        assert process.ask("len(bytes(1_000_000))") == "1000000"
        assert process.ask("len(bytes(100_000_000))") == "MemoryError"
    assert process.ask("len(bytes(100_000_000))") == "100000000"


def test_a_process_that_stands_still_goes_on(process: Process) -> None:
    """It is stopped for as long as the block lasts."""
    with standing_still(process.pid):
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)  # returns when it is
    assert process.ask("2 + 2") == "4"


def test_a_full_disk_takes_nothing_and_then_all(disk: SmallDisk) -> None:
    """Not one byte more; after ``empty`` there is room again."""
    (disk.folder / "there").write_bytes(b"before")
    assert disk.fill() > 1_000_000
    with pytest.raises(OSError, match="No space left"):
        (disk.folder / "new").write_bytes(bytes(5000))
    disk.empty()
    (disk.folder / "new").write_bytes(bytes(5000))
    assert (disk.folder / "there").read_bytes() == b"before"


def test_a_disk_breaks_down_under_an_open_database(disk: SmallDisk) -> None:
    """SQLite's writes fail from then on; after the repair what was committed is there."""
    if not disk.can_break:
        pytest.skip("no loop device here: a tmpfs stays writable for those who write")
    path = disk.folder / "data.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (n)")
    database.execute("INSERT INTO t VALUES (1)")
    disk.break_down()
    with pytest.raises(sqlite3.OperationalError):
        database.execute("INSERT INTO t VALUES (2)")
    database.close()
    disk.repair()
    database = sqlite3.connect(path, isolation_level=None)
    assert database.execute("SELECT n FROM t").fetchall() == [(1,)]
    database.execute("INSERT INTO t VALUES (3)")
    database.close()
