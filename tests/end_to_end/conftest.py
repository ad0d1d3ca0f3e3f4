"""An engine and a token for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.services.workerd import Workerd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def engine() -> Iterator[Workerd]:
    """The real Workflows engine, with nothing in it."""
    with Workerd() as running:
        yield running


@pytest.fixture
def token_file(engine: Workerd, tmp_path: Path) -> Path:
    """The engine's token as the bridge is given it."""
    path = tmp_path / "token"
    path.write_text(engine.token)
    return path
