"""What the admin API answers, as the OpenAPI document and the tests read it. Times are Unix milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second, over the last ten seconds."""

    received: float  # messages
    delivered: float  # calls
    retried: float  # calls
    dead: float  # dead letters


@dataclass(frozen=True, slots=True)
class Point:
    """One moment of the last minutes."""

    at_ms: int
    received: float  # messages per second since the point before
    delivered: float  # calls per second
    dead: float  # dead letters per second
    waiting: int  # calls in the outbox
    oldest_seconds: float  # how long the oldest of them has waited


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the outbox."""

    type: str  # sqlite, memory
    ready: int
    later: int  # retries and delays
    parked: int  # calls that wait for their instance
    blocked_lanes: int
    oldest_seconds: float | None  # None: nothing waits
    oldest_parked_seconds: float | None
    drain_seconds: float | None  # at the present rates; 0: nothing waits, None: it does not shrink
    dead_letters: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What a target's token has left."""

    target: str
    state: str  # unknown, counted, open, blocked
    limit: int | None
    remaining: int | None
    reserved: int | None
    reset_seconds: float | None


@dataclass(frozen=True, slots=True)
class Paused:
    """What is not called now, and why."""

    target: str
    workflow: str  # empty: all of the target's
    reason: str
    meaning: str
    advice: str
    operation: str = ""  # create, event, status, get; empty: all of them
    said: str = ""  # by the API, with its code
    since_ms: int = 0  # to the minute


@dataclass(frozen=True, slots=True)
class Switched:
    """What an operator has paused."""

    kind: str  # all, source, rule, workflow, target
    name: str  # empty for all; of a workflow target/workflow
    reason: str
    who: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Deed:
    """What an operator did."""

    number: int
    at_ms: int
    who: str
    what: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Deeds:
    """The last first."""

    deeds: list[Deed]
    next: int | None  # give it as ``before`` for the page after this one


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that wants a person, or that one should know."""

    severity: str  # critical, warning, info
    title: str
    detail: str
    advice: str
    page: str  # the part of the web page that has more


@dataclass(frozen=True, slots=True)
class ConfigState:
    """The configuration in use."""

    generation: int
    digest: str
    problems: list[str]  # why the files are not in use; empty: they are


@dataclass(frozen=True, slots=True)
class Overview:
    """How the bridge is."""

    version: str
    now_ms: int
    started_ms: int
    may_act: bool
    config: ConfigState
    notices: list[Notice]
    rates: Rates
    backlog: Backlog
    budgets: list[Budget]
    paused: list[Paused]
    switched: list[Switched]
    history: list[Point]


@dataclass(frozen=True, slots=True)
class Live:
    """What moves; one event of the stream."""

    now_ms: int
    notices: list[Notice]
    rates: Rates
    backlog: Backlog
    budgets: list[Budget]
    paused: list[Paused]
    switched: list[Switched]
    point: Point | None


@dataclass(frozen=True, slots=True)
class Partition:
    """How far one partition or queue is read."""

    name: str
    lag_messages: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class Source:
    """One source."""

    name: str
    type: str
    reads: list[str]  # topics, queues or a pattern
    state: str  # reading, disconnected, held_up, waiting, paused, stopped
    explanation: str
    received: int  # messages since the start
    received_per_second: float
    unmatched: int
    dropped: int
    unacknowledged: int
    reconnects: int
    lag_messages: int | None  # None: the broker does not tell
    partitions: list[Partition]
    assigned: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule."""

    name: str
    sources: list[str]  # empty: all of them
    when: str
    action: str  # create, event, status, drop, dead_letter
    does: str  # in words
    final: bool
    paused: bool  # by an operator
    held: str  # why its calls are not sent now, as the reason of a pause; empty: they are, or it makes none
    matched: int
    matched_per_second: float
    last_match_ms: int | None  # None: not since the start
    errors: int
    outcomes: dict[str, int]  # deliveries by outcome


@dataclass(frozen=True, slots=True)
class Sources:
    """All of them, as configured."""

    sources: list[Source]


@dataclass(frozen=True, slots=True)
class Rules:
    """All of them, in file order."""

    rules: list[Rule]
    sources: list[str]  # whose messages can be tried


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What became of one call of a message, or of a message that became none; as bridge.outbox.overview has it."""

    number: int
    source: str
    message_id: str
    rule: str
    config: str
    target: str
    workflow: str
    operation: str
    event_type: str
    instance_id: str
    made: str  # the instance that was made instead, where its id is another; else empty
    outcome: str  # delivered, dead, dropped; errored: the instance, later
    reason: str
    code: int
    attempts: int
    arrived_ms: int
    settled_ms: int


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """The last first."""

    rows: list[LedgerRow]
    next: int | None  # give it as ``before`` for the page after this one
    keep_seconds: float | None  # for how long it is known; None: the ledger is off


@dataclass(frozen=True, slots=True)
class Workflows:
    """What the configuration calls."""

    targets: list[str]
    workflows: list[dict[str, str]]  # target, workflow


@dataclass(frozen=True, slots=True)
class Resumed:
    """Whether it had been paused."""

    resumed: bool


@dataclass(frozen=True, slots=True)
class Drain:
    """A bridge that reads no more, sends what it has, and stops."""

    ended: bool  # False: it is still sending; the bridge stops when it has ended
    drained: bool  # nothing was left
    ready: int  # calls that could be sent
    later: int  # calls that wait for their time


@dataclass(frozen=True, slots=True)
class LogLevel:
    """How much the log says."""

    level: str  # debug, info, warning, error
    configured: str
    who: str | None  # has said so; null: the configuration
    until_ms: int | None  # null: until it is said otherwise, or the process ends


@dataclass(frozen=True, slots=True)
class Trial:
    """What every rule makes of a message; as ``workflow-bridge explain --json`` prints it."""

    explanation: dict[str, Any]
