"""Rules that fire together on one message and get in each other's way: the same instance twice, the same call twice."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bridge.routing.review.conditions import exclusive, implied
from bridge.routing.review.ids import same_text, skeleton, starts_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bridge.errors import Problem
    from bridge.routing.review.looking import Look

MOST_COMPARED = 200  # rules of one workflow whose ids look alike; of more, only the first are compared


def overlapping(looks: Sequence[Look]) -> Iterator[Problem]:
    """At most one finding for each rule: the first earlier one that it gets in the way of."""
    alike: defaultdict[object, list[Look]] = defaultdict(list)
    for look in looks:
        key = _place(look)
        if key is None or look.dead:
            continue
        earlier = alike[key]
        found = next((what for other in earlier[:MOST_COMPARED] if (what := _between(other, look))), "")
        if found:
            yield look.finding(f"{look.word}.id" if found.startswith("may") else look.word, found)
        earlier.append(look)


def _place(look: Look) -> object:
    """Equal for two rules whose calls could be for one instance; None where an id is of the rule's own."""
    action = look.action
    if action is None or action.id is None:
        return None
    return look.word, look.target, skeleton(action.workflow), skeleton(action.id), getattr(action, "type", "")


def _between(first: Look, second: Look) -> str:
    """What two rules do to each other; "" where they never fire for one message, or may well do."""
    if first.settings.final or not _may_meet(first, second):
        return ""
    if second.word == "create":
        return _creates(first, second) if starts_once(second) else ""
    return _twice(first) if _same_instance(first, second) and _meet(first, second) else ""


def _creates(first: Look, second: Look) -> str:
    if not _same_instance(first, second):
        return _collision(first)
    always = _meet(first, second)
    if not _does_the_same(first, second):
        how = "fires for the same messages" if always else "may fire for the same messages"
        return f"{first.called} {how} and creates the same instance: only the first create starts it; {_APART}"
    if always:
        return f"{first.called} creates the same instance with the same params for the same messages; one is enough"
    return ""


_APART = "give them ids of their own, or conditions that exclude each other"


def _twice(first: Look) -> str:
    return f"{first.called} makes a call to the same instance for the same messages, so it gets both; {_APART}"


def _collision(first: Look) -> str:
    """Ids that are the same where different expressions happen to give the same text."""
    other = first.action.id if first.action is not None else ""
    return (
        f"may be the same id as {other} of {first.called}, which may fire for the same messages; "
        "of two creates with one id only the first starts it; let the ids begin differently"
    )


def _may_meet(first: Look, second: Look) -> bool:
    return any(
        not exclusive(first.by_source[source], second.by_source[source]) for source in first.sources & second.sources
    )


def _meet(first: Look, second: Look) -> bool:
    """Whether one of them fires whenever the other does, for a source that both have."""
    return any(
        implied(first.by_source[source], second.operands) or implied(second.by_source[source], first.operands)
        for source in first.sources & second.sources
    )


def _same_instance(first: Look, second: Look) -> bool:
    one, other = first.action, second.action
    if one is None or other is None or first.settings.for_each != second.settings.for_each:
        return False
    return same_text(one.workflow, other.workflow) and same_text(str(one.id), str(other.id))


def _does_the_same(first: Look, second: Look) -> bool:
    return first.action == second.action and first.settings.lane == second.settings.lane
