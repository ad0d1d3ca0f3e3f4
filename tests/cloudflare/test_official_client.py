"""The official SDK takes the emulator for the API."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest
from cloudflare import AsyncCloudflare, BadRequestError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bridge.emulator.server import Emulator


@pytest.fixture
async def sdk(emulator: Emulator) -> AsyncIterator[Callable[..., Any]]:
    """Calls a method of the SDK's `workflows.instances`, for the workflow `wait`."""
    async with AsyncCloudflare(base_url=emulator.base_url, api_token=emulator.token, max_retries=0) as client:

        def call(method: str, *arguments: str, **fields: Any) -> Any:
            function = attrgetter(method)(client.workflows.instances)
            return function(*arguments, account_id=emulator.account_id, workflow_name="wait", **fields)

        yield call


async def test_creating(sdk: Callable[..., Any]) -> None:
    """Create, batch and the code of a used id, as the SDK reads them."""
    assert (await sdk("create", instance_id="sdk-1", params={"x": 1})).id == "sdk-1"
    with pytest.raises(BadRequestError) as refused:
        await sdk("create", instance_id="sdk-1")
    assert refused.value.errors[0].code == 10405
    made = await sdk("bulk", body=[{"instance_id": "sdk-1"}, {"instance_id": "sdk-2"}])
    assert [item.id async for item in made] == ["sdk-2"]


async def test_the_life_of_an_instance(sdk: Callable[..., Any]) -> None:
    """Status, event and get, as the SDK reads them."""
    await sdk("create", instance_id="sdk-3")
    assert (await sdk("status.edit", "sdk-3", status="pause")).status == "paused"
    assert (await sdk("status.edit", "sdk-3", status="resume")).status == "waiting"
    await sdk("events.create", "go", instance_id="sdk-3", body={"ok": True})
    found = await sdk("get", "sdk-3")
    assert (found.status, found.output, found.trigger.source) == ("complete", '{"ok":true}', "api")
    assert found.steps[0].type == "waitForEvent"
    with pytest.raises(NotFoundError) as missing:
        await sdk("get", "sdk-none")
    assert missing.value.errors[0].code == 10400


async def test_listing(sdk: Callable[..., Any]) -> None:
    """The SDK's own paging, which counts pages instead of following the cursor, sees every instance once."""
    names = {f"sdk-list-{number}" for number in range(5)}
    for name in names:
        await sdk("create", instance_id=name)
    listed = [row.id async for row in sdk("list", per_page=2)]
    assert len(listed) == len(set(listed))
    assert names <= set(listed)
