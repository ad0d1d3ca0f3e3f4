"""The part of ``check`` that connects: asks, with progress on a terminal, and shows questions and answers."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from bridge.inspection.inspecting import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.config import Config
    from bridge.inspection.inspecting import Inspection, Subject

CLIENTS = ("aiokafka", "aiormq")  # they log what is in the answers already


def ask(config: Config, timeout_seconds: float, more: Sequence[Subject] = ()) -> Inspection:
    """Ask everything outside that the configuration names, and ``more`` before it."""
    console = Console(stderr=True)
    columns = (TextColumn("asking brokers and APIs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with bars, _quiet():
        task = bars.add_task("", total=None)

        def progress(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        return asyncio.run(inspect(config, timeout_seconds, progress, more))


@contextmanager
def _quiet() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in CLIENTS}
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def online_facts(asked: Inspection) -> dict[str, object]:
    """For ``--json``."""
    answers = [{"subject": answer.subject, "path": answer.path, **answer.finding._asdict()} for answer in asked.answers]
    return {"good": asked.good, "requests": asked.requests, "answers": answers}


def show_online(asked: Inspection) -> None:
    """One line for each question, and what to do below those with a bad answer."""
    console = Console(highlight=False)
    for answer in asked.answers:
        finding = answer.finding
        mark, style = ("ok   ", "green") if finding.good else ("FAIL ", "red")
        line = Text(f"  {mark}", style).append(f" {answer.subject}: {finding.asked}: {finding.answer}", "default")
        console.print(line, soft_wrap=True)
        if finding.advice:
            console.print(Text(f"         {finding.advice}"), soft_wrap=True)
    bad = sum(not answer.finding.good for answer in asked.answers)
    told = f"{bad} of {len(asked.answers)} answers {'is' if bad == 1 else 'are'} not good"
    requests = f"{asked.requests} request{'s' * (asked.requests != 1)} to the API"
    console.print(Text(f"{told if bad else 'everything is there'}; {requests}"), soft_wrap=True)
