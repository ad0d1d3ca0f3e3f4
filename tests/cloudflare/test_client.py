"""The client's six endpoints against the emulator and against the real engine, and what it does with bad answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import orjson
import pytest

from bridge.cloudflare.client import Client
from bridge.cloudflare.httpx_transport import HttpxTransport
from bridge.cloudflare.responses import Meaning, meaning
from bridge.cloudflare.settings import TargetSettings
from bridge.errors import ApiError, ApiRefused, ApiUnknown

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from bridge.cloudflare.results import Instance

LIMIT_SECONDS = 60.0


def new_id() -> str:
    return f"client-{uuid4().hex}"


def creation(name: str, params: object = None) -> bytes:
    return orjson.dumps({"instance_id": name, "params": params})


async def until(client: Client, workflow: str, name: str, status: str) -> Instance:
    async with asyncio.timeout(LIMIT_SECONDS):
        while (instance := await client.get_instance(workflow, name)).status != status:
            await asyncio.sleep(0.01)
    return instance


async def refusal(call: Coroutine[Any, Any, object]) -> Meaning:
    with pytest.raises(ApiRefused) as caught:
        await call
    return meaning(caught.value)


async def test_create_then_get(client: Client) -> None:
    """An instance that was created can be got, with its params, and runs to its end."""
    name = new_id()
    created = await client.create("echo", creation(name, {"total": 12}))
    assert (created.id, created.status) == (name, "queued")
    instance = await until(client, "echo", name, "complete")
    assert (instance.id, instance.params, instance.error) == (name, {"total": 12}, None)
    assert instance.raw["success"] is True


async def test_a_used_id_is_told(client: Client) -> None:
    """The second create of an id is refused as existing."""
    name = new_id()
    await client.create("echo", creation(name))
    assert await refusal(client.create("echo", creation(name))) is Meaning.EXISTS


async def test_a_batch_names_what_is_new(client: Client) -> None:
    """Used and repeated ids are missing from the batch's answer, all others are in it and exist."""
    old, new, other = new_id(), new_id(), new_id()
    await client.create("echo", creation(old))
    bodies = [creation(name) for name in (old, new, new, other)]
    assert await client.create_batch("echo", bodies) == {new, other}
    assert (await client.get_instance("echo", other, simple=True)).id == other


async def test_an_event_completes_what_waits_for_it(client: Client) -> None:
    """An event sent before or after the wait has begun reaches the instance with its payload."""
    name = new_id()
    await client.create("wait", creation(name))
    await client.send_event("wait", name, "go", b'{"amount":5}')
    instance = await until(client, "wait", name, "complete")
    assert '"amount":5' in instance.output


async def test_a_failed_instance_tells_its_error(client: Client) -> None:
    """A workflow that fails has an error with a name and a message."""
    name = new_id()
    await client.create("fails", creation(name))
    instance = await until(client, "fails", name, "errored")
    assert set(instance.error or {}) >= {"name", "message"}


async def test_status_changes(client: Client) -> None:
    """An instance can be paused and terminated, and only once."""
    name = new_id()
    await client.create("wait", creation(name))
    assert (await client.change_status("wait", name, b'{"status":"pause"}')).status == "paused"
    assert (await client.change_status("wait", name, b'{"status":"terminate"}')).status == "terminated"
    again = client.change_status("wait", name, b'{"status":"terminate"}')
    assert await refusal(again) is Meaning.CANNOT_TERMINATE


async def test_pages_hold_every_instance_once(client: Client) -> None:
    """Following the cursor shows every instance exactly once, in order of creation when asked so."""
    names = [new_id() for _ in range(7)]
    for name in names:
        await client.create("fails", creation(name))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await client.list_instances("fails", per_page=3, direction="asc", cursor=cursor)
        assert len(page.instances) <= 3
        seen.extend(row.id for row in page.instances)
        cursor = page.cursor
        if cursor is None:
            break
    assert len(set(seen)) == len(seen) == page.total_count
    assert [name for name in seen if name in set(names)] == names


async def test_what_is_not_there(client: Client) -> None:
    """An absent instance and an absent workflow are told apart."""
    name = new_id()
    assert await refusal(client.get_instance("echo", name)) is Meaning.INSTANCE_MISSING
    assert await refusal(client.send_event("wait", name, "go", b"{}")) is Meaning.INSTANCE_MISSING
    assert await refusal(client.create("nothing", creation(name))) is Meaning.WORKFLOW_MISSING


async def test_an_invalid_item_fails_alone_and_creates_nothing(client: Client) -> None:
    """One bad id refuses a whole batch, and nothing of it was created."""
    name = new_id()
    batch = client.create_batch("echo", [creation(name), creation("no good")])
    assert await refusal(batch) is Meaning.REJECTED
    assert await refusal(client.get_instance("echo", name)) is Meaning.INSTANCE_MISSING


# -- without a server --


def pretending(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    settings = TargetSettings.model_validate({"account_id": "acc", "api_token": "t"})
    return Client(settings, HttpxTransport(httpx.MockTransport(answer)))


async def test_a_batch_is_a_join_of_the_bodies() -> None:
    """Bodies are sent as they are, byte for byte, even where they are not JSON."""
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(200, json={"success": True, "result": []})

    assert await pretending(answer).create_batch("w", [b'{"a":1.0}', b"not json"]) == frozenset()
    assert sent == [b'[{"a":1.0},not json]']


async def test_parts_of_a_path_stay_parts() -> None:
    """Whatever is in an id or a type, it is one part of the path and leads nowhere else."""
    targets: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        targets.append(request.url.raw_path)
        return httpx.Response(200, json={"success": True, "result": None})

    await pretending(answer).send_event("w", "a/../b?x=1#y", "é %2e", b"{}")
    path = b"/client/v4/accounts/acc/workflows/w/instances/a%2F..%2Fb%3Fx%3D1%23y/events/%C3%A9%20%252e"
    assert targets == [path]


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_dot_segments_are_refused(name: str) -> None:
    """A part that a URL parser would swallow is never sent, and is final for the call that has it."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200)

    client = pretending(answer)
    assert await refusal(client.send_event("w", name, "go", b"{}")) is Meaning.REJECTED
    assert await refusal(client.create(name, b"{}")) is Meaning.REJECTED
    assert requests == []


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.create("w", b"{}"),
        lambda client: client.create_batch("w", [b"{}"]),
        lambda client: client.get_instance("w", "i"),
        lambda client: client.change_status("w", "i", b"{}"),
        lambda client: client.list_instances("w"),
    ],
)
@pytest.mark.parametrize("result", [None, 1, "text", {"x": 1}, [1], [{"id": 7}], [{"id": []}]])
async def test_a_result_of_another_shape_is_unknown(
    call: Callable[[Client], Coroutine[Any, Any, object]], result: object
) -> None:
    """Success with a result that is not the endpoint's leaves open what was done."""
    client = pretending(lambda _: httpx.Response(200, json={"success": True, "result": result}))
    with pytest.raises(ApiUnknown) as caught:
        await call(client)
    assert caught.value.reason == "no_envelope"


async def test_an_event_needs_no_result() -> None:
    """What the API answers to an event is not documented: success is enough."""
    client = pretending(lambda _: httpx.Response(200, json={"success": True}))
    await client.send_event("w", "i", "go", b"{}")


async def test_every_error_is_an_api_error() -> None:
    """A transport that fails shows up as ApiUnknown, whatever it was."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("boom")

    with pytest.raises(ApiError) as caught:
        await pretending(answer).create("w", b"{}")
    assert meaning(caught.value) is Meaning.UNKNOWN
