"""What routing makes of a batch, in the words that the caller stores and counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from bridge.routing.elements import Spent

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.message import Message


class Skip(Enum):
    """The type of ``SKIP``."""

    SKIP = "skip"


SKIP: Final = Skip.SKIP  # stands for the value of a message that the caller has dealt with already


class SourceInfo(NamedTuple):
    """What routing knows of a configured source."""

    name: str
    unmatched: str = "drop"  # or "dead-letter": what becomes of a message that no rule matches
    kind: str = ""  # "kafka", "rabbitmq" …
    json_bodies: bool = True  # False: a map, list or double is not the parsed JSON of ``Message.body`` (decode: avro …)
    cloud_events: bool = False  # the messages are CloudEvents (decode: cloudevents), of which each knows its JSON text


class Rejected(NamedTuple):
    """A message, or one call of it, for the dead letters.

    reason: rule_error (a condition failed and no rule matched), render_error, no_identity, invalid_id, invalid_name,
    too_large, too_many_calls (of one rule's ``for_each``, which then makes none), unmatched, or rule (the action
    ``dead_letter``). detail: for people; quotes no value of the message but an id or name that the API would refuse.
    """

    message: Message
    reason: str
    detail: str
    rule: str = ""
    call: Call | None = None


class Routed(NamedTuple):
    """What the messages of one batch became."""

    calls: list[tuple[Message, Call]]  # in order of the messages, those of one message in order of the rules
    dead: list[Rejected]
    matched: dict[str, int]  # rule -> messages
    dropped: dict[str, int]  # reason of a ``drop`` rule -> messages
    unmatched: int  # messages
    errors: dict[str, int]  # rule -> messages for which its condition was false because it could not be computed
    silent: list[tuple[Message, str]]  # dropped, with the reason; or unmatched, with ""


class Tally:
    """A ``Routed`` in the making."""

    __slots__ = ("calls", "dead", "errors", "matched", "silent", "spent")

    def __init__(self) -> None:
        self.calls: list[tuple[Message, Call]] = []
        self.dead: list[Rejected] = []
        self.matched: defaultdict[str, int] = defaultdict(int)
        self.errors: defaultdict[str, int] = defaultdict(int)
        self.silent: list[tuple[Message, str]] = []  # see Routed
        self.spent = Spent()  # of the message that ``for_each`` was last done for

    def routed(self) -> Routed:
        """The result."""
        dropped = dict(Counter([reason for _, reason in self.silent])) if self.silent else {}
        unmatched = dropped.pop("", 0)
        return Routed(self.calls, self.dead, dict(self.matched), dropped, unmatched, dict(self.errors), self.silent)
