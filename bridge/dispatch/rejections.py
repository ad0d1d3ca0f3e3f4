"""Calls of a workflow that the API refused one after the other, all for the same reason; pauses nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.outbox.base import Queue

ROW = 20  # final rejections with one code: more likely the workflow than the calls


class Rejections:
    """How long the present row is, for each workflow."""

    def __init__(self) -> None:
        self._rows: dict[Queue, tuple[int, int]] = {}  # code, how often

    def again(self, workflow: Queue, code: int) -> bool:
        """One more with this code; whether the row is long enough to stop."""
        known, count = self._rows.get(workflow, (code, 0))
        self._rows[workflow] = code, count + 1 if known == code else 1
        return self.stopped(workflow)

    def stopped(self, workflow: Queue) -> bool:
        """Whether the row is long enough to stop the workflow."""
        return self._rows.get(workflow, (0, 0))[1] >= ROW

    def ended(self, workflow: Queue) -> None:
        """Something else was answered."""
        self._rows.pop(workflow, None)
