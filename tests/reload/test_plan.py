"""What a changed configuration asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.config import Config
from bridge.reload.plan import RESTART, Plan, plan_for

if TYPE_CHECKING:
    from collections.abc import Mapping

TARGET = {"account_id": "acme", "api_token": "t"}
KAFKA = {"type": "kafka", "bootstrap_servers": ["kafka:9092"], "topics": ["a"], "group_id": "g"}
NAMES = st.sampled_from(["a", "b", "c", "d"])


def rule(name: str, workflow: str = "w") -> dict[str, Any]:
    return {"name": name, "create": {"workflow": workflow}}


def config(**changes: Any) -> Config:
    return Config.model_validate(
        {"targets": {"main": TARGET}, "sources": {"orders": KAFKA}, "rules": [rule("one"), rule("two")], **changes}
    )


def plan(**changes: Any) -> Plan:
    return plan_for(config(), config(**changes))


def test_the_same_configuration_asks_for_nothing() -> None:
    """Nothing is restarted, and no new generation begins."""
    assert plan() == Plan()
    assert plan().changes == {}


def test_rules_are_told_apart_by_name() -> None:
    """Added, removed and changed rules are named; so is another order of those that stay."""
    found = plan(rules=[rule("two", "other"), rule("three")])
    assert (found.rules_added, found.rules_removed, found.rules_changed) == (("three",), ("one",), ("two",))
    assert found.others == ()
    assert plan(rules=[rule("two"), rule("one")]) == Plan(others=("rules (order)",))
    assert plan(vars={"region": "eu"}) == Plan(others=("vars",))


@pytest.mark.parametrize("change", [{"unmatched": "dead-letter"}, {"ignore_older_than": "7d"}])
def test_what_the_broker_need_not_know_restarts_nothing(change: dict[str, Any]) -> None:
    """These settings are the translation's: the source reads on."""
    assert plan(sources={"orders": KAFKA | change}) == Plan(others=("sources.orders",))


def test_sources_start_restart_and_stop() -> None:
    """By what became of each, and of no other one."""
    found = plan(sources={"orders": KAFKA | {"topics": ["b"]}, "new": KAFKA})
    assert (found.start, found.restart, found.stop) == (("new",), ("orders",), ())
    assert plan(sources={"new": KAFKA}) == Plan(start=("new",), stop=("orders",))


def test_targets_that_changed_are_connected_anew() -> None:
    """One that is gone is named, and nothing is done to it."""
    other = TARGET | {"concurrency": 3}
    assert plan(targets={"main": other, "more": TARGET}) == Plan(connect=("main", "more"))
    assert plan(targets={"more": TARGET}) == Plan(connect=("more",), targets_removed=("main",))


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ("outbox.path", {"outbox": {"path": "other.db"}}),
        ("outbox.type", {"outbox": {"type": "memory"}}),
        ("dead_letters", {"dead_letters": "discard"}),
        ("dispatch.enabled", {"dispatch": {"enabled": False}}),
        ("health.port", {"health": {"port": 9}}),
    ],
)
def test_what_cannot_change_is_refused_by_name(path: str, section: dict[str, Any]) -> None:
    """The whole reload is refused, and says which setting needs a restart."""
    refused = plan(rules=[rule("one")], **section).refused
    assert (path, RESTART) in {(problem.path, problem.message) for problem in refused}


def test_rule_tests_are_no_change() -> None:
    """A running bridge does not look at them."""
    case = {"name": "t", "message": {"body": {}}, "expect": [{"unmatched": True}]}
    assert plan(tests=[case]) == Plan()


@pytest.mark.parametrize("section", ["log", "shutdown", "reload"])
def test_what_can_change_is_named(section: str) -> None:
    """These take effect at once."""
    values = {"log": {"level": "debug"}, "shutdown": {"grace_seconds": 1}, "reload": {"interval_seconds": 1}}
    assert plan(**{section: values[section]}) == Plan(others=(section,))


def sources(choice: Mapping[str, str]) -> dict[str, Any]:
    return {name: KAFKA | {"topics": [topic]} for name, topic in choice.items()}


@given(
    st.dictionaries(NAMES, st.sampled_from("xy"), min_size=1), st.dictionaries(NAMES, st.sampled_from("xy"), min_size=1)
)
def test_every_source_is_accounted_for(before: dict[str, str], after: dict[str, str]) -> None:
    """What is read afterwards is what was read before, without what stops, with what starts; the rest is as it was."""
    found = plan_for(config(sources=sources(before)), config(sources=sources(after)))
    assert (before.keys() - set(found.stop)) | set(found.start) == after.keys()
    untouched = before.keys() - {*found.start, *found.restart, *found.stop}
    assert {name: before[name] for name in untouched} == {name: after[name] for name in untouched}
    assert all(before[name] != after[name] for name in found.restart)
    assert not {*found.start} & {*found.restart}


def test_a_line_of_the_log_stays_readable() -> None:
    """However many rules have changed."""
    shown = plan(rules=[rule(f"r{number}") for number in range(1_000)]).changes
    assert shown["rules_removed"] == ["one", "two"]
    assert shown["rules_added"][:2] == ["r0", "r1"]
    assert shown["rules_added"][-1] == "and 950 more"
    assert len(shown["rules_added"]) == 51
