"""What two sets of rules make of the same messages, compared: what would be called otherwise, and how often. Pure.

Reads no policy and groups nothing while two batches are equal, so that live traffic can be compared as it passes.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.call import Policy, without_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from bridge.call import Call
    from bridge.message import Message
    from bridge.routing.outcome import Routed

ADDED, REMOVED, ORDER = "added", "removed", "order"
DEAD, DROPPED, UNMATCHED = "dead_letter", "dropped", "unmatched"
SAMPLES: Final = 20
_ADDRESS: Final = ("workflow", "instance_id", "event_type", "target")


class Change(NamedTuple):
    """One thing that the new rules do otherwise with a message.

    operation: of a call; "" for what becomes of the message itself. what: ``added`` or ``removed``; for a call that
    both make the field in which they differ first (workflow, instance_id, event_type, target, body, lane, priority,
    not_before_ms, or a name of Policy); ``order`` for the same calls in another order; with operation "" one of
    ``dead_letter``, ``dropped`` and ``unmatched``, of which ``old`` or ``new`` then is the reason, None where the
    message is not one.
    """

    operation: str
    what: str
    rule: str  # of the new call where there is one
    old: Call | str | None
    new: Call | str | None


class Difference(NamedTuple):
    """A message with which the two do not do the same."""

    message: Message
    changes: tuple[Change, ...]  # at least one


def differences(old: Routed, new: Routed) -> Iterator[Difference]:
    """The messages of one batch that fare otherwise, in no particular order.

    Both must be of the same Message objects, routed with the same ``now_ms``. Which configuration a call is from makes
    no difference.
    """
    if old.calls == new.calls and old.dead == new.dead and old.silent == new.silent:
        return
    before, after = _by_message(old), _by_message(new)
    for key in before.keys() | after.keys():
        one, other = before.get(key, _NOTHING), after.get(key, _NOTHING)
        if one != other and (changes := tuple(_changes(one, other))):
            yield Difference((one.message or other.message)[0], changes)


class Comparison:
    """Differences, counted; what is kept of them is bounded by ``samples`` and the number of rules."""

    def __init__(self, samples: int = SAMPLES) -> None:
        self.messages = 0
        self.differing = 0  # messages
        self.by_kind: Counter[tuple[str, str]] = Counter()  # (operation, what) -> messages
        self.by_rule: Counter[tuple[str, str, str]] = Counter()  # (rule, operation, what) -> changes
        self.samples: list[Difference] = []  # the first ones
        self._most = samples

    def add(self, messages: int, old: Routed, new: Routed) -> int:
        """Compare a batch of so many messages; gives how many differ."""
        before = self.differing
        self.messages += messages
        for difference in differences(old, new):
            self.differing += 1
            self.by_kind.update(list(dict.fromkeys(map(_kind, difference.changes))))  # in order: a tie is no lottery
            self.by_rule.update((change.rule, change.operation, change.what) for change in difference.changes)
            if len(self.samples) < self._most:
                self.samples.append(difference)
        return self.differing - before

    def sentences(self) -> list[str]:
        """What has changed, most frequent first, such as "14 messages would start other workflows"."""
        return [sentence(kind, count) for kind, count in self.by_kind.most_common()]


def sentence(kind: tuple[str, str], messages: int) -> str:
    """One kind of difference in words. kind: operation and ``what``, which ends in _gone for what was and is not."""
    operation, what = kind
    who = "1 message" if messages == 1 else f"{messages:,} messages"
    if not operation:
        return f"{who} would {_FATES[what]}"
    does, things = _WORDS[operation]
    if what in _CALLS:
        return f"{who} would {does} {_CALLS[what].format(things=things)}"
    return f"{who} would {does} {things} with another {what.removesuffix('_ms')}"


_WORDS: Mapping[str, tuple[str, str]] = {
    "create": ("start", "workflows"),
    "event": ("send", "events"),
    "status": ("make", "status changes"),
}
_CALLS: Mapping[str, str] = {
    ADDED: "{things} that they do not now",
    REMOVED: "no more {things} that they do now",
    ORDER: "the same {things} in another order",
    "workflow": "other {things}",
    "instance_id": "{things} under other ids",
    "event_type": "{things} of other types",
    "target": "{things} at another target",
    "rule": "the same {things} by a rule of another name",
}
_FATES: Mapping[str, str] = {
    DEAD: "be dead letters",
    f"{DEAD}_gone": "no more be dead letters",
    f"{DEAD}_other": "be dead letters for another reason",
    DROPPED: "be dropped",
    f"{DROPPED}_gone": "no more be dropped",
    f"{DROPPED}_other": "be dropped for another reason",
    UNMATCHED: "match no rule any more",
    f"{UNMATCHED}_gone": "match a rule, which they do not now",
}


def _kind(change: Change) -> tuple[str, str]:
    if change.operation:
        return change.operation, change.what
    if change.old is None:
        return "", change.what
    return "", f"{change.what}_gone" if change.new is None else f"{change.what}_other"


class _Fate(NamedTuple):
    """What becomes of one message."""

    message: list[Message]  # itself, at least once
    calls: list[Call]
    dead: list[tuple[str, str]]  # rule and reason; the detail is for people
    silent: list[str]  # reasons of drops; "" is unmatched


_NOTHING: Final = _Fate([], [], [], [])


def _by_message(routed: Routed) -> dict[int, _Fate]:
    fates: dict[int, _Fate] = {}

    def of(message: Message) -> _Fate:
        fate = fates.get(id(message))
        if fate is None:
            fate = fates[id(message)] = _Fate([message], [], [], [])
        return fate

    for message, call in routed.calls:
        of(message).calls.append(call._replace(policy=without_config(call.policy)))
    for rejected in routed.dead:
        of(rejected.message).dead.append((rejected.rule, rejected.reason))
    for message, reason in routed.silent:
        of(message).silent.append(reason)
    return fates


def _changes(old: _Fate, new: _Fate) -> Iterator[Change]:
    if old.calls != new.calls:
        yield from _call_changes(old.calls, new.calls)
    if old.dead != new.dead:
        yield from _dead_changes(old.dead, new.dead)
    if old.silent != new.silent:
        yield from _silent_changes(old.silent, new.silent)


def _call_changes(old: Sequence[Call], new: Sequence[Call]) -> Iterator[Change]:
    left, right = _without(old, new), _without(new, old)
    if not left and not right:
        moved = next(call for call, other in zip(new, old, strict=True) if call != other)
        yield Change(moved.operation, ORDER, rule_of(moved), None, moved)
    same_place, left, right = _paired(left, right, _place)
    same_rule, left, right = _paired(left, right, lambda call: (call.operation, rule_of(call)))
    for one, other in (*same_place, *same_rule):
        yield Change(other.operation, _first_difference(one, other), rule_of(other), one, other)
    for call in left:
        yield Change(call.operation, REMOVED, rule_of(call), call, None)
    for call in right:
        yield Change(call.operation, ADDED, rule_of(call), None, call)


def rule_of(call: Call) -> str:
    """The name of the rule that made a call."""
    return Policy.decode(call.policy).rule


def _without(calls: Iterable[Call], others: Iterable[Call]) -> list[Call]:
    """The calls that the others do not have, each counted."""
    there = Counter(others)
    left = []
    for call in calls:
        if there[call]:
            there[call] -= 1
        else:
            left.append(call)
    return left


def _place(call: Call) -> tuple[object, ...]:
    return call.operation, *(getattr(call, name) for name in _ADDRESS)


def _paired(
    left: Iterable[Call], right: Iterable[Call], key: Callable[[Call], object]
) -> tuple[list[tuple[Call, Call]], list[Call], list[Call]]:
    """The pairs with the same key, in order, and what is left of both."""
    waiting: defaultdict[object, deque[Call]] = defaultdict(deque)
    for call in right:
        waiting[key(call)].append(call)
    pairs, alone = [], []
    for call in left:
        if others := waiting[key(call)]:
            pairs.append((call, others.popleft()))
        else:
            alone.append(call)
    return pairs, alone, [call for others in waiting.values() for call in others]


def _first_difference(old: Call, new: Call) -> str:
    """The name of a field, where the call goes before what it carries."""
    for name in (*_ADDRESS, "body", "lane", "priority", "not_before_ms"):
        if getattr(old, name) != getattr(new, name):
            return name
    one, other = Policy.decode(old.policy)._asdict(), Policy.decode(new.policy)._asdict()
    return next(name for name in (*list(one)[1:], "rule") if one[name] != other[name])


def _dead_changes(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> Iterator[Change]:
    if Counter(old) != Counter(new):
        gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
        rule, _ = next(iter([*come, *gone]))
        yield Change("", DEAD, rule, _reasons(old), _reasons(new))


def _reasons(dead: Sequence[tuple[str, str]]) -> str | None:
    return ", ".join(f"{rule}: {reason}" if rule else reason for rule, reason in dead) or None


def _silent_changes(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    if ("" in old) != ("" in new):
        yield Change("", UNMATCHED, "", UNMATCHED if "" in old else None, UNMATCHED if "" in new else None)
    dropped, drops = ", ".join(filter(None, old)), ", ".join(filter(None, new))
    if dropped != drops:
        yield Change("", DROPPED, "", dropped or None, drops or None)
