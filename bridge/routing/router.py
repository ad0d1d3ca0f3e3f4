"""The rules of one generation, compiled: messages of a source in, calls and dead letters out. Pure: reads no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.errors import ConfigError, MissingField, Problem, RuleError
from bridge.routing.index import plan_for
from bridge.routing.outcome import SKIP, Rejected, Routed, SourceInfo, Tally
from bridge.routing.rule import compile_rule
from bridge.routing.variables import MessageNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridge.message import Message
    from bridge.routing.index import Candidates, Plan
    from bridge.routing.rule import Rule
    from bridge.routing.settings import RuleSettings
    from bridge.routing.values import Value

__all__ = ["SKIP", "Rejected", "Routed", "Router", "SourceInfo"]


class Router:
    """Every matching rule fires, in file order; ``final`` stops.

    vars: the constants of the configuration. sources: every configured one. targets: the names of all targets, of
    which a rule may leave out the only one. config: digest of the configuration, noted in every call. Raises
    ConfigError listing every mistake of every rule.
    """

    def __init__(
        self,
        rules: Sequence[RuleSettings],
        *,
        vars: Mapping[str, object],  # noqa: A002  the word of the configuration
        sources: Sequence[SourceInfo],
        targets: Sequence[str],
        config: str = "",
    ) -> None:
        problems = _repeated_names(rules)
        names = MessageNames(vars)
        known = {info.name: info for info in sources}
        compiled: list[tuple[Rule, frozenset[str]]] = []
        self._multiplied: set[str] = set()
        for position, settings in enumerate(rules):
            applies_to, target, wrong = _resolve(position, settings, known, targets)
            json_sources = [name for name in applies_to if known[name].json_bodies]
            event_sources = [name for name in applies_to if known[name].cloud_events]
            its_names = names.names(json_sources, applies_to, event_sources)
            rule, blueprint = compile_rule(position, settings, target, its_names, config)
            problems += [*wrong, *blueprint.problems]
            compiled.append((rule, applies_to))
            self._multiplied |= applies_to if settings.for_each is not None else frozenset()
        if problems:
            raise ConfigError(problems)
        self._bury_unmatched = {info.name for info in sources if info.unmatched == "dead-letter"}
        self._plans: dict[str, Plan] = {}
        self._rules: dict[str, Sequence[Rule]] = {}
        for source in known:
            mine = [rule for rule, applies_to in compiled if source in applies_to]
            self._rules[source] = mine
            self._plans[source] = plan_for(mine, dict(vars), names.headers)

    def rules(self, source: str) -> Sequence[Rule]:
        """The rules for a source, compiled, in file order."""
        return self._rules[source]

    def multiplies(self, source: str) -> bool:
        """Whether some rule for it goes over a list (``for_each``): what it makes may be far larger than a message."""
        return source in self._multiplied

    def route(self, source: str, messages: Sequence[Message], values: Sequence[object], now_ms: int) -> Routed:
        """What a batch becomes.

        source: a configured name. values: for each message its decoded body, or SKIP. now_ms: the arrival, Unix epoch
        in milliseconds, from which ``delay`` counts. Never raises for what a message holds.
        """
        plan, bury = self._plans[source], source in self._bury_unmatched
        candidates, tally = plan.candidates, Tally()
        for message, value in zip(messages, values, strict=True):
            if value is SKIP:
                continue
            found = candidates(message, value)
            if not (found and _try(found, message, value, now_ms, tally)):
                tally.silent.append((message, ""))
                if bury:
                    tally.dead.append(
                        Rejected(message, "unmatched", "no rule matches, and the source says dead-letter")
                    )
        plan.count_misses(tally)
        return tally.routed()


def _try(candidates: Candidates, message: Message, body: Value, now_ms: int, tally: Tally) -> bool:
    """Let every rule that matches act; False: none did, and none failed."""
    matched = False
    failure: tuple[str, RuleError] | None = None
    for _, name, test, act, final in candidates:
        try:
            if test is not None and not test(message, body):
                continue
        except RuleError as error:
            tally.errors[name] += 1
            if failure is None and not isinstance(error, MissingField):
                failure = name, error
            continue
        matched = True
        tally.matched[name] += 1
        act(message, body, now_ms, tally)
        if final:
            break
    if failure is not None and not matched:
        failed, reason = failure
        tally.dead.append(Rejected(message, "rule_error", f"when: {reason}", failed))
        return True
    return matched


def _repeated_names(rules: Iterable[RuleSettings]) -> list[Problem]:
    problems = []
    first: dict[str, int] = {}
    for position, rule in enumerate(rules):
        if first.setdefault(rule.name, position) != position:
            message = f"the name {rule.name!r} is taken by rules[{first[rule.name]}]"
            problems.append(Problem(f"rules[{position}].name", message))
    return problems


def _resolve(
    position: int, settings: RuleSettings, known: Mapping[str, SourceInfo], targets: Sequence[str]
) -> tuple[frozenset[str], str, list[Problem]]:
    """The sources a rule is for, its target, and what is wrong with either."""
    path = f"rules[{position}]"
    problems = [
        Problem(f"{path}.from", f"no source {name!r}; there are {', '.join(sorted(known)) or 'none'}")
        for name in settings.sources
        if name not in known
    ]
    applies_to = frozenset(settings.sources or known) & frozenset(known)
    action = settings.create or settings.event or settings.status
    if action is None:
        return applies_to, "", problems
    field = next(name for name in ("create", "event", "status") if getattr(settings, name) is not None)
    listed = ", ".join(sorted(targets)) or "none"
    if action.target is None and not targets:
        problems.append(Problem(f"{path}.{field}", "there is nothing to call: describe an account under targets"))
    elif action.target is None and len(targets) != 1:
        problems.append(Problem(f"{path}.{field}.target", f"say which target; there are {listed}"))
    elif action.target is not None and action.target not in targets:
        problems.append(Problem(f"{path}.{field}.target", f"no target {action.target!r}; there are {listed}"))
    return applies_to, action.target or (targets[0] if targets else ""), problems
