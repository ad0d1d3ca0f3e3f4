from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bridge.admin import guard as module
from bridge.admin.access import Tokens
from bridge.admin.application import application
from bridge.admin.guard import SECURITY_HEADERS, Guard
from bridge.admin.settings import AdminSettings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

READER, OPERATOR = "reader-0123456789", "operator-0123456789"
JSON = {"content-type": "application/json"}


async def act(request: Request) -> Response:
    return PlainTextResponse(f"{len(await request.body())} bytes")


async def wait(_: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


async def fail(_: Request) -> Response:
    raise ValueError("a defect with a secret in it")


def guarded(now: list[float] | None = None, **settings: Any) -> httpx.AsyncClient:
    """A client of a guard around a few routes."""
    moments = now or [0.0]
    routes = [
        Route("/", act),
        Route("/api/v1/act", act, methods=["GET", "POST"]),
        Route("/api/v1/try", act, methods=["POST"]),
        Route("/api/v1/wait", wait),
        Route("/api/v1/fail", fail),
    ]
    inner = application(routes)
    known = AdminSettings(**settings)
    tokens = Tokens(known, lambda: moments[0])
    guard = Guard(inner, tokens, known.hosts, lambda: moments[0], harmless={"/api/v1/try"}, endless=())
    transport = httpx.ASGITransport(guard, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8081")


def code(answer: httpx.Response) -> str:
    error: dict[str, str] = answer.json()["error"]
    assert error["problem"]
    assert error["advice"]
    return error["code"]


@pytest.mark.parametrize("path", ["/", "/api/v1/act", "/api/v1/nothing"])
async def test_every_answer_has_the_headers_that_protect_a_page(path: str) -> None:
    """Also a refusal. No answer allows another origin to read it."""
    async with guarded() as client:
        for answer in (await client.get(path), await client.get(path, headers={"host": "evil.example"})):
            assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
            assert "access-control-allow-origin" not in answer.headers
    assert "unsafe" not in SECURITY_HEADERS["Content-Security-Policy"]


async def test_a_foreign_page_cannot_act_through_a_browser() -> None:
    """Neither by a form, nor by a script, nor under a name of its own; a program without an Origin can."""
    refused = {
        "a form": ({"content-type": "text/plain"}, "not_json"),
        "no type": ({}, "not_json"),
        "a script": ({**JSON, "origin": "https://evil.example"}, "foreign_page"),
        "a frame": ({**JSON, "origin": "null"}, "foreign_page"),
        "a neighbour": ({**JSON, "sec-fetch-site": "same-site"}, "foreign_page"),
        "another port": ({**JSON, "origin": "http://127.0.0.1:9999"}, "foreign_page"),
        "its own name": ({**JSON, "host": "evil.example:8081"}, "unknown_host"),
    }
    async with guarded() as client:
        for what, (headers, expected) in refused.items():
            answer = await client.post("/api/v1/act", content=b"{}", headers=headers)
            assert code(answer) == expected, what
        assert (await client.options("/api/v1/act", headers={"origin": "https://evil.example"})).status_code == 403
        own = {**JSON, "origin": "http://127.0.0.1:8081", "sec-fetch-site": "same-origin"}
        for headers in (JSON, own):
            assert (await client.post("/api/v1/act", content=b"{}", headers=headers)).text == "2 bytes"


async def test_a_token_is_asked_for_and_a_readers_token_does_not_act() -> None:
    """Its holder may still try a message; the page's own files hold nothing and need none."""
    async with guarded(read_token=READER, operator_token=OPERATOR) as client:
        assert (await client.get("/")).status_code == 200
        answer = await client.get("/api/v1/act")
        assert (answer.status_code, code(answer), answer.headers["www-authenticate"]) == (401, "unauthorized", "Bearer")
        reader, operator = ({**JSON, "authorization": f"Bearer {token}"} for token in (READER, OPERATOR))
        assert (await client.get("/api/v1/act", headers=reader)).status_code == 200
        refused = await client.post("/api/v1/act", headers=reader, content=b"{}")
        assert (refused.status_code, code(refused)) == (403, "read_only")
        assert (await client.post("/api/v1/try", headers=reader, content=b"{}")).status_code == 200
        assert (await client.post("/api/v1/act", headers=operator, content=b"{}")).status_code == 200


async def test_tokens_cannot_be_guessed_by_trying() -> None:
    """After some wrong ones even the right one waits."""
    now = [0.0]
    async with guarded(now, operator_token=OPERATOR) as client:
        wrong, right = ({"authorization": f"Bearer {token}"} for token in ("wrong-0123456789", OPERATOR))
        seen = [(await client.get("/api/v1/act", headers=wrong)).status_code for _ in range(12)]
        assert seen == [401] * 10 + [429] * 2
        held = await client.get("/api/v1/act", headers=right)
        assert (held.status_code, held.headers["retry-after"]) == (429, "5")
        now[0] += 5
        assert (await client.get("/api/v1/act", headers=right)).status_code == 200


async def test_requests_of_one_address_are_bounded() -> None:
    """With the time after which to come again."""
    async with guarded() as client:
        seen = [(await client.get("/")).status_code for _ in range(module.BURST + 1)]
    assert seen == [200] * module.BURST + [429]


@pytest.mark.parametrize("told", [True, False])
async def test_a_large_body_is_refused_told_or_not(*, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its length, and by its bytes where the length is not said."""
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 10)

    async def content() -> Any:
        yield b"x" * 6
        yield b"x" * 6

    async with guarded() as client:
        body: Any = b"x" * 12 if told else content()
        answer = await client.post("/api/v1/act", content=body, headers=JSON)
        assert (answer.status_code, code(answer)) == (413, "too_large")
        assert (await client.post("/api/v1/act", content=b"x" * 10, headers=JSON)).text == "10 bytes"


async def test_no_answer_is_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one who asks is told so."""
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    async with guarded() as client:
        answer = await client.get("/api/v1/wait")
    assert (answer.status_code, code(answer)) == (504, "too_slow")


async def test_a_defect_is_said_to_be_one_and_tells_nothing_of_itself() -> None:
    """The log has the traceback; what is not there, or not so, is said in the same form."""
    async with guarded() as client:
        defect = await client.get("/api/v1/fail")
        assert (defect.status_code, code(defect)) == (500, "defect")
        assert "secret" not in defect.text
        assert code(await client.get("/api/v1/nothing")) == "not_found"
        wrong = await client.post("/api/v1/wait", content=b"{}", headers=JSON)
        assert (wrong.status_code, code(wrong)) == (405, "wrong_method")
        assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}
