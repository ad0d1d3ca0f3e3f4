"""Whether a queue of RabbitMQ keeps the order that its rules rely on."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from bridge.call import IfMissing
from bridge.errors import Problem
from bridge.routing.review.ids import skeleton

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bridge.config.sources import SourceSettings
    from bridge.routing.review.looking import Look

_WHY = (
    "when the bridge starts anew, or a second one reads the queue, RabbitMQ may give what follows first; "
    "declare the queue with x-single-active-consumer, and write single_active_consumer: true here"
)


def unordered(looks: Sequence[Look], sources: Mapping[str, SourceSettings]) -> Iterator[Problem]:
    """At most one finding for each source: the first rules whose calls have an order that the queue may not keep."""
    for name, source in sources.items():
        if source.type != "rabbitmq" or _keeps_order(source):
            continue
        relying = _relying([look for look in looks if name in look.sources and not look.dead])
        if relying:
            yield Problem(f"sources.{name}", f"the order of {relying} matters, and {_WHY}")


def _keeps_order(source: Any) -> bool:  # noqa: ANN401  one of the union
    return bool(source.arguments.get("x-single-active-consumer"))


def _relying(looks: Sequence[Look]) -> str:
    """Rules that say so by a lane or by ``on_dead: block``; or two whose calls to one instance cannot be swapped."""
    alike: defaultdict[object, list[Look]] = defaultdict(list)
    for look in looks:
        settings, action = look.settings, look.action
        if action is None or settings.lane == "none":
            continue
        if settings.lane is not None or settings.on_dead == "block":
            return f"the calls of {look.called}"
        if action.id is None:
            continue
        others = alike[look.target, skeleton(action.workflow), skeleton(action.id)]
        for other in others:
            if not (_waits(look, other) or _waits(other, look)):
                return f"the calls of {other.called} and {look.called}"
        others.append(look)
    return ""


def _waits(first: Look, second: Look) -> bool:
    """Whether nothing is lost where the second comes before the first, a create: it starts nothing, or waits for it."""
    missing = getattr(second.action, "if_missing", None)
    return first.word == "create" and (missing is None or missing.kind in {IfMissing.WAIT, IfMissing.CREATE})
