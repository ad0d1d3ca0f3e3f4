"""Everything outside that a configuration names, asked at once and within a time limit."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from bridge.config import DeadLettersSettings
from bridge.finding import Finding
from bridge.inspection import registries, targets

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from bridge.config import Config, SourceSettings


class Answered(NamedTuple):
    """One question, and the part of the configuration that it is about."""

    subject: str  # "source orders", "target main", "dead letters"
    path: str  # in the configuration
    finding: Finding


class Inspection(NamedTuple):
    """What was found, in the order of the configuration."""

    answers: list[Answered]
    requests: int  # to the Workflows API; they count towards its quota

    @property
    def good(self) -> bool:
        """Whether everything is there."""
        return all(answer.finding.good for answer in self.answers)


class Subject(NamedTuple):
    """Somebody to be asked."""

    name: str
    path: str
    findings: AsyncGenerator[Finding, None]


async def inspect(
    config: Config, timeout_seconds: float, progress: Callable[[int, int], None], more: Sequence[Subject] = ()
) -> Inspection:
    """Ask all sources, dead letter destinations and targets, and ``more`` before them.

    timeout_seconds: what has not answered then is a finding, too. progress: gets how many are done, and of how many.
    Raises ConfigError where a part's packages are not installed.
    """
    subjects = [
        *more,
        *(Subject(f"source {name}", f"sources.{name}", _source(each)) for name, each in config.sources.items()),
        *(
            Subject(f"source {name}", f"sources.{name}.registry", registries.inspect(each.registry))
            for name, each in config.sources.items()
            if each.registry is not None
        ),
        *_dead_letters(config),
        *(_target(config, name) for name in config.targets),
    ]
    done: list[str] = []

    async def one(subject: Subject) -> list[Answered]:
        found = await _within(subject, timeout_seconds)
        done.append(subject.name)
        progress(len(done), len(subjects))
        return found

    found = await asyncio.gather(*map(one, subjects))
    return Inspection([answer for answers in found for answer in answers], sum(map(_sent, found)))


def _target(config: Config, name: str) -> Subject:
    findings = targets.inspect(config.targets[name], targets.workflows_of(config, name))
    return Subject(f"target {name}", f"targets.{name}", findings)


async def _within(subject: Subject, timeout_seconds: float) -> list[Answered]:
    found: list[Answered] = []
    try:
        async with asyncio.timeout(timeout_seconds), aclosing(subject.findings) as findings:
            async for finding in findings:
                found.append(Answered(subject.name, subject.path, finding))  # noqa: PERF401  kept when time is up
    except TimeoutError:
        late = Finding(
            "an answer in time",
            good=False,
            answer=f"nothing more within {timeout_seconds:g} s",
            advice="check that the address is reachable from here, or give it longer with --timeout",
        )
        found.append(Answered(subject.name, subject.path, late))
    return found


def _sent(answers: Sequence[Answered]) -> int:
    """The requests to the API behind these answers."""
    return sum(
        answer.subject.startswith("target ") and not answer.finding.answer.startswith("not asked") for answer in answers
    )


def _source(settings: SourceSettings) -> AsyncGenerator[Finding, None]:
    found: AsyncGenerator[Finding, None] = import_module(f"bridge.sources.{settings.type}_inspection").inspect(settings)
    return found


def _dead_letters(config: Config) -> list[Subject]:
    if not isinstance(config.dead_letters, DeadLettersSettings):
        return []
    to = config.dead_letters.to
    if to is None:
        return []
    module = import_module(f"bridge.sources.{to.type}_inspection")
    if to.type == "kafka":
        return [Subject("dead letters", "dead_letters.to", module.inspect_topic(to, to.topic))]
    return [Subject("dead letters", "dead_letters.to", module.inspect_exchange(to, to.exchange, to.routing_key))]
