"""A token that may not do everything, and an endpoint that fails: what works goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bridge.dispatch.batching import Endpoint
from bridge.dispatch.permits import Permits
from tests.dispatch.test_dispatcher import create, event, refusal, running

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.cloudflare.transport import Answer
    from tests.dispatch.test_dispatcher import Fault

CREATE, EVENT, OTHER = Endpoint("main", "create"), Endpoint("main", "event"), Endpoint("other", "create")


def test_a_refusal_concerns_the_token_until_something_else_was_let_through() -> None:
    """One more of the same operation after that concerns it alone, until it is let through, too."""
    permits = Permits()
    permits.taken(CREATE)
    assert [permits.refused(EVENT), permits.refused(EVENT)] == [False, False]
    permits.taken(OTHER)
    assert not permits.refused(EVENT), "another target's token says nothing"
    permits.taken(CREATE)
    assert [permits.refused(EVENT), permits.refused(CREATE)] == [True, False]
    permits.taken(EVENT)
    permits.taken(CREATE)
    assert not permits.refused(EVENT)


async def test_a_token_that_may_send_no_events_creates_all_the_same(tmp_path: Path) -> None:
    """Events wait and one asks now and then; creates are not held up any more, and all arrive once it may."""
    allowed: list[bool] = []

    def fault(url: str, _body: bytes | None) -> Fault:
        return None if allowed or "/events/" not in url else refusal(403, 10000)

    async with running(tmp_path, fault) as bench:
        await bench.add([create("i", "wait"), *(event("i", n) for n in range(3))])
        await bench.until(lambda: len(bench.created) == 1)
        number = 0
        while bench.dispatcher.paused != {EVENT: "unauthorized"}:
            number += 1
            await bench.add([create(f"next-{number}")])
            await bench.until(lambda: f"next-{number}" in bench.created)  # noqa: B023  it is used here
        for n in range(20):
            await bench.add([create(f"more-{n}")])
            await bench.until(lambda: f"more-{n}" in bench.created)  # noqa: B023  it is used here
        assert (bench.dispatcher.paused, bench.outbox.depth().dead) == ({EVENT: "unauthorized"}, 0)
        allowed.append(True)
        await bench.settled()
        assert bench.dispatcher.paused == {}
    assert bench.events == [("i", 0), ("i", 1), ("i", 2)]


async def test_events_that_get_no_answer_leave_the_others_connections(tmp_path: Path) -> None:
    """Eight fail, so that fewer are tried at once; those hang: creates have the other connections, and go."""
    hanging: list[asyncio.Future[Answer]] = []
    asked: list[str] = []
    released = False

    def fault(url: str, _body: bytes | None) -> Fault:
        if "/events/" not in url or released:
            return None
        asked.append(url)
        if len(asked) <= 8:
            return refusal(500, 10001)
        hanging.append(asyncio.get_running_loop().create_future())
        return hanging[-1]

    async with running(tmp_path, fault) as bench:
        await bench.add(event(f"i-{n}") for n in range(30))
        await bench.until(lambda: bool(hanging))
        await bench.add(create(f"more-{n}") for n in range(300))
        await bench.until(lambda: len(bench.created) == 300)
        assert 0 < len(hanging) < 8
        released = True
        for one in hanging:
            one.set_result(refusal(500, 10001))
