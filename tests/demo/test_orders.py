from __future__ import annotations

from collections import Counter

import orjson
from hypothesis import given
from hypothesis import strategies as st

from bridge.demo.orders import ORDERS, PAYMENTS, messages


@given(st.integers(1, 500))
def test_as_many_messages_as_asked_for(count: int) -> None:
    """Half are orders, half their payments; each order once, no payment without its order."""
    plan = messages(count)
    assert len(plan) == count
    assert len({message.name for message in plan}) == count
    keys = {topic: {message.key for message in plan if message.topic == topic} for topic in (ORDERS, PAYMENTS)}
    assert keys[PAYMENTS] <= keys[ORDERS]
    assert len(keys[ORDERS]) - len(keys[PAYMENTS]) == count % 2


def test_the_plan_is_the_same_for_each_run() -> None:
    """A failure can be repeated."""
    assert messages(200) == messages(200)


def test_some_payments_come_before_their_order() -> None:
    """And many more after it: both kinds of event are in a demo of any length."""
    plan = messages(300)
    place = {message.name: number for number, message in enumerate(plan)}
    early = Counter(
        place[f"{PAYMENTS}/{message.key}"] < place[f"{ORDERS}/{message.key}"]
        for message in plan
        if message.topic == PAYMENTS
    )
    assert early[True] > 15
    assert early[False] > 75


def test_every_order_matches_the_demo_s_rules() -> None:
    """A total above 0 that is the sum of its lines, and ids that the rules take."""
    for message in messages(400):
        body = orjson.loads(message.body)
        assert body["order_id"] == message.key
        if message.topic == ORDERS:
            prices = [line["price"] * line.get("quantity", 1) for line in body["lines"]]
            assert (body["type"], body["total"]) == ("order.created", sum(prices))
            assert body["total"] > 0
        else:
            assert (body["type"], body["payment_id"]) == ("payment.received", f"pay-{message.key}")
