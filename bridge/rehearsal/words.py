"""Calls, dead letters and explanations as plain data, and as lines of text."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from bridge.call import HIGH, LOW, NORMAL, Call, IfMissing, Operation, Policy, first_body, second_body
from bridge.dead_letters.kept import indented, time_of
from bridge.rehearsal.steps import shortened
from bridge.routing.outcome import SKIP, Rejected
from bridge.routing.words import shown_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.rehearsal.explanation import Explanation, RuleStory
    from bridge.rehearsal.steps import Step
    from bridge.routing.outcome import Routed

PRIORITIES: Final = {HIGH: "high", NORMAL: "normal", LOW: "low"}
# What would move the cursor of a terminal, or change what it shows.
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def safe(text: str) -> str:
    """Messages are other people's: what a terminal would obey is shown as an escape."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def call_data(call: Call) -> dict[str, Any]:
    """A call as JSON has it; ``body`` is what would be sent."""
    policy = Policy.decode(call.policy)
    return {
        "operation": call.operation.value,
        "rule": policy.rule,
        "target": call.target,
        "workflow": call.workflow,
        "instance_id": call.instance_id,
        **({"event_type": call.event_type} if call.event_type else {}),
        "lane": call.lane or f"{call.workflow}/{call.instance_id}",
        "priority": PRIORITIES[call.priority],
        "not_before": time_of(call.not_before_ms) if call.not_before_ms else None,
        "policy": {name: value for name, value in policy._asdict().items() if name != "rule"},
        "body": orjson.Fragment(first_body(call.body)),
        **({"then": orjson.Fragment(second)} if (second := second_body(call.body)) else {}),
    }


def rejected_data(rejected: Rejected) -> dict[str, Any]:
    """A dead letter without its message."""
    return {"reason": rejected.reason, "detail": rejected.detail, "rule": rejected.rule}


def routed_data(routed: Routed) -> dict[str, Any]:
    """What becomes of messages."""
    return {
        "calls": [call_data(call) for _, call in routed.calls],
        "dead_letters": [rejected_data(rejected) for rejected in routed.dead],
        "dropped": sorted(routed.dropped),
        "unmatched": bool(routed.unmatched),
    }


def explanation_data(explanation: Explanation) -> dict[str, Any]:
    """All of an explanation."""
    return {
        "source": explanation.message.source,
        "id": explanation.message.id,
        "decoded": explanation.value is not SKIP or bool(explanation.ignored),
        "ignored": explanation.ignored,
        "rules": [_story_data(story) for story in explanation.rules],
        "result": routed_data(explanation.routed),
    }


def _story_data(story: RuleStory) -> dict[str, Any]:
    return {
        "rule": story.name,
        "verdict": story.verdict.value,
        "reason": story.reason,
        "condition": None if story.condition is None else _step_data(story.condition),
        "makes": None if story.routed is None else routed_data(story.routed),
    }


def _step_data(step: Step) -> dict[str, Any]:
    return {
        "expression": step.text,
        "value": None if step.failed else step.value,
        "error": step.value if step.failed else None,
        "reads": dict(step.reads),
        "parts": [_step_data(part) for part in step.steps],
    }


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """For people, line by line."""
    message = explanation.message
    yield f"message {message.id} of source {message.source}"
    if explanation.value is not SKIP:
        yield f"  body = {shortened(explanation.value)}"
    for number, story in enumerate(explanation.rules, 1):
        yield ""
        yield f"{number}. {story.name}: {story.verdict}" + (f" ({story.reason})" if story.reason else "")
        if story.condition is not None:
            yield from _step_lines(story.condition, 1)
        if story.routed is not None:
            yield from _made_lines(story.routed)
    yield ""
    yield from _end_lines(explanation)


def _step_lines(step: Step, depth: int) -> Iterator[str]:
    reads = ", ".join(f"{name} = {value}" for name, value in step.reads)
    arrow = "has no value:" if step.failed else "->"
    yield f"{'   ' * depth}{step.text}  {arrow} {step.value}" + (f"  ({reads})" if reads else "")
    for part in step.steps:
        yield from _step_lines(part, depth + 1)


def _made_lines(routed: Routed) -> Iterator[str]:
    for _, call in routed.calls:
        yield from call_lines(call)
    for rejected in routed.dead:
        yield f"   => dead letter, {rejected.reason}: {rejected.detail}"
    for reason in routed.dropped:
        yield f"   => dropped: {reason}"
    if not (routed.calls or routed.dead or routed.dropped):
        yield "   => no call: the list of for_each is empty"


def call_lines(call: Call) -> Iterator[str]:
    """A call for people."""
    known = call_data(call)
    kind = f", type {call.event_type}" if call.event_type else ""
    yield f"   => {call.operation.value} {call.workflow}/{call.instance_id}{kind} at target {call.target}"
    due = f", not before {known['not_before']}" if call.not_before_ms else ""
    yield f"      lane {known['lane']}, priority {known['priority']}{due}"
    yield f"      {_policy(call)}"
    for line in indented(first_body(call.body).decode()).split("\n"):
        yield f"      {line}"
    if second := second_body(call.body):
        yield f"      and where the instance {'exists' if call.operation is Operation.CREATE else 'does not exist'}:"
        yield from (f"      {line}" for line in indented(second.decode()).split("\n"))


def _policy(call: Call) -> str:
    """What of the policy is about such a call."""
    policy = Policy.decode(call.policy)
    if call.operation is Operation.CREATE:
        parts = [f"if_exists {policy.if_exists}"]
    else:
        wait = f" {_shown(policy.wait_seconds)}" if policy.if_missing is IfMissing.WAIT else ""
        parts = [f"if_missing {policy.if_missing}{wait}"]
        parts += [] if policy.resend_unknown else ["on_unknown dead-letter"]
    parts += [f"max_attempts {policy.max_attempts}"] if policy.max_attempts else []
    return ", ".join([*parts, f"give_up_after {_shown(policy.give_up_after_seconds)}"])


def _shown(seconds: float) -> str:
    return shown_duration(timedelta(seconds=seconds))


def _end_lines(explanation: Explanation) -> Iterator[str]:
    routed = explanation.routed
    calls = len(routed.calls)
    parts = [f"{calls} call{'' if calls == 1 else 's'}"] if calls else []
    parts += [f"dead letter ({rejected.reason}: {rejected.detail})" for rejected in routed.dead]
    parts += [explanation.ignored] if explanation.ignored else [f"dropped ({reason})" for reason in routed.dropped]
    if routed.unmatched and not routed.dead:
        parts.append("no rule matches: counted, and then forgotten")
    yield "result: " + ("; ".join(parts) or "a rule matches, and makes no call")
