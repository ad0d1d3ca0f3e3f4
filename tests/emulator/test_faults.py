"""Faults on demand: each does what it says, to the requests that it names, the same way for the same seed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.emulator.faults import Delivery
from tests.emulator.driver import Driver

AMONG = [f"n-{number}" for number in range(40)]


def done(driver: Driver, name: str = "a") -> bool:
    """Whether the instance was created, whatever the answer said."""
    return name in driver.application.account.workflow("w", driver.clock()).instances


@pytest.mark.parametrize(
    ("fault", "status", "code", "created"),
    [
        ({"do": "error"}, 500, 10001, False),
        ({"do": "error", "status": 503, "code": 10013, "work": True}, 503, 10013, True),
        ({"do": "rate-limit"}, 429, 10429, False),
        ({"do": "rate-limit", "code": 971}, 429, 971, False),
        ({"do": "unauthorized"}, 403, 10000, False),
        ({"do": "unauthorized", "status": 401}, 401, 10000, False),
        ({"do": "no-workflow"}, 404, 10200, False),
        ({"do": "garbage"}, 200, 0, False),
        ({"do": "garbage", "work": True}, 200, 0, True),
        ({"do": "no-answer"}, 200, 0, True),
        ({"do": "no-answer", "work": False}, 0, 0, False),
        ({"do": "lost"}, 200, 0, True),
        ({"do": "lost", "work": False}, 0, 0, False),
        ({"do": "delay", "seconds": 1}, 200, 0, True),
    ],
)
def test_what_becomes_of_a_request(fault: dict[str, Any], status: int, code: int, *, created: bool) -> None:
    """The answer is the fault's, the work is done or not as it says, and the journal tells both."""
    driver = Driver()
    driver.fault(name="bad", **fault)
    said = driver.make("a")
    assert (said.status, said.code, done(driver)) == (status, code, created)
    record = driver.records[0]
    silent = fault["do"] in {"no-answer", "lost"}
    assert (record.fault, record.worked, record.answered) == ("bad", created, not silent)
    assert said.outcome.delivery is {"no-answer": Delivery.HOLD, "lost": Delivery.LOSE}.get(fault["do"], Delivery.SEND)
    assert driver.application.summary()["faults"] == {"bad": 1}


def test_a_gateway_that_is_no_api() -> None:
    """An error may come without an envelope, and a good status with something that is none."""
    driver = Driver()
    driver.fault(do="error", status=502, envelope=False, count=1)
    driver.fault(do="garbage", body="oops")
    assert b"<html>" in driver.make("a").outcome.reply.body
    assert driver.make("b").outcome.reply.body == b"oops"


def test_an_error_beside_a_result() -> None:
    """10001 with the result filled in, as has been seen in production."""
    driver = Driver()
    driver.make("a")
    driver.fault(do="error", operation="get", work=True, result=True)
    said = driver.send("GET", "w/instances/a")
    assert (said.status, said.code, said.result["status"]) == (500, 10001, "complete")
    assert orjson.loads(said.outcome.reply.body)["success"] is False


@pytest.mark.parametrize("value", [None, 0, 7])
def test_retry_after(value: int | None) -> None:
    """A 429 has the header with this number, or none."""
    driver = Driver()
    driver.fault(do="rate-limit", retry_after=value)
    headers = dict(driver.make("a").outcome.reply.headers)
    assert headers.get(b"retry-after") == (None if value is None else str(value).encode())


@pytest.mark.parametrize("work", [True, False])
def test_a_batch_answer_that_omits_ids(*, work: bool) -> None:
    """The ids that are left out were created or were not; the others were; the journal has all that was offered."""
    driver = Driver()
    driver.fault(do="omit", share=0.5, work=work)
    answered = {row["id"] for row in driver.batch(*AMONG).result}
    assert 5 < len(answered) < 35
    missing = set(AMONG) - answered
    assert {name for name in missing if done(driver, name)} == (missing if work else set())
    assert all(done(driver, name) for name in answered)
    assert driver.records[0].offered == AMONG
    assert driver.event(AMONG[0]).status == (400 if done(driver, AMONG[0]) else 404)


def test_all_ids_left_out() -> None:
    """With a share of 1 the answer is good and empty."""
    driver = Driver()
    driver.fault(do="omit", work=False)
    said = driver.batch("a", "b")
    assert (said.status, said.result, done(driver), driver.records[0].worked) == (200, [], False, False)


@pytest.mark.parametrize(
    ("where", "hit"),
    [
        ({}, ["create", "batch", "get", "event", "status", "list"]),
        ({"operation": "event"}, ["event"]),
        ({"operation": ["get", "list"]}, ["get", "list"]),
        ({"workflow": "other"}, []),
        ({"workflow": "w*"}, ["create", "batch", "get", "event", "status", "list"]),
        ({"instance": "order-?"}, ["create", "batch", "get", "event", "status"]),
        ({"instance": "order-2"}, ["batch"]),
        ({"token": "person"}, []),
        ({"skip": 2, "count": 3}, ["get", "event", "status"]),
        ({"count": 0}, []),
    ],
)
def test_which_requests_it_hits(where: dict[str, Any], hit: list[str]) -> None:
    """By operation, workflow, instance, token; after some, and for some."""
    driver = Driver(ended_event=None, more_tokens={"person": "p"})
    driver.fault(do="delay", seconds=1, **where)
    driver.make("order-1")
    driver.batch("order-2", "order-3")
    driver.get("order-1")
    driver.event("order-1")
    driver.change("order-1", "pause")
    driver.listed()
    assert [record.operation for record in driver.records if record.fault] == hit


def test_a_window_of_time() -> None:
    """It begins and ends on the emulator's clock, counted from when it was set."""
    driver = Driver()
    driver.wait(100)
    driver.fault(do="no-workflow", begins_seconds=10, ends_seconds=20)
    codes = []
    for _ in range(6):
        codes.append(driver.send("GET", "w/instances").code)
        driver.wait(5)
    assert codes == [0, 0, 10200, 10200, 0, 0]


def hits(seed: int, name: str) -> list[bool]:
    driver = Driver(seed=seed, faults=[{"do": "error", "probability": 0.3, "name": name}])
    return [driver.make(f"a-{number}").status == 500 for number in range(200)]


def test_chance_can_be_repeated() -> None:
    """The same seed and name give the same hits, others give others, about as many as asked for."""
    first = hits(1, "x")
    assert first == hits(1, "x")
    assert first != hits(2, "x")
    assert first != hits(1, "y")
    assert 35 < sum(first) < 85


def test_delays_add_up_and_the_first_other_fault_counts() -> None:
    """A late error is a delay and an error; behind the first error no second one is counted."""
    driver = Driver()
    driver.fault(name="late", do="delay", seconds=[1, 2])
    driver.fault(name="later", do="delay", seconds=3)
    driver.fault(name="bad", do="error")
    driver.fault(name="worse", do="lost")
    outcome = driver.make("a").outcome
    assert (outcome.reply.status, outcome.delivery) == (500, Delivery.SEND)
    assert 4 <= outcome.delay_seconds <= 5
    assert driver.records[0].fault == "late+later+bad"


def test_faults_are_listed_replaced_and_taken_away() -> None:
    """By name; a list sets several at once or none; what is wrong is told."""
    driver = Driver()
    assert driver.send("POST", "/emulator/faults", [{"do": "lost", "count": 1}, {"do": "error"}]).result == {
        "names": ["fault-1", "fault-2"]
    }
    driver.make("a")
    state = driver.send("GET", "/emulator/faults").result["faults"]
    assert [(one["name"], one["do"], one["hits"]) for one in state] == [("fault-1", "lost", 1), ("fault-2", "error", 0)]
    driver.fault(do="garbage", name="fault-2")
    assert driver.make("b").status == 200
    assert driver.send("DELETE", "/emulator/faults/fault-2").status == 200
    assert driver.send("DELETE", "/emulator/faults/fault-2").status == 404
    driver.send("DELETE", "/emulator/faults")
    assert driver.send("GET", "/emulator/faults").result == {"faults": []}
    refused = driver.send("POST", "/emulator/faults", [{"do": "lost"}, {"do": "error", "status": 200}])
    assert refused.status == 400
    assert "1.error.status" in refused.result["errors"][0]["message"]
    assert driver.send("GET", "/emulator/faults").result == {"faults": []}


def test_faults_cost_quota_but_hit_nothing_that_is_refused() -> None:
    """A request that the quota refuses comes to no fault."""
    driver = Driver(quota={"requests": 1})
    driver.fault(do="error")
    assert [driver.make("a").status, driver.make("a").status] == [500, 429]
    assert [record.fault for record in driver.records] == ["fault-1", ""]
