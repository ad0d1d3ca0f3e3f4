"""The table of API cases, over HTTP against the emulator and against the real engine behind the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

from bridge.cloudflare.transport import open_transport
from tests.cloudflare.api_cases import CASES, SOURCES
from tests.cloudflare.case import Case, Sent
from tests.cloudflare.shapes import mismatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bridge.cloudflare.transport import Answer, Transport
    from tests.cloudflare.conftest import Server

DIFFERENCES: dict[str, dict[str, dict[str, Any]]] = orjson.loads(
    Path(__file__).with_name("differences.json").read_bytes()
)
SETTLE_SECONDS = 60.0
PAUSE_SECONDS = 0.02


@pytest.fixture
async def transport(server: Server) -> AsyncIterator[Transport]:
    transport = open_transport(server.settings())
    yield transport
    await transport.close()


def fill(value: Any, names: dict[str, str]) -> Any:
    """Put the ids of this run into texts, however deep."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, dict):
        return {key: fill(inner, names) for key, inner in value.items()}
    return [fill(inner, names) for inner in value] if isinstance(value, list) else value


async def send(transport: Transport, server: Server, sent: Sent) -> Answer:
    token = server.token if sent.token == "" else sent.token
    headers = {"content-type": "application/json"} | ({} if token is None else {"authorization": f"Bearer {token}"})
    url = f"{server.base_url}/accounts/{sent.account or server.account_id}/workflows/{sent.path}"
    body = sent.body if sent.body is None or isinstance(sent.body, bytes) else orjson.dumps(sent.body)
    return await transport.send(sent.method, url, headers, body, 30.0)


def wrong(case: Case, answer: Answer) -> str | None:
    """What is not as the table says; None when all is."""
    body = orjson.loads(answer.body)
    status, code = case.answered
    errors = [{"code": code, "message": str}] if code else []
    expected = {"success": not code, "errors": errors, "messages": [], "result": case.result}
    if case.info is not None:
        expected["result_info"] = case.info
    return mismatch({"status": status, **expected}, {"status": answer.status, **body})


async def play(transport: Transport, server: Server, case: Case, seconds: float = SETTLE_SECONDS) -> str | None:
    """Do what is given, then the case, for some seconds if it has to settle; what was wrong with the answer at last."""
    names = {name: f"{name}-{uuid4().hex}" for name in "abc"}
    for sent in case.given:
        answer = await send(transport, server, Sent(*fill(list(sent), names)))
        assert answer.status == 200, answer.body
    filled = case._replace(sent=Sent(*fill(list(case.sent), names)), result=fill(case.result, names))
    problem = wrong(filled, await send(transport, server, filled.sent))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while problem is not None and case.settles and loop.time() < deadline:
        await asyncio.sleep(PAUSE_SECONDS)
        problem = wrong(filled, await send(transport, server, filled.sent))
    return problem


def altered(case: Case, difference: dict[str, Any]) -> Case:
    """The case as this server is known to answer it: ``result`` replaces the keys that it names."""
    fields = {name: value for name, value in difference.items() if name != "reason"}
    if isinstance(fields.get("result"), dict) and isinstance(case.result, dict):
        fields["result"] = {**case.result, **fields["result"]}
    return case._replace(**fields)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_case(transport: Transport, server: Server, case: Case) -> None:
    """The server answers as the table says, or as its listed difference says."""
    difference = DIFFERENCES[server.name].get(case.name)
    expected = case if difference is None else altered(case, difference)
    assert await play(transport, server, expected) is None


async def test_differences_are_real(transport: Transport, server: Server) -> None:
    """A difference that is none any more is struck off the list."""
    known = [case for case in CASES if case.name in DIFFERENCES[server.name]]
    stale = [case.name for case in known if await play(transport, server, case, seconds=0.5) is None]
    assert stale == []


def test_the_table_is_well_formed() -> None:
    """Names are unique, every source is explained, every difference belongs to a case and has a reason."""
    names = [case.name for case in CASES]
    assert sorted(set(names)) == sorted(names)
    assert {case.source for case in CASES} <= set(SOURCES)
    listed = [(name, entry) for entries in DIFFERENCES.values() for name, entry in entries.items()]
    assert {name for name, _ in listed} <= set(names)
    assert all(entry["reason"] for _, entry in listed)
