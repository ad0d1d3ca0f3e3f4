"""The emulator's own command, as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.emulator.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = "import typer; from bridge.commands.emulator import emulator; typer.run(emulator)"


@pytest.fixture(autouse=True)
def close_drivers() -> Iterator[None]:
    """Files of a state are closed with the test that opened them."""
    yield
    while Driver.made:
        Driver.made.pop().application.close()


@pytest.fixture
def launch() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command on any free port; it is killed when the test is over."""
    processes: list[subprocess.Popen[str]] = []

    def launch(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", COMMAND, "--port", "0", *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
        return processes[-1]

    yield launch
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def start(launch: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[subprocess.Popen[str], dict[str, str]]]:
    """The same, with what it printed once it serves."""

    def start(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, str]]:
        process = launch(*arguments)
        assert process.stdout is not None
        values: dict[str, str] = {}
        while "serving" not in values:
            line = process.stdout.readline()
            assert line, process.communicate()
            name, _, value = line.strip().partition(": ")
            values[name] = value
        return process, values

    return start
