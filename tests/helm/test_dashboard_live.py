"""What the dashboard shows of a bridge at work, as a real Prometheus answers its queries."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import pytest_asyncio

from tests.helm import traffic
from tests.helm.test_alerts import RULES
from tests.helm.test_dashboard import DASHBOARD, EXPRS, PANELS, panel_of
from tests.helm.traffic import Seen, Traffic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.services.kafka import KafkaServer
    from tests.services.prometheus import Series
    from tests.services.rabbitmq import RabbitServer

pytestmark = [pytest.mark.kafka, pytest.mark.rabbitmq, pytest.mark.slow]

INTERVAL = "5s"  # what Grafana makes of $__rate_interval, about
CHOICES = ("namespace", "job", "instance", "source", "rule", "target", "workflow")
# What stays at 0 here, and should; a receipt takes milliseconds.
WELL_AT_ZERO = (
    *("source_skipped_total", "source_rebuilds_total", "shadow_failures_total"),
    *("source_unacknowledged_messages", "dead_letters_expired_total", "dead_letters_cut_total"),
    *("outbox_write_errors_total", "duplicates_suppressed_total"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def seen(
    kafka: KafkaServer, rabbitmq: RabbitServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Seen]:
    """The traffic, once for all."""
    async with Traffic(kafka, rabbitmq, tmp_path_factory.mktemp("traffic")).run(RULES) as everything:
        yield everything


def filled(expr: str, seen: Seen, interval: str = INTERVAL, **chosen: str) -> str:
    """As Grafana sends it, with everything chosen but these."""
    expr = expr.replace("$__rate_interval", interval).replace("$__range", window(seen))
    for name in CHOICES:
        expr = re.sub(rf"\${name}\b", chosen.get(name, ".*"), expr)
    assert "$" not in expr
    return expr


def window(seen: Seen) -> str:
    return f"{int(seen.end - seen.start)}s"


def answer(target: Mapping[str, Any], seen: Seen, **chosen: str) -> list[Series]:
    expr = filled(target["expr"], seen, **chosen)
    if target.get("instant"):
        return seen.prometheus.instant(expr, seen.end)
    return seen.prometheus.over(expr, seen.start, seen.end)


async def test_every_panel_shows_something(seen: Seen) -> None:
    """Each query has an answer, and not only zeros where there is something to tell."""
    silent = []
    for panel in PANELS:
        for target in panel["targets"]:
            numbers = [value for series in answer(target, seen) for value in series.values]
            if not any(numbers) and not (numbers and any(name in target["expr"] for name in WELL_AT_ZERO)):
                silent.append((panel["title"], target["expr"], numbers[:3]))
    assert silent == [], "\n".join(map(str, silent))


async def test_states_are_seen_to_change(seen: Seen) -> None:
    """Broker, room, schemas and configuration are there at times, and at times they are not."""
    states = [
        panel
        for panel in PANELS
        if panel["type"] == "state-timeline" and len(panel["fieldConfig"]["defaults"]["mappings"][0]["options"]) == 2
    ]
    for panel in states:
        for target in panel["targets"]:
            assert {value for series in answer(target, seen) for value in series.values} == {0, 1}, target["expr"]


async def test_annotations_mark_moments(seen: Seen) -> None:
    """A start and two configurations, as milliseconds."""
    for annotation in DASHBOARD["annotations"]["list"]:
        numbers = [value for series in answer(annotation, seen) for value in series.values]
        assert numbers
        assert all(seen.start - 60 < value / 1000 < seen.end for value in numbers), annotation["name"]


async def test_a_bridge_that_is_not_chosen_is_not_shown(seen: Seen) -> None:
    """Of every query; Prometheus itself, which is scraped beside it, is in none."""
    for expr in EXPRS:
        name = "job" if "ALERTS" in expr else "instance"
        assert seen.prometheus.over(filled(expr, seen, **{name: "nobody"}), seen.start, seen.end) == [], expr
        shown = [
            series.labels.get("instance") for series in seen.prometheus.over(filled(expr, seen), seen.start, seen.end)
        ]
        assert seen.prometheus.address not in shown, expr


async def test_every_choice_has_values(seen: Seen) -> None:
    """What can be chosen at the top is what there is."""
    found = {}
    for variable in DASHBOARD["templating"]["list"][1:]:
        selector, label = re.fullmatch(r"label_values\((\{.*\}), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        found[label] = set(seen.prometheus.values_of(label, filled(selector, seen)))
    assert found == {
        "namespace": {"test"},
        "job": {"workflow-bridge"},
        "instance": {f"127.0.0.1:{seen.bridge.port}"},
        "source": {"orders", "payments", "invoices"},
        "rule": {rule["name"] for rule in traffic.RULES} | {"new"},
        "target": {"main"},
        "workflow": {"", "nowhere", "fulfil"} - {""},
    }


class Shown(NamedTuple):
    """One number on the dashboard, and what it must be."""

    row: str
    title: str
    labels: Mapping[str, str]
    expected: float
    per_second: bool = False  # the panel shows a rate: times the whole window it is a number
    query: int = 0
    at_times: bool = False  # it is the largest value that counts; what there is later is chance


def numbers(seen: Seen) -> list[Shown]:
    """From what was sent and what the emulator was asked; nothing is asked of the bridge."""
    records = seen.emulator.journal.records
    created = sum(len(record.created) for record in records if record.workflow == "fulfil")
    made = created + traffic.BREAKS
    events = sum(record.operation == "event" and record.status == 200 for record in records)
    from_kafka = sum(
        (
            traffic.ORDERS,
            traffic.TESTS,
            traffic.NOISE,
            traffic.REFUSED,
            traffic.BAD_IDS,
            traffic.NOWHERE,
            traffic.ELSEWHERE,
            traffic.BREAKS,
        )
    )
    from_rabbit = traffic.PAYMENTS + traffic.ORPHANS + traffic.LATE_PAYMENTS
    failed = sum(record.status == 503 for record in records)
    return [
        Shown("Sources", "Messages received", {"source": "orders"}, from_kafka, per_second=True),
        Shown("Sources", "Messages received", {"source": "payments"}, from_rabbit, per_second=True),
        Shown("Sources", "Bytes received", {"source": "orders"}, seen.sizes[0], per_second=True),
        Shown("Sources", "Bytes received", {"source": "payments"}, seen.sizes[1], per_second=True),
        Shown("Sources", "Partitions and queues", {"source": "orders"}, traffic.PARTITIONS),
        Shown("Rules", "Messages matched", {"rule": "created"}, traffic.ORDERS, per_second=True),
        Shown("Rules", "Messages matched", {"rule": "paid"}, from_rabbit, per_second=True),
        Shown("Rules", "Matched by none, or dropped", {"source": "orders"}, traffic.NOISE),
        Shown("Rules", "Matched by none, or dropped", {"reason": "test message"}, traffic.TESTS, query=1),
        Shown("Rules", "Errors of rules", {"rule": "misspelt"}, traffic.ORDERS, per_second=True),
        Shown("Rules", "Instances that failed", {"rule": "breaks"}, traffic.BREAKS),
        Shown("Rules", "Shadow rules", {}, traffic.ORDERS, per_second=True, query=1),
        Shown("Outbox", "Calls waiting", {"state": "parked"}, traffic.ORPHANS),
        Shown("Outbox", "Blocked lanes", {}, traffic.REFUSED),
        Shown("Delivery", "Calls by outcome", {"outcome": "delivered"}, made + events, per_second=True),
        Shown("Delivery", "Calls ended by rule", {"rule": "created"}, created, per_second=True),
        Shown("Delivery", "Calls ended by rule", {"rule": "paid"}, events, per_second=True),
        Shown("Delivery", "Requests by outcome", {"operation": "event", "outcome": "ok"}, events, per_second=True),
        Shown("Delivery", "Tried again, and why", {"operation": "event", "reason": "server_error"}, failed),
        Shown("Budget", "Requests left in the window", {"target": "main"}, traffic.QUOTA, query=1, at_times=True),
        Shown("Dead letters", "Kept", {}, traffic.REFUSED + traffic.BAD_IDS),
        Shown("Dead letters", "Copied and deleted", {}, traffic.REFUSED + traffic.BAD_IDS, per_second=True),
        Shown("Dead letters", "Size of those kept", {}, traffic.DEAD_BYTES, query=1),
        Shown("Dead letters", "In the time shown", {"reason": "invalid_id"}, traffic.BAD_IDS),
        Shown("Dead letters", "In the time shown", {"reason": "rejected"}, traffic.REFUSED),
        Shown("Overview", "Within a minute", {}, 1),
        Shown("Overview", "Carried out", {}, 1 - traffic.REFUSED / (made + events + traffic.REFUSED)),
    ]


async def test_what_is_shown_is_what_was_sent_and_done(seen: Seen) -> None:
    """Within a twentieth: rates are over the whole time, and Prometheus guesses half a scrape at either end."""
    wrong: list[object] = []
    seconds = window(seen)
    for shown in numbers(seen):
        expr = panel_of(shown.title, shown.row)["targets"][shown.query]["expr"]
        sent = filled(expr, seen, interval=seconds)
        answers = (
            seen.prometheus.over(sent, seen.start, seen.end)
            if shown.at_times
            else seen.prometheus.instant(sent, seen.end)
        )
        found = [
            max(series.values) * (int(seconds[:-1]) if shown.per_second else 1)
            for series in answers
            if shown.labels.items() <= series.labels.items()
        ]
        if found != [pytest.approx(shown.expected, rel=0.05)]:
            wrong.append((shown, found))
    assert wrong == [], "\n".join(map(str, wrong))


def test_the_scrape_pleases_the_linter(seen: Seen) -> None:
    """Names, types and help of a bridge at work."""
    with urllib.request.urlopen(f"http://127.0.0.1:{seen.bridge.port}/metrics", timeout=10) as scrape:
        given = scrape.read()
    done = subprocess.run(["promtool", "check", "metrics"], input=given, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
