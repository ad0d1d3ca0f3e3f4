"""What stands before every route of the admin listener: who asks, from where, how much and for how long.

A foreign page must not be able to act through an operator's browser. It cannot read an answer (no CORS headers), cannot
send JSON without asking first (the question is refused), cannot make its own name lead here (``Host``), and no browser
adds the token by itself.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders

from bridge.admin.access import Role, is_known_host
from bridge.admin.rates import Rates
from bridge.admin.refusal import Refusal, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bridge.admin.access import Tokens

log = structlog.get_logger(__name__)

API = "/api/"
MAX_BODY_BYTES = 2 * 1024 * 1024  # a message of a megabyte and what is around it
ANSWER_SECONDS = 30.0
BURST, PER_SECOND = 200, 50  # requests of one address
WRONG_BURST, WRONG_PER_SECOND = 10, 0.2  # wrong tokens of one address
SAFE_METHODS = frozenset({"GET", "HEAD"})
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Guard:
    """An ASGI application around another one.

    harmless: paths of the API that may be posted to by who may only look. endless: paths whose answer has no end.
    """

    def __init__(
        self,
        inner: ASGIApp,
        tokens: Tokens,
        hosts: Collection[str],
        seconds: Callable[[], float],
        *,
        harmless: Collection[str],
        endless: Collection[str],
    ) -> None:
        self._inner = inner
        self._tokens = tokens
        self._hosts = hosts
        self._seconds = seconds
        self._harmless = harmless
        self._endless = endless
        self._requests = Rates(BURST, PER_SECOND)
        self._wrong = Rates(WRONG_BURST, WRONG_PER_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        answer = _Answer(send)
        try:
            self._admit(scope)
            limit = None if scope["path"] in self._endless else ANSWER_SECONDS
            async with asyncio.timeout(limit):
                await self._inner(scope, _Body(receive, Headers(scope=scope)), answer)
        except Refusal as refusal:
            await answer.instead(refusal, scope, receive)
        except TimeoutError:
            advice = "Try again; if it stays so, look at the log and at the lag of the event loop."
            await answer.instead(Refusal(504, "too_slow", "The answer took too long.", advice), scope, receive)
        except Exception:
            log.exception("admin_failed", method=scope["method"], path=scope["path"])
            advice = "This is a defect of the bridge; the log has its traceback. Messages flow on."
            await answer.instead(Refusal(500, "defect", "The bridge failed to answer.", advice), scope, receive)

    def _admit(self, scope: Scope) -> None:
        """Raises Refusal."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not is_known_host(host, self._hosts):
            advice = "Ask for 127.0.0.1 or localhost, or add the name to admin.hosts in the configuration."
            raise Refusal(421, "unknown_host", f"The bridge does not know itself as {host[:200]!r}.", advice)
        address = (scope.get("client") or ("",))[0]
        self._count(address)
        if not scope["path"].startswith(API):
            return
        role = self._role(address, headers.get("authorization", ""))
        scope["state"] = {"role": role}
        if scope["method"] not in SAFE_METHODS:
            self._may_post(scope, headers, role)

    def _count(self, address: str) -> None:
        now = self._seconds()
        if (wait := self._requests.wait_seconds(address, now)) > 0:
            raise _too_many("There were too many requests from this address.", wait)
        self._requests.take(address, now)

    def _role(self, address: str, authorization: str) -> Role:
        now = self._seconds()
        if (wait := self._wrong.wait_seconds(address, now)) > 0:
            raise _too_many("There were too many wrong tokens from this address.", wait)
        role = self._tokens.role(authorization)
        if role is not None:
            return role
        if authorization:
            self._wrong.take(address, now)
            problem = "The token is not one that the bridge knows."
        else:
            problem = "This bridge asks for a token."
        advice = "Send it as `Authorization: Bearer …`; admin.operator_token_file or read_token_file holds it."
        raise Refusal(401, "unauthorized", problem, advice, {"WWW-Authenticate": "Bearer"})

    def _may_post(self, scope: Scope, headers: Headers, role: Role) -> None:
        if role < Role.OPERATE and scope["path"] not in self._harmless:
            advice = "Use the token of admin.operator_token_file."
            raise Refusal(403, "read_only", "This token may look, and not act.", advice)
        origin = headers.get("origin", "")
        foreign = origin and origin.partition("://")[2] != headers.get("host", "")
        if foreign or headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            advice = "Open the bridge's own page, or use a program without an Origin header."
            raise Refusal(403, "foreign_page", "Pages of other sites may not act here.", advice)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            advice = "Send JSON with `Content-Type: application/json`; `{}` where there is nothing to say."
            raise Refusal(415, "not_json", "The body is not said to be JSON.", advice)


def _too_many(problem: str, seconds: float) -> Refusal:
    wait = math.ceil(seconds)
    return Refusal(429, "too_many_requests", problem, f"Wait {wait} s.", {"Retry-After": str(wait)})


class _Body:
    """What is received of a request, up to MAX_BODY_BYTES."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._left = MAX_BODY_BYTES
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            raise _too_large()

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _too_large()
        return message


def _too_large() -> Refusal:
    advice = "Send less; for more use the command line beside the outbox file."
    return Refusal(413, "too_large", f"The body has more than {MAX_BODY_BYTES} bytes.", advice)


class _Answer:
    """Sends, with the security headers, and knows whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def instead(self, refusal: Refusal, scope: Scope, receive: Receive) -> None:
        """Send this, unless it is too late for it."""
        if not self._begun:
            await refused(refusal)(scope, receive, self)
