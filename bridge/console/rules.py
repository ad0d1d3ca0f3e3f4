"""The rules as they are used now, and how often each fired."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from bridge.console.shapes import Rule, Rules, Workflows
from bridge.dispatch.batching import Endpoint
from bridge.outbox.base import Queue
from bridge.parts import operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.config import Config
    from bridge.console.running import Running
    from bridge.console.sampling import History
    from bridge.dispatch.pauses import Scope
    from bridge.routing.settings import RuleSettings


def rules(running: Running, history: History) -> Rules:
    """All of the configuration, in file order."""
    matched, errors = running.of_label("messages_matched_total"), running.of_label("rule_errors_total")
    outcomes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (rule, _, outcome), count in running.metrics.values("deliveries_total").items():
        if count:
            outcomes[rule][outcome] = outcomes[rule].get(outcome, 0) + int(count)
    for rule, count in running.of_label("instances_errored_total").items():
        if count:
            outcomes[rule]["errored"] = int(count)
    rates = history.of_rules()
    switched = {one.name for one in running.operator.switches.paused if one.kind == "rule"}
    return Rules(
        [
            Rule(
                rule.name,
                list(rule.sources),
                rule.when or "",
                _action(rule),
                _does(rule),
                rule.final or rule.drop is not None,
                rule.name in switched,
                _held(rule, next(iter(running.config.targets), ""), running.live.dispatcher.paused),
                int(matched.get(rule.name, 0)),
                rates.get(rule.name, 0.0),
                history.last_match_ms(rule.name),
                int(errors.get(rule.name, 0)),
                dict(outcomes.get(rule.name, {})),
            )
            for rule in running.config.rules
        ],
        list(running.config.sources),
    )


def _held(rule: RuleSettings, only_target: str, paused: Mapping[Scope, str]) -> str:
    """Why the rule's calls are not sent; its workflow's pause before that of all of the target."""
    made = rule.create or rule.event or rule.status
    if made is None:
        return ""
    target = made.target or only_target
    scopes = (Queue(target, made.workflow), Endpoint(target, operation(rule)), target)
    return next((paused[scope] for scope in scopes if scope in paused), "")


def _action(rule: RuleSettings) -> str:
    return next(name for name in ("create", "event", "status", "drop", "dead_letter") if getattr(rule, name))


def _does(rule: RuleSettings) -> str:
    """The rule's action in one line."""
    if rule.drop is not None:
        return f"drop: {rule.drop}"
    if rule.dead_letter is not None:
        return f"dead letter: {rule.dead_letter}"
    made = rule.create or rule.event or rule.status
    assert made is not None  # noqa: S101  the settings' own validator has seen to it
    place = f"{made.workflow} / {made.id or '(hash of the message)'}"
    if rule.event is not None:
        return f"event {rule.event.type} to {place}"
    return f"create {place}" if rule.status is None else f"{rule.status.to} {place}"


def workflows(config: Config, paused: Mapping[Scope, str]) -> Workflows:
    """The targets, and the workflows that rules name outright (a template is none)."""
    only = next(iter(config.targets), "")
    found: dict[tuple[str, str], None] = {}
    for rule in config.rules:
        made = rule.create or rule.event or rule.status
        if made is not None and "${" not in made.workflow:
            found[made.target or only, made.workflow] = None
    for scope in paused:
        if isinstance(scope, Queue) and scope.workflow:
            found[scope.target, scope.workflow] = None
    return Workflows(list(config.targets), [{"target": target, "workflow": name} for target, name in found])
