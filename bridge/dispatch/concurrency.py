"""How many requests may be in flight at once: halved by trouble, raised slowly by success; reads no clock."""

from __future__ import annotations


class Concurrency:
    """Of one sort of requests of a target. ``most``: what the settings allow, and where it begins."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = float(most)
        self._begun = 0  # requests so far
        self._halved_at = 0  # the last one that had begun when the limit was halved

    @property
    def limit(self) -> int:
        """Requests that may be in flight; at least one."""
        return int(self._limit)

    def begin(self) -> int:
        """A request goes out; gives its number."""
        self._begun += 1
        return self._begun

    def ended(self, number: int, *, troubled: bool) -> None:
        """It was answered, or it was ``troubled``: a 5xx, a timeout, a lost connection.

        Requests that were under way when the limit was halved do not halve it again: they tell of the same trouble.
        Success raises it by one for as many requests as it allows at once.
        """
        if not troubled:
            self._limit = min(float(self.most), self._limit + 1 / self._limit)
        elif number > self._halved_at:
            self._limit = max(1.0, self._limit / 2)
            self._halved_at = self._begun
