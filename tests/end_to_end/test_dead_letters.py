"""Dead letters of the memory outbox: at ``dead_letters.to`` before the broker is told to forget their message."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.bridge_process import BridgeProcess
from tests.end_to_end.places import (
    KAFKA_HEADERS,
    KEY,
    RABBIT_HEADERS,
    KafkaInlet,
    KafkaPlace,
    RabbitInlet,
    RabbitPlace,
    emulated,
    make_inlet,
    make_place,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.places import Inlet, Place
    from tests.end_to_end.recorder import Call, Recorder

pytestmark = pytest.mark.slow

# Where messages come from, where their letters go.
KAFKA = pytest.param(("kafka", "kafka"), marks=pytest.mark.kafka, id="kafka to kafka")
RABBITMQ = pytest.param(("rabbitmq", "rabbitmq"), marks=pytest.mark.rabbitmq, id="rabbitmq to rabbitmq")
BOTH = pytest.param(("kafka", "rabbitmq"), marks=[pytest.mark.kafka, pytest.mark.rabbitmq], id="kafka to rabbitmq")
LIMIT_SECONDS = 60
REFUSAL = b'{"success":false,"errors":[{"code":10002,"message":"workflows.api.error.bad_request"}],"result":null}'
MESSAGES = 400
KILLS = 5
EXPECTED: dict[Any, tuple[bytes | None, list[tuple[str, Any]]]] = {  # key and headers, in order of their names
    (KafkaInlet, KafkaPlace): (KEY, KAFKA_HEADERS),
    (RabbitInlet, RabbitPlace): (None, sorted(RABBIT_HEADERS.items())),
    (KafkaInlet, RabbitPlace): (KEY, [("trace", b"\xff\x00"), ("x", [b"one", b"two"])]),
}


def refuse_bad(call: Call) -> tuple[int, bytes] | None:
    """The API answers 400 to every request with a ``bad-…`` instance in it."""
    return (400, REFUSAL) if any(name.startswith("create bad-") for name in call.names) else None


def body(number: int) -> bytes:
    """Message ``number``: a third is no JSON, a third is refused by the API, a third is delivered."""
    kind = ("undecodable", "bad", "good")[number % 3]
    return b"{%d" % number if kind == "undecodable" else b'{"id":"%s-%d"}' % (kind.encode(), number)


def reason_of(body: bytes) -> str:
    """Why it must be a dead letter; "" where it must not."""
    if not body.endswith(b"}"):
        return "undecodable"
    return "rejected" if b"bad-" in body else ""


def bridge_for(inlet: Inlet, place: Place, recorder: Recorder, folder: Path) -> BridgeProcess:
    folder.mkdir()
    (folder / "token").write_text(recorder.token)
    target = {"account_id": recorder.account_id, "base_url": recorder.base_url}
    config: dict[str, Any] = {
        "targets": {"main": {**target, "api_token_file": str(folder / "token")}},
        "sources": {"orders": inlet.source},
        "rules": [{"name": "all", "create": {"workflow": "fulfil", "id": "${body.id}"}}],
        "outbox": {"type": "memory", "max_entries": 20},  # so that acknowledgements go on all the time
        "dead_letters": {"to": place.settings},
    }
    return BridgeProcess(folder / "bridge", config)


@pytest.fixture
async def ends(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Inlet, Place]:
    """Where messages come from, and where their dead letters go: the brokers of the test's parameters."""
    source, letters = request.param
    inlet = await make_inlet(request.getfixturevalue(source), tmp_path)
    return inlet, await make_place(request.getfixturevalue(letters), tmp_path)


@pytest.mark.parametrize("ends", [KAFKA, RABBITMQ, BOTH], indirect=True)
async def test_killed_right_after_the_acknowledgement(ends: tuple[Inlet, Place], tmp_path: Path) -> None:
    """The letters are there, each once, with body, key and headers of the original and the reason."""
    inlet, place = ends
    await inlet.fill([body(number) for number in (0, 1)])
    async with emulated(refuse_bad) as recorder:
        with bridge_for(inlet, place, recorder, tmp_path / "run") as bridge:
            await inlet.wait_for_all(bridge)
            bridge.kill()
    assert await inlet.acknowledged() == set(inlet.bodies)
    letters = {letter.body: letter for letter in await place.letters()}
    assert await place.count() == 2
    assert {text: letter.reason for text, letter in letters.items()} == {body(0): "undecodable", body(1): "rejected"}
    key, headers = EXPECTED[type(inlet), type(place)]
    for letter in letters.values():
        assert letter.key == key
        assert sorted(letter.original, key=str) == headers


async def acknowledged_beyond(inlet: Inlet, number: int) -> None:
    """Wait until the broker may forget more messages than so many."""
    async with asyncio.timeout(60):
        while len(await inlet.acknowledged()) <= number:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("ends", [KAFKA, RABBITMQ], indirect=True)
async def test_killed_at_any_moment(ends: tuple[Inlet, Place], tmp_path: Path) -> None:
    """Five kills at seeded points: no message is acknowledged whose letter is not there; at the end all of them are.

    A kill counts only if messages were waiting: it is then between any two of the steps of some of them.
    """
    inlet, place = ends
    chance, points = random.Random(17), list[int]()
    await inlet.fill([body(number) for number in range(MESSAGES)])
    buried = {text for text in inlet.bodies if reason_of(text)}
    async with emulated(refuse_bad) as recorder:
        with bridge_for(inlet, place, recorder, tmp_path / "run") as bridge:
            for kill in range(KILLS):
                if kill % 2 and isinstance(inlet, KafkaInlet):  # when acknowledgements have just moved: Kafka can tell
                    await acknowledged_beyond(inlet, points[-1])
                else:
                    await at_least(place, await place.count() + chance.randint(1, 30))
                bridge.kill()
                acknowledged = await inlet.acknowledged()
                points.append(len(acknowledged))
                assert len(acknowledged) < MESSAGES, "a kill with nothing to lose shows nothing"
                assert buried & acknowledged <= {letter.body for letter in await place.letters()}, f"kill {kill}"
                bridge.start()
            await inlet.wait_for_all(bridge)
            assert bridge.stop() == 0
    assert await inlet.acknowledged() == set(inlet.bodies)
    letters = await place.letters()
    assert {(letter.body, letter.reason) for letter in letters} == {(text, reason_of(text)) for text in buried}
    assert len({0, *points}) > KILLS // 2, "kills without acknowledgements between them show nothing"
    good = {f"create good-{number}" for number in range(MESSAGES) if number % 3 == 2}
    assert {name for call in recorder.calls if call.status == 200 for name in call.names} == good
    twice = sum(count - 1 for count in Counter(letter.body for letter in letters).values())
    print(f"kills when {points} were acknowledged, {twice} of {len(buried)} letters repeated")  # noqa: T201


async def at_least(place: Place, count: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while await place.count() < count:
            pass
