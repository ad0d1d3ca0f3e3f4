"""Whose turn it is: priorities as weights, so that what is urgent goes first and what is not still goes; pure.

While calls of all priorities wait, HIGH gets nine requests in thirteen, NORMAL three and LOW one. So any call is sent
after finitely many others: those that were before it in its own priority, and at most twelve for each of them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bridge.call import HIGH, LOW, NORMAL

if TYPE_CHECKING:
    from collections.abc import Collection

COST = {HIGH: 1, NORMAL: 3, LOW: 9}  # of a request: the inverse of the weight


class Turns:
    """Of each target by itself."""

    def __init__(self) -> None:
        self._spent: defaultdict[str, dict[int, int]] = defaultdict(lambda: dict.fromkeys(COST, 0))

    def order(self, target: str, waiting: Collection[int]) -> list[int]:
        """These priorities, the one whose turn it is first."""
        spent = self._spent[target]
        return sorted(waiting, key=lambda priority: (spent[priority], priority))

    def took(self, target: str, priority: int, waiting: Collection[int]) -> None:
        """A request of this priority goes, out of those that wait."""
        spent = self._spent[target]
        spent[priority] += COST[priority]
        # Who has nothing to send saves nothing up.
        least = min(spent[waits] for waits in waiting)
        for other in COST:
            spent[other] = max(spent[other], least) - least
