"""Two sets of rules on the same messages: what differs is found, named and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.routing.comparison import Comparison, differences
from bridge.routing.router import Router
from bridge.routing.settings import RuleSettings
from tests.routing.messages import SOURCES, message, route, router

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.routing.outcome import Routed
    from bridge.routing.values import Value

Rule = dict[str, "Value"]
START: Rule = {"when": "body.a == 1", "create": {"workflow": "w", "id": "i-${body.id}", "params": "${body.p}"}}
NOTIFY: Rule = {"event": {"workflow": "w", "id": "i-${body.id}", "type": "t"}}
MESSAGES = [message(b'{"a":1,"id":%d,"p":%d}' % (number, number), offset=number) for number in range(14)]


def changed(rule: Rule, **changes: Value) -> Rule:
    """A rule with another action's fields, or with fields of its own."""
    action = next(name for name in ("create", "event", "status") if name in rule)
    own = {name: changes.pop(name) for name in list(changes) if name in {"when", "lane", "priority", "delay", "name"}}
    return {**rule, **own, action: {**rule[action], **changes}}


def compared(old: Sequence[Rule], new: Sequence[Rule]) -> Comparison:
    comparison = Comparison()
    comparison.add(len(MESSAGES), route(router(*old), *MESSAGES), route(router(*new), *MESSAGES))
    return comparison


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ([START], [changed(START, workflow="v")], "start other workflows"),
        ([START], [changed(START, id="j-${body.id}")], "start workflows under other ids"),
        ([START], [changed(START, params="${body}")], "start workflows with another body"),
        ([START], [changed(START, lane="string(body.id)")], "start workflows with another lane"),
        ([START], [changed(START, priority="high")], "start workflows with another priority"),
        ([START], [changed(START, delay="5m")], "start workflows with another not_before"),
        ([START], [changed(START, name="renamed")], "start the same workflows by a rule of another name"),
        ([NOTIFY], [changed(NOTIFY, type="u")], "send events of other types"),
        ([NOTIFY], [changed(NOTIFY, if_missing="drop")], "send events with another if_missing"),
        ([START], [START, NOTIFY], "send events that they do not now"),
        ([START, NOTIFY], [START], "send no more events that they do now"),
    ],
)
def test_each_kind_of_change_has_its_sentence(old: list[Rule], new: list[Rule], said: str) -> None:
    """One change of a rule is one sentence, with the number of messages that it is about."""
    found = compared(old, new)
    assert found.sentences() == [f"14 messages would {said}"]
    assert (found.messages, found.differing, len(found.samples)) == (14, 14, 14)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"drop": "x"}, {"when": "false", "drop": "x"}, {"no more be dropped", "match no rule any more"}),
        ({"drop": "x"}, {"drop": "y"}, {"be dropped for another reason"}),
        ({"drop": "x"}, {"dead_letter": "x"}, {"no more be dropped", "be dead letters"}),
        ({"when": "1/0 == 1", "drop": "x"}, {"dead_letter": "x"}, {"be dead letters for another reason"}),
    ],
)
def test_what_becomes_of_a_message_without_calls_counts_too(old: Rule, new: Rule, said: set[str]) -> None:
    """Dropped, dead and unmatched are told apart."""
    assert set(compared([old], [new]).sentences()) == {f"14 messages would {words}" for words in said}
    back = compared([new], [old])
    assert back.differing == 14


def test_the_order_of_calls_is_a_difference() -> None:
    """Calls of one lane are made in this order, so it matters."""
    one, other = {**START, "name": "a"}, {**NOTIFY, "name": "b"}
    assert compared([one, other], [other, one]).sentences() == [
        "14 messages would send the same events in another order"
    ]


def test_samples_are_bounded() -> None:
    """However much differs, so many examples are kept, and all are counted."""
    old, new = router(START), router(changed(START, workflow="v"))
    comparison = Comparison(samples=3)
    for _ in range(5):
        comparison.add(14, route(old, *MESSAGES), route(new, *MESSAGES))
    assert (len(comparison.samples), comparison.differing, comparison.messages) == (3, 70, 70)
    assert comparison.by_rule == {("r0", "create", "workflow"): 70}


def test_many_calls_of_one_message_are_compared_in_linear_time() -> None:
    """A list of ten thousand elements, all of whose calls differ, takes no longer than a moment."""
    many: Rule = {"for_each": "body.l", "create": {"workflow": "w", "id": "i-${item}"}}
    lines = message(b'{"l":[%s]}' % b",".join(b"%d" % number for number in range(10_000)))
    (found,) = differences(route(router(many), lines), route(router(changed(many, workflow="v")), lines))
    assert len(found.changes) == 10_000
    assert {change.what for change in found.changes} == {"workflow"}


POOL: list[Mapping[str, Value]] = [
    START,
    NOTIFY,
    changed(START, workflow="v"),
    changed(START, when="body.a == 2"),
    {"when": "body.a == 2", "drop": "two"},
    {"when": "body.a == 3", "dead_letter": "three"},
    {"when": "1 / body.a == 1", "drop": "one"},
    {"for_each": "body.l", "create": {"workflow": "w", "id": "${item}"}},
    {"when": "body.a == 1", "final": True, "status": {"workflow": "w", "id": "x", "to": "pause"}},
]
RULES = st.lists(st.sampled_from(POOL), min_size=1, max_size=4)
BODIES = st.sampled_from([b'{"a":%d,"id":%d,"p":1,"l":["x","y"]}' % (a, i) for a in range(5) for i in range(2)])


@given(RULES, RULES, st.lists(BODIES, max_size=6))
def test_a_message_differs_exactly_when_it_does_alone(old: list[Rule], new: list[Rule], bodies: list[bytes]) -> None:
    """Comparing a batch finds the messages for which one of calls, dead letters or drops is not the same."""
    messages = [message(body, offset=number) for number, body in enumerate(bodies)]
    one, other = router(*old), router(*new)

    def fate(routed: Routed) -> object:
        dead = sorted((rejected.rule, rejected.reason) for rejected in routed.dead)
        return [call for _, call in routed.calls], dead, [reason for _, reason in routed.silent]

    expected = [item.id for item in messages if fate(route(one, item)) != fate(route(other, item))]
    found = differences(route(one, *messages), route(other, *messages))
    assert sorted(difference.message.id for difference in found) == expected


def test_the_same_rules_of_another_configuration_are_the_same() -> None:
    """The configuration that a call notes is no difference, and is not named beside one."""

    def of_config(digest: str, *rules: Rule) -> Routed:
        settings = [RuleSettings.model_validate({"name": f"r{n}", **rule}) for n, rule in enumerate(rules)]
        made = Router(settings, vars={}, sources=SOURCES, targets=["main"], config=digest)
        return route(made, *MESSAGES)

    old = of_config("old", START, NOTIFY)
    assert list(differences(old, of_config("new", START, NOTIFY))) == []
    comparison = Comparison()
    comparison.add(len(MESSAGES), old, of_config("new", START, changed(NOTIFY, if_missing="drop")))
    assert comparison.sentences() == ["14 messages would send events with another if_missing"]
