"""An open outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.outbox.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Subject]:
    """Of type sqlite."""
    subject = Subject("sqlite", tmp_path)
    await subject.outbox.open()
    yield subject
    await subject.outbox.close()
