"""What the emulator's README shows works, and what it lists is what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import pytest
import yaml

from bridge.emulator import faults
from bridge.emulator.settings import EmulatorSettings

README = Path(faults.__file__).with_name("README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def installed() -> bool:
    return any(entry.value == "bridge.emulator.fixture" for entry in entry_points(group="pytest11"))


def test_the_examples_run(tmp_path: Path) -> None:
    """The examples are tests, and pass in a suite of their own that only has the package installed."""
    for number, example in enumerate(blocks("python")):
        (tmp_path / f"test_example_{number}.py").write_text(example)
    plugin = () if installed() else ("-p", "bridge.emulator.fixture")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin]
    options = ("asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function", "filterwarnings=error")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        [*command, *(f"-o{option}" for option in options), str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout


def test_the_plugin_imports_nothing_heavy() -> None:
    """Everybody's pytest loads it at its start: it costs them nothing."""
    modules = "set(sys.modules)"
    script = f"import sys, pytest; was = {modules}; import bridge.emulator.fixture; print(*{modules} - was)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {name.partition(".")[0] for name in loaded} & {"pydantic", "orjson", "httpx", "uvloop", "pyreqwest"}
    assert {name for name in loaded if name.startswith("bridge")} == {
        "bridge",
        "bridge.emulator",
        "bridge.emulator.fixture",
    }


def test_the_file_with_everything() -> None:
    """The example of a file is one, and shows every setting that has no option."""
    example = yaml.safe_load(next(block for block in blocks("yaml") if "ended_event" in block))
    EmulatorSettings.model_validate(example)
    options = {"host", "port", "token", "speed", "journal_file", "state_dir", "journal_records"}
    assert set(example) == set(EmulatorSettings.model_fields) - options


@pytest.mark.parametrize("kind", get_args(get_args(faults.Fault)[0]), ids=lambda kind: kind.__name__)
def test_every_fault_is_listed(kind: type[faults.Where]) -> None:
    """The README's table has each kind of fault with each of its own settings."""
    (name,) = get_args(kind.model_fields["do"].annotation)
    row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
    own = set(kind.model_fields) - set(faults.Where.model_fields) - {"do"}
    assert [field for field in own if f"`{field}" not in row] == []


def test_every_field_of_a_fault_is_listed() -> None:
    """The table of which requests are hit has all of them."""
    assert [field for field in faults.Where.model_fields if f"`{field}`" not in README] == []


def test_every_option_is_listed() -> None:
    """The command's options are the table's."""
    source = (Path(faults.__file__).parents[1] / "commands" / "emulator.py").read_text()
    parameters = re.findall(r"^    (\w+): Annotated\[", source, re.MULTILINE)
    assert sorted(f"--{name.replace('_', '-')}" for name in parameters) == sorted(
        re.findall(r"^\| `(--[a-z-]+)", README, re.MULTILINE)
    )
