"""Whose an instance is, and under which id a call goes whose own is used: by ``_bridge``, which names the call."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from bridge.call import first_body
from bridge.cloudflare.limits import MAX_ID
from bridge.dispatch.batching import Kind
from bridge.outbox.base import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.dispatch.batching import Request
    from bridge.outbox.base import Entry, Settlement

_HASH = 12  # characters; 48 bits, among the calls that use one id
_NAMES = ("id", "source", "rule")


def is_own(entry: Entry, params: object) -> bool:
    """Whether an instance with these params was made by this very call."""
    mine = _mark_of(entry)
    return mine is not None and mine == _mark(params)


def other_id(entry: Entry) -> str:
    """The id of the instance that this create makes where its own id is used: the same at every attempt."""
    mine = _mark_of(entry) or (entry.message_id, entry.source, "")
    digest = sha256("\0".join([entry.instance_id, *map(str, mine)]).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{entry.instance_id[: MAX_ID - _HASH - 1]}-{digest[:_HASH]}"


def renamed(entry: Entry, instance_id: str) -> bytes:
    """The body of a create under another id; every other byte as it is."""
    old, new = (b'"instance_id":' + orjson.dumps(name) for name in (entry.instance_id, instance_id))
    return first_body(entry.body).replace(old, new, 1)


def _mark_of(entry: Entry) -> tuple[Any, ...] | None:
    try:
        return _mark(orjson.loads(first_body(entry.body)).get("params"))
    except orjson.JSONDecodeError:
        return None  # too deep for the parser: nobody can say whose it is


def _mark(params: object) -> tuple[Any, ...] | None:
    """What ``_bridge`` says of the call that made these params; None where there is none."""
    if isinstance(params, str):  # ``params_encoding: string``, or an API that gives text
        try:
            params = orjson.loads(params)
        except orjson.JSONDecodeError:
            return None
    mark = params.get("_bridge") if isinstance(params, dict) else None
    return tuple(mark.get(name) for name in _NAMES) if isinstance(mark, dict) else None


def renewed(request: Request, settlements: Sequence[Settlement]) -> Sequence[Settlement]:
    """The same, with the id of an instance that was made under another than its call's own."""
    if not request.other_id or request.kind not in {Kind.RENEW, Kind.LOOK_UP_NEW}:
        return settlements
    return [s._replace(generation=request.other_id) if s.verdict is Verdict.DELIVERED else s for s in settlements]
