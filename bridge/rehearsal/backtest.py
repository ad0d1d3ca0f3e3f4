"""Recorded messages against a configuration, or against two: what would be called, and what would change."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bridge.errors import ConfigError, NotAMessage, Problem
from bridge.rehearsal.stage import NO_SOURCE, by_source
from bridge.rehearsal.words import call_data
from bridge.routing.comparison import Comparison, rule_of
from bridge.routing.outcome import Routed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bridge.call import Call
    from bridge.rehearsal.inputs import Line
    from bridge.rehearsal.stage import Sample, Stage
    from bridge.routing.comparison import Difference

BATCH: Final = 1000  # messages that are routed at once
MOST_KINDS: Final = 1000  # of calls that are counted apart: names of workflows can come from messages
OTHERS: Final = "…"


class Forecast:
    """What one configuration makes of the messages, counted; its size is bounded."""

    def __init__(self) -> None:
        self.messages = 0
        self.calls: Counter[tuple[str, str, str]] = Counter()  # (rule, operation, workflow)
        self.dead: Counter[tuple[str, str]] = Counter()  # (rule, reason)
        self.dropped: Counter[str] = Counter()  # reason -> messages
        self.unmatched = 0  # messages

    def add(self, messages: int, routed: Routed) -> None:
        """Count what became of a batch."""
        self.messages += messages
        self.unmatched += routed.unmatched
        self.dropped.update(routed.dropped)
        self.dead.update((rejected.rule, rejected.reason) for rejected in routed.dead)
        for (rule, operation, workflow), count in Counter([_kind(call) for _, call in routed.calls]).items():
            known = (rule, operation, workflow) in self.calls or len(self.calls) < MOST_KINDS
            self.calls[rule, operation, workflow if known else OTHERS] += count

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        calls = [
            {"rule": rule, "operation": operation, "workflow": workflow, "calls": count}
            for (rule, operation, workflow), count in self.calls.most_common()
        ]
        dead = [{"rule": rule, "reason": reason, "count": count} for (rule, reason), count in self.dead.most_common()]
        return {
            "messages": self.messages,
            "calls": calls,
            "dead_letters": dead,
            "dropped": dict(self.dropped.most_common()),
            "unmatched": self.unmatched,
        }


def _kind(call: Call) -> tuple[str, str, str]:
    return rule_of(call), call.operation.value, call.workflow


class Outcome(NamedTuple):
    """What came out."""

    new: Forecast
    old: Forecast | None  # None: there was nothing to compare with
    comparison: Comparison


class Backtest:
    """Routes recorded messages, batch by batch; sends nothing and keeps no message but the samples.

    file: for errors. source: for messages that name none. samples: differences that are kept.
    """

    def __init__(self, new: Stage, old: Stage | None, file: str, *, source: str = "", samples: int = 5) -> None:
        self._new = new
        self._old = old
        self._file = file
        self._source = source
        self.outcome = Outcome(Forecast(), None if old is None else Forecast(), Comparison(samples))

    async def run(self, lines: Iterable[Line], now_ms: int, progress: Callable[[int], None]) -> None:
        """Take all lines. progress: gets the number of bytes that have been read.

        Raises ConfigError at a message that is of no source, SchemasUnavailable.
        """
        waiting = iter(lines)
        while batch := list(islice(waiting, BATCH)):
            for source, samples in by_source([self._sample(line) for line in batch]).items():
                await self._route(source, samples, now_ms)
            progress(batch[-1].end)

    def _sample(self, line: Line) -> Sample:
        named = line.recorded.message.source
        old_only = self._old is not None and named not in self._new.config.sources and named in self._old.config.sources
        stage = self._old if old_only and self._old is not None else self._new
        try:
            return stage.sample(line.recorded, self._source)
        except NotAMessage as error:
            path = ".".join(map(str, error.path))
            raise ConfigError([Problem(path, error.message, self._file, line.number)]) from None

    async def _route(self, source: str, samples: Sequence[Sample], now_ms: int) -> None:
        new, old, comparison = self.outcome
        routed = await _routed(self._new, source, samples, now_ms)
        new.add(len(samples), routed)
        if self._old is not None and old is not None:
            before = await _routed(self._old, source, samples, now_ms)
            old.add(len(samples), before)
            comparison.add(len(samples), before, routed)

    async def close(self) -> None:
        """Let go of schema registries."""
        for stage in (self._new, self._old):
            if stage is not None:
                await stage.close()


async def _routed(stage: Stage, source: str, samples: Sequence[Sample], now_ms: int) -> Routed:
    """What becomes of messages; where the configuration does not have their source, nothing does."""
    if source in stage.config.sources:
        return await stage.route(source, samples, now_ms)
    silent = [(sample.message, NO_SOURCE) for sample in samples]
    return Routed([], [], {}, {NO_SOURCE: len(samples)}, 0, {}, silent)


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """All of an outcome, as JSON has it."""
    new, old, comparison = outcome
    found: dict[str, Any] = {"new": new.data()}
    if old is not None:
        found |= {
            "old": old.data(),
            "differing": comparison.differing,
            "changes": comparison.sentences(),
            "by_rule": [
                {"rule": rule, "operation": operation, "what": what, "count": count}
                for (rule, operation, what), count in comparison.by_rule.most_common()
            ],
            "samples": [sample_data(difference) for difference in comparison.samples],
        }
    return found


def sample_data(difference: Difference) -> dict[str, Any]:
    """A message that fares otherwise."""
    message = difference.message
    changes = [
        {**change._asdict(), "old": _side(change.old), "new": _side(change.new)} for change in difference.changes
    ]
    return {"source": message.source, "id": message.id, "changes": changes}


def _side(side: Call | str | None) -> object:
    return side if side is None or isinstance(side, str) else call_data(side)
