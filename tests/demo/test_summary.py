"""The summary of a demo is honest: it is made from the emulator's records and what was produced."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.demo.orders import ORDERS, PAYMENTS, Produced
from bridge.demo.summary import Summary, arrivals, summarise
from bridge.emulator.journal import Record

PRODUCED_MS = 1_000
WAITED_MS = 40


def order(key: str) -> Produced:
    return Produced(ORDERS, key, b"")


def payment(key: str) -> Produced:
    return Produced(PAYMENTS, key, b"")


def produced(*messages: Produced) -> dict[Produced, int]:
    return dict.fromkeys(messages, PRODUCED_MS)


def record(operation: str, **fields: Any) -> Record:
    fields = {"status": 200, **fields}
    time_ms = fields.pop("time_ms", PRODUCED_MS + WAITED_MS)
    return Record(1, time_ms, "POST", "/", operation, "fulfil-order", **fields)


def batch(*keys: str, **fields: Any) -> Record:
    return record("batch", created=[f"order-{key}" for key in keys], **fields)


def event(key: str, **fields: Any) -> Record:
    return record("event", payload={"payment": f"pay-{key}"}, **fields)


TWO = produced(order("1"), order("2"), payment("1"))


def test_a_run_in_which_everything_arrived_once() -> None:
    """Every figure of it."""
    early = event("1", status=404, code=10400)
    assert summarise(TWO, [early, batch("1", "2"), event("1", time_ms=1_100)]) == Summary(
        messages=3,
        instances=2,
        events=1,
        requests=3,
        instances_per_create_request=2.0,
        lost=0,
        duplicates=0,
        p50_ms=40.0,
        p99_ms=100.0,
    )


@pytest.mark.parametrize(
    ("records", "lost", "duplicates"),
    [
        pytest.param([batch("1", "2"), event("1")], 0, 0, id="all there"),
        pytest.param([batch("1"), event("1")], 1, 0, id="a lost order"),
        pytest.param([batch("1", "2")], 1, 0, id="a lost payment"),
        pytest.param([batch("1", "2"), event("1", status=500)], 1, 0, id="a refused payment"),
        pytest.param([], 3, 0, id="nothing at all"),
        pytest.param([batch("1", "2"), event("1"), event("1")], 0, 1, id="a doubled event"),
        pytest.param([batch("1", "2"), event("1"), event("1"), event("1")], 0, 2, id="a tripled event"),
        pytest.param([batch("1", "2"), batch("2"), event("1")], 0, 1, id="an instance created twice"),
        pytest.param([batch("1", "2", "3"), event("1")], 0, 1, id="an instance of no message"),
        pytest.param([batch("1", "2"), event("1"), event("2")], 0, 1, id="an event of no message"),
        pytest.param([batch("1", "3"), event("1")], 1, 1, id="another instance than the one wanted"),
        pytest.param([batch("1", "2"), event("1"), record("event", payload={})], 0, 1, id="an event without a payment"),
    ],
)
def test_what_is_lost_and_what_is_double_is_counted(records: list[Record], lost: int, duplicates: int) -> None:
    """Each by itself; only a run without both is good."""
    found = summarise(TWO, records)
    assert (found.lost, found.duplicates) == (lost, duplicates)
    assert found.good == (not lost and not duplicates)


def test_an_id_that_was_used_already_is_no_new_instance() -> None:
    """What was offered does not count, what was created does."""
    again = record("batch", offered=["order-1", "order-2"], created=[])
    found = summarise(TWO, [batch("1", "2"), event("1"), again])
    assert (found.instances, found.duplicates, found.requests) == (2, 0, 3)
    assert found.instances_per_create_request == 1.0


def test_the_time_is_that_of_the_first_arrival() -> None:
    """A repetition does not make a message late; what never arrived has no time."""
    records = [batch("1", time_ms=1_010), batch("1", time_ms=9_000)]
    found = summarise(produced(order("1"), order("2")), records)
    assert (found.p50_ms, found.p99_ms) == (10.0, 10.0)
    assert summarise(produced(order("1")), []).p99_ms == 0.0


def test_quantiles_of_many() -> None:
    """Of a hundred waits of 1 to 100 ms half are below the 51st; one is as long as the 100th."""
    messages = {order(str(number)): PRODUCED_MS for number in range(100)}
    records = [batch(str(number), time_ms=PRODUCED_MS + number + 1) for number in range(100)]
    found = summarise(messages, records)
    assert (found.p50_ms, found.p99_ms) == (51.0, 100.0)


def test_arrivals_are_counted_as_the_journal_grows() -> None:
    """One for each instance that is new and each event that was accepted."""
    records = [batch("1", "2"), event("1"), event("2", status=404), record("get"), record("create", created=["x"])]
    assert [name for name, _ in arrivals(records)] == [
        "instance/order-1",
        "instance/order-2",
        "event/pay-1",
        "instance/x",
    ]
