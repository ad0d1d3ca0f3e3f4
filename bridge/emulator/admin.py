"""What the emulator answers beside the API's own paths: its journal, its summary, its tokens."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError

from bridge.emulator.answers import Refusal, Refused, Reply
from bridge.emulator.tokens import TokenChange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.emulator.account import Account
    from bridge.emulator.journal import Journal
    from bridge.emulator.tokens import Tokens

    Query = Mapping[str, str]

MAX_PAGE = 10_000  # records of the journal in one answer


class Admin:
    """The paths below ``/emulator/``, for whoever has a token, revoked or not. They cost no quota."""

    def __init__(self, account: Account, journal: Journal, tokens: Tokens) -> None:
        self._account = account
        self._journal = journal
        self._tokens = tokens
        self._paths: Mapping[tuple[str, str], Callable[[Query, bytes], object]] = {
            ("GET", "journal"): self._page,
            ("GET", "summary"): lambda *_: self.summary(),
            ("GET", "tokens"): lambda *_: self._tokens.state(account.now_ms()),
            ("POST", "tokens"): self._change_token,
        }

    def reply(self, method: str, path: str, query: Query, body: bytes) -> Reply:
        """path: behind ``/emulator/``. Raises Refused."""
        answer = self._paths.get((method, path))
        if answer is None:
            raise Refused(Refusal.ROUTE)
        return Reply(200, orjson.dumps(answer(query, body)))

    def summary(self) -> dict[str, Any]:
        """The journal's counts, how many instances there are by status, and what the tokens have left."""
        summary = self._journal.summary()
        for name, workflow in self._account.workflows.items():
            statuses: dict[str, int] = {}
            for instance in workflow.order:
                statuses[instance.status] = statuses.get(instance.status, 0) + 1
            counts = summary["workflows"].setdefault(name, {})
            counts["instances"] = len(workflow.order)
            counts["statuses"] = statuses
        summary["tokens"] = self._tokens.state(self._account.now_ms())
        return summary

    def _page(self, query: Query, _: bytes) -> object:
        after, limit = query.get("after", "0"), query.get("limit", "1000")
        if not after.isdigit() or not limit.isdigit():
            raise Refused(Refusal.BODY)
        records = self._journal.page(int(after), min(int(limit), MAX_PAGE))
        following = records[-1].number if records else int(after)
        return {"records": [asdict(record) for record in records], "after": following}

    def _change_token(self, _: Query, body: bytes) -> object:
        try:
            change = TokenChange.model_validate_json(body)
        except ValidationError:
            raise Refused(Refusal.BODY) from None
        self._tokens.change(change)
        return self._tokens.state(self._account.now_ms())
