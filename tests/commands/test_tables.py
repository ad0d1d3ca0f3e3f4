"""Tables of what was found, on terminals of any width and in pipes."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from bridge.commands.tables import laid_out

NAMES = ("number", "time", "reason", "rule", "detail")
ROWS = [
    (
        "7",
        "2026-12-01T03:15:27.367Z",
        "invalid_id",
        "payment",
        "the instance id 'order é' is not 1 to 100 letters " * 3,
    ),
    ("12", "2026-12-01T03:16:20.535Z", "undecodable", "", "not JSON"),
]


def lines(width: int | None) -> list[str]:
    """As they are read, without the bold."""
    return [re.sub(r"\x1b\[\d+m", "", line) for line in laid_out(NAMES, ROWS, width, ("number",))]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_table_that_does_not_fit_is_a_few_whole_lines_a_row(width: int) -> None:
    """No column of a few letters, nothing cut off: a heading, then names with their values, within the terminal."""
    shown = lines(width)
    assert max(map(len, shown)) <= width
    assert [line for line in shown if not line.startswith(" ")] == [f"{row[0]}  {row[1]}" for row in ROWS]
    text = " ".join(" ".join(shown).split())
    assert "reason: invalid_id rule: payment detail: the instance id 'order é' is not 1 to 100 letters" in text
    assert text.endswith("12 2026-12-01T03:16:20.535Z reason: undecodable detail: not JSON")  # no rule: not named


@pytest.mark.parametrize("width", [None, 300])
def test_a_table_that_fits_has_a_line_for_each_row(width: int | None) -> None:
    """In a pipe always, however long the row is: what reads it goes by lines."""
    head, *rows = lines(width)
    assert [len(rows), head.split()] == [len(ROWS), list(NAMES)]
    assert {line.index("2026-") for line in rows} == {head.index("time")}
    assert all(first != second for first, second in pairwise([head, *rows]))
    assert not any(line.endswith(" ") for line in rows[1:])
