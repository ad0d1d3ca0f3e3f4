"""What bodies of creates must be: read and checked, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from bridge.cloudflare.limits import MAX_BATCH, MAX_PARAMS_BYTES, bad_ids
from bridge.emulator.account import Creation
from bridge.emulator.answers import Refusal, Refused
from bridge.emulator.behaviour import Retention, duration_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

RETENTIONS = ("success_retention", "error_retention")


def parsed(body: bytes) -> Any:  # noqa: ANN401  it is whatever the caller sent
    """JSON. Raises Refused."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(Refusal.BODY) from None


def creation(item: object) -> Creation:
    """One create. Raises Refused."""
    return _checked([item])[0]


def creations(items: object, size: int, most: int) -> Sequence[Creation]:
    """A batch of ``size`` bytes, which may have ``most``. Raises Refused: one bad element, and all is refused."""
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_BATCH or size > most:
        raise Refused(Refusal.BODY)
    return _checked(items)


def _checked(items: Sequence[object]) -> Sequence[Creation]:
    wanted = [_creation(item) for item in items]
    if bad_ids([one.instance_id for one in wanted if one.instance_id is not None]):
        raise Refused(Refusal.BODY)
    return wanted


def _creation(item: object) -> Creation:
    if not isinstance(item, dict):
        raise Refused(Refusal.BODY)
    name = item.get("instance_id")
    params = bytes(memoryview(orjson.dumps(item.get("params", {}))))  # a copy: the original holds on to 4 KiB
    if not isinstance(name, str | None) or len(params) > MAX_PARAMS_BYTES:
        raise Refused(Refusal.BODY)
    return Creation(name, params, _retention(item.get("instance_retention")))


def _retention(given: object) -> Retention | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise Refused(Refusal.BODY)
    try:
        times = [None if one is None else duration_ms(one) for one in map(given.get, RETENTIONS)]
    except ValueError:
        raise Refused(Refusal.BODY) from None
    return Retention(*times)
