"""The emulator without its socket: a request in, an answer and its fate out; keeps the journal and the state."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import orjson

from bridge.emulator.account import Account
from bridge.emulator.admin import OWN_PATH, Admin
from bridge.emulator.answers import Refusal, Refused, Reply, refusal
from bridge.emulator.asked import Asked
from bridge.emulator.endpoints import OPERATIONS, Request, find
from bridge.emulator.faults import Delivery, Outcome
from bridge.emulator.journal import Journal
from bridge.emulator.state import StateLog
from bridge.emulator.striking import Faults
from bridge.emulator.tokens import MAIN, Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.emulator.endpoints import Endpoint
    from bridge.emulator.journal import Record
    from bridge.emulator.quota import Quota
    from bridge.emulator.settings import EmulatorSettings

BASE_PATH = "/client/v4"
_PATH = re.compile(rf"{BASE_PATH}/accounts/([^/]+)/workflows/([^/]+)/instances(?:/(.+))?")


class Application:
    """Every request, in this order: token, quota, path, faults, then the endpoint with its own checks.

    Nothing waits in here, so that requests are carried out one after the other, and the same requests at the same times
    have the same answers.
    """

    def __init__(self, settings: EmulatorSettings, clock: Callable[[], int]) -> None:
        """clock: Unix milliseconds. With a ``state_dir`` it begins where that ends; raises OSError, StateUnusable."""
        self._clock = clock
        self._ahead_ms = 0  # of the clock
        self._quota = settings.quota
        self._account_id = settings.account_id
        self._state = None
        began_ms = clock()
        if settings.state_dir is not None:
            self._state = StateLog(settings.state_dir, settings.essence, began_ms)
            began_ms = self._state.began_ms
        self.account = Account(settings)
        self.journal = Journal(settings.journal_path, settings.journal_records, resume=settings.state_dir is not None)
        secrets = {MAIN: settings.token, **settings.more_tokens}
        self.tokens = Tokens({name: secret.get_secret_value() for name, secret in secrets.items()}, settings.quota)
        self._faults = Faults(settings.faults, settings.seed, began_ms)
        self._admin = Admin(self.account, self.journal, self.tokens, self._faults, self._advance)
        self._resume()

    def now_ms(self) -> int:
        """Its own time, in Unix milliseconds."""
        return self._clock() + self._ahead_ms

    def summary(self) -> Mapping[str, Any]:
        """See Admin."""
        return self._admin.summary(self.now_ms())

    def answer(self, method: str, target: str, authorization: bytes, body: bytes) -> Outcome:
        """One request. target: path and query, as they were sent."""
        path, _, query = target.partition("?")
        asked = Asked(self.now_ms(), method, path, query, self.tokens.caller(authorization), body)
        if self._state is not None and not (method == "GET" and path.startswith(OWN_PATH)):
            self._state.append(asked)
        return self._carry_out(asked)

    def close(self) -> None:
        """Let go of the files."""
        self.journal.close()
        if self._state is not None:
            self._state.close()

    def _carry_out(self, asked: Asked) -> Outcome:
        query = dict(parse_qsl(asked.query))
        if not asked.path.startswith(OWN_PATH):
            return self._recorded(asked, query)
        try:
            self.tokens.named(asked.caller)
            return Outcome(self._admin.reply(asked, query))
        except Refused as refused:
            return Outcome(refusal(refused))

    def _recorded(self, asked: Asked, query: Mapping[str, str]) -> Outcome:
        record = self.journal.begin(asked.time_ms, asked.method, asked.path)
        quota: Quota | None = None
        try:
            token = self.tokens.named(asked.caller)
            record.token = token.name
            if token.revoked:
                raise Refused(Refusal.TOKEN)  # noqa: TRY301  one place answers refusals
            quota = token.quota
            self._count(record, quota)
            outcome = self._routed(record, query, asked.body)
        except Refused as refused:
            outcome = Outcome(refusal(refused))
        reply = outcome.reply
        record.status, record.code = reply.status, reply.code
        record.answered = outcome.delivery is Delivery.SEND
        self.journal.add(record)
        if quota is None:
            return outcome
        headers = [*reply.headers, *quota.headers(record.time_ms)]
        return outcome._replace(reply=reply._replace(headers=headers))

    def _count(self, record: Record, quota: Quota | None) -> None:
        if quota is None or self._quota is None:
            return
        blocks = quota.blocks
        if not quota.take(record.time_ms):
            record.limit = "block" if quota.blocks == blocks else "quota"
            raise Refused(self._quota.problem, quota.reset_seconds(record.time_ms))

    def _routed(self, record: Record, query: Mapping[str, str], body: bytes) -> Outcome:
        match = _PATH.fullmatch(record.path)
        if match is None or unquote(match[1]) != self._account_id:
            raise Refused(Refusal.ROUTE)
        parts = tuple(map(unquote, match[3].split("/"))) if match[3] else ()
        endpoint = find(record.method, parts)
        record.operation = OPERATIONS[endpoint]
        record.workflow = unquote(match[2])
        request = Request(self.account, parts, query, body, record)
        if not self._faults:
            return Outcome(_work(endpoint, request))
        return self._faults.strike(
            record, body, lambda: _ids(request), lambda changed: _work(endpoint, request._replace(body=changed))
        )

    def _advance(self, ms: int) -> None:
        self._ahead_ms += ms

    def _resume(self) -> None:
        """Live through earlier lives again; time never goes back."""
        if self._state is None:
            return
        reached_ms = 0
        for asked in self._state.read():
            ahead_ms = self._ahead_ms
            self._carry_out(asked)
            reached_ms = max(reached_ms, asked.time_ms + self._ahead_ms - ahead_ms)
        self._ahead_ms = max(self._ahead_ms, reached_ms - self._clock())


def _work(endpoint: Endpoint, request: Request) -> Reply:
    request.record.worked = True
    try:
        return endpoint(request)
    except Refused as refused:
        return refusal(refused)


def _ids(request: Request) -> list[str]:
    """The instances that a request names."""
    if request.record.operation not in {"create", "batch"}:
        return list(request.parts[:1])
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return []
    items = body if isinstance(body, list) else [body]
    return [
        item["instance_id"] for item in items if isinstance(item, dict) and isinstance(item.get("instance_id"), str)
    ]
