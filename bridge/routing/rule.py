"""One rule, compiled: its condition, and what it does with a message that it matches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from bridge.errors import RenderError, RuleError
from bridge.routing import budget
from bridge.routing.blueprint import Blueprint
from bridge.routing.calls import Make, maker_of
from bridge.routing.elements import MAX_BYTES, MAX_CALLS, Spent, original_size, too_big, too_many
from bridge.routing.expression import function_of
from bridge.routing.logic import items
from bridge.routing.outcome import Rejected, Tally
from bridge.routing.parser import parse
from bridge.routing.syntax import ExpressionError
from bridge.routing.template import path_of
from bridge.routing.variables import with_element

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.message import Message
    from bridge.routing.names import Names
    from bridge.routing.settings import RuleSettings
    from bridge.routing.syntax import Node
    from bridge.routing.values import Value

Condition = Callable[["Message", "Value"], bool]
Act = Callable[["Message", "Value", int, Tally], None]  # message, body, now_ms, where the outcome is noted


class Rule(NamedTuple):
    """What the router needs of a rule."""

    position: int  # in the file
    name: str
    when: Node | None  # None: always
    text: str  # of ``when``, for errors
    names: Names
    act: Act
    final: bool

    def condition(self, node: Node | None) -> Condition | None:
        """The function of the condition, or of what is left to test of it; None: there is nothing to test."""
        if node is None:
            return None
        return function_of(self.text, self.names, lambda generator: generator.condition(node))


def compile_rule(
    position: int, settings: RuleSettings, target: str, names: Names, config: str = ""
) -> tuple[Rule, Blueprint]:
    """A rule, and the blueprint that holds what is wrong with it: with any problem the rule is not to be used.

    config: noted in the policy of its calls.
    """
    blueprint = Blueprint(f"rules[{position}]", names, config)
    when = blueprint.tree("when", settings.when) if settings.when is not None else None
    elements = None
    if settings.for_each is not None:
        elements = blueprint.expression("for_each", settings.for_each)
        blueprint.names = with_element(names, _list_path(settings.for_each))
    act = _act(settings, target, blueprint, elements)
    final = settings.final or settings.drop is not None or settings.dead_letter is not None
    return Rule(position, settings.name, when, settings.when or "", names, act, final), blueprint


def _list_path(text: str) -> tuple[str | int, ...] | None:
    """The way from the body to the elements, where ``for_each`` does no more than read them."""
    try:
        path = path_of(parse(text))
    except ExpressionError:
        return None
    return path[1:] if path is not None and path[0] == "body" else None


def _act(settings: RuleSettings, target: str, blueprint: Blueprint, elements: Callable[..., Value] | None) -> Act:
    if settings.drop is not None:
        return _drop(settings.drop)
    if settings.dead_letter is not None:
        return _bury(settings.name, settings.dead_letter, blueprint)
    make = maker_of(settings, target, blueprint)
    if make is None:
        raise AssertionError("the settings let no rule without an action through")
    if elements is None:
        return _once(settings.name, make, blueprint)
    return _per_element(settings.name, make, blueprint, elements)


def _drop(reason: str) -> Act:
    def act(message: Message, _body: Value, _now_ms: int, tally: Tally) -> None:
        tally.silent.append((message, reason))

    return act


def _bury(rule: str, detail: str, blueprint: Blueprint) -> Act:
    text = blueprint.text("dead_letter", detail, bool, RenderError)

    def act(message: Message, body: Value, _now_ms: int, tally: Tally) -> None:
        try:
            shown = text.of(message, body)
        except RuleError as error:
            shown = f"dead_letter: {error}"
        tally.dead.append(Rejected(message, "rule", shown, rule))

    return act


def _once(rule: str, make: Make, blueprint: Blueprint) -> Act:
    def act(message: Message, body: Value, now_ms: int, tally: Tally) -> None:
        try:
            tally.calls.append((message, make(message, body, None, 0, now_ms)))
        except RuleError as error:
            tally.dead.append(_unrendered(rule, blueprint, error, (message, body, None, 0)))

    return act


def _per_element(rule: str, make: Make, blueprint: Blueprint, elements: Callable[..., Value]) -> Act:
    """All of a rule's calls or, where they go beyond what one message may cost, one dead letter."""

    def act(message: Message, body: Value, now_ms: int, tally: Tally) -> None:
        calls: list[tuple[Message, Call]] = []
        dead: list[Rejected] = []
        try:
            found = items(elements(message, body))
            spent = tally.spent if tally.spent.message is message else Spent(message)
            count, size = spent.calls + len(found), spent.size
            if count > MAX_CALLS:
                raise too_many()
            budget.share()
            for index, item in enumerate(found):
                try:
                    call = make(message, body, item, index, now_ms)
                    calls.append((message, call))
                    size += len(call.body) + len(call.lane)
                except RuleError as error:
                    if budget.exhausted():
                        raise
                    dead.append(_unrendered(rule, blueprint, error, (message, body, item, index)))
                    size += original_size(message)
                if size > MAX_BYTES:
                    raise too_big()
        except RuleError as error:
            reason = error.reason if isinstance(error, RenderError) else "render_error"
            tally.dead.append(Rejected(message, reason, f"for_each: {error}", rule))
        else:
            tally.spent = Spent(message, count, size)
            tally.calls += calls
            tally.dead += dead
        finally:
            budget.alone()

    return act


def _unrendered(
    rule: str, blueprint: Blueprint, error: RuleError, arguments: tuple[Message, Value, Value, int]
) -> Rejected:
    """The dead letter of one call; the field at fault is found by asking again, which costs only here."""
    reason = error.reason if isinstance(error, RenderError) else "render_error"
    field = blueprint.blame(*arguments) if reason == "render_error" else ""
    detail = f"{field}: {error}" if field else str(error)
    return Rejected(arguments[0], reason, detail, rule)
