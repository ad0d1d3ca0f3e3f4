"""``workflow-bridge test``: the rule tests of a configuration."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from bridge.commands.files import ConfigFile, refuse
from bridge.config import read_config
from bridge.errors import ConfigError, NotAMessage, SchemasUnavailable
from bridge.rehearsal.cases import gather
from bridge.rehearsal.stage import Stage
from bridge.rehearsal.testing import Result, junit, run
from bridge.rehearsal.verdicts import difference_lines
from bridge.rehearsal.words import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.rehearsal.cases import PlacedCase

FAILED = 1  # the exit code

TestFiles = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]…", help="Files of tests, instead of those beside the rules.")
]


def run_tests(
    files: TestFiles = None,
    *,
    config: ConfigFile,
    only: Annotated[str, typer.Option("-k", help="Only tests with this in their names.")] = "",
    junit_file: Annotated[Path | None, typer.Option("--junit", help="Write JUnit's XML to this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run the rule tests: those under tests:, and those in NAME.test.yaml beside NAME.yaml. Nothing is sent.

    Exit 0: all passed; 1: some failed, or there are none; 2: the configuration or a test cannot be used.
    """
    try:
        loaded = read_config(config, os.environ, here=False)
        every = gather(loaded, files or ())
        cases = [placed for placed in every if only in placed.case.name]
        results = asyncio.run(_run(Stage(loaded.config), cases))
    except ConfigError as error:
        refuse(*error.problems, as_json=json)
    except (NotAMessage, SchemasUnavailable) as error:
        refuse(str(error), as_json=json)
    if junit_file is not None:
        try:
            junit_file.write_bytes(junit(results))
        except OSError as error:
            refuse(f"{junit_file}: {error.strerror}", as_json=json)
    if json:
        print(orjson.dumps(_data(results), default=str).decode())
    else:
        _show(results)
        if not results:
            print(_none(len(every), only))
    raise typer.Exit(0 if results and all(result.passed for result in results) else FAILED)


async def _run(stage: Stage, cases: Sequence[PlacedCase]) -> list[Result]:
    try:
        return await run(stage, cases)
    finally:
        await stage.close()


def _data(results: Sequence[Result]) -> dict[str, object]:
    failed = sum(not result.passed for result in results)
    return {
        "passed": len(results) - failed,
        "failed": failed,
        "tests": [
            {
                "name": result.placed.case.name,
                "file": result.placed.place.file,
                "line": result.placed.place.line,
                "passed": result.passed,
                "differences": [difference._asdict() for difference in result.differences],
            }
            for result in results
        ],
    }


def _show(results: Sequence[Result]) -> None:
    failed = [result for result in results if not result.passed]
    for result in failed:
        place = result.placed.place
        print(safe(f"FAILED {place.file}:{place.line}: {result.placed.case.name}"))
        for difference in result.differences:
            for line in difference_lines(difference):
                print(safe(f"    {line}"))
        for reason in result.reasons:
            print(safe(f"    {reason}"))
    if results:
        print(f"{len(results) - len(failed)} passed, {len(failed)} failed (- is what was expected, + what came out)"
              if failed else f"{len(results)} passed")  # fmt: skip


def _none(every: int, only: str) -> str:
    if every:
        return f"none of {every} tests has {only!r} in its name"
    return "there are no tests; write some under tests: or in NAME.test.yaml beside NAME.yaml"
