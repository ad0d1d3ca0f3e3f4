"""Whether ``check`` warns of an order that a queue may not keep: where rules rely on it, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bridge.config import examine

if TYPE_CHECKING:
    from tests.config.files import Folder

AROUND = """\
targets: {{main: {{account_id: abc, api_token_file: token}}}}
sources:
  orders: {{type: kafka, bootstrap_servers: ["kafka:9092"], topics: [shop.orders], group_id: bridge}}
  payments: {{type: rabbitmq, url: "amqp://localhost:5672/", queue: payments{more}}}
outbox: {{path: outbox.db}}
rules:
"""
CREATE = 'create: {workflow: w, id: "o-${body.id}"}'
PAID = 'when: body.paid == 1, event: {workflow: w, id: "o-${body.id}", type: paid}'
SENT = 'when: body.sent == 1, event: {workflow: w, id: "o-${body.order}", type: sent}'
DROPPED = PAID.replace("type: paid", "type: paid, if_missing: drop")
OTHER = SENT.replace("o-$", "p-$")
END = 'when: body.end == 1, status: {workflow: w, id: "o-${body.id}", to: terminate}'
LANE = f"{PAID}, lane: body.customer"
FREE = f"{PAID}, lane: none"
BLOCK = f"{PAID}, on_dead: block"


def warned(folder: Folder, rules: tuple[str, ...], more: str = "") -> list[tuple[str, str, int]]:
    folder.write(AROUND.format(more=more) + "".join(f"- {{name: r{n}, {rule}}}\n" for n, rule in enumerate(rules)))
    found = examine("bridge.yaml", folder.environ)
    assert found.problems == []
    return [(each.path, each.message.split(" matters,")[0], each.line) for each in found.warnings]


@pytest.mark.parametrize(
    ("rules", "about"),
    [
        ((PAID, SENT), "rules[0] (r0) and rules[1] (r1)"),
        ((CREATE, END), "rules[0] (r0) and rules[1] (r1)"),
        ((CREATE, DROPPED), "rules[0] (r0) and rules[1] (r1)"),
        ((CREATE, OTHER, END), "rules[0] (r0) and rules[2] (r2)"),
        ((LANE,), "rules[0] (r0)"),
        ((BLOCK,), "rules[0] (r0)"),
    ],
)
def test_rules_that_rely_on_the_order_of_a_queue(folder: Folder, rules: tuple[str, ...], about: str) -> None:
    """Told once, at the source, with the rules; not where the queue has one active consumer, or only Kafka is asked."""
    assert warned(folder, rules) == [("sources.payments", f"the order of the calls of {about}", 4)]
    assert warned(folder, rules, ", single_active_consumer: true") == []
    declared = ", declare: {arguments: {x-single-active-consumer: true}}"
    assert warned(folder, rules, declared) == []
    assert warned(folder, tuple(f"from: orders, {rule}" for rule in rules)) == []


@pytest.mark.parametrize("rules", [(CREATE,), (PAID,), (CREATE, PAID), (PAID, OTHER), (FREE, SENT), (CREATE, FREE)])
def test_rules_whose_calls_may_be_swapped(folder: Folder, rules: tuple[str, ...]) -> None:
    """An event waits for its create; other instances, and what has no lane, have no order to lose."""
    assert warned(folder, rules) == []
