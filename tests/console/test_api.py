from __future__ import annotations

import re
import socket
import threading
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, cast

import httpx
import orjson
import pytest
from pydantic import TypeAdapter

from bridge.console.api import Api
from bridge.console.openapi import document
from bridge.console.routes import PREFIX
from bridge.console.sampling import History
from bridge.errors import RuleError
from bridge.routing import budget
from tests.console.conftest import ORDERED
from tests.console.scene import SECONDS, Scene

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from pathlib import Path

    from bridge.console.routes import Route

INSTANCES = "/targets/main/workflows/fulfil-order/instances"
nothing = cast("Any", None)
ROUTES: list[Route] = list(Api(nothing, History(), nothing).routes)
READABLE = [route for route in ROUTES if route.method == "GET" and "{" not in route.path and is_dataclass(route.gives)]


def post(scene: Scene, path: str, body: object) -> httpx.Response:
    return httpx.post(f"{scene.url}/api/v1{path}", json=body, trust_env=False, timeout=SECONDS)


@pytest.mark.parametrize("route", READABLE, ids=lambda route: route.path)
def test_an_answer_has_the_form_that_the_document_says(scene: Scene, route: Route) -> None:
    """Strictly: no field is missing, of another type, or unknown."""
    found = scene.get(route.path)
    adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", route.gives))
    adapter.validate_json(orjson.dumps(found), strict=False)
    assert adapter.dump_python(adapter.validate_python(found), mode="json") == found


def test_the_document_names_every_route_and_nothing_else(scene: Scene) -> None:
    """It is served, and every reference in it leads somewhere."""
    told = scene.get("/openapi.json")
    assert told == orjson.loads(orjson.dumps(document(ROUTES)))
    named = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert named == {(route.method, PREFIX + route.path) for route in ROUTES}
    references = set(re.findall(r'"#/components/schemas/(\w+)"', orjson.dumps(told).decode()))
    assert references <= told["components"]["schemas"].keys()
    ids = [operation["operationId"] for methods in told["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)


def test_the_overview_tells_what_waits_and_what_wants_a_person(scene: Scene) -> None:
    """The parked payment, the dead letters; the emulator has no quota here."""
    seen = scene.get("/overview")
    assert (seen["backlog"]["parked"], seen["backlog"]["ready"], seen["backlog"]["dead_letters"]) == (1, 0, 2)
    assert [notice["title"] for notice in seen["notices"]] == ["There are dead letters"]
    assert seen["budgets"][0]["state"] == "open"
    assert seen["may_act"]
    assert seen["history"]


def test_sources_and_rules_are_told_with_their_counts(scene: Scene) -> None:
    """As the metrics have them."""
    orders, payments = scene.get("/sources")["sources"]
    assert (orders["received"], orders["state"], orders["reads"]) == (ORDERED + 2, "reading", ["shop.orders"])
    assert (payments["received"], payments["unmatched"]) == (2, 0)
    seen = scene.until("/rules", lambda seen: seen["rules"][1]["last_match_ms"])
    rules = {rule["name"]: rule for rule in seen["rules"]}
    assert [rules[name]["matched"] for name in ("ignore-tests", "order-created", "payment-received")] == [0, ORDERED, 2]
    assert rules["ignore-tests"]["last_match_ms"] is None
    assert rules["order-created"]["last_match_ms"] <= scene.get("/overview")["now_ms"]


def test_a_message_is_tried_and_nothing_is_sent(scene: Scene) -> None:
    """Which rule matches and why; numbers keep their spelling."""
    before = len(scene.emulator.records)
    message = b'{"message":{"source":"orders","body":{"type":"order.created","order_id":"t","total":1.10}}}'
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{scene.url}/api/v1/try", content=message, headers=headers, trust_env=False)
    told = answer.json()["explanation"]
    assert [rule["verdict"] for rule in told["rules"]] == ["does not match", "matches", "is for other sources"]
    assert told["result"]["calls"][0]["instance_id"] == "order-t"
    assert [each for each in scene.emulator.records[before:] if each.operation == "create"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"message": {"source": "nobody", "body": {}}}, 422, "not_a_message"),
        ({"message": {"source": "orders", "bodi": {}}}, 422, "not_a_message"),
        ({"message": []}, 422, "bad_body"),
        ({"message": {}, "extra": 1}, 422, "bad_body"),
    ],
)
def test_what_is_no_message_is_told_so(scene: Scene, body: object, status: int, code: str) -> None:
    """With what to write instead."""
    answer = post(scene, "/try", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["advice"]


def test_what_an_expression_may_cost_is_counted_for_each_thread() -> None:
    """A trial that uses up what one evaluation may take, takes nothing of a live one."""
    budget.refill()
    spent = threading.Thread(target=lambda: budget.spend(budget.STEPS))
    spent.start()
    spent.join()
    budget.spend(1)
    with pytest.raises(RuleError):
        budget.spend(budget.STEPS)
    budget.refill()


def test_many_trials_leave_the_live_rules_alone(scene: Scene) -> None:
    """The rules of a trial are compiled for its thread: live messages that come meanwhile are all delivered."""
    costly = {"message": {"source": "orders", "body": {"type": "order.created", "order_id": 1, "total": 1}}}
    stop = threading.Event()

    def try_on() -> None:
        while not stop.is_set():
            assert post(scene, "/try", costly).status_code in {200, 429}

    trying = threading.Thread(target=try_on)
    trying.start()
    try:
        scene.produce("shop.orders", *map(scene.order, range(1000, 1200)))
        count = ORDERED + 200
        scene.until("/rules", lambda seen: seen["rules"][1]["outcomes"].get("delivered") == count)
    finally:
        stop.set()
        trying.join()
    assert scene.get("/rules")["rules"][1]["matched"] == count


def test_instances_are_listed_looked_at_and_changed_through_the_bridges_client(scene: Scene) -> None:
    """All six endpoints, as the emulator has seen them."""
    made = post(scene, INSTANCES, {"instances": [{"instance_id": "by-hand", "params": {"a": 1}}]})
    assert made.json() == {"status": "queued", "ids": ["by-hand"]}
    batch = post(scene, INSTANCES, {"instances": [{"instance_id": "by-hand"}, {"instance_id": "by-hand-2"}]})
    assert batch.json()["ids"] == ["by-hand-2"]
    listed = scene.get(INSTANCES + "?per_page=1")
    assert len(listed["instances"]) == 1
    assert listed["cursor"]
    assert scene.get(f"{INSTANCES}/by-hand")["raw"]["params"] == {"a": 1}
    event = post(scene, f"{INSTANCES}/by-hand/events", {"type": "payment-received", "payload": {"b": 2}})
    assert event.json() == {"status": "sent", "ids": ["by-hand"]}
    ended = post(scene, f"{INSTANCES}/by-hand-2/status", {"status": "terminate"})
    assert ended.json()["status"] == "terminated"
    found = scene.emulator.instance("fulfil-order", "by-hand-2")
    assert found is not None
    deeds = scene.get("/deeds")["deeds"][:4]
    assert [(deed["what"], deed["subject"], deed["detail"]) for deed in deeds] == [
        ("terminate", "instance by-hand-2 of main/fulfil-order", ""),
        ("event", "instance by-hand of main/fulfil-order", "type payment-received"),
        ("create", "2 instances of main/fulfil-order", "asked for by-hand … by-hand-2"),
        ("create", "instance by-hand of main/fulfil-order", ""),
    ]
    asked = {record.operation for record in scene.emulator.records}
    assert {"create", "batch", "list", "get", "event", "status"} <= asked


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (f"{INSTANCES}/nobody/status", {"status": "terminate"}, 404, "api_instance_missing"),
        ("/targets/main/workflows/nothing/instances/x/status", {"status": "pause"}, 404, "api_workflow_missing"),
        ("/targets/other/workflows/nothing/instances/x/status", {"status": "pause"}, 404, "unknown_target"),
        (f"{INSTANCES}/-x/status", {"status": "pause"}, 422, "bad_name"),
        (f"{INSTANCES}/x/status", {"status": "explode"}, 422, "bad_body"),
        (INSTANCES, {"instances": [{"instance_id": "order-1"}]}, 409, "api_exists"),
        (INSTANCES, {"instances": []}, 422, "bad_body"),
    ],
)
def test_what_cannot_be_done_to_an_instance_is_told_so(
    scene: Scene, path: str, body: object, status: int, code: str
) -> None:
    """In the API's words, or before it is asked."""
    answer = post(scene, path, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_what_may_have_been_done_is_noted(scene: Scene) -> None:
    """The API gave no answer of use; what it refused was not done, and is not noted."""
    post(scene, INSTANCES, {"instances": [{"instance_id": "unsure"}]})
    scene.emulator.fault(do="error", status=500, count=1, operation="status")
    assert post(scene, f"{INSTANCES}/unsure/status", {"status": "terminate"}).status_code == 502
    assert post(scene, f"{INSTANCES}/nobody/status", {"status": "terminate"}).status_code == 404
    deed = scene.get("/deeds")["deeds"][0]
    assert (deed["what"], deed["subject"]) == ("terminate", "instance unsure of main/fulfil-order")
    assert "not known" in deed["detail"]


def test_what_an_operator_pauses_stays_so_until_it_is_resumed(scene: Scene) -> None:
    """A rule: its calls wait. It is told wherever one looks, with the reason, and who did it is noted."""
    rule = {"kind": "rule", "name": "order-created"}
    paused = post(scene, "/pause", {**rule, "reason": "under repair"}).json()
    assert (paused["reason"], paused["who"]) == ("under repair", "admin API, from 127.0.0.1")
    try:
        seen = scene.get("/overview")
        assert [(one["kind"], one["name"]) for one in seen["switched"]] == [("rule", "order-created")]
        assert "Paused by an operator: rule order-created" in [notice["title"] for notice in seen["notices"]]
        assert [each["paused"] for each in scene.get("/rules")["rules"]] == [False, True, False]
        scene.produce("shop.orders", scene.order(4000))
        scene.until("/overview", lambda seen: seen["backlog"]["later"] + seen["backlog"]["ready"] == 1)
    finally:
        assert post(scene, "/resume", rule).json() == {"resumed": True}
    scene.until("/overview", lambda seen: seen["backlog"]["later"] + seen["backlog"]["ready"] == 0)
    assert scene.emulator.instance("fulfil-order", "order-4000") is not None
    assert [deed["what"] for deed in scene.get("/deeds")["deeds"][:2]] == ["resume", "pause"]
    unknown = post(scene, "/pause", {"kind": "source", "name": "ordres", "reason": "x"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (422, "refused")
    assert "is orders meant?" in unknown.json()["error"]["problem"]


def test_a_paused_source_is_told_to_be_so(scene: Scene) -> None:
    """It lets go of its broker, and has it again afterwards."""
    source = {"kind": "source", "name": "payments"}
    post(scene, "/pause", {**source, "reason": "x"})
    try:
        assert [each["state"] for each in scene.get("/sources")["sources"]] == ["reading", "paused"]
    finally:
        post(scene, "/resume", source)
    scene.until("/sources", lambda seen: seen["sources"][1]["state"] == "reading")


def test_the_log_says_more_for_a_while(scene: Scene) -> None:
    """At once, without a reload; who did it is noted, and the page reminds of it."""
    assert scene.get("/log-level") == {"level": "info", "configured": "info", "who": None, "until_ms": None}
    said = post(scene, "/log-level", {"level": "debug", "seconds": 600}).json()
    try:
        assert (said["level"], said["who"]) == ("debug", "admin API, from 127.0.0.1")
        assert scene.get("/log-level") == said
        assert "The log is written at level debug" in [notice["title"] for notice in scene.get("/overview")["notices"]]
        deed = scene.get("/deeds")["deeds"][0]
        assert (deed["what"], deed["subject"], deed["detail"]) == ("log-level", "debug", "for 600 s")
        scene.produce("shop.orders", scene.order(4001))
        scene.until("/dead-letters", lambda _: any(event["level"] == "debug" for event in scene.bridge.events()))
    finally:
        assert post(scene, "/log-level", {"level": "configured"}).json()["level"] == "info"
    changes = [event for event in scene.bridge.events() if event["event"] == "log_level_changed"]
    assert [(change["log_level"], change["why"]) for change in changes] == [("debug", "operator"), ("info", "operator")]


def test_a_bridge_is_drained_and_stops(tmp_path: Path) -> None:
    """Who asks is answered before it is gone; until then everybody sees it, and who did it is noted."""
    with Scene(tmp_path) as scene:
        scene.produce("shop.orders", scene.order(1))
        scene.until("/rules", lambda seen: seen["rules"][1]["outcomes"].get("delivered") == 1)
        post(scene, "/pause", {"kind": "workflow", "name": "main/fulfil-order", "reason": "so that something is left"})
        scene.produce("shop.orders", scene.order(2))
        scene.until("/overview", lambda seen: seen["backlog"]["ready"] == 1)
        assert post(scene, "/drain", {"seconds": -1}).status_code == 422
        told = post(scene, "/drain", {"seconds": 60}).json()
        assert told == {"ended": False, "drained": False, "ready": 1, "later": 0}
        seen = scene.get("/overview")
        assert "The bridge drains" in [notice["title"] for notice in seen["notices"]]
        assert scene.get("/deeds")["deeds"][0]["what"] == "drain"
        assert post(scene, "/resume", {"kind": "workflow", "name": "main/fulfil-order"}).json() == {"resumed": True}
        assert scene.bridge.process is not None
        assert scene.bridge.process.wait(SECONDS) == 0
        assert scene.emulator.instance("fulfil-order", "order-2") is not None


def lists(scene: Scene) -> int:
    """How many lists the API was asked for."""
    return sum(record.operation == "list" for record in scene.emulator.records)


def test_an_instance_that_ends_in_an_error_is_told_with_its_rule_and_message(tmp_path: Path) -> None:
    """Where the rule has ``watch``; the first look is at the start, and a second start counts nothing again."""
    made = {"workflow": "never-well", "id": "a-${body.order_id}"}
    watched = {"name": "watched", "when": 'body.type == "bad"', "create": made, "watch": {"every": "1h"}}
    with Scene(tmp_path, rules=[watched]) as scene:
        scene.produce("shop.orders", *({"type": "bad", "order_id": n} for n in range(3)))
        scene.until("/rules", lambda seen: seen["rules"][0]["outcomes"].get("delivered") == 3)
        assert scene.bridge.metrics()['workflow_bridge_instances_errored_total{rule="watched"}'] == 0
        for _ in range(2):
            assert scene.bridge.stop() == 0
            before = lists(scene)
            scene.bridge.start()
            scene.until("/rules", lambda _: lists(scene) > before)  # noqa: B023  called at once
            rows = scene.until("/ledger?outcome=errored", lambda seen: len(seen["rows"]) >= 3)["rows"]
        assert scene.get("/rules")["rules"][0]["outcomes"].get("errored") is None  # all were of the first start
    assert sorted((row["instance_id"], row["rule"], row["message_id"][:12]) for row in rows) == [
        (f"a-{n}", "watched", "shop.orders/") for n in range(3)
    ]


def test_an_unknown_parameter_is_refused(scene: Scene) -> None:
    """A misspelt filter that was ignored would show the wrong rows."""
    for path in ("/sources?nmae=x", INSTANCES + "?per_page=0", INSTANCES + "?state=running"):
        answer = httpx.get(f"{scene.url}/api/v1{path}", trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_query")


def test_numbers_come_live(scene: Scene) -> None:
    """As server-sent events, one a second, each with what has moved."""
    with httpx.stream("GET", f"{scene.url}/api/v1/live", trust_env=False, timeout=SECONDS) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        events = [orjson.loads(line[6:]) for line in (next(lines) for _ in range(9)) if line.startswith("data: ")]
    assert len(events) == 3
    assert events[0]["now_ms"] < events[1]["now_ms"] < events[2]["now_ms"]


def test_an_address_that_is_taken_stops_nothing(tmp_path: Path) -> None:
    """The bridge works without its operators' listener, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken, Scene(tmp_path, {"port": taken.getsockname()[1]}) as scene:
        assert scene.bridge.answers("/readyz")
        assert "admin_not_listening" in {event["event"] for event in scene.bridge.events()}
