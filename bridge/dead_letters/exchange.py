"""Dead letters as lines of JSON that hold them to the byte, and back: for export, import and editing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson

from bridge import recorded
from bridge.call import Call, Operation, Policy, first_body, second_body, two_bodies
from bridge.errors import NotAMessage
from bridge.outbox.base import Attempt, DeadLetter
from bridge.recorded.reading import bytes_of, json_text
from bridge.recorded.writing import exact_body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.message import Message

_TEXTS, _NUMBERS = ("reason", "detail", "rule", "config"), ("attempts", "died_ms", "redriven")
_CALL_TEXTS = ("target", "workflow", "instance_id", "event_type", "lane")
_CALL_NUMBERS = ("priority", "not_before_ms")
_LONGEST_INTEGER = 19  # characters that fit 64 bits in any case


def encode(letter: DeadLetter, number: int = 0) -> bytes:
    """One line of JSON without a line break; ``decode`` has the same letter again. number: only for people; 0: none."""
    facts: dict[str, Any] = {name: getattr(letter, name) for name in (*_TEXTS, *_NUMBERS)}
    facts["history"] = [attempt._asdict() for attempt in letter.history]
    parts = {"message": orjson.Fragment(recorded.encode(letter.message)), "call": call_parts(letter.call)}
    return orjson.dumps(({"number": number} if number else {}) | facts | parts)


def call_parts(call: Call | None) -> dict[str, Any] | None:
    """A call as values that orjson has words for; a body that is JSON stands there as JSON where that is exact."""
    if call is None:
        return None
    second = second_body(call.body)
    known = {**call._asdict(), "body": exact_body(first_body(call.body)), "policy": orjson.Fragment(call.policy)}
    return {**known, "then": exact_body(second)} if second else known


def edited_parts(letter: DeadLetter) -> bytes:
    """What of a letter may be changed, as JSON: its message, and its call where it has one."""
    parts = {"message": orjson.Fragment(recorded.encode(letter.message))}
    return orjson.dumps(parts if letter.call is None else {**parts, "call": call_parts(letter.call)})


def decode(line: bytes) -> DeadLetter:
    """A letter from what ``encode`` made, or from a line of ``dead-letters list --json``. Raises NotAMessage."""
    held = parsed(line)
    message = recorded.decode(line).message
    texts = [_text(held, name, ()) for name in _TEXTS]
    numbers = [_number(held, name, ()) for name in _NUMBERS]
    reason, detail, rule, config = texts
    attempts, died_ms, redriven = numbers
    if not reason:
        raise NotAMessage(("reason",), "a dead letter says why it is one, such as rejected")
    call = None if held.get("call") is None else call_of(held["call"])
    return DeadLetter(
        message, reason, detail, rule, call, attempts, died_ms, config, _history(held.get("history")), redriven
    )


def parsed(line: bytes) -> dict[str, Any]:
    """A JSON object whose numbers keep their spelling when orjson writes them. Raises NotAMessage."""
    try:
        held = json.loads(line, parse_int=_integer, parse_float=orjson.Fragment)
    except (ValueError, RecursionError) as failure:
        raise NotAMessage((), f"not JSON: {failure}") from None
    if not isinstance(held, dict):
        raise NotAMessage((), "a dead letter is a mapping with a message in it, as `dead-letters export` writes it")
    return held


def _integer(text: str) -> object:
    """An integer; one that Python would write otherwise, or that is beyond 64 bits, as it is spelled."""
    plain = len(text) < _LONGEST_INTEGER and str(int(text)) == text
    return int(text) if plain else orjson.Fragment(text)


def call_of(held: object, before: Call | None = None) -> Call:
    """A call from its values; what is left out is as ``before``. Raises NotAMessage."""
    if not isinstance(held, dict):
        raise NotAMessage(("call",), "a call is a mapping, as `dead-letters export` writes it")
    for name in held:
        if name not in Call._fields and name != "then":
            raise NotAMessage(("call", str(name)), f"a call has {', '.join(Call._fields)} and then")
    values: dict[str, Any] = {} if before is None else before._asdict()
    values |= {name: _text(held, name, ("call",)) for name in _CALL_TEXTS if name in held or before is None}
    values |= {name: _number(held, name, ("call",)) for name in _CALL_NUMBERS if name in held or before is None}
    if "operation" in held or before is None:
        values["operation"] = _operation(held.get("operation"))
    if "policy" in held or before is None:
        values["policy"] = _policy(held.get("policy"))
    values["body"] = _bodies(held, before)
    return Call(**values)


def _operation(value: object) -> Operation:
    try:
        return Operation(value)  # type: ignore[arg-type]  # anything else is a ValueError
    except ValueError:
        raise NotAMessage(("call", "operation"), f"write one of {', '.join(Operation)}") from None


def _policy(value: object) -> str:
    try:
        policy = Policy.decode(orjson.dumps(value).decode())
    except (TypeError, ValueError, AttributeError):
        raise NotAMessage(("call", "policy"), "write a mapping, such as {rule: order-created}") from None
    for name, held in policy._asdict().items():
        kind = type(Policy("")._asdict()[name])
        if not (type(held) is kind or (kind is float and type(held) is int)):
            raise NotAMessage(("call", "policy", name), f"this is no {kind.__name__}")
    return policy.encode()


def _bodies(held: Mapping[str, Any], before: Call | None) -> bytes:
    first, second = (b"", b"") if before is None else (first_body(before.body), second_body(before.body))
    if "body" in held:
        first = _body(held["body"], ("call", "body"))
    if "then" in held:
        second = _body(held["then"], ("call", "then")) if held["then"] is not None else b""
    return two_bodies(first, second) if second else first


def _body(value: object, path: tuple[str, ...]) -> bytes:
    if isinstance(value, dict) and set(value) in ({"text"}, {"base64"}, {"text", "json"}, {"base64", "json"}):
        return bytes_of({name: held for name, held in value.items() if name != "json"}, path)
    if isinstance(value, dict) and set(value) == {"json"}:
        value = value["json"]
    try:
        return orjson.dumps(value)
    except TypeError:
        return json_text(value, path)


def _history(value: object) -> Sequence[Attempt]:
    if value is None:
        return ()
    try:
        return tuple(
            Attempt(int(one["at_ms"]), str(one["reason"]), int(one["code"]), str(one["detail"]))
            for one in value  # type: ignore[attr-defined]  # anything else is a TypeError
        )
    except (TypeError, KeyError, ValueError):
        raise NotAMessage(("history",), "write a list of {at_ms, reason, code, detail}") from None


def _text(held: Mapping[str, Any], name: str, path: tuple[str, ...]) -> str:
    value = held.get(name, "")
    if not isinstance(value, str):
        raise NotAMessage((*path, name), "write text, in quotes where it looks like a number")
    return value


def _number(held: Mapping[str, Any], name: str, path: tuple[str, ...]) -> int:
    value = held.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise NotAMessage((*path, name), "write an integer")
    return int(value)


def message_of(held: Mapping[str, Any], line: bytes, before: Message) -> Message:
    """The message of an edited letter; what is left out is as ``before``. Raises NotAMessage."""
    given = recorded.decode(line)
    changed = {name: getattr(given.message, name) for name in given.given if name not in {"timestamp", "value"}}
    if "timestamp" in given.given:
        changed["timestamp_ms"] = given.message.timestamp_ms
    return before._replace(**changed) if held.get("message") is not None else before
