"""The emulator as an ASGI application: reads a request, lets the account answer it, keeps the journal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from bridge.emulator.account import Account
from bridge.emulator.admin import Admin
from bridge.emulator.answers import Refusal, Refused, Reply, refusal
from bridge.emulator.endpoints import OPERATIONS, Request, find
from bridge.emulator.journal import Journal
from bridge.emulator.tokens import MAIN, Tokens

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from bridge.emulator.journal import Record
    from bridge.emulator.quota import Quota
    from bridge.emulator.settings import EmulatorSettings
    from bridge.emulator.tokens import Token

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BASE_PATH = "/client/v4"
OWN_PATH = "/emulator/"
MAX_BODY_BYTES = 128 << 20  # a batch of a hundred creates of 1 MiB, and some
_PATH = re.compile(rf"{BASE_PATH}/accounts/([^/]+)/workflows/([^/]+)/instances(?:/(.+))?")
_TOO_LARGE = Reply(413, b"the request is too large")


class Application:
    """Every request, in this order: token, quota, path, then the endpoint with its own checks."""

    def __init__(self, settings: EmulatorSettings, clock: Callable[[], int]) -> None:
        """clock: Unix milliseconds."""
        self._quota = settings.quota
        self._account_id = settings.account_id
        self.account = Account(settings.workflows, clock, settings.creation)
        self.journal = Journal(settings.journal_file)
        secrets = {MAIN: settings.token, **settings.more_tokens}
        self.tokens = Tokens({name: secret.get_secret_value() for name, secret in secrets.items()}, settings.quota)
        self._admin = Admin(self.account, self.journal, self.tokens)
        self.summary = self._admin.summary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        body = await _body(receive)
        reply = _TOO_LARGE if body is None else self.reply(scope, body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(reply.body)).encode())]
        await send({"type": "http.response.start", "status": reply.status, "headers": [*headers, *reply.headers]})
        await send({"type": "http.response.body", "body": reply.body})

    def reply(self, scope: Scope, body: bytes) -> Reply:
        """The answer; nothing waits in here, so that requests are carried out one after the other."""
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if not path.startswith(OWN_PATH):
            return self._recorded(scope, path, query, body)
        try:
            self.tokens.find(scope["headers"])
            return self._admin.reply(scope["method"], path.removeprefix(OWN_PATH), query, body)
        except Refused as refused:
            return refusal(refused)

    def _recorded(self, scope: Scope, path: str, query: dict[str, str], body: bytes) -> Reply:
        now_ms = self.account.now_ms()
        record = self.journal.begin(now_ms, scope["method"], path)
        quota: Quota | None = None
        try:
            token = self._admitted(record, scope)
            quota = token.quota
            self._count(record, quota, now_ms)
            reply = self._call(record, path, query, body)
        except Refused as refused:
            reply = refusal(refused)
        record.status, record.code = reply.status, reply.code
        self.journal.end(record)
        return reply if quota is None else reply._replace(headers=[*reply.headers, *quota.headers(now_ms)])

    def _admitted(self, record: Record, scope: Scope) -> Token:
        token = self.tokens.find(scope["headers"])
        record.token = token.name
        if token.revoked:
            raise Refused(Refusal.TOKEN)
        return token

    def _count(self, record: Record, quota: Quota | None, now_ms: int) -> None:
        if quota is None or self._quota is None:
            return
        blocks = quota.blocks
        if not quota.take(now_ms):
            record.limit = "block" if quota.blocks == blocks else "quota"
            raise Refused(self._quota.problem, quota.reset_seconds(now_ms))

    def _call(self, record: Record, path: str, query: dict[str, str], body: bytes) -> Reply:
        match = _PATH.fullmatch(path)
        if match is None or unquote(match[1]) != self._account_id:
            raise Refused(Refusal.ROUTE)
        parts = tuple(map(unquote, match[3].split("/"))) if match[3] else ()
        endpoint = find(record.method, parts)
        record.operation = OPERATIONS[endpoint]
        record.workflow = unquote(match[2])
        return endpoint(Request(self.account, record.workflow, parts, query, body, record))


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
