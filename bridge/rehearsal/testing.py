"""Runs rule tests: all messages of a source at once, each compared with what its case expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from bridge import recorded
from bridge.admission import TOO_OLD
from bridge.recorded import epoch_ms
from bridge.rehearsal.verdicts import Difference, compare, difference_lines, outcomes
from bridge.routing.outcome import Routed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bridge.message import Message
    from bridge.rehearsal.cases import PlacedCase
    from bridge.rehearsal.stage import Sample, Stage


class Result(NamedTuple):
    """What a rule test came out as."""

    placed: PlacedCase
    differences: tuple[Difference, ...]  # none: it passed
    reasons: tuple[str, ...] = ()  # why there are dead letters, or why its source ignores the message

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.differences


class _Prepared(NamedTuple):
    placed: PlacedCase
    sample: Sample
    now_ms: int


async def run(stage: Stage, cases: Sequence[PlacedCase]) -> list[Result]:
    """The results, in order. Raises SchemasUnavailable, and NotAMessage, which ``gather`` has ruled out."""
    prepared = [_prepared(stage, placed) for placed in cases]
    groups: dict[tuple[str, int], list[int]] = {}
    for number, (_, sample, now_ms) in enumerate(prepared):
        groups.setdefault((sample.message.source, now_ms), []).append(number)
    results: dict[int, Result] = {}
    for (source, now_ms), numbers in groups.items():
        samples = [prepared[number].sample for number in numbers]
        routed = await stage.route(source, samples, now_ms)
        for number, alone in zip(numbers, _by_message(routed, [sample.message for sample in samples]), strict=True):
            results[number] = _result(prepared[number], alone, stage)
    return [results[number] for number in range(len(cases))]


def _prepared(stage: Stage, placed: PlacedCase) -> _Prepared:
    sample = stage.sample(recorded.read(placed.case.message))
    arrival = placed.case.arrival
    now_ms = epoch_ms(arrival) if arrival is not None else sample.message.timestamp_ms
    # A message object of its own: the same one may be in several cases.
    return _Prepared(placed, sample._replace(message=sample.message._replace()), now_ms or 0)


def _result(prepared: _Prepared, routed: Routed, stage: Stage) -> Result:
    differences = compare(prepared.placed.case.expect, outcomes(routed, prepared.now_ms))
    reasons = [f"dead letter: {rejected.detail}" for rejected in routed.dead]
    if TOO_OLD in routed.dropped:
        reasons.append(f"ignored: older than {stage.oldest(prepared.sample.message.source)}")
    return Result(prepared.placed, tuple(differences), tuple(reasons))


def _by_message(routed: Routed, messages: Iterable[Message]) -> list[Routed]:
    """What became of each message of a batch, without the counts by rule."""
    found = {id(message): Routed([], [], {}, {}, 0, {}, []) for message in messages}
    for message, call in routed.calls:
        found[id(message)].calls.append((message, call))
    for rejected in routed.dead:
        found[id(rejected.message)].dead.append(rejected)
    for message, reason in routed.silent:
        if reason:
            found[id(message)].dropped[reason] = 1
        else:
            found[id(message)] = found[id(message)]._replace(unmatched=1)
    return list(found.values())


def junit(results: Sequence[Result]) -> bytes:
    """The results in the XML that CI systems read."""
    failures = sum(not result.passed for result in results)
    suite = Element("testsuite", name="workflow-bridge", tests=str(len(results)), failures=str(failures))
    for result in results:
        place = result.placed.place
        case = SubElement(
            suite, "testcase", classname=place.file, name=result.placed.case.name, file=place.file, line=str(place.line)
        )
        if not result.passed:
            lines = [line for difference in result.differences for line in difference_lines(difference)]
            failure = SubElement(case, "failure", message="; ".join(each.what for each in result.differences))
            failure.text = "\n".join(lines).encode("ascii", "backslashreplace").decode()
    written: bytes = tostring(suite, encoding="utf-8", xml_declaration=True)
    return written
