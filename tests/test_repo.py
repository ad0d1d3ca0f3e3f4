"""Keeps the repository honest: sizes, names, documents and settings that belong together."""

from __future__ import annotations

import ast
import re
import statistics
import tomllib
from pathlib import Path

import pytest

import bridge
from bridge.metrics import TABLE

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "bridge").rglob("*.py"))
MODULE_LINES = 300
FUNCTION_LINES = 60
LOOPS = {"bridge/intake.py": "_read", "bridge/dispatch/dispatcher.py": "run"}
SCREEN_LINES = 40
FORBIDDEN_NAMES = re.compile(r"\bclass \w*(Manager|Handler|Processor|Service|Helper)\b")
LIBRARY_HANDLERS = {"bridge/logs.py"}  # the class of logging that ours derives from has the word in its name


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def test_no_module_is_too_long() -> None:
    """A module has at most 300 lines."""
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > MODULE_LINES} == {}


def test_no_function_is_too_long() -> None:
    """A function has at most 60 lines; half of them at most 10, nine in ten at most 30."""
    sizes = {f"{path.relative_to(ROOT)}:{node.name}": lines(node) for path in MODULES for node in functions(path)}
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}
    assert statistics.median(sizes.values()) <= 10
    assert statistics.quantiles(sizes.values(), n=10)[-1] <= 30


@pytest.mark.parametrize(("path", "name"), LOOPS.items())
def test_each_half_fits_on_a_screen(path: str, name: str) -> None:
    """The loop of each half can be read at one glance."""
    loop = next(node for node in functions(ROOT / path) if node.name == name)
    assert lines(loop) <= SCREEN_LINES


def test_ack_is_called_at_one_place() -> None:
    """The broker is told to forget messages at one place in the package, after the receipt."""
    calls = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in MODULES
        if "sources" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "await batch.ack()" in line
    ]
    assert [call.split(":")[0] for call in calls] == ["bridge/intake.py"]


def test_names_say_what_things_are() -> None:
    """No class is called a manager, handler, processor, service or helper."""
    found = {
        str(path.relative_to(ROOT)): FORBIDDEN_NAMES.findall(path.read_text())
        for path in MODULES
        if str(path.relative_to(ROOT)) not in LIBRARY_HANDLERS
    }
    assert {name: words for name, words in found.items() if words} == {}


def test_only_the_composition_root_reads_clocks() -> None:
    """Time and chance come from outside; what stands for another computer (emulator, demo) has a clock of its own."""
    clock = re.compile(r"\btime\.(time|time_ns|monotonic)\b|datetime\.now|\brandom\.(random|uniform|choice)\b")
    roots = (
        "bridge/app.py",
        "bridge/parts.py",
        "bridge/emulator/server.py",
        "bridge/demo/run.py",
        "bridge/demo/orders.py",
    )
    users = {str(p.relative_to(ROOT)) for p in MODULES if clock.search(p.read_text())}
    assert users - set(roots) == set()


def test_every_metric_has_its_unit_in_its_name() -> None:
    """Names follow Prometheus: the prefix, and ``_total`` on counters alone."""
    assert all(row.name.startswith("workflow_bridge_") for row in TABLE)
    assert {row.name for row in TABLE if row.name.endswith("_total")} == {r.name for r in TABLE if r.type == "counter"}


def test_the_version_is_in_one_place_and_in_the_changelog() -> None:
    """Package, project and changelog name the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == bridge.__version__
    assert f"## [{bridge.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_are_hashed_and_name_no_index(name: str) -> None:
    """Every locked requirement has hashes; no address of an index is in the file."""
    text = (ROOT / name).read_text()
    pinned = re.findall(r"^([a-zA-Z0-9_.-]+(?:\[[^\]]*\])?)==", text, re.MULTILINE)
    assert len(pinned) > 20
    blocks = re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE)
    assert [block.split("==")[0] for block in blocks if "==" in block and "--hash=sha256:" not in block] == []
    assert "://" not in text


def test_ci_runs_what_the_readme_says() -> None:
    """CI runs the linters and exactly the README's test command."""
    ci = (ROOT / ".ci" / "run").read_text()
    assert "make lint\nmake test\n" in ci
    assert "\nmake test " in (ROOT / "README.md").read_text()


def test_the_readme_names_files_that_exist() -> None:
    """Links of the README into the repository lead somewhere."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
