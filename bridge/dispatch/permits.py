"""Whether a refused token is refused altogether, or for one operation; pauses nothing itself.

The API's codes do not tell: a token that was revoked and one that lacks a permission are answered alike. What tells is
what the same token is let do meanwhile. So the first refusal is taken to concern everything on the token; a second one
of the same operation, where another operation was let through since and this one was not, concerns it alone; and so do
all that follow until it is let through (see Holding), as the others may be asked for seldom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.dispatch.batching import Endpoint


class Permits:
    """What each endpoint's last answers were, in their order."""

    def __init__(self) -> None:
        self._number = 0
        self._taken: dict[Endpoint, int] = {}
        self._refused: dict[Endpoint, int] = {}

    def taken(self, endpoint: Endpoint) -> None:
        """The API has looked at a call."""
        self._number += 1
        self._taken[endpoint] = self._number

    def refused(self, endpoint: Endpoint) -> bool:
        """The API refused the token for it; whether for this alone."""
        self._number += 1
        before, self._refused[endpoint] = self._refused.get(endpoint, 0), self._number
        if not before or self._taken.get(endpoint, 0) > before:
            return False
        return any(number > before for other, number in self._taken.items() if other.target == endpoint.target)
