"""The budget of one token, against simulated quotas and by its single rules."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cloudflare.ratelimit import Reading
from bridge.dispatch.budget import Budget, State
from bridge.dispatch.quota import Shares
from tests.dispatch.quota_simulation import (
    START,
    WINDOW,
    CalendarWindow,
    FixedWindow,
    Server,
    SlidingWindow,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHARES = Shares(reserve=0.1, share=1.0)
USABLE = 1080  # of 1,200, without the reserve
SERVERS: dict[str, Callable[[], Server]] = {
    "fixed": FixedWindow,
    "calendar": CalendarWindow,
    "sliding": SlidingWindow,
    "sliding, shown as fixed": lambda: SlidingWindow(honest=False),
}


def world(server: Server | None = None, seed: int = 1) -> World:
    return World(FixedWindow() if server is None else server, random.Random(seed))


def foreign(where: World, per_second: float, minutes: int, largest: int = 40) -> None:
    """Bursts of up to ``largest`` requests, each within a second."""
    chance, at = where.random, START
    while at < START + 60 * minutes:
        where.burst(at, chance.randint(1, largest), spread=chance.random())
        at += (0.3 + 1.4 * chance.random()) * (largest + 1) / 2 / per_second


# --- against a quota -------------------------------------------------------------------------------------------------


def test_a_saturated_bridge_uses_what_it_may() -> None:
    """Over 15 minutes at least 99 % of the quota without its reserve, evenly, and never more."""
    where = world()
    where.join(client := where.bridge())
    where.run(START + 900)
    assert 0.99 * 3 * USABLE <= len(client.sent) <= 3 * USABLE
    assert max(later - sooner for sooner, later in zip(client.sent, client.sent[1:], strict=False)) < 3
    assert where.exceeded == []


@pytest.mark.parametrize("seed", range(3))
def test_beside_a_foreign_client_it_uses_what_is_left(seed: int) -> None:
    """Others take a third of the quota in bursts of up to 40: nobody is blocked, over 95 % of the rest is used."""
    where = world(seed=seed)
    where.join(client := where.bridge())
    foreign(where, per_second=1200 / 300 / 3, minutes=15)
    where.run(START + 900)
    assert len(client.sent) >= 0.95 * (3 * USABLE - len(where.foreign))
    assert where.exceeded == []


def test_five_bridges_that_share_nothing() -> None:
    """Started together on one token they use all of it, each a good part, and never more."""
    where = world()
    clients = [where.bridge() for _ in range(5)]
    for client in clients:
        where.join(client)
    where.run(START + 900)
    sent = [len(client.sent) for client in clients]
    assert sum(sent) >= 0.95 * 3 * USABLE
    assert min(sent) >= 0.05 * sum(sent)
    assert where.exceeded == []


def test_shares_divide_it_from_the_start() -> None:
    """With ``share`` 0.2 each, five bridges have the same and never fight."""
    where = world()
    clients = [where.bridge(share=0.2) for _ in range(5)]
    for client in clients:
        where.join(client)
    where.run(START + 900)
    sent = [len(client.sent) for client in clients]
    assert sum(sent) >= 0.95 * 3 * USABLE
    assert max(sent) - min(sent) <= 0.05 * max(sent)
    assert where.exceeded == []


@settings(max_examples=30, deadline=None)
@given(
    kind=st.sampled_from(sorted(SERVERS)),
    bridges=st.integers(1, 5),
    latency=st.floats(0.01, 1.5),
    concurrency=st.sampled_from([1, 8, 1024]),
    rate=st.floats(0.0, 1.5),
    busy=st.floats(0.05, 1.0),
    seed=st.integers(0, 1000),
)
def test_no_quota_is_ever_exceeded(
    *, kind: str, bridges: int, latency: float, concurrency: int, rate: float, busy: float, seed: int
) -> None:
    """However the API counts, whoever shares the token, whenever there is work: all of it at once, then none."""
    where = world(SERVERS[kind](), seed)
    where.random.random()
    period = 30 + 400 * where.random.random()

    def demand(now: float) -> bool:
        return (now - START) % period >= period * (1 - busy)

    if kind == "sliding, shown as fixed":  # whoever is not seen in the headers cannot be left room for
        bridges, rate = 1, 0.0
    for _ in range(bridges):
        where.join(one := where.bridge(latency, demand), START + where.random.random())
        one.concurrency = concurrency
    if rate:
        foreign(where, rate, minutes=12)
    where.run(START + 720)
    assert where.exceeded == []


def test_a_restart_is_no_burst() -> None:
    """A process that dies and comes back every 20 seconds uses no more than one that lives, however it is counted."""
    where = world(SlidingWindow(honest=False))
    stored, sent = "", []
    for life in range(45):
        now = START + 20 * life
        client = where.bridge()
        if stored:
            client.budget.restore(stored, now, now)
        where.join(client, now)
        where.run(now + 20)
        stored = client.budget.encode(now, now)
        client.demand = lambda _: False
        sent += client.sent
    assert 0.85 * 3 * USABLE <= len(sent) <= 3 * 1200
    assert where.exceeded == []


def test_without_memory_the_first_answer_decides() -> None:
    """A process that knows nothing sends one request, and more only when it was answered."""
    budget = Budget(SHARES)
    assert budget.wait_seconds(START) == 0
    budget.sent(START)
    assert budget.wait_seconds(START + 1) == math.inf
    budget.answered(200, (Reading("default", 1200, WINDOW, 1199, 300.0),), START, START + 1)
    assert (budget.state, budget.in_flight) == (State.COUNTED, 0)


# --- single rules ----------------------------------------------------------------------------------------------------


def known(remaining: int, reset_seconds: float, *others: Reading) -> Budget:
    """A budget that has just had its first answer, at START."""
    budget = Budget(SHARES)
    budget.sent(START - 0.1)
    readings = (Reading("default", 1200, WINDOW, remaining, reset_seconds), *others)
    budget.answered(200, readings, START - 0.1, START)
    return budget


def test_ahead_of_the_even_line_it_bursts() -> None:
    """Half of the window has passed unused: requests go at once, as long as answers keep coming."""
    budget = known(1199, 150.0)
    for n in range(400):
        at = START + n * 0.01
        assert budget.wait_seconds(at) == 0
        budget.sent(at)
        budget.answered(200, (Reading("default", 1200, WINDOW, 1198 - n, 150.0),), at, at + 0.005)


def test_on_the_line_it_paces() -> None:
    """At the start of a window, one request each 300 / 1,080 seconds."""
    assert known(1199, 300.0).wait_seconds(START) == pytest.approx(300 / 1080 - 0.1, abs=0.01)


def test_at_the_reserve_it_waits_for_the_reset() -> None:
    """The last tenth is not for this process."""
    assert known(120, 40.0).wait_seconds(START) == 40.0
    assert known(120, 40.0).wait_seconds(START + 40) == 0


def test_every_policy_has_to_have_room() -> None:
    """The tightest one decides."""
    assert known(1199, 150.0, Reading("burst", 100, 60.0, 10, 20.0)).wait_seconds(START) == 20.0


def test_few_are_in_flight_near_the_reserve() -> None:
    """With 30 above the reserve at most 3 are unanswered: what others have in flight has to fit in, too."""
    budget = known(150, 1.0)
    for _ in range(3):
        assert budget.wait_seconds(START) == 0
        budget.sent(START)
    assert budget.wait_seconds(START) == math.inf


def test_old_news_allow_one_request() -> None:
    """After a quiet minute the first request goes alone: others may have used the rest."""
    budget = known(1199, 300.0)
    assert budget.wait_seconds(START + 60) == 0
    budget.sent(START + 60)
    assert budget.wait_seconds(START + 60) == math.inf


def test_no_headers_no_limit() -> None:
    """A gateway that says nothing of a quota has none; an error page says nothing about that."""
    budget = Budget(SHARES)
    budget.sent(START)
    budget.answered(502, (), START, START + 1)
    assert budget.state is State.UNKNOWN
    budget.sent(START + 1)
    budget.answered(200, (), START + 1, START + 2)
    for _ in range(1000):
        assert budget.wait_seconds(START + 2) == 0
        budget.sent(START + 2)


def test_an_error_page_does_not_end_the_counting() -> None:
    """A single answer without headers is not a new target."""
    budget = known(120, 40.0)
    budget.sent(START)
    budget.answered(200, (), START, START + 1)
    assert budget.state is State.COUNTED
    assert budget.wait_seconds(START + 1) == 39.0


@pytest.mark.parametrize(("said", "seconds"), [(None, 300.0), (0.0, 1.0), (17.0, 17.0), (10_000_000.0, 3600.0)])
def test_a_block_is_waited_out(said: float | None, seconds: float) -> None:
    """As long as the API says, 5 minutes where it does not, a second at least; also by the next process."""
    budget = known(1199, 300.0)
    budget.blocked(said, START)
    restarted = Budget(SHARES)
    restarted.restore(budget.encode(START, START), START, START)
    assert [budget.wait_seconds(START), restarted.wait_seconds(START)] == [seconds, seconds]


def test_others_are_told_apart_from_oneself() -> None:
    """Twenty own requests and a fall of fifty: thirty were somebody else's, and what is in flight is nobody's."""
    budget = known(1199, 300.0)
    for n in range(20):
        budget.sent(START + n)
        fallen = 0 if n < 10 else 30
        budget.answered(200, (Reading("default", 1200, WINDOW, 1198 - n - fallen, 299.0 - n),), START + n, START + n)
    assert budget.quotas["default"].foreign == 30
    assert budget.quotas["default"].foreign_rate(START + 19) > 0


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_what_is_stored_may_be_anything(text: str) -> None:
    """A note of another version is ignored."""
    budget = Budget(SHARES)
    budget.restore(text, START, START)
    assert budget.wait_seconds(START) >= 0
