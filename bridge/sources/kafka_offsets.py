"""Decisions about offsets, without a broker: where to begin in a partition, and what may be committed."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridge.message import Stored


class Why(StrEnum):
    """How it was decided where to begin."""

    COMMITTED = "committed"  # nothing is stored here: the broker's word
    CRASH_TAIL = "crash_tail"  # stored, but the commit did not get through
    WENT_ON = "went_on"  # another member of the group was further
    REWOUND = "rewound"  # somebody moved the group back on purpose
    EXPIRED = "expired"  # the broker forgot the commit, the log is still the one we know
    ANEW = "anew"  # the topic was made anew: the offsets we know mean nothing
    FIRST = "first"  # nobody knows this partition


class Log(NamedTuple):
    """What the partition's log looks like now."""

    start: int  # offset of the first record that is kept
    end: int  # offset that the next record will get
    timestamp_ms: int | None  # of the record at the offset stored last; None: no record has this offset


class Begin(NamedTuple):
    """Where to begin, and why."""

    offset: int
    why: Why

    @property
    def resets(self) -> bool:
        """Whether what the outbox knows of the partition has to be forgotten."""
        return self.why in (Why.REWOUND, Why.ANEW)


def begin(stored: Stored, committed: int | None, log: Log | None, start: int) -> Begin:
    """Where to go on reading a partition that was just assigned.

    stored: the outbox's word. committed: the group's next offset, None where the broker knows none.
    log: only read where ``committed`` is None. start: the offset that ``start_from`` means now.
    """
    if committed is not None:
        return _by_commit(stored, committed)
    if log is None:
        raise ValueError("without a committed offset the log has to be looked at")
    return _by_log(stored, log, start)


def _by_commit(stored: Stored, committed: int) -> Begin:
    if stored.committed is not None and committed < stored.committed:
        return Begin(committed, Why.REWOUND)
    if stored.last is None:
        return Begin(committed, Why.COMMITTED)
    resume = stored.last.offset + 1
    if committed > resume:
        return Begin(committed, Why.WENT_ON)
    return Begin(resume, Why.CRASH_TAIL if committed < resume else Why.COMMITTED)


def _by_log(stored: Stored, log: Log, start: int) -> Begin:
    if stored.last is None:
        # A next offset that we were told of and that the broker forgot: going on there loses nothing.
        known = stored.committed
        return Begin(min(start, known) if known is not None else start, Why.FIRST)
    last = stored.last
    if last.offset < log.start:
        return Begin(log.start, Why.EXPIRED)
    if last.offset < log.end and log.timestamp_ms == last.timestamp_ms:
        return Begin(last.offset + 1, Why.EXPIRED)
    return Begin(start, Why.ANEW)


class Part:
    """The messages of one partition in one batch."""

    __slots__ = ("done", "end")

    def __init__(self, end: int) -> None:
        self.end = end  # next offset after its last message
        self.done = False  # acknowledged


class Acks:
    """What of one partition was given out and not acknowledged yet, and how far may be committed."""

    __slots__ = ("_outstanding", "_safe", "committed", "next")

    def __init__(self, offset: int, committed: int | None) -> None:
        self.next = offset  # of the next message that will be given out
        self.committed = committed  # next offset as the broker knows it; None: it knows none
        self._safe = offset  # everything before it is acknowledged
        self._outstanding: deque[Part] = deque()

    def give(self, end: int) -> Part:
        """A batch was given out whose part of this partition ends before ``end``."""
        part = Part(end)
        self._outstanding.append(part)
        self.next = end
        return part

    def passed(self, offset: int) -> None:
        """There is no message before this offset that was not given out (transaction markers, expired records)."""
        if offset > self.next:
            self.next = offset
            if self._outstanding:
                self._outstanding[-1].end = offset
            else:
                self._safe = offset

    def moved(self, offset: int, committed: int | None) -> None:
        """The partition was assigned again, and ``offset`` is where reading goes on.

        Whoever decided on ``offset`` vouches for everything before it. What was given out before no longer counts:
        an outbox that withdrew it will never acknowledge it, and a batch that stays for ever holds up all commits.
        """
        self._outstanding.clear()
        self._safe = offset
        self.next, self.committed = offset, committed

    def due(self) -> int | None:
        """The next offset to commit; None: the broker knows it all. Never goes back."""
        while self._outstanding and self._outstanding[0].done:
            self._safe = max(self._safe, self._outstanding.popleft().end)
        return self._safe if self.committed is None or self._safe > self.committed else None

    @property
    def outstanding(self) -> int:
        """How many batches are not acknowledged, or wait behind one that is not."""
        return len(self._outstanding)
