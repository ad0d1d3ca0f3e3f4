"""The ledger for the page: what became of a message, which message started an instance; read beside the writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.admin.refusal import Refusal
from bridge.console.letters import in_thread
from bridge.console.routes import Asked, Route, number
from bridge.console.shapes import LedgerPage, LedgerRow
from bridge.outbox.admin import SqliteOutboxAdmin
from bridge.outbox.overview import LedgerFilter
from bridge.outbox.settings import SqliteSettings

if TYPE_CHECKING:
    from bridge.admin.listener import Listener
    from bridge.console.running import Running

PAGE, LARGEST_PAGE = 50, 500
OUTCOMES = ("delivered", "dead", "dropped", "errored")
QUERY = {
    "message": "Its whole id.",
    "instance": "Its whole id, also one that was made under another.",
    "rule": "Only of this rule.",
    "outcome": "Only delivered, dead, dropped, or errored.",
    "since_ms": "Settled at that time or later; Unix milliseconds.",
    "until_ms": "Settled before that time.",
    "before": "Only numbers below this one.",
    "limit": f"1 to {LARGEST_PAGE}; {PAGE} by default.",
}


class LedgerApi:
    """The route, with what it needs."""

    def __init__(self, running: Running, listener: Listener) -> None:
        self._running = running
        self._listener = listener

    def routes(self) -> list[Route]:
        """It."""
        return [
            Route("GET", "/ledger", "What became of messages, the last first.", self._page, LedgerPage, query=QUERY)
        ]

    async def _page(self, asked: Asked) -> LedgerPage:
        config = await self._listener.ask(lambda: self._running.config)
        if not isinstance(config.outbox, SqliteSettings):
            advice = "What became of its messages is in the metrics and the log; the sqlite outbox has a ledger."
            raise Refusal(404, "no_ledger", "A memory outbox has no ledger.", advice)
        admin, chosen, before = SqliteOutboxAdmin(config.outbox.path), _filter(asked), number(asked, "before")
        limit = min(number(asked, "limit") or PAGE, LARGEST_PAGE)
        found = await in_thread(lambda: admin.ledger(before, limit + 1, chosen))
        keep = config.ledger.keep
        rows = [LedgerRow(*row) for row in found[:limit]]
        more = rows[-1].number if len(found) > limit else None
        return LedgerPage(rows, more, None if keep is None else keep.total_seconds())


def _filter(asked: Asked) -> LedgerFilter:
    given = asked.query
    outcome = given.get("outcome") or None
    if outcome not in {None, *OUTCOMES}:
        raise Refusal(422, "bad_query", f"outcome is {str(outcome)[:50]!r}.", f"Give {' or '.join(OUTCOMES)}.")
    return LedgerFilter(
        given.get("message") or None,
        given.get("instance") or None,
        given.get("rule") or None,
        outcome,
        number(asked, "since_ms"),
        number(asked, "until_ms"),
    )
