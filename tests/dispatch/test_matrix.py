"""The outcome table, cell by cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dispatch import matrix

PAGE = Path(__file__).parents[2] / "config" / "outcomes.md"
HEADER = "| call | first answer | requests | what becomes of it |\n|---|---|---|---|\n"


@pytest.fixture(scope="module")
def written() -> dict[tuple[str, str], str]:
    """The rows of the page, by call and first answer."""
    rows = PAGE.read_text(encoding="utf-8").partition(HEADER)[2].splitlines()
    cells = [row.strip("| ").split(" | ", 2) for row in rows]
    return {(call, scene): rest for call, scene, rest in cells}


def test_the_page_has_every_cell(written: dict[tuple[str, str], str]) -> None:
    """No call and no answer is left out."""
    assert list(written) == [(call, scene.name) for call, _, scene in matrix.cells()]


@pytest.mark.parametrize(
    ("call", "rule", "scene"), [pytest.param(*cell, id=f"{cell[0]}: {cell[2].name}") for cell in matrix.cells()]
)
async def test_a_cell(written: dict[tuple[str, str], str], call: str, rule: matrix.Rule, scene: matrix.Scene) -> None:
    """The requests that the bridge makes and what becomes of the call are those that the page says."""
    assert matrix.cell(*await matrix.play(rule, scene)) == written[call, scene.name]
