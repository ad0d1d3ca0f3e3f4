"""How much of a target's requests one purpose may take before others; pure, the clock comes in."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.dispatch.budget import EvenLine


class Ration:
    """A share (0 to 1) of what a process may use of a quota, in any time as long as the quota's window."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._taken: deque[float] = deque()  # when, oldest first

    def allows(self, line: EvenLine | None, now: float) -> bool:
        """Whether there is a request left of it; line: see ``Budget.even_line``, None: no limit, hence no share."""
        if line is None:
            return True
        while self._taken and self._taken[0] <= now - line.window_seconds:
            self._taken.popleft()
        return len(self._taken) + 1 <= self._share * line.requests

    def take(self, line: EvenLine | None, now: float) -> None:
        """One request for this purpose goes out, or will."""
        if line is not None:
            self._taken.append(now)
