"""What instances do over time, when their ids are free, and what lists and gets show of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from cloudflare.types.workflows import InstanceGetResponse, InstanceListResponse, InstanceStepResponse

from tests.emulator.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Callable

SLOW = {"behaviour": "waits: paid, paid", "queued_seconds": 2, "running_seconds": 10}
DAY = 86_400


def test_statuses_move() -> None:
    """Queued, running, waiting; running again after each event; complete with the last event's payload."""
    driver = Driver(workflows={"w": SLOW})
    assert driver.make("a").result["status"] == "queued"
    seen = [driver.status("a")]
    for seconds in (1.999, 0.001, 9.999, 0.001):
        driver.wait(seconds)
        seen.append(driver.status("a"))
    assert seen == ["queued", "queued", "running", "running", "waiting"]
    driver.event("a", payload={"n": 1})
    assert driver.status("a") == "running"
    driver.event("a", payload={"n": 2})
    driver.wait(10)
    assert driver.status("a") == "running"
    driver.wait(10)
    got = driver.get("a")
    assert (got["status"], got["output"], got["success"]) == ("complete", '{"n":2}', True)
    assert [(step["name"], step["output"]) for step in got["steps"]] == [
        ("wait for paid-1", '{"n":1}'),
        ("wait for paid-2", '{"n":2}'),
    ]


def test_a_surplus_event_satisfies_the_next_wait() -> None:
    """Two equal events are two events: what is sent twice completes what waits twice."""
    driver = Driver(workflows={"w": "waits: paid, paid"})
    driver.make("a")
    driver.event("a")
    assert driver.status("a") == "waiting"
    driver.event("a")
    assert driver.status("a") == "complete"


def test_events_before_and_after() -> None:
    """An early event is kept; one for an instance that has ended is refused, or accepted and lost where that is set."""
    driver = Driver(workflows={"w": {"behaviour": "waits: paid", "queued_seconds": 5}})
    driver.make("a")
    assert driver.event("a", payload={"early": True}).status == 200
    driver.wait(5)
    assert driver.get("a")["output"] == '{"early":true}'
    assert (driver.event("a").status, driver.event("a").code) == (400, 10402)
    assert (driver.event("b").status, driver.event("b").code) == (404, 10400)
    other = Driver(ended_event={"status": 409, "code": 10401})
    other.make("a")
    assert (other.event("a").status, other.event("a").code) == (409, 10401)
    lax = Driver(ended_event=None)
    lax.make("a")
    assert lax.event("a").status == 200


def test_a_wait_that_lasts_too_long() -> None:
    """Nothing comes for a day: the instance fails at that moment, whenever somebody looks."""
    driver = Driver(workflows={"w": "waits: paid"})
    driver.make("a")
    driver.wait(3 * DAY)
    got = driver.get("a")
    assert (got["status"], got["error"]["name"]) == ("errored", "WorkflowTimeoutError")
    assert got["end"][:10] == "2026-11-19"
    assert got["start"][:10] == "2026-11-18"


@pytest.mark.parametrize(
    ("fields", "free_after_days"),
    [
        ({}, 7),
        ({"instance_retention": {"success_retention": "3 days"}}, 3),
        ({"instance_retention": {"success_retention": 3_600_000}}, 1 / 24),
        ({"instance_retention": {"error_retention": "1 second"}}, 7),
    ],
)
def test_an_id_is_used_until_its_retention_is_over(fields: dict[str, Any], free_after_days: float) -> None:
    """Refused on create and left out of batches until then, counted from the end; then it is free, and new."""
    driver = Driver(workflows={"w": {"behaviour": "completes", "running_seconds": 60}})
    driver.make("a", params=1, **fields)
    driver.wait(60 + free_after_days * DAY - 1)
    assert (driver.make("a").code, driver.batch("a", "b").result[0]["id"]) == (10405, "b")
    assert driver.status("a") == "complete"
    driver.wait(1)
    assert driver.status("a") is None
    assert driver.listed() == ["b"]
    assert driver.make("a", params=2).status == 200
    assert driver.get("a")["params"] == 2


def test_error_retention() -> None:
    """One that failed is kept as long as its other retention says; one that has not ended is kept for ever."""
    driver = Driver(workflows={"w": {"behaviour": "fails", "error_retention": "1 hour"}, "x": "waits: paid"})
    driver.make("a")
    driver.make("a", workflow="x")
    driver.wait(3599)
    assert driver.make("a").code == 10405
    driver.wait(1)
    assert driver.make("a").status == 200
    driver.change("a", "pause", workflow="x")
    driver.wait(365 * DAY)
    assert driver.make("a", workflow="x").code == 10405


def test_what_has_expired_takes_no_memory() -> None:
    """It is forgotten without being asked for."""
    driver = Driver()
    driver.batch(*(f"n-{number}" for number in range(100)))
    driver.wait(8 * DAY)
    driver.make("new")
    assert list(driver.application.account.workflows["w"].instances) == ["new"]


def test_delete() -> None:
    """A deleted instance is gone, its id is free, and what it did stops."""
    driver = Driver(workflows={"w": {"behaviour": "completes", "running_seconds": 10, "concurrency": 1}})
    driver.make("a")
    driver.make("b")
    assert (driver.status("a"), driver.status("b")) == ("running", "queued")
    assert driver.send("DELETE", "w/instances/a").status == 200
    assert (driver.send("DELETE", "w/instances/a").code, driver.status("a"), driver.status("b")) == (
        10400,
        None,
        "running",
    )
    assert driver.make("a").status == 200
    assert driver.listed() == ["a", "b"]


def test_concurrency() -> None:
    """Only so many run; the others are queued and go in order; one that waits takes no room."""
    driver = Driver(workflows={"w": {"behaviour": "waits: paid", "running_seconds": 10, "concurrency": 2}})
    for name in "abcd":
        driver.make(name)
    assert [driver.status(name) for name in "abcd"] == ["running", "running", "queued", "queued"]
    driver.wait(10)
    assert [driver.status(name) for name in "abcd"] == ["waiting", "waiting", "running", "running"]
    driver.event("a")
    assert driver.status("a") == "queued"
    driver.change("d", "terminate")
    assert driver.status("a") == "running"
    driver.wait(10)
    assert [driver.status(name) for name in "abcd"] == ["complete", "waiting", "waiting", "terminated"]


def test_concurrency_of_the_account() -> None:
    """The account's limit counts all workflows together."""
    driver = Driver(concurrency=1, workflows={"*": {"running_seconds": 10}})
    driver.make("a", workflow="w")
    driver.make("a", workflow="x")
    assert (driver.status("a", "w"), driver.status("a", "x")) == ("running", "queued")
    driver.wait(10)
    assert (driver.status("a", "w"), driver.status("a", "x")) == ("complete", "running")


def test_pausing_what_runs() -> None:
    """It finishes what it does before it is paused; resumed, it goes on from there."""
    driver = Driver(workflows={"w": {"behaviour": "completes", "running_seconds": 10}})
    driver.make("a")
    assert driver.change("a", "pause").result["status"] == "waitingForPause"
    driver.wait(10)
    assert driver.status("a") == "paused"
    driver.wait(100)
    assert driver.status("a") == "paused"
    assert driver.change("a", "resume").result["status"] == "complete"


def test_pausing_what_is_queued() -> None:
    """It does not begin, and its place is another's; resumed, it begins."""
    driver = Driver(workflows={"w": {"running_seconds": 10, "concurrency": 1}})
    for name in "abc":
        driver.make(name)
    driver.change("b", "pause")
    driver.wait(10)
    assert [driver.status(name) for name in "abc"] == ["complete", "paused", "running"]
    driver.wait(10)
    driver.change("b", "resume")
    assert driver.status("b") == "running"


def test_rolling_back() -> None:
    """Termination with rollback takes its time, and its outcome is shown."""
    driver = Driver(workflows={"w": {"behaviour": "waits: paid", "rollback_seconds": 5}})
    driver.make("a")
    assert driver.change("a", "terminate", rollback=True).result["status"] == "rollingBack"
    driver.wait(5)
    got = driver.get("a")
    assert (got["status"], got["rollback"]) == ("terminated", {"outcome": "complete", "error": None})
    assert got["steps"][-1] == {"type": "termination", "trigger": {"source": "api"}}


def test_restart_from_a_step() -> None:
    """From the second wait the first event stays; from the beginning everything is anew."""
    driver = Driver(workflows={"w": "waits: paid, shipped"})
    driver.make("a")
    driver.event("a", "paid", {"n": 1})
    driver.event("a", "shipped", {"n": 2})
    assert driver.status("a") == "complete"
    again = {"status": "restart", "from": {"name": "wait for shipped"}}
    assert driver.send("PATCH", "w/instances/a/status", again).result["status"] == "waiting"
    assert driver.get("a")["steps"][0]["output"] == '{"n":1}'
    driver.event("a", "shipped", {"n": 3})
    assert driver.get("a")["output"] == '{"n":3}'
    driver.change("a", "restart")
    assert [step["finished"] for step in driver.get("a")["steps"]] == [False]


def test_lists_lag() -> None:
    """A new instance can be got at once, and is listed some seconds later."""
    driver = Driver(list_lag_seconds=3)
    driver.make("a")
    driver.wait(2)
    driver.make("b")
    assert (driver.listed(), driver.status("b")) == ([], "complete")
    driver.wait(1)
    assert driver.listed() == ["a"]
    assert driver.send("GET", "w/instances").outcome.reply.body.count(b'"total_count":1') == 1
    driver.wait(2)
    assert driver.listed() == ["b", "a"]


def test_a_list_follows_its_cursor_past_what_is_gone() -> None:
    """Pages neither repeat nor skip, in both directions, while instances come and go between them."""
    driver = Driver()
    for number in range(7):
        driver.make(f"n-{number}")
    first = page(driver, "?per_page=3")
    driver.send("DELETE", "w/instances/n-3")
    driver.make("late")
    second = page(driver, f"?per_page=3&cursor={first[1]}")
    assert (first[0], second) == (["n-6", "n-5", "n-4"], (["n-2", "n-1", "n-0"], None))
    up = page(driver, "?per_page=4&direction=asc")
    assert up[0] == ["n-0", "n-1", "n-2", "n-4"]
    assert page(driver, f"?per_page=4&direction=asc&cursor={up[1]}")[0] == ["n-5", "n-6", "late"]


def page(driver: Driver, query: str) -> tuple[list[str], str | None]:
    answer = orjson.loads(driver.send("GET", f"w/instances{query}").outcome.reply.body)
    return [row["id"] for row in answer["result"]], answer["result_info"].get("cursor")


def test_a_batch_that_is_too_large_in_all() -> None:
    """A hundred good creates of more than 1 MiB together are refused, and none is made."""
    driver = Driver()
    items = [{"instance_id": f"n-{number}", "params": "x" * 11_000} for number in range(100)]
    assert driver.send("POST", "w/instances/batch", items).code == 10002
    assert driver.send("POST", "w/instances/batch", items[:90]).status == 200
    assert len(driver.application.account.workflows["w"].instances) == 90


def test_a_long_output_is_cut_and_the_step_has_it_all() -> None:
    """A get shows the beginning; the step's own path shows everything."""
    driver = Driver()
    driver.make("a", params={"text": "x" * 5_000})
    assert driver.get("a")["output"].endswith("...[truncated output]")
    assert driver.send("GET", "w/instances/a/step?name=run-1").result["output"] == {"text": "x" * 5_000}
    assert driver.send("GET", "w/instances/a/step?name=none").code == 10002


@pytest.mark.parametrize("moment", range(8))
def test_the_official_models_take_every_state(moment: int) -> None:
    """At every point of a life, get, list and step are what the models of the official SDK are."""
    driver = Driver(workflows={"w": SLOW | {"rollback_seconds": 5}})
    driver.make("a", params={"x": 1})
    steps: list[Callable[[], object]] = [
        lambda: driver.wait(2),
        lambda: driver.wait(10),
        lambda: driver.event("a"),
        lambda: driver.wait(10),
        lambda: driver.change("a", "pause"),
        lambda: driver.change("a", "terminate", rollback=True),
        lambda: driver.wait(5),
    ]
    for step in steps[:moment]:
        step()
    got = driver.get("a")
    for step in got["steps"]:  # the models want an end and an output, where their own documentation shows null
        step.setdefault("output", "")
        if step.get("type") == "waitForEvent":
            step["end"] = step["end"] or got["queued"]
    got["output"] = got["output"] or ""
    InstanceGetResponse.model_validate(got, strict=False)
    for row in driver.send("GET", "w/instances").result:
        InstanceListResponse.model_validate(row)
    if moment >= 3:
        InstanceStepResponse.model_validate(driver.send("GET", "w/instances/a/step?name=wait%20for%20paid-1").result)
