"""What every rule makes of one message, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from bridge.admission import TOO_LARGE
from bridge.errors import RuleError
from bridge.rehearsal.stage import ignored
from bridge.rehearsal.steps import Step, walk
from bridge.routing.expression import compile_node
from bridge.routing.outcome import Routed, Tally

if TYPE_CHECKING:
    from bridge.message import Message
    from bridge.rehearsal.stage import Sample, Stage
    from bridge.routing.rule import Rule
    from bridge.routing.syntax import Node
    from bridge.routing.values import Value


class Verdict(StrEnum):
    """What a rule says of a message."""

    MATCHES = "matches"
    DIFFERS = "does not match"
    FAILS = "cannot be computed"
    ELSEWHERE = "is for other sources"
    UNREACHED = "is not reached"


_UNSEEN = {"undecodable": "the message cannot be decoded", TOO_LARGE: "the message is too large"}


class RuleStory(NamedTuple):
    """One rule and the message."""

    name: str
    verdict: Verdict
    reason: str = ""  # why it cannot be computed, or is not reached
    condition: Step | None = None  # None: there is none, or it was not asked
    routed: Routed | None = None  # what this rule alone makes of the message, where it matches


class Explanation(NamedTuple):
    """A message and all rules."""

    message: Message  # as its source would give it
    value: object  # what the rules see as ``body``; SKIP where they do not see the message
    rules: tuple[RuleStory, ...]  # in file order
    routed: Routed  # what becomes of the message
    ignored: str = ""  # why its source ignores it; "": it does not


async def explain(stage: Stage, sample: Sample, now_ms: int) -> Explanation:
    """Ask every rule. now_ms: the arrival, from which ``delay`` counts."""
    source = sample.message.source
    messages, values, failed, old = await stage.decoded(source, [sample], now_ms)
    routed = ignored(stage.router.route(source, messages, values, now_ms), old)
    routed = routed._replace(dead=[*failed, *routed.dead])
    message, value = messages[0], values[0]
    compiled = {rule.position: rule for rule in stage.router.rules(source)}
    stories: list[RuleStory] = []
    too_old = f"ignored: older than {stage.oldest(source)}" if old else ""
    stopped = _UNSEEN.get(failed[0].reason, "") if failed else too_old
    for position, settings in enumerate(stage.config.rules):
        rule = compiled.get(position)
        if rule is None:
            stories.append(RuleStory(settings.name, Verdict.ELSEWHERE))
        elif stopped:
            stories.append(RuleStory(rule.name, Verdict.UNREACHED, stopped))
        else:
            stories.append(tell(rule, message, value, now_ms))
            if rule.final and stories[-1].verdict is Verdict.MATCHES:
                stopped = f"{rule.name} is final"
    return Explanation(message, value, tuple(stories), routed, too_old)


def tell(rule: Rule, message: Message, body: Value, now_ms: int) -> RuleStory:
    """One rule, asked alone."""
    steps = None if rule.when is None else walk(rule.when, _evaluator(rule, message, body))
    condition = rule.condition(rule.when)
    try:
        if condition is not None and not condition(message, body):
            return RuleStory(rule.name, Verdict.DIFFERS, "", steps)
    except RuleError as error:
        return RuleStory(rule.name, Verdict.FAILS, str(error), steps)
    tally = Tally()
    tally.matched[rule.name] += 1
    rule.act(message, body, now_ms, tally)
    return RuleStory(rule.name, Verdict.MATCHES, "", steps, tally.routed())


def _evaluator(rule: Rule, message: Message, body: Value) -> Value:
    def evaluate(node: Node) -> Value:
        return compile_node(rule.text, node, rule.names).function(message, body)

    return evaluate
