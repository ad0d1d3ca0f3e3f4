"""An open outbox with an operator for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.control.desk import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """With rules of today, and nothing in it."""
    made = Desk(tmp_path)
    await made.outbox.open()
    yield made
    await made.outbox.close()
