"""The real engine keeps what it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge.cloudflare.client import Client
from bridge.cloudflare.responses import Meaning, meaning
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import open_transport
from bridge.errors import ApiRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.services.workerd import Workerd

pytestmark = pytest.mark.workerd


async def test_instances_survive_a_kill(make_workerd: Callable[[Mapping[str, str]], Workerd]) -> None:
    """After kill -9 and a start the id is still used, and the event still completes the instance."""
    engine = make_workerd({"fulfil-order": "WaitForGo"})
    values = {"account_id": engine.account_id, "api_token": engine.token, "base_url": engine.base_url}
    settings = TargetSettings.model_validate(values)
    client = Client(settings, open_transport(settings))
    await client.create("fulfil-order", b'{"instance_id":"order-1","params":{"total":5}}')
    engine.kill()
    engine.start()
    with pytest.raises(ApiRefused) as caught:
        await client.create("fulfil-order", b'{"instance_id":"order-1"}')
    assert meaning(caught.value) is Meaning.EXISTS
    await client.send_event("fulfil-order", "order-1", "go", b'{"paid":true}')
    while (found := await client.get_instance("fulfil-order", "order-1")).status != "complete":
        pass
    assert (found.params, found.output) == ({"total": 5}, '{"payload":{"total":5},"event":{"paid":true}}')
    await client.close()


async def test_instances_that_the_engine_no_longer_keeps(make_workerd: Callable[[Mapping[str, str]], Workerd]) -> None:
    """They are in no list and refuse none; who uses such an id again finds the params of the new instance by it."""
    engine = make_workerd({"fulfil-order": "WaitForGo"})
    values = {"account_id": engine.account_id, "api_token": engine.token, "base_url": engine.base_url}
    settings = TargetSettings.model_validate(values)
    client = Client(settings, open_transport(settings))

    async def listed() -> list[str]:
        return [row.id for row in (await client.list_instances("fulfil-order")).instances]

    for name in ("order-1", "order-2"):
        await client.create("fulfil-order", b'{"instance_id":"%s","params":{"total":5}}' % name.encode())
    engine.kill()
    engine.lose("fulfil-order")
    engine.start()
    again = b'{"instance_id":"order-1","params":{"total":6}}', b'{"instance_id":"order-2","params":{"total":7}}'
    await client.create("fulfil-order", again[0])
    assert await listed() == ["order-1"]
    assert await client.create_batch("fulfil-order", again) == {"order-2"}
    assert await listed() == ["order-2", "order-1"]
    found = [(await client.get_instance("fulfil-order", name)).params for name in ("order-1", "order-2")]
    assert found == [{"total": 6}, {"total": 7}]
    await client.close()
