"""Rows of what was found: a table where the terminal is wide enough, else a few lines a row; nothing is cut off."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len
from rich.console import Console

from bridge.rehearsal.words import safe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

GAP = "  "


def show(names: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """Print rows, under names. right: the names of columns of numbers."""
    terminal = Console()
    width = terminal.width if terminal.is_terminal else None
    for line in laid_out(names, [[safe(cell).replace("\n", " ") for cell in row] for row in rows], width, right):
        typer.echo(line)


def laid_out(
    names: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, right: Collection[str] = ()
) -> Iterator[str]:
    """The lines. width: columns of the terminal; None: no limit, so that a row is a line for grep and the like."""
    widths = [max(map(cell_len, column)) for column in zip(names, *rows, strict=True)]
    if width is not None and sum(widths) + len(GAP) * (len(widths) - 1) > width:
        for row in rows:
            yield from _stacked(names, row, width)
        return
    yield typer.style(_line(names, names, widths, right), bold=True)
    for row in rows:
        yield _line(names, row, widths, right)


def _line(names: Sequence[str], row: Sequence[str], widths: Sequence[int], right: Collection[str]) -> str:
    cells = []
    for name, cell, width in zip(names, row, widths, strict=True):
        room = " " * (width - cell_len(cell))
        cells.append(room + cell if name in right else cell + room)
    return GAP.join(cells).rstrip()


def _stacked(names: Sequence[str], row: Sequence[str], width: int) -> Iterator[str]:
    """The first two cells as a heading, then as many names and values as a line has room for."""
    yield typer.style(GAP.join(row[:2]).rstrip(), bold=True)
    line = ""
    for name, cell in zip(names[2:], row[2:], strict=True):
        said = f"{name}: {cell}"
        if line and cell_len(line) + len(GAP) + cell_len(said) > width:
            yield from _wrapped(line, width)
            line = ""
        if cell:
            line += GAP + said
    if line:
        yield from _wrapped(line, width)


def _wrapped(line: str, width: int) -> list[str]:
    return wrap(line.strip(), max(width, 20), initial_indent=GAP, subsequent_indent=GAP * 2, break_on_hyphens=False)
