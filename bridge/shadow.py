"""Asks a second set of rules about live messages, and counts what it would do otherwise; it never calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from bridge.routing.comparison import Comparison, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.message import Message
    from bridge.metrics import Metrics
    from bridge.routing.router import Routed, Router

log = structlog.get_logger(__name__)

SAMPLES = 3  # message ids in one line of the log
QUIET_MS = 10_000  # between two lines of one source


class Shadow:
    """The shadow rules beside one source. What they make of a message is compared, and forgotten."""

    def __init__(self, router: Router, metrics: Metrics) -> None:
        self._router = router
        self._metrics = metrics
        self._found = Comparison(SAMPLES)  # since the last line of the log
        self._said_ms: int | None = None

    def compare(
        self, source: str, messages: Sequence[Message], values: Sequence[object], now_ms: int, routed: Routed
    ) -> None:
        """Route a batch by the shadow rules as well, and compare with what has been made of it.

        Never raises: whatever goes wrong here is counted, and is no business of the live messages.
        """
        try:
            found = Comparison(SAMPLES)
            found.add(len(messages), routed, self._router.route(source, messages, values, now_ms))
            self._metrics.shadowed(source, found.messages, found.differing, found.by_rule)
            if found.differing:
                self._note(source, found, now_ms)
        except Exception:
            self._metrics.shadow_failed(source)
            log.exception("shadow_failed", source=source)

    def _note(self, source: str, found: Comparison, now_ms: int) -> None:
        """Say what differs, at most once in a while; a line has the numbers since the last one, and some samples."""
        noted = self._found
        noted.differing += found.differing
        noted.by_kind.update(found.by_kind)
        noted.samples += found.samples[: SAMPLES - len(noted.samples)]
        if self._said_ms is not None and now_ms - self._said_ms < QUIET_MS:
            return
        log.info("shadow_differs", source=source, messages=noted.differing,
                 differences=[sentence(kind, count) for kind, count in noted.by_kind.most_common()],
                 message_ids=[sample.message.id for sample in noted.samples])  # fmt: skip
        self._found, self._said_ms = Comparison(SAMPLES), now_ms
