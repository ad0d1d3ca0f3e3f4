"""How many requests one address may make: a bucket of its own for each, in bounded memory; the clock comes in."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

MOST_ADDRESSES = 1024


class _Bucket(NamedTuple):
    tokens: float
    at: float


class Rates:
    """``burst`` requests at once, ``per_second`` in the long run, for each address."""

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst = burst
        self._per_second = per_second
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()  # the longest unused first

    def wait_seconds(self, address: str, now: float) -> float:
        """How long until the next one may come; 0: now."""
        return max(0.0, (1 - self._tokens(address, now)) / self._per_second)

    def take(self, address: str, now: float) -> None:
        """One has come."""
        self._buckets[address] = _Bucket(self._tokens(address, now) - 1, now)
        self._buckets.move_to_end(address)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)

    def _tokens(self, address: str, now: float) -> float:
        bucket = self._buckets.get(address)
        if bucket is None:
            return self._burst
        return min(self._burst, bucket.tokens + (now - bucket.at) * self._per_second)
