"""A folder to write configurations into."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.config.files import Folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)
