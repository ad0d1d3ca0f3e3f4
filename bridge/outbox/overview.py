"""What operators read of a durable outbox: the words, and the contract; works on the file of a running bridge too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from bridge.outbox.base import StoredDeadLetter


class DeadLetterFilter(NamedTuple):
    """Which dead letters are asked for; None: that does not matter."""

    rule: str | None = None  # "" are those without a rule
    reason: str | None = None
    source: str | None = None
    since_ms: int | None = None  # died at that time or later; Unix epoch
    until_ms: int | None = None  # died before that time
    # In the detail, the message's or the instance's id, in any case of letters; or to the byte in key, body, headers.
    text: str | None = None


EVERY = DeadLetterFilter()


class Kind(NamedTuple):
    """How many dead letters are alike."""

    rule: str
    reason: str
    source: str
    letters: int


class Paused(NamedTuple):
    """Something that an operator has paused."""

    kind: str  # a PauseKind
    name: str  # "" for all; of a workflow "target/workflow"
    reason: str
    who: str
    since_ms: int  # Unix epoch


class Deed(NamedTuple):
    """What an operator did."""

    number: int  # rising
    at_ms: int  # Unix epoch
    who: str
    what: str  # a bounded code: "redrive", "discard", "edit", "pause" …
    subject: str  # what it was done to
    detail: str  # for people


class LedgerRow(NamedTuple):
    """What became of one call of a message, or of a message that became none."""

    number: int  # rising in order of settlement
    source: str
    message_id: str  # its coordinates: "topic/partition/offset", or the id that its producer gave it
    rule: str  # "" where none was involved; those below it are "" where no call was rendered
    config: str  # digest of the configuration that was in use when the message was taken in
    target: str
    workflow: str
    operation: str  # create, event, status
    event_type: str  # "" unless it is about an event
    instance_id: str  # the call's
    made: str  # the instance that was made instead, where its id is another (``if_exists: new``); else ""
    outcome: str  # delivered, dead, dropped by a rule; errored: the instance, later
    reason: str  # a bounded code: created, exists, sent, dropped, rejected, undecodable …; of a ``drop`` rule its text
    code: int  # the API's, of its refusal; 0 where there was none
    attempts: int  # calls made
    arrived_ms: int  # Unix epoch, when the bridge took the message in
    settled_ms: int  # Unix epoch


class LedgerFilter(NamedTuple):
    """Which rows of the ledger are asked for; None: that does not matter."""

    message: str | None = None  # its whole id
    instance: str | None = None  # its whole id; one that was made under another id is found by both
    rule: str | None = None  # "" are those without one
    outcome: str | None = None
    since_ms: int | None = None  # settled at that time or later; Unix epoch
    until_ms: int | None = None  # settled before that time
    operation: str | None = None  # create, event, status


EVERYTHING = LedgerFilter()


class OutboxAdmin(Protocol):
    """What operators read of a durable outbox; works on the file of a running bridge too. Raises OutboxError."""

    def dead_letters(
        self, after: int = 0, limit: int = 100, chosen: DeadLetterFilter = EVERY
    ) -> list[StoredDeadLetter]:
        """In order of death, those with a number above ``after``."""

    def newest_dead_letters(
        self, before: int | None = None, limit: int = 100, chosen: DeadLetterFilter = EVERY
    ) -> list[StoredDeadLetter]:
        """The last ones first, those with a number below ``before``."""

    def dead_letter(self, number: int) -> StoredDeadLetter | None:
        """One, whole."""

    def dead_letter_numbers(self, after: int = 0, limit: int = 1_000, chosen: DeadLetterFilter = EVERY) -> list[int]:
        """Numbers alone, rising."""

    def dead_letter_kinds(self, chosen: DeadLetterFilter = EVERY) -> list[Kind]:
        """How many there are of which rule, reason and source; the most first."""

    def blocks(self, number: int) -> bool:
        """Whether this dead letter blocks its lane."""

    def pauses(self) -> list[Paused]:
        """What operators have paused."""

    def audit(self, before: int | None = None, limit: int = 100) -> list[Deed]:
        """What operators did, the last first, with a number below ``before``."""

    def ledger(self, before: int | None = None, limit: int = 100, chosen: LedgerFilter = EVERYTHING) -> list[LedgerRow]:
        """What became of messages, the last first, with a number below ``before``; at most ``limit``."""
