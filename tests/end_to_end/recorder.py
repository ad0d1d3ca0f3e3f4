"""Stands between a bridge and the API and writes down every call that reaches it, before anything is done about it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import orjson
import uvicorn
from pyreqwest.client import ClientBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.services.workerd import Workerd

BAD_REQUEST, NOT_FOUND = 400, 404
SETTLE_SECONDS = 0.25  # the longest that a verdict takes to the disk, on a busy machine


@dataclass(slots=True)
class Call:
    """One request."""

    method: str
    path: str
    body: Any
    received: float  # monotonic seconds
    life: int = 0  # which bridge process sent it
    status: int = 0  # 0: not answered
    answered: float = 0.0  # monotonic seconds
    answer: bytes = b""

    @property
    def names(self) -> list[str]:
        """What was asked for: an instance id per create, ``id!type#payload's key`` for an event."""
        if self.path.endswith("/batch"):
            return [f"create {item['instance_id']}" for item in self.body]
        if "/events/" in self.path:
            instance = self.path.split("/instances/")[1].split("/")[0]
            return [f"event {instance} {self.body.get('n')}"]
        if self.method == "POST":
            return [f"create {self.body['instance_id']}"]
        return []

    @property
    def told(self) -> list[str]:
        """The calls whose fate the answer tells; a batch leaves ids out, and a look-up is about one create."""
        if self.status == NOT_FOUND:
            return []  # nothing is decided: it is asked again
        if self.method == "GET":
            return [f"create {self.path.rsplit('/', 1)[1]}"]
        if self.path.endswith("/batch"):
            made = orjson.loads(self.answer)["result"] if self.status < BAD_REQUEST else ()
            return [f"create {item['id']}" for item in made]
        return self.names


@dataclass
class Recorder:
    """A proxy on loopback. ``base_url`` takes the place of the engine's.

    intercept: may answer a request in the engine's place, with (status, body). quota: of requests, that answers tell
    of and nobody enforces; without one a bridge goes slowly until its first success, as the engine tells of none.
    """

    engine: Workerd
    intercept: Callable[[Call], tuple[int, bytes] | None] = lambda _: None
    quota: int = 0
    calls: list[Call] = field(default_factory=list)
    base_url: str = ""
    token: str = ""
    account_id: str = ""
    life: int = 0  # raised by the test when it starts the bridge anew
    stored: set[str] = field(default_factory=set)  # calls whose outcome a process had the time to store

    @property
    def received(self) -> Counter[str]:
        """How often each call reached the target; an event that came before its instance does not count."""
        return Counter(name for call in self.calls if call.status != NOT_FOUND for name in call.names)

    @property
    def repeated(self) -> Counter[str]:
        """How many bridge processes after the first made each call again."""
        made = {(call.life, name) for call in self.calls if call.status != NOT_FOUND for name in call.names}
        return Counter({name: lives - 1 for name, lives in Counter(name for _, name in made).items() if lives > 1})

    async def in_flight(self, at: float) -> set[str]:
        """Calls of the process killed ``at`` whose outcome it cannot have stored: not told to it, or only just.

        What it had sent by then counts, though it be read from the wire only now; so does an id that no batch answer
        has named, until it has been looked up.
        """
        while self._server.server_state.connections:  # each ends when what its dead client sent has been read
            await asyncio.sleep(0.005)
        mine = [call for call in self.calls if call.life == self.life]
        answered = [call for call in mine if call.status and at - call.answered >= SETTLE_SECONDS]
        self.stored |= {name for call in answered for name in call.told}
        return {name for call in mine if call.status != NOT_FOUND for name in call.names} - self.stored

    async def reached(self, calls: int, seconds: float = 60) -> None:
        """Wait until so many different calls have reached the target, one of them from the process that runs now."""
        deadline = time.monotonic() + seconds
        while len(self.received) < calls or not self.calls or self.calls[-1].life != self.life:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(self.received)} of {calls} calls after {seconds} s")
            await asyncio.sleep(0.005)

    async def __aenter__(self) -> Self:
        self._client = ClientBuilder().base_url(f"http://127.0.0.1:{self.engine.port}/").build()
        self.token, self.account_id = self.engine.token, self.engine.account_id
        config = uvicorn.Config(
            self._answer,
            port=0,
            interface="asgi3",
            http="h11",
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.005)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/client/v4"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.should_exit = True
        await self._serving

    async def _answer(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            part = await receive()
            if part["type"] == "http.disconnect":
                return
            body, more = body + part.get("body", b""), part.get("more_body", False)
        content = orjson.loads(body) if body else None
        call = Call(scope["method"], scope["path"], content, time.monotonic(), self.life)
        self.calls.append(call)
        status, answer = self.intercept(call) or await self._forward(scope, body)
        call.status, call.answered, call.answer = status, time.monotonic(), answer
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        if self.quota:
            headers.append((b"ratelimit-policy", b'"default";q=%d;w=300' % self.quota))
            headers.append((b"ratelimit", b'"default";r=%d;t=300' % (self.quota - len(self.calls))))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _forward(self, scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        url = scope["path"].lstrip("/") + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        request = self._client.request(scope["method"], url).headers(headers)
        answer = await (request.body_bytes(body) if body else request).build().send()
        return answer.status, bytes(await answer.bytes())


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the test run."""
        yield
