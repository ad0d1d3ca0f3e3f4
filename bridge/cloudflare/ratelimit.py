"""What the API's headers say about the quota of a token: read here, acted on elsewhere.

    Ratelimit: "default";r=50;t=30              50 requests remain, for 30 more seconds
    Ratelimit-Policy: "default";q=1200;w=300    of 1,200 in any 300 seconds

Both are lists: a token may be under several policies at once.
https://developers.cloudflare.com/fundamentals/api/reference/limits/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where a policy is not told: the one that is documented for every token.
DEFAULT_REQUESTS = 1200
DEFAULT_WINDOW_SECONDS = 300.0

_NAME = r'"(?P<quoted>[^"\\]{1,64})"|(?P<bare>[A-Za-z*][\w.*/-]{0,63})'
_ITEM = re.compile(rf"\s*(?:{_NAME})(?P<values>(?:\s*;\s*[a-z]+\s*=\s*[^\s;,]+)*)\s*(?:,|$)")
_VALUE = re.compile(r";\s*([a-z]+)\s*=\s*([0-9]{1,9})(?![^\s;,])")
MAX_ITEMS = 16
MAX_HEADER = 4096  # characters


class Reading(NamedTuple):
    """The state of one policy when the answer was given."""

    name: str
    requests: int  # the quota: at least ``remaining``
    window_seconds: float  # above 0
    remaining: int
    reset_seconds: float  # until there is more


def readings(headers: Mapping[str, str]) -> tuple[Reading, ...]:
    """Every policy that the headers of an answer tell the state of; none where they are absent or malformed.

    headers: names in lower case; values of a repeated name joined by ", ".
    """
    states = _items(headers.get("ratelimit", ""))
    policies = _items(headers.get("ratelimit-policy", ""))
    return tuple(
        _reading(name, state["r"], float(state["t"]), policies.get(name, {}))
        for name, state in states.items()
        if "r" in state and "t" in state
    )


def _reading(name: str, remaining: int, reset_seconds: float, policy: Mapping[str, int]) -> Reading:
    requests = max(policy.get("q", DEFAULT_REQUESTS), remaining, 1)
    window_seconds = float(policy.get("w", DEFAULT_WINDOW_SECONDS)) or DEFAULT_WINDOW_SECONDS
    return Reading(name, requests, window_seconds, remaining, reset_seconds)


def _items(header: str) -> dict[str, dict[str, int]]:
    """A list header as its items' integer parameters; empty as soon as anything in it is not understood."""
    items: dict[str, dict[str, int]] = {}
    place = 0
    if len(header) > MAX_HEADER:
        return {}
    while place < len(header):
        match = _ITEM.match(header, place)
        if match is None or len(items) == MAX_ITEMS:
            return {}
        name = match["quoted"] or match["bare"]
        items[name] = {key: int(value) for key, value in _VALUE.findall(match["values"])}
        place = match.end()
    return items
