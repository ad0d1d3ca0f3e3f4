"""What a machine does to a running process: its clock jumps, its descriptors or its memory run out, it stands still."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.presence import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIBRARIES = "lib/*/faketime/libfaketimeMT.so.1"


class JumpingClock:
    """The time of day of processes that are started with its ``environment``; no other clock of theirs is touched."""

    def __init__(self, file: Path) -> None:
        """file: what the processes look into each time that they ask."""
        self._library = next(Path("/usr").glob(LIBRARIES), None)
        if self._library is None or shutil.which("faketime") is None:
            missing("faketime")
        self._file = file
        self.jump_to(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """For the process to be started with."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Threads of Python wait for each other by that clock. With the "fix" such a wait ends at once, or not in
            # time: a process with two busy threads was a hundred times slower, and did little but change between them.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }

    def jump_to(self, seconds: float) -> None:
        """So far from the true time, from now on; negative: back."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds:+.3f}\n")
        part.rename(self._file)  # never a half of it


class Descriptors:
    """Those of a process, of which it is to have no more than now."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.opened = len(descriptors(pid))

    def tighten(self) -> None:
        """Nor is it to have again what it has closed since."""
        _, hard = resource.prlimit(self._pid, resource.RLIMIT_NOFILE)
        # Not by their count: a limit is on the number of the next one, and the lowest free number is taken.
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (_first_free(descriptors(self._pid)), hard))


@contextmanager
def no_more_descriptors(pid: int) -> Iterator[Descriptors]:
    """A process can open nothing more, unless it closes something before."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    held = Descriptors(pid)
    held.tighten()
    try:
        yield held
    finally:
        if Path(f"/proc/{pid}").exists():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def no_more_memory(pid: int, spare_bytes: int) -> Iterator[int]:
    """A process can have so many bytes of address space more than it has; gives how many those are in all."""
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    limit = address_space(pid) + spare_bytes
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield limit
    finally:
        if Path(f"/proc/{pid}").exists():
            resource.prlimit(pid, resource.RLIMIT_AS, before)


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """A process gets no time: SIGSTOP, and SIGCONT at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def descriptors(pid: int) -> list[int]:
    """The numbers of the open ones."""
    return sorted(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())


def address_space(pid: int) -> int:
    """Bytes that a process has mapped."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _first_free(opened: list[int]) -> int:
    return next((number for number, used in enumerate(opened) if number != used), len(opened))
