"""The rule tests of a configuration: those in it, and those in ``NAME.test.yaml`` beside each of its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from bridge.config.cases import Case, CaseFile, case_problems
from bridge.config.problems import from_pydantic, keys_of
from bridge.document.reading import read
from bridge.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from bridge.config import Loaded
    from bridge.document import Document, Place

SUFFIX = ".test.yaml"


class PlacedCase(NamedTuple):
    """A rule test, and where it stands."""

    case: Case
    place: Place


def gather(loaded: Loaded, files: Sequence[Path] = ()) -> list[PlacedCase]:
    """All rule tests, those of the configuration first.

    files: instead of those beside it. Raises ConfigError with everything that is wrong with them.
    """
    found = list(_placed(loaded.config.tests, loaded.document))
    problems: list[Problem] = []
    for file in files or _beside(loaded.document):
        try:
            found += _of_file(file, loaded.config.sources)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def _beside(document: Document) -> Iterator[Path]:
    """``orders.test.yaml`` for ``orders.yaml``, unless the configuration includes it already."""
    files = dict.fromkeys([document.file, *(place.file for place in document.places.values())])
    for name in files:
        file = Path(name)
        beside = file.with_name(file.name.removesuffix(file.suffix) + SUFFIX)
        if str(beside) not in files and beside.is_file():
            yield beside


def _of_file(file: Path, sources: Collection[str]) -> list[PlacedCase]:
    document = read(file)
    problems = list(document.problems)
    try:
        cases = CaseFile.model_validate(document.value).tests
    except ValidationError as error:
        raise ConfigError([*problems, *from_pydantic(error, document)]) from None
    wrong = case_problems(cases, sources)
    problems += [document.problem(keys_of(problem.path), problem.message) for problem in wrong]
    if problems:
        raise ConfigError(problems)
    return list(_placed(cases, document))


def _placed(cases: Sequence[Case], document: Document) -> Iterator[PlacedCase]:
    for number, case in enumerate(cases):
        yield PlacedCase(case, document.position_of(("tests", number)))
