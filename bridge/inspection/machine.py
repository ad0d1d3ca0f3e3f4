"""Looks at the machine that the bridge is to run on: the disk of its outbox, the bridge that may run, and the clock."""

from __future__ import annotations

import asyncio
import os
import statistics
from email.utils import parsedate_to_datetime
from time import perf_counter
from typing import TYPE_CHECKING

from bridge.cloudflare.transport import open_transport
from bridge.errors import ApiUnknown, ConfigError, OutboxError
from bridge.finding import Finding
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.file import on_disk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from bridge.cloudflare.settings import TargetSettings

SYNCS = 15
SLOW_SYNC_MS = 50.0  # each transaction waits for one; above it acknowledgements are slow
ROOM_BYTES = 1 << 30  # less is soon used up: the log of SQLite alone may take 64 MiB
SKEW_SECONDS = 30.0  # more moves delays, ages and the quota's windows noticeably; the header is exact to a second
CLOCK_SECONDS = 10.0  # for the answer


async def disk(path: Path) -> AsyncGenerator[Finding, None]:
    """Room and speed where the outbox file is, or will be; writes a few kilobytes beside it, and takes them away."""
    folder = _folder(path)
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    room = f"{free / (1 << 30):.1f} GiB free"
    if free >= ROOM_BYTES:
        yield Finding(f"disk of {folder}", good=True, answer=room)
    else:
        advice = "make room, or put the outbox on a larger volume: on a full disk intake waits"
        yield Finding(f"disk of {folder}", good=False, answer=room, advice=advice)
    try:
        took_ms = await asyncio.to_thread(sync_ms, folder)
    except OSError as error:
        advice = "the user of the bridge has to be able to write there"
        yield Finding(f"fsync in {folder}", good=False, answer=f"cannot be written: {error.strerror}", advice=advice)
        return
    answer = f"{took_ms:.1f} ms, the median of {SYNCS}"
    advice = "" if took_ms <= SLOW_SYNC_MS else "use a local disk: each batch is acknowledged after one such wait"
    yield Finding(f"fsync in {folder}", good=not advice, answer=answer, advice=advice)


def _folder(path: Path) -> Path:
    """The one that the file is in, or the nearest that is there."""
    return next(parent for parent in path.absolute().parents if parent.exists())


def sync_ms(folder: Path) -> float:
    """How long a write of a page takes to be on disk. Raises OSError."""
    file = folder / f".workflow-bridge-doctor-{os.getpid()}"
    times = []
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(SYNCS):
            began = perf_counter()
            os.write(fd, b"\0" * 4096)
            os.fsync(fd)
            times.append((perf_counter() - began) * 1000)
    finally:
        os.close(fd)
        file.unlink()
    return statistics.median(times)


async def outbox(path: Path, is_running: Callable[[], bool]) -> AsyncGenerator[Finding, None]:
    """What the file says, and whether the bridge that has it can be reached."""
    asked = f"outbox {path}"
    size = on_disk(path)
    if not size:
        yield Finding(asked, good=True, answer="is not there yet; the bridge makes it")
        return
    try:
        kinds, pauses = (SqliteOutboxAdmin(path).dead_letter_kinds(), SqliteOutboxAdmin(path).pauses())
    except OutboxError as error:
        yield Finding(asked, good=False, answer=str(error))
        return
    state = "a bridge runs on it" if is_running() else "no bridge that runs on it answers"
    yield Finding(asked, good=True, answer=f"{size / (1 << 20):.1f} MiB, {state}")
    dead = sum(kind.letters for kind in kinds)
    if dead:
        advice = "see them with `workflow-bridge dead-letters list`; redrive or discard them"
        most = f"{kinds[0].reason} of {f'rule {kinds[0].rule}' if kinds[0].rule else 'no rule'}"
        yield Finding("dead letters", good=False, answer=f"{dead} are kept, most of them {most}", advice=advice)
    for paused in pauses:
        answer = f"paused by {paused.who}: {paused.reason}"
        name = f"{paused.kind} {paused.name}".strip()
        yield Finding(name, good=False, answer=answer, advice=f"when that is over: workflow-bridge resume {name}")


async def clock(settings: TargetSettings, now_ms: Callable[[], int]) -> AsyncGenerator[Finding, None]:
    """How far this machine's clock is from the API's, by the Date of one answer; the token is not sent."""
    asked = f"clock against {settings.base_url}"
    try:
        transport = open_transport(settings)
    except ConfigError as error:
        yield Finding(asked, good=False, answer=f"not asked: {error}")
        return
    try:
        began_ms = now_ms()
        answer = await transport.send("GET", settings.base_url, {}, None, CLOCK_SECONDS)
        middle_ms = (began_ms + now_ms()) / 2
    except ApiUnknown as error:
        yield Finding(asked, good=False, answer=f"no answer: {error}", advice="check base_url, proxy and ca_file")
        return
    finally:
        await transport.close()
    yield skew(asked, answer.headers.get("date", ""), middle_ms)


def skew(asked: str, date: str, now_ms: float) -> Finding:
    """What an answer's Date says about a clock that showed ``now_ms`` when it was made."""
    try:
        theirs_ms = parsedate_to_datetime(date).timestamp() * 1000 + 500  # it is cut to whole seconds
    except (ValueError, TypeError):
        return Finding(asked, good=True, answer="the answer has no Date: not compared")
    seconds = (now_ms - theirs_ms) / 1000
    if abs(seconds) <= SKEW_SECONDS:
        return Finding(asked, good=True, answer=f"agrees, to {max(1.0, abs(seconds)):.0f} s")
    way = "ahead" if seconds > 0 else "behind"
    advice = "set the clock (NTP): delays, not_before and ages go by it"
    return Finding(asked, good=False, answer=f"is {abs(seconds):.0f} s {way}", advice=advice)
