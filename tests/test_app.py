"""The composition root: what becomes of the process when one of its halves fails."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from bridge.app import FAILED, App

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SECONDS = 30.0


def app_of(
    reading: Callable[[], Coroutine[None, None, None]], sending: Callable[[], Coroutine[None, None, None]]
) -> App:
    """One with halves of the test's own."""
    app = object.__new__(App)
    grace = SimpleNamespace(shutdown=SimpleNamespace(grace_seconds=0.05))
    parts = {
        "_config": SimpleNamespace(dispatch=SimpleNamespace(enabled=True)),
        "_live": SimpleNamespace(
            start=lambda halves: halves.create_task(reading()), dispatcher=SimpleNamespace(run=sending)
        ),
        "_reloader": SimpleNamespace(config=grace, run=asyncio.Event().wait),
        "_upkeep": SimpleNamespace(run=asyncio.Event().wait),
        "_stopping": asyncio.Event(),
    }
    for name, part in parts.items():
        setattr(app, name, part)
    return app


async def fails() -> None:
    raise MemoryError


async def test_a_half_that_fails_ends_the_other_one() -> None:
    """The process ends with the error."""
    with pytest.raises(MemoryError):
        await asyncio.wait_for(app_of(fails, asyncio.Event().wait)._run_halves(), SECONDS)  # type: ignore[arg-type]  # it waits, whatever it gives


async def test_a_half_that_does_not_end_is_left_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of which one half is gone would look alive: it leaves, as after a second signal."""
    left: list[int] = []
    gone = asyncio.Event()

    def leave(code: int) -> None:
        left.append(code)
        gone.set()

    async def deaf() -> None:
        while not gone.is_set():
            try:
                await gone.wait()
            except asyncio.CancelledError:
                continue

    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(MemoryError):
        await asyncio.wait_for(app_of(fails, deaf)._run_halves(), SECONDS)
    assert left == [FAILED]
