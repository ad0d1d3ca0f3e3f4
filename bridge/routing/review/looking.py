"""A rule as the review looks at it, and what is known of the messages that it may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from bridge.errors import Problem
from bridge.routing.equality import operands_of
from bridge.routing.parser import parse
from bridge.routing.review.conditions import cases_of, impossible
from bridge.routing.review.values import Values
from bridge.routing.values import ABSENT, Value
from bridge.routing.variables import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.routing.review.conditions import Case, Given
    from bridge.routing.settings import CreateAction, EventAction, RuleSettings, StatusAction
    from bridge.routing.syntax import Node

_ATTRIBUTES: Final = {"kafka": {"partition", "offset"}, "rabbitmq": {"exchange", "routing_key", "queue"}}


class Fields(Protocol):
    """What can be below a value, as far as a schema tells."""

    @property
    def names(self) -> Mapping[str, Fields]:
        """The known fields."""

    def below(self, step: str | int) -> Fields | None:
        """What is at a field, or at a place in a list; None where nothing can be."""


class Known(NamedTuple):
    """What is known of a source's messages before one comes."""

    name: str
    kind: str = ""  # "kafka", "rabbitmq"; others may have any attributes
    channels: tuple[str, ...] | None = None  # all that there are; None: any
    fields: Fields | None = None  # of the body; None: any


class Look(NamedTuple):
    """One rule."""

    position: int
    settings: RuleSettings
    sources: frozenset[str]
    target: str
    when: Node | None
    by_source: Mapping[str, Sequence[Case]]  # the ways in which its condition is true for a message of each source
    channels: Sequence[Sequence[str]]  # of each source of which all are known
    fields: Sequence[Fields | None]  # of the bodies of each source

    @property
    def operands(self) -> tuple[Node, ...]:
        """What must all be true."""
        return operands_of(self.when)

    @property
    def action(self) -> CreateAction | EventAction | StatusAction | None:
        """The call that it makes; None for drop and dead_letter."""
        return self.settings.create or self.settings.event or self.settings.status

    @property
    def word(self) -> str:
        """``create``, ``event``, ``status``; "" where it makes no call."""
        return next((word for word in ("create", "event", "status") if getattr(self.settings, word) is not None), "")

    @property
    def is_final(self) -> bool:
        """Whether no later rule sees a message that it matched."""
        return self.settings.final or self.action is None

    @property
    def dead(self) -> str:
        """Why its condition is never true; "" where it may be."""
        reasons = [impossible(cases) for cases in self.by_source.values()]
        return reasons[0] if reasons and all(reasons) else ""

    @property
    def called(self) -> str:
        """How a finding names it."""
        return f"rules[{self.position}] ({self.settings.name})"

    def finding(self, field: str, message: str) -> Problem:
        """Something that is suspicious about it."""
        return Problem(f"rules[{self.position}].{field}" if field else f"rules[{self.position}]", message)


def looks(
    rules: Mapping[int, RuleSettings],
    constants: Mapping[str, Value],
    sources: Sequence[Known],
    targets: Sequence[str],
) -> list[Look]:
    """Rules that the router takes, by their numbers in the file, ready to be looked at.

    Raises ExpressionError for one that the router would refuse.
    """
    values = Values(constants)
    known = {source.name: source for source in sources}
    found = []
    for position, settings in sorted(rules.items()):
        mine = frozenset(settings.sources or known) & frozenset(known)
        when = parse(settings.when) if settings.when is not None else None
        action = settings.create or settings.event or settings.status
        target = (action.target if action is not None else None) or (targets[0] if targets else "")
        cases = {name: cases_of(when, values, _given(known[name])) for name in sorted(mine)}
        channels = [known[name].channels or () for name in sorted(mine)]
        fields = [known[name].fields for name in sorted(mine)]
        found.append(Look(position, settings, mine, target, when, cases, channels, fields))
    return found


def _given(source: Known) -> Given:
    given: dict[tuple[str | int, ...], tuple[Value, ...]] = {("source",): (source.name,)}
    if source.channels is not None:
        given[("channel",)] = source.channels
    if source.kind in _ATTRIBUTES:
        given |= {(name,): (ABSENT,) for name in ATTRIBUTES if name not in _ATTRIBUTES[source.kind]}
    return given
