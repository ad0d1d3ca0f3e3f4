"""Messages and calls as rows of the SQLite outbox, and back; no SQL and no file here.

The hot path is ``entry_rows``: one comprehension, one tuple per call.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from bridge.message import Message
from bridge.outbox.base import NO_LANE, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Mapping as MappingType

    from bridge.call import Call
    from bridge.message import HeaderValue

    Row = tuple[Any, ...]
    Calls = Sequence[tuple[Message, Call]]
    # operation, target, workflow, event type, policy, priority, source
    Shape = tuple[str, str, str, str, str, int, str]
    # a shape and whether its lane is the default one -> the shape's number, what gives the next seq of the queue
    Shaping = MappingType[tuple[str, str, str, str, str, int, str, bool], tuple[int, Callable[[], int]]]

_new_entry = tuple.__new__
ENTRY_SIZE = 11  # columns of a row that an Entry is made of
_SHARED = 1  # the lowest bit of a seq


class Original(NamedTuple):
    """A message that became several calls; kept once."""

    number: int
    refs: int
    key: bytes | None
    body: bytes | None
    rest: bytes


def entry_rows(calls: Calls, arrived_ms: int, shapes: Shaping) -> list[Row]:
    """One row per call, each with its own copy of the message: for messages that became one call.

    The message's body is left out where it ends the call's body, as ``params: ${body}`` puts it there.
    """
    return [
        (
            (shape := shapes[operation, target, workflow, event_type, policy, priority, source, lane < NO_LANE])[1](),
            shape[0],
            instance_id,
            body,
            lane,
            not_before_ms,
            message_id,
            arrived_ms if timestamp_ms is None else timestamp_ms,
            arrived_ms,
            None,
            key,
            None if (held := message_body is not None and body.endswith(message_body, 0, -1)) else message_body,
            len(message_body) if held else None,  # type: ignore[arg-type]  # a held body is no None
            encode_rest(channel, timestamp_ms, attributes, headers, redelivered, has_identity),
        )
        for (
            (
                source,
                message_id,
                channel,
                key,
                headers,
                message_body,
                timestamp_ms,
                attributes,
                redelivered,
                has_identity,
            ),
            (operation, target, workflow, instance_id, event_type, body, policy, lane, priority, not_before_ms),
        ) in calls
    ]


def shared_rows(message: Message, calls: Iterable[Call], original: int, arrived_ms: int, shapes: Shaping) -> list[Row]:
    """One row per call of one message whose original lies in ``originals`` under that number."""
    source, message_id = message.source, message.id
    since_ms = arrived_ms if message.timestamp_ms is None else message.timestamp_ms
    return [
        (
            (shape := shapes[operation, target, workflow, event_type, policy, priority, source, lane < NO_LANE])[1]()
            | _SHARED,
            shape[0],
            instance_id,
            body,
            lane,
            not_before_ms,
            message_id,
            since_ms,
            arrived_ms,
            original,
            None,
            None,
            None,
            None,
        )
        for operation, target, workflow, instance_id, event_type, body, policy, lane, priority, not_before_ms in calls
    ]


def entries_of(rows: Iterable[Row], shapes: MappingType[int, Shape]) -> list[Entry]:
    """Entries from rows of the columns ``{entry}``."""
    return [
        _new_entry(
            Entry,
            (
                seq,
                (shape := shapes[number])[0],
                shape[1],
                shape[2],
                instance_id,
                shape[3],
                body,
                shape[4],
                lane,
                shape[5],
                not_before_ms,
                shape[6],
                message_id,
                timestamp_ms,
                arrived_ms,
                attempts,
                waited_ms,
                False,  # see ``Later``
            ),
        )
        for (
            seq,
            number,
            instance_id,
            body,
            lane,
            not_before_ms,
            message_id,
            timestamp_ms,
            arrived_ms,
            attempts,
            waited_ms,
        ) in rows
    ]


def intake_rows(
    calls: Calls, arrived_ms: int, shapes: Shaping, next_original: Callable[[], int]
) -> tuple[list[Row], list[Original]]:
    """Rows of ``entries`` in order of arrival, and the originals that several of them share."""
    if len({id(message) for message, _ in calls}) == len(calls):
        return entry_rows(calls, arrived_ms, shapes), []
    rows: list[Row] = []
    originals: list[Original] = []
    for _, run in groupby(calls, key=lambda pair: id(pair[0])):
        pairs = list(run)
        if len(pairs) == 1:
            rows += entry_rows(pairs, arrived_ms, shapes)
            continue
        message = pairs[0][0]
        number = next_original()
        originals.append(Original(number, len(pairs), message.key, message.body, rest_of(message)))
        rows += shared_rows(message, (call for _, call in pairs), number, arrived_ms, shapes)
    return rows, originals


def is_shared(seq: int) -> bool:
    """Whether the original of this entry lies in ``originals``."""
    return bool(seq & _SHARED)


# --- the part of a message that has no column of its own -------------------------------------------------------------


def encode_rest(
    channel: str,
    timestamp_ms: int | None,
    attributes: Mapping[str, str | int],
    headers: Sequence[tuple[str, HeaderValue]],
    redelivered: bool,  # noqa: FBT001
    has_identity: bool,  # noqa: FBT001
) -> bytes:
    """As JSON; what JSON has no word for (bytes, NaN, huge integers, lone surrogates) is wrapped in an object."""
    try:
        kept = [(name, _wrap(value) if type(value) is float else value) for name, value in headers] if headers else ()
        return orjson.dumps((channel, timestamp_ms, attributes, kept, redelivered, has_identity), _wrap)
    except TypeError:
        wrapped = [
            [[_wrap_text(name), _wrap(value)] for name, value in pairs] for pairs in (attributes.items(), headers)
        ]
        return orjson.dumps([_wrap_text(channel), timestamp_ms, *wrapped, redelivered, has_identity])


def rest_of(message: Message) -> bytes:
    """Everything of a message but what has a column."""
    _, _, channel, _, headers, _, timestamp, attributes, redelivered, has_identity = message
    return encode_rest(channel, timestamp, attributes, headers, redelivered, has_identity)


def _wrap(value: object) -> object:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": b64encode(value).decode()}
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, str):
        return _wrap_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return {"int": str(value)}
    if value is None or isinstance(value, bool):
        return value
    return dict(value) if isinstance(value, Mapping) else list(value)  # type: ignore[call-overload]  # a sequence


def _wrap_text(text: str) -> object:
    return {"text": b64encode(text.encode("utf-8", "surrogatepass")).decode()}


def _unwrap(value: Any) -> Any:  # noqa: ANN401  the JSON of one header
    if not isinstance(value, dict):
        return value
    [(kind, text)] = value.items()
    if kind == "float":
        return float.fromhex(text)
    if kind == "int":
        return int(text)
    raw = b64decode(text)
    return raw if kind == "bytes" else raw.decode("utf-8", "surrogatepass")


def message_of(source: str, message_id: str, key: bytes | None, body: bytes | None, rest: bytes) -> Message:
    """The message as it came."""
    channel, timestamp_ms, attributes, headers, redelivered, has_identity = orjson.loads(rest)
    pairs = attributes if isinstance(attributes, list) else attributes.items()
    return Message(
        source=source,
        id=message_id,
        channel=_unwrap(channel),
        key=key,
        headers=tuple((_unwrap(name), _unwrap(value)) for name, value in headers),
        body=body,
        timestamp_ms=timestamp_ms,
        attributes={_unwrap(name): _unwrap(value) for name, value in pairs},
        redelivered=redelivered,
        has_identity=has_identity,
    )
