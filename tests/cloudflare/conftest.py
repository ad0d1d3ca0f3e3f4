"""The two servers that speak like the API: the emulator, and the real engine behind the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from bridge.cloudflare.client import Client
from bridge.cloudflare.settings import TargetSettings
from bridge.cloudflare.transport import open_transport
from bridge.emulator.server import Emulator
from bridge.emulator.settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services.workerd import Workerd

WORKFLOWS = {"echo": "completes", "wait": "waits: go", "fails": "fails"}


class Server(NamedTuple):
    """Where one of them is, and how to get in."""

    name: str  # "emulator" or "engine"
    base_url: str
    account_id: str
    token: str

    def settings(self, **fields: object) -> TargetSettings:
        values = {"base_url": self.base_url, "account_id": self.account_id, "api_token": self.token}
        return TargetSettings.model_validate({**values, **fields})


@pytest.fixture(scope="session")
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(EmulatorSettings(workflows=WORKFLOWS)) as emulator:
        yield emulator


@pytest.fixture(params=["emulator", pytest.param("engine", marks=pytest.mark.workerd)])
def server(request: pytest.FixtureRequest) -> Server:
    """One of the two; a test that asks for it runs against both."""
    if request.param == "engine":
        engine: Workerd = request.getfixturevalue("workerd")
        return Server("engine", engine.base_url, engine.account_id, engine.token)
    emulator: Emulator = request.getfixturevalue("emulator")
    return Server("emulator", emulator.base_url, emulator.account_id, emulator.token)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    settings = server.settings()
    client = Client(settings, open_transport(settings))
    yield client
    await client.close()
