"""The emulator as an ASGI application: reads a request, lets the account answer it, keeps the journal."""

from __future__ import annotations

import hmac
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import orjson

from bridge.emulator.account import Account
from bridge.emulator.answers import Refusal, Refused, Reply, failure
from bridge.emulator.endpoints import OPERATIONS, Request, find
from bridge.emulator.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from bridge.emulator.journal import Record
    from bridge.emulator.settings import EmulatorSettings

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BASE_PATH = "/client/v4"
MAX_BODY_BYTES = 128 << 20  # a batch of a hundred creates of 1 MiB, and some
MAX_PAGE = 10_000  # records of the journal in one answer
_PATH = re.compile(rf"{BASE_PATH}/accounts/([^/]+)/workflows/([^/]+)/instances(?:/(.+))?")
_TOO_LARGE = Reply(413, b"the request is too large")


class Application:
    """Every request, in this order: token, path, then the endpoint with its own checks."""

    def __init__(self, settings: EmulatorSettings, clock: Callable[[], int]) -> None:
        """clock: Unix milliseconds."""
        self._token = settings.token.get_secret_value().encode()
        self._account_id = settings.account_id
        self.account = Account(settings.workflows, clock)
        self.journal = Journal(settings.journal_file)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        body = await _body(receive)
        reply = _TOO_LARGE if body is None else self.reply(scope, body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(reply.body)).encode())]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})

    def reply(self, scope: Scope, body: bytes) -> Reply:
        """The answer; nothing waits in here, so that requests are carried out one after the other."""
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if not path.startswith("/emulator/"):
            return self._recorded(scope, path, query, body)
        try:
            self._check_token(scope)
            return self._own(path, query)
        except Refused as refused:
            return failure(refused.problem)

    def _recorded(self, scope: Scope, path: str, query: dict[str, str], body: bytes) -> Reply:
        record = self.journal.begin(self.account.now_ms(), scope["method"], path)
        try:
            self._check_token(scope)
            reply = self._call(record, path, query, body)
        except Refused as refused:
            reply = failure(refused.problem)
        record.status, record.code = reply.status, reply.code
        self.journal.end(record)
        return reply

    def _check_token(self, scope: Scope) -> None:
        header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = header.partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise Refused(Refusal.HEADER)
        if not hmac.compare_digest(token, self._token):
            raise Refused(Refusal.TOKEN)

    def _call(self, record: Record, path: str, query: dict[str, str], body: bytes) -> Reply:
        match = _PATH.fullmatch(path)
        if match is None or unquote(match[1]) != self._account_id:
            raise Refused(Refusal.ROUTE)
        parts = tuple(map(unquote, match[3].split("/"))) if match[3] else ()
        endpoint = find(record.method, parts)
        record.operation = OPERATIONS[endpoint]
        record.workflow = unquote(match[2])
        return endpoint(Request(self.account, record.workflow, parts, query, body, record))

    def _own(self, path: str, query: dict[str, str]) -> Reply:
        """What the real API does not have: the journal and its summary."""
        if path == "/emulator/summary":
            return Reply(200, orjson.dumps(self.summary()))
        if path != "/emulator/journal":
            raise Refused(Refusal.ROUTE)
        after, limit = query.get("after", "0"), query.get("limit", "1000")
        if not after.isdigit() or not limit.isdigit():
            raise Refused(Refusal.BODY)
        records = self.journal.page(int(after), min(int(limit), MAX_PAGE))
        following = records[-1].number if records else int(after)
        return Reply(200, orjson.dumps({"records": [asdict(record) for record in records], "after": following}))

    def summary(self) -> dict[str, Any]:
        """The journal's counts, and how many instances there are by status."""
        summary = self.journal.summary()
        for name, workflow in self.account.workflows.items():
            statuses: dict[str, int] = {}
            for instance in workflow.order:
                statuses[instance.status] = statuses.get(instance.status, 0) + 1
            counts = summary["workflows"].setdefault(name, {})
            counts["instances"] = len(workflow.order)
            counts["statuses"] = statuses
        return summary


async def _body(receive: Receive) -> bytes | None:
    """The body; None when it is too large or the client went away."""
    parts: list[bytes] = []
    room = MAX_BODY_BYTES
    while True:
        message = await receive()
        part = message.get("body", b"")
        parts.append(part)
        room -= len(part)
        if room < 0 or message["type"] == "http.disconnect":
            return None
        if not message.get("more_body"):
            return b"".join(parts)
