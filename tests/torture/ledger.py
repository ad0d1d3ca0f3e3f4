"""What was produced, what the API was asked, and whether the one follows from the other. No broker and no process here.

The API's side is the emulator's journal, record by record as it is written.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bridge.emulator.journal import Record

Key = tuple[str, int]  # id and seq of a message

ACCEPTED = 200
CALLS_PER_MESSAGE = 2  # at most, of the rules here


class Sent(NamedTuple):
    """A message that a broker has."""

    kind: str  # order, step, signal, solo, bad
    id: str  # of its instance; of a bad one a name of its own
    seq: int = 0  # of a step or signal within its instance, from 1
    audited: bool = False
    partition: int = -1  # Kafka's
    offset: int = -1

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return self.id, self.seq


class Allowed(NamedTuple):
    """What may have been done again, and why."""

    events: int  # their answers were lost, or they were under way when the process ended
    creates: int
    messages: int = 0  # that a broker gave again: of the memory outbox alone


class Findings(NamedTuple):
    """What a comparison shows; empty and within bounds where everything is as it should be."""

    messages: int
    lost: Sequence[str]
    duplicate_instances: Sequence[str]
    duplicate_events: int
    allowed_events: int
    foreign_duplicates: Sequence[str]  # repeated events whose ``_bridge.id`` differ
    order_violations: Sequence[str]
    repeated_creates: int  # distinct: until its doubt is cleared up, one rides along in batches
    allowed_creates: int
    buried: Sequence[str]  # dead letters of messages that nothing is wrong with

    @property
    def problems(self) -> Sequence[str]:
        """One line for each thing that must not be."""
        found = [
            ("lost", self.lost),
            ("instances made twice", self.duplicate_instances),
            ("repeated events with another _bridge.id", self.foreign_duplicates),
            ("out of order", self.order_violations),
            ("dead without a reason", self.buried),
        ]
        lines = [f"{len(names)} {what}: {', '.join(names[:10])}" for what, names in found if names]
        if self.duplicate_events > self.allowed_events:
            lines.append(f"{self.duplicate_events} events repeated, {self.allowed_events} allowed")
        if self.repeated_creates > self.allowed_creates:
            lines.append(f"{self.repeated_creates} creates repeated, {self.allowed_creates} allowed")
        return lines


@dataclass
class Ledger:
    """Of one bridge. strict: its outbox is durable, so that nothing goes back in a lane."""

    strict: bool
    sent: list[Sent] = field(default_factory=list)
    twice: set[tuple[str, int]] = field(default_factory=set)  # (id, seq) that a broker may have twice: our doing
    offered: Counter[str] = field(default_factory=Counter)  # creates that came to the account, by id
    created: set[str] = field(default_factory=set)
    events: defaultdict[tuple[str, int], list[str]] = field(default_factory=lambda: defaultdict(list))
    disorder: list[str] = field(default_factory=list)
    last_accepted: float = 0.0  # set by whoever listens
    _newest: dict[str, int] = field(default_factory=dict)  # the highest seq of each instance so far

    def heard(self, record: Record) -> bool:
        """One record of the journal; returns whether it did anything."""
        if record.worked and record.operation in {"create", "batch"}:
            self.offered.update(name for name in record.offered if name is not None)
            self.created.update(record.created)
            return bool(record.created)
        if record.worked and record.operation == "event" and record.status == ACCEPTED:
            self._event(record.payload["id"], record.payload["seq"], record.payload["_bridge"]["id"])
            return True
        return False

    def _event(self, name: str, seq: int, cause: str) -> None:
        causes = self.events[name, seq]
        causes.append(cause)
        newest = self._newest.get(name, 0)
        if seq < newest and len(causes) == 1:
            self.disorder.append(f"{name}: {seq} after {newest}")
        elif seq < newest and self.strict and (name, seq) not in self.twice:
            self.disorder.append(f"{name}: {seq} again after {newest}")
        self._newest[name] = max(newest, seq)

    def delivered(self, sent: Sent, dead: Iterable[Key] = ()) -> bool:
        """Whether a message has become everything that it is to become; audits cannot be told apart here."""
        if sent.kind == "bad":
            return sent.key in dead
        return sent.key in self.events if sent.seq else sent.id in self.created

    def owed(self) -> Sequence[Sent]:
        """Messages that must come to something: a step whose order was never published waits in vain, and may die."""
        orders = {sent.id for sent in self.sent if sent.kind == "order"}
        return [sent for sent in self.sent if sent.kind != "step" or sent.id in orders]

    def missing(self) -> int:
        """How many messages have not been delivered, of those that are to be."""
        return sum(not self.delivered(sent) for sent in self.owed() if sent.kind != "bad")

    def compare(self, audits: Mapping[str, int], dead: Mapping[Key, int], allowed: Allowed) -> Findings:
        """At the end. audits: instances of the rule without an id, by their order; dead: dead letters."""
        may_die = {s.key for s in self.sent} - {s.key for s in self.owed() if s.kind != "bad"}
        lost = [f"{s.kind} {s.id}/{s.seq}" for s in self.owed() if not self.delivered(s, dead)]
        lost += [f"audit {s.id}" for s in self.sent if s.audited and not audits.get(s.id)]
        again = [name for name, count in audits.items() if count > 1 and (name, 0) not in self.twice]
        repeated = {key: causes for key, causes in self.events.items() if len(causes) > 1 and key not in self.twice}
        offered = sum(count > 1 and (name, 0) not in self.twice for name, count in self.offered.items())
        again_given = allowed.messages * CALLS_PER_MESSAGE
        return Findings(
            messages=len(self.sent),
            lost=lost,
            duplicate_instances=again,
            duplicate_events=sum(len(causes) - 1 for causes in repeated.values()),
            allowed_events=allowed.events + again_given,
            foreign_duplicates=[f"{name}/{seq}" for (name, seq), causes in repeated.items() if len(set(causes)) > 1],
            order_violations=self.disorder,
            repeated_creates=offered,
            allowed_creates=allowed.creates + again_given,
            buried=[f"{name}/{seq}" for name, seq in dead if (name, seq) not in may_die],
        )
