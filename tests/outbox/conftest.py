"""The outboxes under test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.outbox.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=["sqlite", "memory"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    """Each implementation in turn, open."""
    one = Subject(request.param, tmp_path)
    await one.outbox.open()
    yield one
    await one.outbox.close()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Subject]:
    one = Subject("sqlite", tmp_path)
    await one.outbox.open()
    yield one
    await one.outbox.close()


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Subject]:
    one = Subject("memory", tmp_path)
    await one.outbox.open()
    yield one
    await one.outbox.close()
