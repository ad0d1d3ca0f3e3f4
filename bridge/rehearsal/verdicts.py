"""What a rule test wanted and what came out, laid side by side."""

from __future__ import annotations

from difflib import ndiff
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from bridge.call import Operation, first_body
from bridge.config.cases import ACTIONS, Expected
from bridge.dead_letters.kept import time_of
from bridge.recorded import epoch_ms
from bridge.rehearsal.words import PRIORITIES
from bridge.routing.comparison import rule_of
from bridge.routing.metadata import KEY
from bridge.routing.words import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.call import Call
    from bridge.routing.outcome import Routed

_INCLUDE: Final = {"params": "params_include", "payload": "payload_include"}


class Difference(NamedTuple):
    """One thing that came out otherwise."""

    what: str  # such as "1. create: workflow"
    wanted: object
    found: object


def outcomes(routed: Routed, now_ms: int) -> list[dict[str, Any]]:
    """All that became of one message, in the words of an expectation: calls, dead letters, drop, unmatched."""
    found: list[dict[str, Any]] = [_call(call, now_ms) for _, call in routed.calls]
    dead = [rejected for rejected in routed.dead if rejected.reason != "unmatched"]
    found += [{"dead_letter": rejected.reason, "rule": rejected.rule} for rejected in dead]
    found += [{"drop": reason} for reason in routed.dropped]
    return [*found, {"unmatched": True}] if routed.unmatched else found


def _call(call: Call, now_ms: int) -> dict[str, Any]:
    body = orjson.loads(first_body(call.body))
    said: dict[str, Any] = {"workflow": call.workflow, "id": call.instance_id, "target": call.target}
    if call.operation is Operation.CREATE:
        said |= {"params": body.get("params"), "location_hint": body.get("location_hint")}
    elif call.operation is Operation.EVENT:
        said |= {"type": call.event_type, "payload": body}
    else:
        said |= {"to": body.get("status")}
    due = {"not_before": call.not_before_ms, "delay": call.not_before_ms - now_ms} if call.not_before_ms else {}
    around = {"rule": rule_of(call), "lane": call.lane, "priority": PRIORITIES[call.priority]}
    return {call.operation.value: said, **around, **due}


def compare(expected: Sequence[Expected], found: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Everything in which they differ; nothing where the test passes."""
    wanted = [wanted.model_dump(exclude_unset=True) for wanted in expected]
    differences: list[Difference] = []
    for number, (want, have) in enumerate(zip_longest(wanted, found), 1):
        differences += _differences(number, want, have)
    return differences


def _differences(number: int, want: Mapping[str, Any] | None, have: Mapping[str, Any] | None) -> Iterator[Difference]:
    if want is None or have is None or _action(want) != _action(have):
        yield Difference(str(number), want and _short(want), have and _short(have))
        return
    action = _action(want)
    if action in {"create", "event", "status"}:
        for name, value in want[action].items():
            yield from _field(f"{number}. {action}: {name}", name, value, have[action])
    elif want[action] is not True and want[action] != have[action]:
        yield Difference(f"{number}. {action}", want[action], have[action])
    for name in want.keys() - {action}:
        one, other = _plain(name, want[name]), _plain(name, have.get(name))
        if one != other:
            yield Difference(f"{number}. {name}", one, other)


def _action(outcome: Mapping[str, Any]) -> str:
    return next(name for name in ACTIONS if outcome.get(name) is not None)


def _short(outcome: Mapping[str, Any]) -> object:
    """An outcome that the other side does not have at all."""
    action = _action(outcome)
    return {name: value for name, value in outcome.items() if name in {action, "rule"}}


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401  any value of an expectation
    """Times as text, delays in seconds."""
    if name == "not_before" and value is not None:
        return time_of(value if isinstance(value, int) else epoch_ms(value) or 0)
    if name == "delay" and value is not None:
        return value / 1000 if isinstance(value, int) else parse_duration(value).total_seconds()
    return value


def _field(what: str, name: str, want: Any, have: Mapping[str, Any]) -> Iterator[Difference]:  # noqa: ANN401  any JSON
    for whole, part in _INCLUDE.items():
        if name == part:
            held = _parsed(have.get(whole), want)
            found = _part(held, want)
            if not same(want, found):
                yield Difference(what, want, found)
            return
    found = _parsed(have.get(name), want)
    if name in _INCLUDE and isinstance(found, dict) and not (isinstance(want, dict) and KEY in want):
        found = {key: value for key, value in found.items() if key != KEY}
    if not same(want, found):
        yield Difference(what, want, found)


def _parsed(found: Any, want: Any) -> Any:  # noqa: ANN401  any JSON
    """With ``params_encoding: string`` the params are text that holds JSON."""
    if isinstance(found, str) and not isinstance(want, str):
        try:
            return orjson.loads(found)
        except orjson.JSONDecodeError:
            return found
    return found


def _part(found: Any, want: Any) -> Any:  # noqa: ANN401  any JSON
    """What there is of that which is wanted."""
    if isinstance(found, dict) and isinstance(want, dict):
        return {name: _part(found[name], value) for name, value in want.items() if name in found}
    return found


def same(one: Any, other: Any) -> bool:  # noqa: ANN401  any JSON
    """Equal as JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def difference_lines(difference: Difference) -> Iterator[str]:
    """For people: what was wanted with -, what came out with +."""
    yield f"{difference.what}"
    wanted, found = _laid_out(difference.wanted), _laid_out(difference.found)
    if len(wanted) == len(found) == 1:
        yield from (f"  - {wanted[0]}", f"  + {found[0]}")
        return
    yield from (f"  {line.rstrip()}" for line in ndiff(wanted, found) if not line.startswith("?"))


def _laid_out(value: object) -> list[str]:
    if value is None:
        return ["nothing"]
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode().split("\n")
