"""From a file and the environment to a configuration, or to everything that is wrong with it."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field, ValidationError

from bridge.config.cases import case_problems
from bridge.config.checks import cross_checks
from bridge.config.contents import digests
from bridge.config.environment import overlay
from bridge.config.model import Config
from bridge.config.problems import from_pydantic, keys_of, locate, placed
from bridge.config.secrets import inline_secrets, secrets_of, stand_in
from bridge.config.shadow import ReadShadow, read_shadow
from bridge.config.sources import SourceSettings, source_info
from bridge.config.texts import fill_in, take_texts
from bridge.config.warnings import warnings
from bridge.document import load
from bridge.errors import ConfigError, Problem
from bridge.routing.router import Router, SourceInfo
from bridge.routing.settings import RuleSettings  # noqa: TC001  pydantic reads it
from bridge.secrecy import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from bridge.document import Document, Keys

SECTIONS = ("targets", "sources", "rules")  # their elements stand for themselves


class Loaded(NamedTuple):
    """A configuration, and where everything in it stands."""

    config: Config
    document: Document


class Examined(NamedTuple):
    """What one look at a configuration has found."""

    config: Config | None  # None: there are problems
    problems: list[Problem]  # it cannot be used
    warnings: list[Problem]  # it can, and may do something else than was meant; also of the parts that are right


def load_config(path: Path | str, environ: Mapping[str, str] | None = None) -> Config:
    """Read, lay the environment over the file, validate, compile the rules, check the whole.

    environ: instead of the process's own. Its secrets are masked from then on, in whatever the process shows. Raises
    ConfigError with every problem that can be found at once, each with its path, file and line.
    """
    return read_config(path, environ).config


def read_config(path: Path | str, environ: Mapping[str, str] | None = None, *, here: bool = True) -> Loaded:
    """The same, with places. here: False for a machine on which it will not run: it need not have secrets and disks."""
    document, read, problems = _checked(path, environ, here=here)
    if problems or read.config is None:
        raise ConfigError(problems, None if read.config is None else digests(read.config.contents))
    return Loaded(read.config, document)


def examine(path: Path | str, environ: Mapping[str, str] | None = None) -> Examined:
    """The same, with what is suspicious in it. Raises ConfigError where a file cannot be read at all."""
    document, read, problems = _checked(path, environ)
    wrong = {_part(keys_of(problem.path)) for problem in problems}
    suspicious = [] if read.config is None else warnings(read.config, document, _right_rules(read, wrong))
    config = None if problems else read.config
    return Examined(
        config, problems, _sorted(problem for problem in suspicious if _part(keys_of(problem.path)) not in wrong)
    )


def _right_rules(read: _Read, wrong: Collection[Keys]) -> dict[int, RuleSettings]:
    """The rules in which nothing is wrong, by their numbers in the document."""
    rules = read.config.rules if read.config is not None else []
    numbered = {read.numbers[place]: rule for place, rule in enumerate(rules)}
    return {number: rule for number, rule in numbered.items() if ("rules", number) not in wrong}


def _checked(
    path: Path | str, environ: Mapping[str, str] | None, *, here: bool = True
) -> tuple[Document, _Read, list[Problem]]:
    environ = os.environ if environ is None else environ
    document = load(path)
    from_environment = overlay(document, environ)
    misplaced = fill_in(document, environ)
    problems = [*document.problems, *misplaced, *inline_secrets(document, from_environment)]
    if not here:
        stand_in(document.value)
    read = _validate(document)
    if read.config is not None:
        redact.add(secrets_of(read.config))
        read.config.look_into_files()
    found = list(read.problems)
    if read.config is not None and read.config.shadow is not None:
        shadow = _shadow(document, read.config.shadow, environ)
        problems += [*shadow.problems, *_shadow_rules(read.config, shadow)]
    if read.config is not None:
        wrong = {_part(keys_of(problem.path)) for problem in found}
        named = {*read.config.sources, *map(str, _dict(document.value.get("sources")))}
        crossing = [*cross_checks(read.config, here=here), *_rules(read.config, document.value)]
        crossing += case_problems(read.config.tests, named)
        between = placed(crossing, document, read.numbers)
        found += [problem for problem in between if _part(keys_of(problem.path)) not in wrong]
    said = {problem.path for problem in misplaced}
    return document, read, _sorted([*problems, *(problem for problem in found if problem.path not in said)])


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    """In the order of the files, each once."""
    return sorted(dict.fromkeys(problems), key=lambda problem: (problem.file, problem.line, problem.path))


class _Partial(Config):
    """What is left when everything that is wrong has been taken out; it may be nothing."""

    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    rules: list[RuleSettings] = Field(default_factory=list)


class _Read(NamedTuple):
    config: Config | None  # without the parts that are wrong; None: nothing can be said of the rest
    problems: list[Problem]
    numbers: dict[int, int]  # rule of ``config`` -> rule of the document


def _validate(document: Document) -> _Read:
    everything = {number: number for number in range(len(_list(document.value.get("rules"))))}
    try:
        return _Read(Config.model_validate(document.value), [], everything)
    except ValidationError as error:
        if take_texts(document, error):
            return _validate(document)
        problems = from_pydantic(error, document)
        rest, numbers = _without(document.value, error)
    try:
        return _Read(_Partial.model_validate(rest), problems, numbers)
    except ValidationError:
        return _Read(None, problems, {})


def _without(value: dict[str, Any], error: ValidationError) -> tuple[dict[str, Any], dict[int, int]]:
    """The parts of a document in which nothing is wrong by itself, so that they can still be checked together."""
    wrong = {_part(locate(value, details)) for details in error.errors(include_url=False)}
    rest = copy.deepcopy(value)
    for section, *element in wrong:
        if not element:
            rest.pop(str(section), None)
        elif isinstance(rest.get(str(section)), dict):
            rest[str(section)].pop(element[0], None)
    rules = _list(rest.get("rules"))
    numbers = [number for number in range(len(rules)) if ("rules", number) not in wrong]
    rest["rules"] = [rules[number] for number in numbers]
    return rest, dict(enumerate(numbers))


def _part(path: Keys) -> Keys:
    return path[:2] if path and path[0] in SECTIONS else path[:1]


def _rules(config: Config, value: dict[str, Any]) -> Iterator[Problem]:
    """The problems of the rules. Names of sources and targets that are wrong themselves count as known."""
    infos = {str(name): SourceInfo(str(name)) for name in _dict(value.get("sources"))}
    infos.update({name: source_info(name, source) for name, source in config.sources.items()})
    targets = tuple(dict.fromkeys([*config.targets, *map(str, _dict(value.get("targets")))]))
    try:
        if not isinstance(config, _Partial):
            config.router()  # the caller gets it compiled
            return
        Router(config.rules, vars=config.vars, sources=tuple(infos.values()), targets=targets)
    except ConfigError as error:
        yield from error.problems


def _shadow(document: Document, name: Path, environ: Mapping[str, str]) -> ReadShadow:
    path = Path(document.file).parent / name
    if not path.is_file():
        return ReadShadow(None, None, [document.problem(("shadow",), f"there is no file {path}")])
    return read_shadow(path, environ)


def _shadow_rules(config: Config, shadow: ReadShadow) -> list[Problem]:
    """Let the configuration have its shadow, and give the problems of its rules. Both stand or fall together."""
    if shadow.rules is None or shadow.document is None:
        return []
    config.give_shadow(shadow.rules)
    try:
        if not isinstance(config, _Partial):
            config.shadow_router()
    except ConfigError as error:
        return placed(error.problems, shadow.document)
    return []


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
