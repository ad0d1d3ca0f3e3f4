"""A message that kills the process which looks into it, against real brokers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from bridge.outbox.admin import SqliteOutboxAdmin
from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.places import emulated, make_inlet, make_place

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.places import Inlet, Place
    from tests.end_to_end.recorder import Recorder

pytestmark = pytest.mark.slow

KAFKA = pytest.param("kafka", "sqlite", "segfault", marks=pytest.mark.kafka, id="kafka-sqlite")
RABBITMQ = pytest.param("rabbitmq", "sqlite", "kill", marks=pytest.mark.rabbitmq, id="rabbitmq-sqlite")
MEMORY = pytest.param("rabbitmq", "memory", "kill", marks=pytest.mark.rabbitmq, id="rabbitmq-memory")
GOOD = [b'{"n":%d}' % n for n in range(40)]
KILLER = b'{"n":"deadly"}'
BODIES = [*GOOD[:17], KILLER, *GOOD[17:]]
LIFE_SECONDS = 60
DEATHS = 3  # two on its batch, one alone


def config_for(inlet: Inlet, outbox: str, recorder: Recorder, folder: Path, place: Place | None) -> dict[str, Any]:
    (folder / "token").write_text(recorder.token)
    target = {"account_id": recorder.account_id, "base_url": recorder.base_url, "api_token_file": str(folder / "token")}
    memory = {"type": "memory", "marks_folder": str(folder / "marks")}
    return {
        "targets": {"main": target},
        "sources": {"orders": inlet.source},
        "rules": [{"name": "all", "create": {"workflow": "fulfil", "id": "o-${body.n}"}, "lane": '"one"'}],
        "outbox": memory if outbox == "memory" else {"type": "sqlite"},
        **({"dead_letters": {"to": place.settings}} if place else {}),
    }


async def lives(bridge: BridgeProcess, how: str, deaths: list[int], done: asyncio.Event) -> None:
    """Start it again whenever it has died, until it is done; then stop it."""
    command = [sys.executable, "-m", "tests.end_to_end.deadly", "run", "--config", str(bridge.config_file)]
    environment = {**os.environ, "DEADLY": how, "CI": "true"}
    ending = asyncio.create_task(done.wait())
    while not done.is_set():
        with bridge.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=environment)
        living = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({living, ending}, timeout=LIFE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                deaths.append(living.result())
                assert len(deaths) <= DEATHS, bridge.log.read_text()[-4000:]
            elif done.is_set():
                process.terminate()
                assert await living == 0
            else:
                raise AssertionError(bridge.log.read_text()[-4000:])
        finally:
            if process.returncode is None:
                process.kill()


@pytest.mark.parametrize(("broker", "outbox", "how"), [KAFKA, RABBITMQ, MEMORY])
async def test_a_message_that_kills_the_process_becomes_a_dead_letter(
    request: pytest.FixtureRequest, broker: str, outbox: str, how: str, tmp_path: Path
) -> None:
    """After three deaths nobody looks into it any more: a dead letter with the whole message; the others arrive.

    The others are called in the order in which they came; with sqlite again only where a death found a call in flight.
    """
    server = request.getfixturevalue(broker)
    inlet = await make_inlet(server, tmp_path)
    place = await make_place(server, tmp_path) if outbox == "memory" else None
    await inlet.fill(BODIES)
    async with emulated() as recorder:
        bridge = BridgeProcess(tmp_path / "bridge", config_for(inlet, outbox, recorder, tmp_path, place))
        deaths: list[int] = []
        done = asyncio.Event()
        living = asyncio.create_task(lives(bridge, how, deaths, done))
        arriving = asyncio.create_task(recorder.reached(len(GOOD), 3 * LIFE_SECONDS))
        await asyncio.wait({living, arriving}, return_when=asyncio.FIRST_COMPLETED)
        if not living.done():
            await arriving
            await inlet.wait_for_all(bridge)
        arriving.cancel()
        done.set()
        await living
        assert deaths == [-(signal.SIGSEGV if how == "segfault" else signal.SIGKILL)] * DEATHS
        names = [name for call in recorder.calls for name in call.names]
    expected = [f"create o-{n}" for n in range(len(GOOD))]
    assert list(dict.fromkeys(names)) == expected
    if place is None:
        assert max(Counter(names).values()) <= 1 + DEATHS
        [stored] = SqliteOutboxAdmin(bridge.outbox).dead_letters()
        assert (stored.letter.reason, stored.letter.message.body) == ("killed_the_process", KILLER)
        assert dict(stored.letter.message.headers).keys() >= {"trace"}
    else:
        assert [(letter.reason, letter.body) for letter in await place.letters()] == [("killed_the_process", KILLER)]
